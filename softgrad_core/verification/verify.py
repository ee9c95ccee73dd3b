"""Somebody's probabilities, losses or gradients -> right or wrong, and which mistake it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Unpack

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError
from softgrad_core.loss.logits import FloatArray, as_rows
from softgrad_core.loss.objective import Objective, objective_of, rows_of
from softgrad_core.loss.options import LossOptions
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verdicts import Verdict
from softgrad_core.verification.comparison import ClaimComparison, compare_claims
from softgrad_core.verification.diagnosis.case import Case
from softgrad_core.verification.diagnosis.recognition import Fit, recognise
from softgrad_core.verification.diagnosis.verdict import VerifiedQuantity, worst_ranks
from softgrad_core.verification.reference import QUANTITIES, WideArray, by_class, reference
from softgrad_core.verification.summary import Summary
from softgrad_core.verification.tolerances import Tolerance

CHUNK_ELEMENTS = 1 << 16
"""Numbers that are verified together, so that temporaries stay in the cache."""


class VerificationError(AssertionError):
    """Claims that are wrong, in the words of the summary."""


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """What became of the claims about N rows.

    Attributes
    ----------
    tolerance
        The inequality that they were held to.
    quantities
        Each quantity that was claimed, by its name.
    """

    tolerance: Tolerance
    quantities: Mapping[str, VerifiedQuantity]

    @property
    def ranks(self) -> npt.NDArray[np.uint8]:
        """The rank of the worst verdict on each row, of shape (N,)."""
        return worst_ranks(self.quantities)

    @property
    def failed(self) -> list[int]:
        """The rows of which a claim failed."""
        return self._rows_of(Verdict.FAIL)

    @property
    def undecided(self) -> list[int]:
        """The rows of which a claim could not be judged, and none failed."""
        return self._rows_of(Verdict.UNINFORMATIVE)

    def _rows_of(self, verdict: Verdict) -> list[int]:
        rows: list[int] = np.flatnonzero(self.ranks == verdict.rank).tolist()
        return rows

    def part(self, rows: Sequence[int]) -> "Verification":
        """Return what became of some of the rows, in this order."""
        return Verification(
            self.tolerance,
            {name: quantity.part(rows) for name, quantity in self.quantities.items()},
        )

    def summary(self) -> Summary:
        """Return the answer for all rows together."""
        summary = Summary(self.tolerance)
        summary.add(self.quantities, lambda row: f"row {row}")
        return summary

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and something of each quantity could be judged."""
        return self.summary().passed

    def __str__(self) -> str:
        return "\n".join(self.summary().lines())

    def raise_if_failed(self) -> None:
        """Raise VerificationError with what is wrong, and what probably happened, if any is.

        Raises
        ------
        VerificationError
            Where a claim failed, or where nothing of a quantity could be judged.
        """
        summary = self.summary()
        if not summary.passed:
            raise VerificationError("\n".join(summary.lines()))


