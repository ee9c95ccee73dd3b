"""Blocks of rows of arrays -> their numbers, or what became of their claims."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softgrad.outputs.worst import WorstRow, worst_rows
from softgrad.records.fields import LOSS
from softgrad.running.pipeline import Outcome
from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError
from softgrad_core.loss.cross_entropy import compute_rows
from softgrad_core.loss.logits import as_rows, given_rows
from softgrad_core.loss.objective import Objective, objective_of
from softgrad_core.loss.results import BLOCK_FIELDS, SoftmaxCrossEntropy

if TYPE_CHECKING:
    from softgrad_core.verification.summary import Summary
    from softgrad_core.verification.tolerances import Tolerance
    from softgrad_core.verification.verify import Verification

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class RowBlock:
    """Consecutive rows of the arrays of one source, from row `start` on.

    Targets are labels, or distributions; claims are of the names of records' fields.
    """

    source: str
    start: int
    logits: Array
    targets: Array
    claims: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class RowsDone:
    """What became of a block of rows: their results, or the worst of their claims."""

    outcome: Outcome
    results: Mapping[str, Array]
    worst: Sequence[WorstRow] = ()


@dataclass(frozen=True, slots=True)
class RowWork:
    """What is done with blocks of rows.

    Attributes
    ----------
    fields
        The results that are computed.
    options
        The options of the loss of each row, without the reduction.
    is_reduced
        Whether the losses of all rows become one.
    divisor
        What they are divided by then; None where they are not.
    dtype
        The type of arrays whose numbers NumPy has no type for: bfloat16, as uint16.
    required
        What is demanded of claims; None where results are computed.
    """

    fields: Sequence[str]
    options: Mapping[str, Any]
    is_reduced: bool = False
    divisor: float | None = None
    dtype: Dtype | None = None
    required: "Tolerance | None" = None

    def process(self, block: RowBlock) -> RowsDone:
        """Return what becomes of a block; the numbers of rows that cannot be used are NaN."""
        logits = self._decoded(block.logits)
        try:
            return self._done(block, logits, {}, np.arange(len(logits)))
        except InputError:
            errors = dict(self._errors(logits, block.targets))
            return self._done(block, logits, errors, np.setdiff1d(range(len(logits)), [*errors]))

    def process_batch(self, batch: RowBlock, reduction: object) -> Outcome:
        """Return what became of the claim about the loss of all rows, which are one batch."""
        from softgrad_core.verification.summary import Summary
        from softgrad_core.verification.verify import verify_rows

        assert self.required is not None  # noqa: S101 - else nothing is verified
        summary = Summary(self.required)
        messages = []
        try:
            rows = as_rows(self._decoded(batch.logits)).values
            options = {**self.options, "reduction": reduction}
            objective = objective_of(batch.targets, rows.shape, **options)
        except InputError:
            why = "not judged, since a row that it is of was rejected"
            messages = [f"{batch.source}: {LOSS}: {why}"]
            summary.rejected = 1
        else:
            claim = self._decoded(batch.claims[LOSS]).astype(np.float64).reshape(1, 1)
            verification = verify_rows(rows, objective, {LOSS: claim}, self.required)
            summary.add(verification.quantities, lambda _: batch.source)
        return Outcome(messages=messages, records=1, rejected=len(messages), summary=summary)

    def _done(
        self,
        block: RowBlock,
        logits: Array,
        errors: Mapping[int, InputError],
        good: npt.NDArray[np.intp],
    ) -> RowsDone:
        """Return what becomes of the good rows of a block."""
        of_good: Any = slice(None) if len(good) == len(logits) else good
        objective = self._objective(block.targets[of_good], logits.shape[1])
        outcome = Outcome(
            messages=[
                f"{block.source}: row {block.start + row}: {error.reason}"
                for row, error in errors.items()
            ],
            records=len(logits),
            rejected=len(errors),
            size=block.logits.nbytes,
        )
        if self.required is None:
            results = self._computed(logits[of_good], objective)
            if errors:
                results = {
                    name: _among(result, good, len(logits)) for name, result in results.items()
                }
            of = block_dtype(block.logits, self.dtype)
            # A loss that is reduced is added up before it is rounded.
            kept = {LOSS} if self.is_reduced else set()
            return RowsDone(
                outcome,
                {
                    name: result if name in kept else encoded(result, of)
                    for name, result in results.items()
                },
            )
        verification = self._verified(logits[of_good], objective, block, of_good)
        summary = self._summary(verification, block, good, len(errors))
        worst = list(worst_rows(verification, block.start + good))
        return RowsDone(replace(outcome, summary=summary), {}, worst)

    def _objective(self, targets: Array, classes: int) -> Objective:
        objective = objective_of(targets, (len(targets), classes), **self.options)
        if self.divisor is not None:
            return replace(objective, divisor=np.full(len(targets), self.divisor))
        return objective

    def _computed(self, logits: Array, objective: Objective) -> dict[str, Array]:
        rows = given_rows(logits)
        if self.dtype is Dtype.BFLOAT16 or self.is_reduced:
            # To be rounded once, from here.
            rows = replace(rows, dtype=np.dtype(np.float64))
        result: SoftmaxCrossEntropy = compute_rows(rows, objective, self.fields, threads=1)
        return {name: getattr(result, name) for name in self.fields}

    def _verified(
        self, logits: Array, objective: Objective, block: RowBlock, good: Any
    ) -> "Verification":
        from softgrad_core.verification.verify import verify_rows

        assert self.required is not None  # noqa: S101 - else nothing is verified
        claims = {
            name: self._decoded(claim[good])
            .astype(np.float64)
            .reshape(len(logits), 1 if name == LOSS else logits.shape[1])
            for name, claim in block.claims.items()
        }
        return verify_rows(as_rows(logits).values, objective, claims, self.required)

    def _summary(
        self,
        verification: "Verification",
        block: RowBlock,
        good: npt.NDArray[np.intp],
        rejected: int,
    ) -> "Summary":
        from softgrad_core.verification.summary import Summary

        summary = Summary(verification.tolerance)
        summary.rejected = rejected
        rows = block.start + good
        summary.add(verification.quantities, lambda row: f"{block.source}: row {rows[row]}")
        return summary

    def _errors(self, logits: Array, targets: Array) -> Iterator[tuple[int, InputError]]:
        """Yield the rows that cannot be used, and what is wrong with each."""
        for row in range(len(logits)):
            if targets.ndim == 1 and _is_usable(logits[row], targets[row]):
                continue
            try:
                as_rows(logits[row])
                objective_of(targets[row], logits.shape[1:], **self.options)
            except InputError as error:
                yield row, error

    def _decoded(self, values: Array) -> Array:
        """Return numbers in a type of NumPy's, in native byte order."""
        if self.dtype is not Dtype.BFLOAT16 or not is_raw(values.dtype):
            return values
        bits = values.view(np.uint16) if values.dtype.kind == "V" else values
        return (bits.astype(np.uint32) << 16).view(np.float32)


