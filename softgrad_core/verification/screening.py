"""Rows whose claims are plainly right or plainly wrong, by the values of the compiled kernel.

What rounding may explain (`rounding.py`) lies between two multiples of the exact value that are
the same for all numbers of a row but the target's. A number that is off by less than the lower one
passes, and one that is off by more than the upper one fails. Rows with a number between the two,
or with one that needs more care (0, infinity, NaN, subnormal numbers), are left to `comparison.py`.

Notation as in `rounding.py`. The kernel's values are good to 4 ulp of float64, which is nothing to
a narrower type. For claims in float64 the bounds are moved apart by as much.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.cross_entropy import compute_rows
from softgrad_core.loss.logits import FloatArray, Rows
from softgrad_core.loss.objective import BoolArray, Objective
from softgrad_core.loss.results import BLOCK_FIELDS, SoftmaxCrossEntropy
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.comparison import (
    CERTAIN_ULP,
    FAIL,
    PASS,
    ClaimComparison,
    are_close,
)
from softgrad_core.verification.log_sums import largest_error, may_be_rounded, nearest_error
from softgrad_core.verification.rounding import ROUNDINGS, error_of_log_p, error_of_sum
from softgrad_core.verification.tolerances import Tolerance

SCREENED = ("probs", "loss", "grad_logits")
"""The quantities that rows can be screened for."""

NARROW = 32
"""Up to this many classes, the largest number of each row is found class by class."""

KERNEL_ERROR = 4.0 * Dtype.FLOAT64.epsilon
"""How far the kernel's values may be off, relative to the power of two below them."""

EXPONENT, OF_INVERSE = np.int64(0x7FF0 << 48), np.int64(0x7FE0 << 48)
"""The bits of a float64 that give the power of two below it. Taken from the second number, they
give the inverse of this power."""


class _Bounds(NamedTuple):
    """Bounds of the errors of each row, relative to the power of two below the exact value."""

    lower: FloatArray
    """Numbers that are off by this much, or less, pass."""
    upper: FloatArray
    """Numbers that are off by more than this fail."""

    @classmethod
    def of_normal(
        cls, lower: FloatArray, upper: FloatArray, unit: FloatArray, dtype: Dtype
    ) -> "_Bounds":
        """Return bounds that decide nothing where a number is not a normal one of the type."""
        margin = KERNEL_ERROR if dtype is Dtype.FLOAT64 else dtype.epsilon * 2.0**-20
        is_normal = (unit >= dtype.smallest_normal) & (unit <= dtype.largest / 2.0)
        # What passes here is to pass torch.testing.assert_close as well.
        lower = np.minimum(lower, dtype.rtol) - margin
        return cls(np.where(is_normal, lower, -1.0), np.where(is_normal, upper + margin, np.inf))


def kernel_values(given: npt.NDArray[Any], objective: Objective, name: str) -> FloatArray:
    """Return a quantity of rows as the kernel computes it, of shape (n, C)."""
    a = np.ascontiguousarray(given, dtype=np.float64)
    values = compute_rows(Rows(a, a.dtype, a.shape), objective, [name], threads=1)
    return np.asarray(getattr(values, name), dtype=np.float64).reshape(len(a), -1)