def verify(  # noqa: PLR0913 - one parameter for each quantity
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    probs: npt.ArrayLike | None = None,
    log_probs: npt.ArrayLike | None = None,
    loss: npt.ArrayLike | None = None,
    grad_probs: npt.ArrayLike | None = None,
    grad_logits: npt.ArrayLike | None = None,
    dtype: object = None,
    rtol: float | None = None,
    atol: float | None = None,
    ulp: float | None = None,
    **options: Unpack[LossOptions],
) -> Verification:
    """Compare somebody's numbers with the exact ones, and name the mistake where they are wrong.

    Parameters
    ----------
    logits, targets
        As for `softmax_cross_entropy`: one row of C logits, or N rows; exactly those that the
        claims were computed from. Targets are labels or probabilities.
    probs, log_probs, grad_probs, grad_logits
        Claims of the shape of `logits`: the softmax f(x), its logarithm, dL/df(x) and dL/da.
    loss
        Claims of the loss of each row, of shape (N,), or of that of all rows, a number, where it
        is reduced.
    dtype
        The type they were computed in: float64, float32, bfloat16 or float16. By default that of
        the claims, where they are arrays of one floating type.
    rtol, atol, ulp
        The tolerance, see `Tolerance`. By default that of torch.testing.assert_close.
    **options
        The options of the loss, see `LossOptions`. With a reduction the rows are one batch, of
        which there is one verdict.

    Raises
    ------
    InputError
        As `softmax_cross_entropy` does.
    ValueError
        Where nothing is claimed, or a claim is not numbers or of another shape, or the tolerance
        cannot be.

    Examples
    --------
    >>> result = verify([2.0, 1.0, 0.1], 0, grad_logits=[-0.340999, 0.242433, 0.098566])
    >>> result.passed
    False
    >>> verify([2.0, 1.0, 0.1], 0, grad_logits=[-0.340999, 0.242433, 0.098566], rtol=1e-5).passed
    True
    """
    rows = as_rows(logits)
    shape = rows.values.shape[1:] if rows.single else rows.values.shape
    objective = objective_of(targets, shape, **options)
    if objective.batches is not None and not len(rows.values):
        raise InputError("logits-empty", "expected rows of logits for the reduction, got none")
    given = {
        "probs": probs,
        "log_probs": log_probs,
        "loss": loss,
        "grad_probs": grad_probs,
        "grad_logits": grad_logits,
    }
    arrays = {name: _as_array(name, claim) for name, claim in given.items() if claim is not None}
    if not arrays:
        raise ValueError(f"expected a claim to verify: {', '.join(QUANTITIES)}; got none")
    tolerance = Tolerance(_dtype_of(arrays) if dtype is None else dtype, rtol, atol, ulp)
    if tolerance.dtype is Dtype.BFLOAT16:
        _refuse_bits({"logits": np.asarray(logits), **arrays})
    of_loss = () if objective.batches is not None else shape[:-1]
    claims = {
        name: _as_claim(name, array, of_loss if name == "loss" else shape)
        for name, array in arrays.items()
    }
    if objective.batches is not None:
        claims = {name: claim.reshape(1, -1) for name, claim in claims.items()}
    return verify_rows(rows.values, objective, claims, tolerance)


