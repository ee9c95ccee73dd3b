"""Somebody's probabilities, losses or gradients -> right or wrong, and which mistake it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from softgrad_core.cores import cores
from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError
from softgrad_core.loss.from_options import objective_of
from softgrad_core.loss.logits import FloatArray, Rows, given_rows
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.options import LossOptions
from softgrad_core.loss.results import LOSSES
from softgrad_core.loss.targets import targets_by_rows
from softgrad_core.verdicts import Verdict
from softgrad_core.verification.claims import (
    as_claim,
    as_rows_of,
    dtypes_of,
    moved_claim,
    refuse_bits,
)
from softgrad_core.verification.diagnosing import diagnose
from softgrad_core.verification.judging import Claims, Judged
from softgrad_core.verification.quantity import VerifiedQuantity, worst_ranks
from softgrad_core.verification.reference import QUANTITIES
from softgrad_core.verification.summary import Summary
from softgrad_core.verification.tolerances import Tolerance


class _NotClaimed:
    """Stands for a claim that is not given; None may be one that was lost."""

    def __repr__(self) -> str:
        return "not claimed"


NOT_CLAIMED: Any = _NotClaimed()


class VerificationError(AssertionError):
    """Claims are wrong; the message is the summary."""

    __module__ = "softgrad_core"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Verification:
    """The verdicts on the claims of N records, which are rows or batches.

    Attributes
    ----------
    tolerance
        What the claims were held to.
    quantities
        Each claimed quantity, by its name.
    """

    tolerance: Tolerance
    quantities: Mapping[str, VerifiedQuantity]

    @property
    def ranks(self) -> npt.NDArray[np.uint8]:
        """The rank of the worst verdict on each record, of shape (N,)."""
        return worst_ranks(self.quantities)

    @property
    def failed(self) -> list[int]:
        """The records of which a claim failed."""
        return self._records_with(Verdict.FAIL)

    @property
    def undecided(self) -> list[int]:
        """The records of which no claim failed, and one could not be judged."""
        return self._records_with(Verdict.UNINFORMATIVE)

    def _records_with(self, verdict: Verdict) -> list[int]:
        records: list[int] = np.flatnonzero(self.ranks == verdict.rank).tolist()
        return records

    def part(self, records: Sequence[int]) -> "Verification":
        """Return the verdicts on some of the records, in this order."""
        parts = {name: quantity.part(records) for name, quantity in self.quantities.items()}
        return Verification(self.tolerance, parts)

    def summary(self) -> Summary:
        """Return the answer for all records together."""
        return self._summed_up(explained=True)

    def _summed_up(self, *, explained: bool) -> Summary:
        summary = Summary(self.tolerance)
        summary.add(self.quantities, self._place, explained=explained, remarked=explained)
        return summary

    def _place(self, record: int) -> str:
        """Return where a record is; of a batch alone only the row is told."""
        *_, quantity = self.quantities.values()
        if not quantity.claims.objective.batches:
            return f"row {record}"
        return "" if len(self.ranks) == 1 else f"batch {record}"

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and most numbers of each quantity could be judged."""
        return self._summed_up(explained=False).passed

    def __bool__(self) -> bool:
        return self.passed

    @property
    def standard(self) -> str:
        """What claims are held to, in words."""
        if any(quantity.is_typed for quantity in self.quantities.values()):
            return "a claim passes to within half a unit of the last digit that was given"
        return f"a claim passes where {self.tolerance}"

    def __str__(self) -> str:
        return "\n".join(self.summary().lines())

    def __repr__(self) -> str:
        return f"<Verification: {self._summed_up(explained=False).total()}>"

    def raise_if_failed(self) -> None:
        """Raise an error that says what is wrong, and what probably happened.

        Raises
        ------
        VerificationError
            If a claim failed, or if less than half of a quantity could be judged.
        """
        # pytest shows the line of the test, not this one.
        __tracebackhide__ = True
        summary = self.summary()
        if not summary.passed:
            raise VerificationError("\n".join(summary.lines()))