class Workspace:
    """Memory for blocks of rows, one after another: new memory would cost more than the work."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, type], npt.NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], number: type) -> npt.NDArray[Any]:
        """Return the array of this name; what was in it is lost."""
        size = math.prod(shape)
        array = self._arrays.get((name, number))
        if array is None or array.size < size:
            array = self._arrays[name, number] = np.empty(size, number)
        return array[:size].reshape(shape)


class Screen:
    """The kernel's values for a block of rows, which claims are compared with.

    Parameters
    ----------
    space
        The memory for it. It must not be used for another block before this one is done.
    given
        The logits, of shape (n, C), in any floating type.
    objective
        The loss of each row, without batches.
    names
        The quantities that are claimed, out of `SCREENED`.
    """

    def __init__(
        self,
        space: Workspace,
        given: npt.NDArray[Any],
        objective: Objective,
        names: Sequence[str],
    ) -> None:
        a = space.array("logits", given.shape, np.float64)
        np.copyto(a, given)
        fields, self._space = [*names, "loss"], space
        blocks = {
            name: space.array(name, a.shape, np.float64) if name in fields else None
            for name in BLOCK_FIELDS
        }
        out = SoftmaxCrossEntropy(loss=np.empty(0), **blocks)  # type: ignore[arg-type]
        rows = Rows(a, a.dtype, a.shape)
        self._exact = compute_rows(rows, objective, fields, out, threads=1)
        self._rows, self._labels = np.arange(len(a)), objective.labels
        self._classes, self._is_of_labels = a.shape[1], objective.is_of_labels
        self._objective = objective
        if self._is_of_labels:
            top, bottom = (_largest(given, larger) for larger in (np.maximum, np.minimum))
            self._highest = np.maximum(np.abs(top), np.abs(bottom)).astype(np.float64)
            self._q = objective.label_weights()
            self._size_y = self._exact.loss / self._q  # |log f(x)_y|
            self._a_y = a[self._rows, self._labels]
            self._offsets_y = np.abs(self._a_y) + np.abs(top)

    def compared(
        self, name: str, claim: npt.NDArray[Any], tolerance: Tolerance
    ) -> tuple[ClaimComparison, BoolArray, BoolArray]:
        """Compare claims of shape (n, C) or (n, 1).

        Return what became of each row, which rows are decided, and in which columns claims of
        these failed.
        """
        exact = getattr(self._exact, name).reshape(claim.shape)
        inverse_unit = self._inverse_units(exact)
        error = self._space.array("error", claim.shape, np.float64)
        np.subtract(exact, claim, out=error)
        np.abs(error, out=error)
        error *= inverse_unit
        numbers = _Numbers(exact, claim, error, tolerance.dtype)
        target = self._labels if name == "grad_logits" else np.zeros_like(self._labels)
        at = self._rows, target
        of_others = self._bounds(name, 1.0 / _largest(inverse_unit), tolerance)
        of_target = self._bounds_of_target(name, 1.0 / inverse_unit[at], tolerance) or of_others
        own = error[at]
        error[at] = 0.0
        worst = error.argmax(axis=1)
        largest = error[self._rows, worst]
        error[at] = own
        passed = (largest <= of_others.lower) & (own <= of_target.lower)
        result = numbers.summed_up(np.where(own > largest, target, worst))
        decided = passed | self._are_nothing(name, claim, result)
        columns = np.zeros(claim.shape[1], dtype=bool)
        left = np.flatnonzero(~decided)
        if len(left) and self._is_of_labels:
            # If these are all rows, they are not copied.
            some = error if len(left) == len(error) else error[left]
            chosen = np.arange(len(left)), target[left]
            wrong = some > of_others.upper[left, np.newaxis]
            right = some <= of_others.lower[left, np.newaxis]
            wrong[chosen] = own[left] > of_target.upper[left]
            right[chosen] = own[left] <= of_target.lower[left]
            is_failed = wrong.any(axis=1) & (wrong | right).all(axis=1)
            failed, wrong = left[is_failed], wrong[is_failed]
            result.put(failed, numbers.part(failed).failed(wrong))
            decided[failed] = True
            columns |= wrong.any(axis=0)
        return result, decided, columns

    def _inverse_units(self, exact: FloatArray) -> FloatArray:
        """Return the inverse of the power of two below each value; a huge one for 0."""
        bits = self._space.array("bits", exact.shape, np.int64)
        np.bitwise_and(exact.view(np.int64), EXPONENT, out=bits)
        np.subtract(OF_INVERSE, bits, out=bits)
        return bits.view(np.float64)

    def losses(self, arithmetic: Dtype) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the losses, of shape (n,), and how large their rounding errors are.

        The last is their error where the log-sum-exp is rounded.
        """
        of_size = arithmetic.epsilon / 2.0 + error_of_sum(self._classes, arithmetic)
        rounding = self._error_of_log_p(arithmetic) + of_size * self._size_y
        rounding = np.where(self._q == 0.0, 0.0, self._q * rounding)
        of_log_sums = np.zeros_like(rounding)
        if may_be_rounded(self._objective, arithmetic):
            of_log_sums = self._q * nearest_error(self._size_y + self._a_y, arithmetic)
        return np.asarray(self._exact.loss, dtype=np.float64), rounding, of_log_sums

    def _error_of_log_p(self, arithmetic: Dtype) -> FloatArray:
        """Return the error of log f(x)_y, of shape (n,)."""
        return error_of_log_p(self._size_y, self._offsets_y, self._classes, arithmetic)

    def _of_log_sum(self, arithmetic: Dtype) -> FloatArray:
        """Return how far the log-sum-exp of each row may be off where it is rounded."""
        if not may_be_rounded(self._objective, arithmetic):
            return np.zeros(len(self._rows))
        return largest_error(self._highest, self._classes, arithmetic)

    def _are_nothing(self, name: str, got: npt.NDArray[Any], result: ClaimComparison) -> BoolArray:
        """Return the rows that do not count, and whose claims are 0, as they must be."""
        nothing = np.zeros(len(got), dtype=bool)
        if self._is_of_labels and name != "probs":
            ignored = np.flatnonzero(self._q == 0.0)
            nothing[ignored] = ~got[ignored].any(axis=1)
            for values in (result.max_error_ulp, result.relative_error, result.worst, result.shown):
                values[nothing] = 0
        return nothing

    def _bounds(self, name: str, least: FloatArray, tolerance: Tolerance) -> _Bounds:
        """Return the bounds for all numbers of a row; `least` is the least power of two of each."""
        arithmetic, dtype = tolerance.arithmetic, tolerance.dtype
        u = arithmetic.epsilon / 2.0
        certain = CERTAIN_ULP * dtype.epsilon
        if not self._is_of_labels:
            # p and q may cancel. What is allowed is at least this multiple of their difference.
            lower = np.full(len(least), min(certain, ROUNDINGS * 2.0 * u + dtype.epsilon / 2.0))
            upper = np.full(len(least), np.inf)
        else:
            q = self._q if name == "grad_logits" else np.ones(len(least))
            few = ROUNDINGS * (u + error_of_sum(self._classes, arithmetic)) + dtype.epsilon / 2.0
            most = u + error_of_log_p(
                -np.log(least / q), 2.0 * self._highest, self._classes, arithmetic
            )
            lost = (ROUNDINGS * (q + 1.0) + 1.0) * dtype.smallest / least
            of_log_sum = self._of_log_sum(arithmetic)
            upper = (2.0 * ROUNDINGS * most + dtype.epsilon + lost) * np.exp(of_log_sum)
            upper += 2.0 * np.expm1(of_log_sum)  # The power of two below may be half the value.
            # Where 0 would pass as well, only a number that shows its digits does.
            lower = np.where(upper < 1.0, few, min(few, certain))
        return _Bounds.of_normal(lower, upper, least, dtype)

    def _bounds_of_target(
        self, name: str, unit: FloatArray, tolerance: Tolerance
    ) -> _Bounds | None:
        """Return the bounds for the target's number, or the loss, where they are others."""
        if name == "probs" or not self._is_of_labels:
            return None
        arithmetic, dtype = tolerance.arithmetic, tolerance.dtype
        of_log_sum = self._of_log_sum(arithmetic)
        if name == "loss":
            _, rounding, _ = self.losses(arithmetic)
            moved = self._q * of_log_sum
        else:
            of_p_y = self._error_of_log_p(arithmetic) * np.exp(-self._size_y)
            rounding = self._q * (of_p_y + arithmetic.epsilon)
            moved = self._q * np.exp(-self._size_y) * np.expm1(of_log_sum)
        bound = ROUNDINGS * rounding / unit + dtype.epsilon / 2.0
        lost = (ROUNDINGS * (self._q + 1.0) + 1.0) * dtype.smallest / unit
        upper = (bound + dtype.epsilon + lost) * np.exp(of_log_sum) + moved / unit
        lower = np.where(upper < 1.0, bound, np.minimum(bound, CERTAIN_ULP * dtype.epsilon))
        return _Bounds.of_normal(lower, upper, unit, dtype)


