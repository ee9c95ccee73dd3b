"""Records -> examples of one shape -> softgrad_core -> results in the order of the records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

from softgrad.records import Defaults, Examples, Records, interpret, near_claims
from softgrad_core.cross_entropy import compute_rows
from softgrad_core.errors import InputError
from softgrad_core.logits import Rows
from softgrad_core.objective import rows_of
from softgrad_core.results import SoftmaxCrossEntropy

if TYPE_CHECKING:
    from softgrad_core.derivation import Derivation
    from softgrad_core.numerical import BatchCheck
    from softgrad_core.summary import Summary
    from softgrad_core.tolerances import Tolerance
    from softgrad_core.verification import Verification


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """Examples of one shape, their results, and what else was asked for.

    That is the check of each, or the derivation of each of its rows.
    """

    examples: Examples
    result: SoftmaxCrossEntropy
    checks: "Sequence[BatchCheck] | None"
    derivations: "Sequence[Sequence[Derivation]] | None"

    @property
    def failed(self) -> list[int]:
        """The records whose check failed."""
        return [row for row, check in enumerate(self.checks or ()) if check.passed is False]

    @property
    def undecided(self) -> list[int]:
        """The records that the check could judge only in part."""
        return [row for row, check in enumerate(self.checks or ()) if check.undecided]

    def part(self, records: Sequence[int]) -> "Computed":
        """Return the batch of some of the records, in this order."""
        result, count = self.result, len(self.examples)
        of_logits = rows_of(records, self.examples.size)
        of_losses = of_logits
        if result.loss is not None:
            of_losses = rows_of(records, len(result.loss) // count)
        return Computed(
            self.examples.part(records),
            result.part(of_logits, of_losses),
            self.checks and [self.checks[record] for record in records],
            self.derivations and [self.derivations[record] for record in records],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """Examples of one shape that make the same claims, and what became of these."""

    examples: Examples
    verification: "Verification"

    @property
    def failed(self) -> list[int]:
        """The records of which a claim failed."""
        return self.verification.failed

    @property
    def undecided(self) -> list[int]:
        """The records of which a claim could not be judged, and none failed."""
        return self.verification.undecided

    def part(self, records: Sequence[int]) -> "Verified":
        """Return the batch of some of the records, in this order."""
        return Verified(self.examples.part(records), self.verification.part(records))


Batch = Computed | Verified


def compute(
    fields: Sequence[str],
    examples: Examples,
    *,
    check_tolerance: float | None = None,
    explained: bool = False,
) -> Computed:
    """Compute these results of the examples; check and explain the gradients if asked to.

    They are checked where a tolerance is given, which needs both of them.
    """
    logits, objective = examples.logits, examples.objective
    result = compute_rows(Rows(logits, logits.dtype, single=False), objective, fields)
    checks = derivations = None
    records = range(len(examples))
    if check_tolerance is not None:
        from softgrad_core.numerical import BatchCheck, check_rows

        gradients = result.grad_probs, result.grad_logits
        of_rows = check_rows(logits, objective, gradients, check_tolerance)
        checks = [BatchCheck([of_rows[row] for row in examples.rows(r)]) for r in records]
    if explained:
        from softgrad_core.derivation import explain_row

        derivations = [
            [
                explain_row(logits[row], objective.part([row]), examples.others[r])
                for row in examples.rows(r)
            ]
            for r in records
        ]
    return Computed(examples, result, checks, derivations)


def verify(examples: Examples, tolerance: "Tolerance") -> Verified:
    """Compare what the examples claim with the exact values."""
    from softgrad_core.verification import verify_rows

    return Verified(
        examples, verify_rows(examples.logits, examples.objective, examples.claims, tolerance)
    )


class Renderer(Protocol):
    """Results -> text, with what stands before all of it, and after."""

    opening: bytes
    closing: bytes

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the text of the examples of a batch, one after another."""

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return the text that stands in the place of a record that was rejected."""


class Block(Protocol):
    """Consecutive records of one source, read or still to be read."""

    @property
    def size(self) -> int:
        """How many bytes were read for it."""

    def records(self) -> Records:
        """Return the records, or raise OSError where the source could not be read."""


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
        from softgrad_core.summary import Summary

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