def is_raw(dtype: np.dtype[Any]) -> bool:
    """Return whether numbers of a type may be the bits of bfloat16."""
    return dtype.itemsize == 2 and dtype.kind in "uV"


def encoded(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return results in the type of the logits; uint16 stands for bfloat16."""
    if dtype != np.uint16:
        with np.errstate(over="ignore", under="ignore"):
            return values.astype(dtype, copy=False)
    rounded = Dtype.BFLOAT16.round(values).astype(np.float32)
    return (rounded.view(np.uint32) >> 16).astype(np.uint16)


def _is_usable(logits: Array, target: Any) -> bool:
    """Return whether a row plainly has a softmax, and a label that is a class."""
    return bool(np.isfinite(logits.max())) and 0 <= int(target) < len(logits)


def _among(values: Array, good: npt.NDArray[np.intp], count: int) -> Array:
    """Return the values of the good rows among as many rows as there are; the others are NaN."""
    whole = np.full((count, *values.shape[1:]), np.nan, values.dtype)
    whole[good] = values
    return whole


def block_dtype(logits: Array, dtype: Dtype | None) -> np.dtype[Any]:
    """Return the type of results for logits of a type."""
    if dtype is Dtype.BFLOAT16 and is_raw(logits.dtype):
        return np.dtype(np.uint16)
    return given_rows(np.zeros((1, 2), logits.dtype)).dtype


def shapes_of(
    logits: Array, fields: Sequence[str], dtype: Dtype | None, *, reduced: bool
) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return shape and type of each result."""
    of = block_dtype(logits, dtype)
    of_loss: tuple[int, ...] = () if reduced else logits.shape[:1]
    return {name: (logits.shape if name in BLOCK_FIELDS else of_loss, of) for name in fields}