def verify_rows(
    rows: FloatArray, objective: Objective, claims: Mapping[str, FloatArray], tolerance: Tolerance
) -> Verification:
    """Verify claims about checked rows of shape (N, C).

    Claims are of shape (M, N * C / M) for M records, which are rows or batches; a claimed loss is
    of shape (M, 1), or (M, N / M) where batches are not reduced.
    """
    size = objective.batches.size if objective.batches else 1
    count = len(rows) // size
    step = max(1, CHUNK_ELEMENTS // (size * rows.shape[1]))
    highest = float(rows.max(initial=-np.inf))
    # Overflow, underflow and NaN are what is looked for here, not accidents.
    with np.errstate(all="ignore"):
        parts = [
            _verify_chunk(
                rows[start * size : (start + step) * size],
                objective.of_batches(range(start, min(start + step, count))),
                {name: claim[start : start + step] for name, claim in claims.items()},
                tolerance,
                highest,
            )
            for start in range(0, max(1, count), step)
        ]
    if len(parts) == 1:
        return Verification(tolerance, parts[0])
    return Verification(
        tolerance, {name: _joined([part[name] for part in parts], step) for name in claims}
    )


def _verify_chunk(
    rows: FloatArray,
    objective: Objective,
    claims: Mapping[str, FloatArray],
    tolerance: Tolerance,
    highest: float,
) -> dict[str, VerifiedQuantity]:
    a = by_class(rows)
    exact = reference(a, objective, tolerance.dtype)
    verified = {}
    for name, claim in claims.items():
        # The components of each record, one after another: those of all its rows.
        size = exact[name].shape[1] // len(claim) if len(claim) else 1
        comparison = compare_claims(by_class(claim), _by_record(exact[name], size), tolerance)
        failed = np.flatnonzero(comparison.failed)
        fits: list[Fit] = []
        if len(failed):
            fits = recognise(
                _case(name, (claim, comparison), a, objective, exact, failed, tolerance, highest)
            )
            fits = [fit.renumbered(failed) for fit in fits]
        verified[name] = VerifiedQuantity(comparison, fits, size)
    return verified


def _by_record(values: WideArray, size: int) -> WideArray:
    """Return rows as columns of all that a record of `size` rows has."""
    return values if size == 1 else values.T.reshape(values.shape[1] // size, -1).T


def _case(  # noqa: PLR0913, PLR0917 - the facts of the case
    name: str,
    claimed: tuple[FloatArray, ClaimComparison],
    a: FloatArray,
    objective: Objective,
    exact: Mapping[str, WideArray],
    failed: IndexArray,
    tolerance: Tolerance,
    highest: float,
) -> Case:
    """Return the case of the records that failed."""
    claim, comparison = claimed
    size = objective.batches.size if objective.batches else 1
    rows = rows_of(failed, size)
    width = len(exact[name])
    columns = failed if exact[name].shape[1] == len(claim) else rows
    wrong = comparison.component_ranks[failed] == Verdict.FAIL.rank
    return Case(
        name,
        tolerance,
        by_class(claim[failed].reshape(-1, width)),
        wrong.reshape(-1, width).T,
        a[:, rows],
        objective.of_batches(failed),
        np.asarray(exact["probs"][:, rows], dtype=np.float64),
        _beside(exact[name], columns),
        highest,
    )


def _beside(exact: WideArray, rows: IndexArray) -> tuple[FloatArray, FloatArray]:
    """Return the values of the row before each, and of the one after; the ends meet."""
    before, after = (
        np.asarray(exact[:, (rows + step) % exact.shape[1]], dtype=np.float64) for step in (-1, 1)
    )
    return before, after


def _joined(parts: Sequence[VerifiedQuantity], step: int) -> VerifiedQuantity:
    """Return the parts, of `step` rows each, as one."""
    columns = {
        field.name: np.concatenate([getattr(part.comparison, field.name) for part in parts])
        for field in fields(ClaimComparison)
    }
    fits = [
        fit.renumbered(place * step + np.arange(step))
        for place, part in enumerate(parts)
        for fit in part.fits
    ]
    return VerifiedQuantity(ClaimComparison(**columns), fits, parts[0].size)


def _dtype_of(arrays: Mapping[str, npt.NDArray[np.generic]]) -> Dtype:
    """Return the type of the claims, float64 for numbers of Python."""
    types = sorted({array.dtype.name for array in arrays.values()} & {*Dtype})
    if len(types) > 1:
        raise ValueError(f"expected claims of one dtype, or dtype=, got {', '.join(types)}")
    return Dtype(types[0]) if types else Dtype.FLOAT64


def _refuse_bits(arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Raise ValueError where numbers of bfloat16 may have come as their bits."""
    for name, array in arrays.items():
        if array.dtype == np.uint16:
            raise ValueError(
                f"expected {name} as numbers, got uint16, which may be the bits of bfloat16: these "
                f"are ({name}.astype(numpy.uint32) << 16).view(numpy.float32) as numbers"
            )


def _as_array(name: str, claim: npt.ArrayLike) -> npt.NDArray[np.generic]:
    try:
        return np.asarray(claim)
    except (TypeError, ValueError, RuntimeError) as error:
        # Tensors that NumPy cannot read, such as bfloat16, or that need their gradient.
        hint = f'; give {name}.float() and dtype="bfloat16"' if "BFloat16" in str(error) else ""
        raise ValueError(f"expected {name} as an array of numbers: {error}{hint}") from None


def _as_claim(name: str, array: npt.NDArray[np.generic], shape: tuple[int, ...]) -> FloatArray:
    """Return a claim as rows of float64."""
    # bfloat16 is no type of NumPy's own: what adds it there says "V", and converts.
    if array.dtype.kind not in "iu" and array.dtype.name not in list(Dtype):
        raise ValueError(f"expected {name} as an array of numbers, got {array.dtype}")
    if array.shape != shape:
        hint = '; have the loss of each row, reduction="none"' if shape and not array.ndim else ""
        raise ValueError(f"expected {name} of shape {shape}, got {array.shape}{hint}")
    columns = shape[-1] if name != "loss" else 1
    return array.astype(np.float64).reshape(-1, columns)