class _Numbers(NamedTuple):
    """The exact values of rows, the claims, and the errors relative to the powers of two below."""

    exact: FloatArray
    got: npt.NDArray[Any]
    error: FloatArray
    dtype: Dtype

    def part(self, rows: IndexArray) -> "_Numbers":
        """Return the numbers of some rows."""
        if len(rows) == len(self.exact):
            return self
        return _Numbers(self.exact[rows], self.got[rows], self.error[rows], self.dtype)

    def summed_up(self, worst: IndexArray) -> ClaimComparison:
        """Return what becomes of rows that pass, whose worst numbers these are."""
        rows = np.arange(len(worst))
        exact, got = self.exact[rows, worst], self.got[rows, worst].astype(np.float64)
        return ClaimComparison(
            ranks=np.full(len(rows), PASS, dtype=np.uint8),
            max_error_ulp=self.error[rows, worst] / self.dtype.epsilon,
            relative_error=np.abs(got - exact) / np.abs(exact),
            worst=worst,
            expected=exact,
            got=got,
            uninformative=np.zeros(len(rows), dtype=np.intp),
            shown=np.ones(len(rows), dtype=bool),
            assert_close=np.ones(len(rows), dtype=bool),
        )

    def failed(self, wrong: BoolArray) -> ClaimComparison:
        """Return what becomes of rows of which these numbers are wrong, and the others right."""
        return replace(
            self.summed_up(np.where(wrong, self.error, -1.0).argmax(axis=1)),
            ranks=np.full(len(wrong), FAIL, dtype=np.uint8),
            shown=np.asarray(~wrong.all(axis=1)),
            assert_close=np.asarray(are_close(self.got, self.exact, self.dtype).all(axis=1)),
        )


def _largest(values: npt.NDArray[Any], larger: np.ufunc = np.maximum) -> npt.NDArray[Any]:
    """Return the largest number of each row, or the smallest."""
    if values.shape[1] > NARROW:
        return np.asarray(larger.reduce(values, axis=1))
    return np.asarray(reduce(larger, values.T))
