"""Records -> examples of equal width -> softgrad_core -> results in the order of the records."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from softgrad.records import Defaults, Examples, Records, interpret
from softgrad_core.cross_entropy import SoftmaxCrossEntropy, softmax_cross_entropy
from softgrad_core.errors import InputError

if TYPE_CHECKING:
    from softgrad_core.numerical import GradientCheck


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Examples of one number of classes, their results, and the checks of these if asked for."""

    examples: Examples
    result: SoftmaxCrossEntropy
    checks: "Sequence[GradientCheck] | None"

    def __len__(self) -> int:
        return len(self.examples.indices)

    def part(self, start: int, stop: int) -> "Batch":
        """Return the batch of the examples from `start` to `stop`."""
        if (start, stop) == (0, len(self)):
            return self
        span = slice(start, stop)
        examples, result = self.examples, self.result
        return Batch(
            Examples(
                examples.indices[span],
                examples.logits[span],
                examples.labels[span],
                examples.names[span],
            ),
            SoftmaxCrossEntropy(
                result.probs[span],
                result.loss[span],
                result.grad_probs[span],
                result.grad_logits[span],
            ),
            self.checks and self.checks[span],
        )


class Renderer(Protocol):
    """Results -> text."""

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
    failed, undecided
        The indices of those whose check failed, and of those that it could judge only in part.
    """

    text: bytes
    errors: Mapping[int, InputError]
    failed: Sequence[int]
    undecided: Sequence[int]

    @property
    def first_bad(self) -> int | None:
        """The index of the first record that was rejected or failed."""
        return min([*self.errors, *self.failed], default=None)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What is done with records."""

    renderer: Renderer
    defaults: Defaults
    tolerance: float | None
    """The tolerance of the numerical check; None where none is asked for."""

    def process(self, records: Records) -> Outcome:
        """Return the results of `records`, and what became of each."""
        groups, errors = interpret(records, self.defaults)
        batches = [self._compute(examples) for examples in groups]
        checks = [
            (index, check)
            for batch in batches
            for index, check in zip(batch.examples.indices, batch.checks or (), strict=False)
        ]
        return Outcome(
            text=b"".join(self._render(records, batches, errors)),
            errors=errors,
            failed=[index for index, check in checks if check.passed is False],
            undecided=[index for index, check in checks if check.undecided],
        )

    def _compute(self, examples: Examples) -> Batch:
        logits, labels = examples.logits, examples.labels
        result = softmax_cross_entropy(logits, labels)
        if self.tolerance is None:
            return Batch(examples, result, None)
        from softgrad_core.numerical import check_gradients

        checks = check_gradients(
            logits, labels, result.grad_probs, result.grad_logits, tolerance=self.tolerance
        )
        return Batch(examples, result, checks)

    def _render(
        self, records: Records, batches: Sequence[Batch], errors: Mapping[int, InputError]
    ) -> Iterator[bytes]:
        """Yield the texts in the order of the records, as much of one batch at once as can be."""
        if len(batches) == 1 and not errors:
            yield self.renderer.accepted(records, batches[0])
            return
        owners = {
            index: (batch, position)
            for batch in batches
            for position, index in enumerate(batch.examples.indices)
        }
        index = 0
        while index < len(records):
            if index in errors:
                yield self.renderer.rejected(records, index, errors[index])
                index += 1
                continue
            batch, start = owners[index]
            stop = start
            while owners.get(index) == (batch, stop):
                index += 1
                stop += 1
            yield self.renderer.accepted(records, batch.part(start, stop))