def verify(  # noqa: PLR0913 - one parameter for each quantity
    logits: "npt.ArrayLike",
    targets: "npt.ArrayLike",
    *,
    probs: "npt.ArrayLike" = NOT_CLAIMED,
    log_probs: "npt.ArrayLike" = NOT_CLAIMED,
    loss: "npt.ArrayLike" = NOT_CLAIMED,
    z_loss: "npt.ArrayLike" = NOT_CLAIMED,
    grad_probs: "npt.ArrayLike" = NOT_CLAIMED,
    grad_logits: "npt.ArrayLike" = NOT_CLAIMED,
    axis: int = -1,
    dtype: object = None,
    rtol: float | None = None,
    atol: float | None = None,
    ulp: float | None = None,
    arithmetic: object = None,
    like: object = None,
    **options: Unpack[LossOptions],
) -> Verification:
    """Compare somebody's numbers with the exact ones, and name the mistake if they are wrong.

    Parameters
    ----------
    logits, targets
        As for `softmax_cross_entropy`: logits of shape (C,) or (..., C), exactly as the claims were
        computed from them. Targets are labels or probabilities. Arrays of PyTorch, JAX and other
        libraries are taken as they are, in any floating type.
    probs, log_probs, grad_probs, grad_logits
        Claims of the shape of `logits`: the softmax f(x), its logarithm, dL/df(x) and dL/da.
    loss
        Claims of the loss of each row, of shape (...), or of the one loss of all rows, a number, if
        it is reduced.
    z_loss
        Claims of the z-loss, of the shape of those of the loss.
    axis
        The axis that the classes are on, of logits and claims, if it is not the last.
    dtype
        The type of the claims: float64, float32, bfloat16, float16, float8_e4m3fn or float8_e5m2.
        By default each array is held to its own type. Python's numbers are held to the type of the
        arrays beside them, or to float32 if they are no numbers of a narrower one; without such
        arrays to that of the logits if they are numbers of it, as those of item() are, or to
        float64.
    rtol, atol, ulp
        A tolerance in place of what rounding explains, see `Tolerance`.
    arithmetic
        The type that the claims were computed in before they were rounded to `dtype`, if it is
        wider.
    like
        "assert_close" for the tolerances of torch.testing.assert_close.
    **options
        The options of the loss, see `LossOptions`. With a reduction the rows are one batch, which
        gets one verdict.

    Returns
    -------
    Verification
        The verdicts, and the mistakes that explain what failed.

    Raises
    ------
    InputError
        As `softmax_cross_entropy` does.
    ValueError
        If nothing is claimed, if a claim is not an array of numbers of the right shape, or if the
        tolerance is invalid.

    Examples
    --------
    >>> result = verify([2.0, 1.0, 0.1], 0, grad_logits=[-0.340999, 0.242433, 0.098566])
    >>> result.passed
    False
    >>> verify([2.0, 1.0, 0.1], 0, grad_logits=[-0.340999, 0.242433, 0.098566], rtol=1e-5).passed
    True
    """
    rows = given_rows(logits, axis=axis, packed=True)
    shape = rows.shape
    objective = objective_of(targets_by_rows(targets, shape, axis), shape, **options)
    is_batch = objective.batches is not None
    if is_batch and not len(rows.values):
        raise InputError("logits-empty", "expected rows of logits for the reduction, got none")
    quantities = (probs, log_probs, loss, z_loss, grad_probs, grad_logits)
    given = {
        name: claim
        for name, claim in zip(QUANTITIES, quantities, strict=True)
        if claim is not NOT_CLAIMED
    }
    for name, claim in given.items():
        if claim is None:
            hint = "; a tensor that is no leaf has a grad only after retain_grad()"
            raise ValueError(f"expected {name} as an array of numbers, got None{hint}")
    arrays = {name: as_claim(name, claim) for name, claim in given.items()}
    if z_loss is not NOT_CLAIMED and objective.z_scale is None:
        raise ValueError("expected a z_loss_scale above 0 beside a claim of z_loss, got none")
    if not arrays:
        raise ValueError(f"expected a claim to verify: {', '.join(QUANTITIES)}; got none")
    own, others = (dtype, {}) if dtype is not None else dtypes_of(given, arrays, _dtype_of(rows))
    tolerance = Tolerance(own, rtol, atol, ulp, arithmetic=arithmetic, like=like, dtypes=others)
    if tolerance.dtype is Dtype.BFLOAT16:
        given_logits = {"logits": logits} if isinstance(logits, np.ndarray) else {}
        refuse_bits({**given_logits, **arrays})
    shapes = dict.fromkeys(QUANTITIES, shape)
    shapes |= dict.fromkeys(LOSSES, () if is_batch else shape[:-1])
    if axis not in (-1, len(shape) - 1):
        moved = {name: array for name, array in arrays.items() if name not in LOSSES}
        arrays |= {name: moved_claim(name, array, shape, axis) for name, array in moved.items()}
    claims = {name: as_rows_of(name, array, shapes[name]) for name, array in arrays.items()}
    try:
        return verify_rows(rows.values, objective, claims, tolerance, threads=cores())
    except InputError as error:
        if rows.single:
            raise InputError(error.code, error.reason) from None
        raise


def _dtype_of(rows: Rows) -> Dtype:
    """Return the type of the logits; float64 if it is none that claims have."""
    name = rows.values.dtype.name
    return Dtype(name) if name in list(Dtype) else Dtype.FLOAT64


def verify_rows(  # noqa: PLR0913 - what is claimed of what, and the standards
    rows: npt.NDArray[Any],
    objective: Objective,
    claims: Mapping[str, npt.NDArray[Any]],
    tolerance: Tolerance,
    *,
    threads: int = 1,
    half_units: Mapping[str, FloatArray] | None = None,
) -> Verification:
    """Verify claims about rows of logits, of shape (N, C), in any floating type.

    There are M records, which are rows or batches, with claims of N * C numbers in all, in the
    order of the rows; those of losses are N numbers, or M if batches are reduced. `half_units` of
    the last digits of claims, of the same shapes, are the standard in place of the tolerance.

    Raises InputError for the first row that has no softmax.
    """
    batches, (count, classes) = objective.batches, rows.shape
    records = len(batches.denominators) if batches is not None and batches.reduced else count
    shapes = dict.fromkeys(QUANTITIES, (count, classes)) | dict.fromkeys(LOSSES, (records, 1))
    given = {name: claim.reshape(shapes[name]) for name, claim in claims.items()}
    units = {name: unit.reshape(shapes[name]) for name, unit in (half_units or {}).items()}
    judge = Claims(rows, objective, given, tolerance, units)
    quantities = {
        name: _verified(judge, name, judged, threads)
        for name, judged in judge.judged(threads).items()
    }
    return Verification(tolerance, quantities)


def _verified(claims: Claims, name: str, judged: Judged, threads: int) -> VerifiedQuantity:
    """Return the verdicts on a quantity, with the mistakes that explain what failed."""
    comparison = judged.comparison
    records = np.arange(len(comparison.ranks))
    fits = diagnose(claims, name, judged, threads)
    return VerifiedQuantity(name, comparison, fits, claims, records, judged)
