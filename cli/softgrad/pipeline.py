"""Records -> examples of equal width -> softgrad_core -> results in the order of the records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

from softgrad.records import Defaults, Examples, Records, interpret
from softgrad_core.cross_entropy import SoftmaxCrossEntropy, softmax_cross_entropy
from softgrad_core.errors import InputError

if TYPE_CHECKING:
    from softgrad_core.derivation import Derivation
    from softgrad_core.numerical import GradientCheck
    from softgrad_core.tolerances import Tolerance
    from softgrad_core.verification import Verification


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """Examples of one number of classes, their results, and what else was asked for.

    That is the check of each, or its derivation.
    """

    examples: Examples
    result: SoftmaxCrossEntropy
    checks: "Sequence[GradientCheck] | None"
    derivations: "Sequence[Derivation] | None"

    @property
    def failed(self) -> list[int]:
        """The rows whose check failed."""
        return [row for row, check in enumerate(self.checks or ()) if check.passed is False]

    @property
    def undecided(self) -> list[int]:
        """The rows that the check could judge only in part."""
        return [row for row, check in enumerate(self.checks or ()) if check.undecided]

    def part(self, rows: Sequence[int]) -> "Computed":
        """Return the batch of some of the rows, in this order."""
        result = self.result
        return Computed(
            self.examples.part(rows),
            SoftmaxCrossEntropy(
                result.probs[rows],
                result.loss[rows],
                result.grad_probs[rows],
                result.grad_logits[rows],
            ),
            self.checks and [self.checks[row] for row in rows],
            self.derivations and [self.derivations[row] for row in rows],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """Examples of one number of classes that make the same claims, and what became of these."""

    examples: Examples
    verification: "Verification"

    @property
    def failed(self) -> list[int]:
        """The rows of which a claim failed."""
        return self.verification.failed

    @property
    def undecided(self) -> list[int]:
        """The rows of which a claim could not be judged, and none failed."""
        return self.verification.undecided

    def part(self, rows: Sequence[int]) -> "Verified":
        """Return the batch of some of the rows, in this order."""
        return Verified(self.examples.part(rows), self.verification.part(rows))


Batch = Computed | Verified


def compute(
    examples: Examples, *, check_tolerance: float | None = None, explained: bool = False
) -> Computed:
    """Compute the examples; check the gradients where a tolerance is given, and explain them."""
    result = softmax_cross_entropy(examples.logits, examples.labels)
    checks = derivations = None
    if check_tolerance is not None:
        from softgrad_core.numerical import check_gradients

        checks = check_gradients(
            examples.logits,
            examples.labels,
            result.grad_probs,
            result.grad_logits,
            tolerance=check_tolerance,
        )
    if explained:
        from softgrad_core.derivation import explain

        rows = zip(examples.logits, examples.labels.tolist(), examples.others, strict=True)
        derivations = [explain(*row) for row in rows]
    return Computed(examples, result, checks, derivations)


def verify(examples: Examples, tolerance: "Tolerance") -> Verified:
    """Compare what the examples claim with the exact values."""
    from softgrad_core.verification import verify_rows

    return Verified(
        examples, verify_rows(examples.logits, examples.labels, examples.claims, tolerance)
    )


class Renderer(Protocol):
    """Results -> text, with what stands before all of it, and after."""

    opening: bytes
    closing: bytes

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the text of the examples of a batch, one after another."""

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return the text that stands in the place of a record that was rejected."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a block of records.

    Attributes
    ----------
    text
        Their results, one after another, in their order.
    errors
        What is wrong with those that were rejected, by index.
    batches
        The others.
    """

    text: bytes
    errors: Mapping[int, InputError]
    batches: Sequence[Batch]

    @property
    def failed(self) -> list[int]:
        """The indices of the records whose check failed, or of which a claim failed."""
        return [batch.examples.indices[row] for batch in self.batches for row in batch.failed]

    @property
    def undecided(self) -> list[int]:
        """The indices of those that could not be judged in full."""
        return [batch.examples.indices[row] for batch in self.batches for row in batch.undecided]

    @property
    def first_bad(self) -> int | None:
        """The index of the first record that was rejected or failed."""
        return min([*self.errors, *self.failed], default=None)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is done with records: they are read, worked on, and rendered.

    Attributes
    ----------
    work
        What is done with examples.
    with_claims
        Whether it needs what they claim.
    only_failures
        Whether only records that failed, and those rejected, are rendered.
    """

    renderer: Renderer
    defaults: Defaults
    work: Callable[[Examples], Batch]
    with_claims: bool = False
    only_failures: bool = False

    def process(self, records: Records) -> Outcome:
        """Return the results of `records`, and what became of each."""
        groups, errors = interpret(records, self.defaults, with_claims=self.with_claims)
        batches = [self.work(examples) for examples in groups]
        return Outcome(b"".join(self._render(records, batches, errors)), errors, batches)

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
