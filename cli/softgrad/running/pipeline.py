"""Records -> examples of one shape -> softgrad_core -> results in the order of the records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from softgrad.inputs.interpretation import interpret, near_claims
from softgrad.outputs.formats import Renderer
from softgrad.records.records import Block, Defaults, Examples, Records
from softgrad.work import Batch, Verified
from softgrad_core.errors import InputError

if TYPE_CHECKING:
    from softgrad_core.verification.summary import Summary
    from softgrad_core.verification.tolerances import Tolerance


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a block of records, in a form that may come from another process.

    Attributes
    ----------
    text
        Their results, one after another, in their order.
    messages
        What is wrong with those that were rejected or failed the check, each with its place.
    records, rejected, failed, undecided
        How many there were, and how many of these were rejected, failed, or could not be judged in
        full.
    summary
        What became of claims, where these were verified.
    near_claims
        Names in the records that look like claims and are none.
    size
        How many bytes were read for them.
    is_last
        Whether nothing is to follow, because a record was rejected or failed.
    is_unread
        Whether this stands for what could not be read of a source.
    """

    text: bytes | memoryview = b""
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


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is done with records: they are read, worked on, and rendered.

    Attributes
    ----------
    work
        What is done with examples.
    required
        What is demanded of claims, where these are verified.
    only_failures
        Whether only records that failed, and those rejected, are rendered.
    fail_fast
        Whether the first of these is the last that is rendered.
    """

    renderer: Renderer
    defaults: Defaults
    work: Callable[[Examples], Batch]
    required: "Tolerance | None" = None
    only_failures: bool = False
    fail_fast: bool = False

    def process(self, block: Block) -> Outcome:
        """Return the results of the records of a block, and what became of them."""
        try:
            records = block.records()
        except OSError as error:
            message = f"{error.filename}: {error.strerror}"
            return Outcome(messages=[message], is_unread=True)
        groups, errors = interpret(records, self.defaults, with_claims=self.required is not None)
        batches = [self.work(examples) for examples in groups]
        failed = [batch.examples.indices[row] for batch in batches for row in batch.failed]
        is_last = self.fail_fast and bool(errors or failed)
        if is_last and (last := min([*errors, *failed])) + 1 < len(records):
            return self.process(records.first(last + 1))
        return Outcome(
            text=b"".join(self._render(records, batches, errors)),
            messages=list(self._messages(records, errors, failed)),
            records=len(records),
            rejected=len(errors),
            failed=len(failed),
            undecided=sum(len(batch.undecided) for batch in batches),
            summary=self._summary(records, batches, len(errors)),
            near_claims=[] if self.required is None else near_claims(records.values),
            size=block.size,
            is_last=is_last,
        )

    def _messages(
        self, records: Records, errors: Mapping[int, InputError], failed: Sequence[int]
    ) -> Iterator[str]:
        reasons = {index: error.reason for index, error in errors.items()}
        if self.required is None:
            reasons |= dict.fromkeys(failed, "the numerical check failed")
        for index, reason in sorted(reasons.items()):
            yield f"{records.place(index)}: {reason}"

    def _summary(
        self, records: Records, batches: Sequence[Batch], rejected: int
    ) -> "Summary | None":
        """Return what became of the claims of these records."""
        if self.required is None:
            return None
        from softgrad_core.verification.summary import Summary

        summary = Summary(self.required)
        summary.rejected = rejected
        for batch in batches:
            if isinstance(batch, Verified):
                place = partial(_place, records, batch)
                summary.add(batch.verification.quantities, place)
        return summary

    def _render(
        self, records: Records, batches: Sequence[Batch], errors: Mapping[int, InputError]
    ) -> Iterator[bytes]:
        """Yield the texts in the order of the records, as much of one batch at once as can be."""
        if len(batches) == 1 and not errors and not self.only_failures:
            yield self.renderer.accepted(records, batches[0])
            return
        # The index of a record, the number of its batch, or -1, and its row there.
        placed = [(index, -1, 0) for index in errors]
        for number, batch in enumerate(batches):
            rows = batch.failed if self.only_failures else range(len(batch.examples))
            placed += [(batch.examples.indices[row], number, row) for row in rows]
        for number, run in groupby(sorted(placed), key=itemgetter(1)):
            if number < 0:
                for index, _, _ in run:
                    yield self.renderer.rejected(records, index, errors[index])
            else:
                rows = [row for _, _, row in run]
                yield self.renderer.accepted(records, batches[number].part(rows))


def _place(records: Records, batch: Verified, row: int) -> str:
    return records.place(batch.examples.indices[row])
