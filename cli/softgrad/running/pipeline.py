"""What happens to a block of records: it is read, worked on and rendered."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from softgrad.records.records import Block, Examples, Interpreted, Rows
from softgrad.work import Batch, Verified
from softgrad_core.errors import InputError

if TYPE_CHECKING:
    from softgrad_core.verification.summary import Summary
    from softgrad_core.verification.tolerances import Tolerance


class Outcome(NamedTuple):
    """What became of a block of records; it can be sent from another process.

    `results` are rendered: text, arrays or the worst rows. Of `records`, some were `rejected`,
    `failed`, or are `undecided`: they could be judged only in part. `size` is how many bytes were
    read. `is_last` says that --fail-fast ends the run here.
    """

    results: Any = b""
    messages: Sequence[str] = ()
    records: int = 0
    rejected: int = 0
    failed: int = 0
    undecided: int = 0
    summary: "Summary | None" = None
    near_claims: Sequence[str] = ()
    size: int = 0
    is_last: bool = False
    is_unread: bool = False


Process = Callable[[Any], Outcome]
"""Does everything for a block that is done before its results are written."""


class Pipeline(NamedTuple):
    """The three steps for each block, which `process` takes.

    `required` is the standard for claims; None if nothing is verified.
    """

    read: Callable[[Any], Interpreted]
    work: Callable[[Examples], Batch]
    render: Callable[[Any, Sequence[Batch], Mapping[int, InputError]], Any]
    required: "Tolerance | None" = None
    fail_fast: bool = False

    def process(self, block: Block | OSError) -> Outcome:
        """Return what became of a block, or of a source that could not be read."""
        if isinstance(block, OSError):
            return Outcome(messages=[f"{block.filename}: {block.strerror}"], is_unread=True)
        rows = block.records()
        groups, errors, near_claims = self.read(rows)
        batches = [self.work(examples) for examples in groups]
        failed = [batch.examples.indices[row] for batch in batches for row in batch.failed]
        is_last = self.fail_fast and bool(errors or failed)
        if is_last and (last := min([*errors, *failed])) + 1 < len(rows):
            return self.process(rows.first(last + 1))
        reasons = {index: error.reason for index, error in errors.items()}
        if self.required is None:
            reasons |= dict.fromkeys(failed, "the numerical check failed")
        return Outcome(
            results=self.render(rows, batches, errors),
            messages=[
                f"{rows.place(index)}: {reason}" for index, reason in sorted(reasons.items())
            ],
            records=len(rows),
            rejected=len(errors),
            failed=len(failed),
            undecided=sum(len(batch.undecided) for batch in batches),
            summary=self._summary(rows, batches, len(errors)),
            near_claims=near_claims,
            size=block.size,
            is_last=is_last,
        )

    def _summary(self, rows: Rows, batches: Sequence[Batch], rejected: int) -> "Summary | None":
        """Return the verdicts on the claims of these records."""
        if self.required is None:
            return None
        from softgrad_core.verification.summary import Summary

        summary = Summary(self.required)
        summary.rejected = rejected
        for batch in batches:
            if isinstance(batch, Verified):
                quantities, place = batch.verification.quantities, partial(_place, rows, batch)
                is_one = len(batch.examples) == 1
                summary.add(quantities, place, explained=is_one, remarked=is_one or rows.are_first)
        return summary


def _place(rows: Rows, batch: Verified, record: int) -> str:
    return rows.place(batch.examples.indices[record])
