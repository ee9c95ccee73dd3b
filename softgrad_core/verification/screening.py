"""Rows whose claims are plainly right or plainly wrong, by the values of the compiled kernel.

What rounding may explain (`rounding.py`) lies between two multiples of the exact value that are
the same for all numbers of a row but the target's. A number that is off by less than the lower one
passes, and one that is off by more than the upper one fails. The few numbers between the two are
judged one by one. Rows with a number that needs more care (0, infinity, NaN, subnormal numbers)
are left to `comparison.py`.

Notation as in `rounding.py`. The kernel's values are good to 4 ulp of float64, which is nothing to
a narrower type. For claims in float64 the bounds are moved apart by as much.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype, WideArray
from softgrad_core.loss.cross_entropy import compute_rows
from softgrad_core.loss.kernels.direct import compute_direct
from softgrad_core.loss.logits import FloatArray, Rows, check_rows
from softgrad_core.loss.objective import BoolArray, Objective
from softgrad_core.loss.results import BLOCK_FIELDS, SoftmaxCrossEntropy
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.comparison import (
    CERTAIN_ULP,
    FAIL,
    LEANING_NUMBERS,
    LEANING_ROUNDINGS,
    PASS,
    UNINFORMATIVE,
    ClaimComparison,
    Ranks,
    compare_claims,
    without_nan,
)
from softgrad_core.verification.log_sums import largest_error, may_be_rounded, nearest_error
from softgrad_core.verification.passes import (
    Bounds,
    Sorted,
    TwoBounds,
    Values,
    Workspace,
    measure,
    power_of_two,
    read_logits,
    sort,
    values_of,
    without_small,
)
from softgrad_core.verification.rounding import (
    ROUNDINGS,
    error_of_log_p,
    error_of_sum,
    rounding_beside_targets,
)
from softgrad_core.verification.tolerances import Tolerance

SCREENED = ("probs", "loss", "grad_logits")
"""The quantities that rows can be screened for."""

KERNEL_ERROR = 4.0 * Dtype.FLOAT64.epsilon
"""How far the kernel's values may be off, relative to the power of two below them."""

SURE = 0.99
"""The part of a bound up to which a number is surely right, by values that are nearly exact."""


def kernel_values(given: npt.NDArray[Any], objective: Objective, name: str) -> FloatArray:
    """Return a quantity of rows as the kernel computes it, of shape (n, C)."""
    a = np.ascontiguousarray(given, dtype=np.float64)
    values = compute_rows(Rows(a, a.dtype, a.shape), objective, [name], threads=1)
    return np.asarray(getattr(values, name), dtype=np.float64).reshape(len(a), -1)


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
    exact
        Gives the exact values of some rows, for those that the compiled kernel leaves; without it,
        slower kernels compute them.

    Raises
    ------
    InputError
        For the first row that has no softmax.
    """

    def __init__(
        self,
        space: Workspace,
        given: npt.NDArray[Any],
        objective: Objective,
        names: Sequence[str],
        exact: Callable[[IndexArray], Mapping[str, WideArray]] | None = None,
    ) -> None:
        a, top, bottom = read_logits(space, given)
        if not (np.isfinite(top).all() and not np.isnan(bottom).any()):
            check_rows(a)
        fields, self._space = [*names, "loss"], space
        blocks = {
            name: space.array(name, a.shape, np.float64) if name in fields else None
            for name in BLOCK_FIELDS
        }
        out = SoftmaxCrossEntropy(loss=np.empty(len(a)), **blocks)  # type: ignore[arg-type]
        if exact is None:
            out = compute_rows(Rows(a, a.dtype, a.shape), objective, fields, out, threads=1)
        elif len(left := compute_direct(a, objective, out)):
            values = exact(left)
            for name in fields:
                of_rows = getattr(out, name)
                of_rows[left] = values[name].T.reshape(-1, *of_rows.shape[1:])
        self._exact = out
        self._rows, self._labels, self._a = np.arange(len(a)), objective.labels, a
        self._classes, self._is_of_labels = a.shape[1], objective.is_of_labels
        self._objective = objective
        if self._is_of_labels:
            self._largest, self._highest = np.abs(top), np.maximum(np.abs(top), np.abs(bottom))
            self._q = objective.label_weights()
            self._size_y = self._exact.loss / self._q  # |log f(x)_y|
            self._a_y = a[self._rows, self._labels]

    def compared(
        self, name: str, claim: npt.NDArray[Any], tolerance: Tolerance
    ) -> tuple[ClaimComparison, BoolArray, BoolArray]:
        """Compare claims of shape (n, C) or (n, 1).

        Return what became of each row, which rows are decided, and in which columns claims of
        these failed.
        """
        values = self._values(name, claim)
        result, decided, bounds = self._plainly_right(name, values, tolerance)
        columns = np.zeros(claim.shape[1], dtype=bool)
        # Without bounds for the numbers, nothing can be said of them.
        left = np.flatnonzero(~decided & (bounds.of_others.lower >= 0.0))
        if len(left) and self._is_of_labels:
            found = sort(self._space, values, left, bounds.part(left), tolerance.dtype)
            found = found._replace(worst=np.where(found.wrong > 0, found.worst, result.worst[left]))
            some, of_some, columns = self._decided(name, values, left, found, tolerance)
            result.put(some, of_some)
            decided[some] = True
        return result, decided, columns

    def passing(
        self, name: str, claim: npt.NDArray[Any], tolerance: Tolerance
    ) -> tuple[ClaimComparison, BoolArray, BoolArray]:
        """Find rows of which no number fails, whatever it shows; arguments as of `compared`."""
        values = without_small(self._values(name, claim), tolerance.dtype)
        result, passed, _ = self._plainly_right(name, values, tolerance)
        left = np.flatnonzero(~passed)
        if len(left) and self._is_of_labels:
            passed[left] = self._are_explained(name, values, left, tolerance)
        return result, passed, np.zeros(claim.shape[1], dtype=bool)

    def _values(self, name: str, claim: npt.NDArray[Any]) -> Values:
        exact = getattr(self._exact, name).reshape(claim.shape)
        target = self._labels if name == "grad_logits" else np.zeros_like(self._labels)
        return values_of(exact, claim, target)

    def _plainly_right(
        self, name: str, values: Values, tolerance: Tolerance
    ) -> tuple[ClaimComparison, BoolArray, TwoBounds]:
        """Return what became of rows if they pass, which of them do, and the bounds of each."""
        target = values.targets
        errors = measure(self._space, values)
        of_others = self._bounds(name, errors.least, tolerance)
        unit = power_of_two(values.exact[self._rows, target])
        of_target = self._bounds_of_target(name, unit, tolerance) or of_others
        passed = (errors.largest <= of_others.lower) & (errors.own <= of_target.lower)
        worst = np.where(errors.own > errors.largest, target, errors.worst)
        result = _summed_up(values, self._rows, worst, tolerance.dtype)
        passed |= self._are_nothing(name, values.claims, result)
        return result, passed, TwoBounds(of_others, of_target)

    def _are_explained(
        self, name: str, values: Values, rows: IndexArray, tolerance: Tolerance
    ) -> BoolArray:
        """Return the rows of which rounding surely explains each number, and all of them together.

        The bounds are those of `rounding.py`, a little smaller since the kernel's values are not
        exact.
        """
        dtype, arithmetic, targets = tolerance.dtype, tolerance.arithmetic, values.targets[rows]
        exact, at = values.exact[rows], (np.arange(len(rows)), targets)
        size = np.abs(exact)
        if name == "loss":
            rounding = np.empty_like(size)
        else:
            a, largest = self._a[rows], self._largest[rows, np.newaxis]
            log_p = (self._size_y + self._a_y)[rows, np.newaxis] - a
            q = self._q[rows, np.newaxis] if name == "grad_logits" else 1.0
            rounding = rounding_beside_targets(
                name, exact, log_p, np.abs(a) + largest, q, self._classes, arithmetic
            )
        if name != "probs":
            rounding[at] = self._rounding_of_target(name, tolerance)[rows]
        unsure = KERNEL_ERROR if dtype is Dtype.FLOAT64 else 0.0
        errors = (values.claims[rows] - exact) / rounding
        allowed = SURE * (ROUNDINGS + (dtype.epsilon / 4.0 - unsure) * (size / rounding))
        is_right = np.abs(errors) <= allowed
        is_right &= size <= dtype.largest / 2.0
        if dtype is Dtype.FLOAT64:
            is_right &= size >= dtype.smallest_normal
        passes = is_right.all(axis=1)
        if arithmetic is dtype and self._classes >= LEANING_NUMBERS:
            # A number that was replaced counts for nothing.
            counts = (size >= dtype.smallest_normal) & (exact != 1.0)
            means = np.abs(errors.sum(axis=1, where=counts)) / counts.sum(axis=1).clip(1)
            passes &= means <= SURE * LEANING_ROUNDINGS
        return np.asarray(passes)

    def _decided(
        self, name: str, values: Values, left: IndexArray, found: Sorted, tolerance: Tolerance
    ) -> tuple[IndexArray, ClaimComparison, BoolArray]:
        """Return which of the rows whose numbers were sorted are decided, and what became of them.

        The last says in which columns claims of these failed. Rows are left of which a number
        between the bounds is that of the target, or shows nothing.
        """
        wrong, worst, is_known = found.wrong.copy(), found.worst.copy(), found.found >= 0
        # The kernel's own digits may count, or a rounded log-sum-exp explain what is wrong here.
        may_be_right = may_be_rounded(self._objective, tolerance.arithmetic)
        if may_be_right or tolerance.dtype is Dtype.FLOAT64:
            is_known &= wrong > 0
        of_row = np.repeat(np.arange(len(left)), found.found.clip(0))
        row, column = np.divmod(found.between, values.exact.shape[1])
        ranks, errors = self._ranks(name, values, row, column, tolerance)
        is_known[of_row[(ranks == UNINFORMATIVE) | (column == values.targets[row])]] = False
        failed = ranks == FAIL
        # A number between the bounds is off by more than one that is plainly wrong where that is
        # the target's, whose bounds are narrower, or where it is NaN.
        plainly = _summed_up(values, left, worst, tolerance.dtype).max_error_ulp
        is_worse = failed & (errors > np.where(wrong > 0, plainly, -1.0)[of_row])
        # Of several that are put in one place, the last one stays.
        order = np.argsort(errors, kind="stable")
        order = order[is_worse[order]]
        worst[of_row[order]] = column[order]
        np.add.at(wrong, of_row[failed], 1)
        some, wrong = left[is_known], wrong[is_known]
        result = replace(
            _summed_up(values, some, worst[is_known], tolerance.dtype),
            ranks=np.where(wrong > 0, FAIL, PASS).astype(np.uint8),
            shown=wrong < values.exact.shape[1],
            assert_close=found.are_close[is_known],
        )
        columns = np.asarray(found.columns[is_known].any(axis=0))
        columns[column[failed & is_known[of_row]]] = True
        return some, result, columns

    def _ranks(
        self,
        name: str,
        values: Values,
        row: IndexArray,
        column: IndexArray,
        tolerance: Tolerance,
    ) -> tuple[Ranks, FloatArray]:
        """Judge numbers that are not the targets'. Return the ranks, and the errors in ulp."""
        exact, q = values.exact[row, column], self._q[row] if name == "grad_logits" else 1.0
        rounding = rounding_beside_targets(
            name,
            exact,
            -np.log(np.abs(exact) / q),
            np.abs(self._a[row, column]) + self._largest[row],
            q,
            self._classes,
            tolerance.arithmetic,
        )
        got = values.claims[row, column].astype(np.float64)
        result = compare_claims(got[np.newaxis], exact[np.newaxis], tolerance, rounding[np.newaxis])
        return result.ranks[0], result.error_ulp[0]

    def losses(
        self, tolerance: Tolerance, *, is_quick: bool = False
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the losses, of shape (n,), and how large their rounding errors are.

        Only what is surely explained counts if it `is_quick`. The last is the error of the losses
        where the log-sum-exp is rounded.
        """
        arithmetic, exact = tolerance.arithmetic, np.asarray(self._exact.loss, dtype=np.float64)
        of_size = arithmetic.epsilon / 2.0 + error_of_sum(self._classes, arithmetic)
        rounding = self._error_of_log_p(arithmetic) + of_size * self._size_y
        rounding = np.where(self._q == 0.0, 0.0, self._q * rounding)
        of_log_sums = np.zeros_like(rounding)
        if may_be_rounded(self._objective, arithmetic):
            of_log_sums = self._q * nearest_error(self._size_y + self._a_y, arithmetic)
        if is_quick and tolerance.dtype is Dtype.FLOAT64:
            rounding -= KERNEL_ERROR / ROUNDINGS * exact
        return exact, rounding, of_log_sums

    def _rounding_of_target(self, name: str, tolerance: Tolerance) -> FloatArray:
        """Return the size of the rounding errors of the targets' numbers, or of the losses."""
        if name == "loss":
            return self.losses(tolerance)[1]
        arithmetic = tolerance.arithmetic
        of_p_y = self._error_of_log_p(arithmetic) * np.exp(-self._size_y)
        return np.asarray(self._q * (of_p_y + arithmetic.epsilon))

    def _error_of_log_p(self, arithmetic: Dtype) -> FloatArray:
        """Return the error of log f(x)_y, of shape (n,)."""
        offsets = np.abs(self._a_y) + self._largest
        return error_of_log_p(self._size_y, offsets, self._classes, arithmetic)

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

    def _bounds(self, name: str, least: FloatArray, tolerance: Tolerance) -> Bounds:
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
        return _of_normal(lower, upper, least, dtype)

    def _bounds_of_target(self, name: str, unit: FloatArray, tolerance: Tolerance) -> Bounds | None:
        """Return the bounds for the target's number, or the loss, where they are others."""
        if name == "probs" or not self._is_of_labels:
            return None
        arithmetic, dtype = tolerance.arithmetic, tolerance.dtype
        of_log_sum = self._of_log_sum(arithmetic)
        rounding = self._rounding_of_target(name, tolerance)
        if name == "loss":
            moved = self._q * of_log_sum
        else:
            moved = self._q * np.exp(-self._size_y) * np.expm1(of_log_sum)
        bound = ROUNDINGS * rounding / unit + dtype.epsilon / 2.0
        lost = (ROUNDINGS * (self._q + 1.0) + 1.0) * dtype.smallest / unit
        upper = (bound + dtype.epsilon + lost) * np.exp(of_log_sum) + moved / unit
        lower = np.where(upper < 1.0, bound, np.minimum(bound, CERTAIN_ULP * dtype.epsilon))
        return _of_normal(lower, upper, unit, dtype)


def _of_normal(lower: FloatArray, upper: FloatArray, unit: FloatArray, dtype: Dtype) -> Bounds:
    """Return bounds that decide nothing where a number is not a normal one of the type."""
    margin = KERNEL_ERROR if dtype is Dtype.FLOAT64 else dtype.epsilon * 2.0**-20
    is_normal = (unit >= dtype.smallest_normal) & (unit <= dtype.largest / 2.0)
    # What passes here is to pass torch.testing.assert_close as well.
    lower = np.minimum(lower, dtype.rtol) - margin
    return Bounds(np.where(is_normal, lower, -1.0), np.where(is_normal, upper + margin, np.inf))


def _summed_up(
    values: Values, rows: IndexArray, worst: IndexArray, dtype: Dtype
) -> ClaimComparison:
    """Return what becomes of rows that pass, whose worst numbers these are."""
    exact, got = values.exact[rows, worst], values.claims[rows, worst].astype(np.float64)
    error = np.abs(got - exact)
    return ClaimComparison(
        ranks=np.full(len(rows), PASS, dtype=np.uint8),
        max_error_ulp=without_nan(error / (power_of_two(exact) * dtype.epsilon)),
        relative_error=without_nan(error / np.abs(exact)),
        worst=worst,
        expected=exact,
        got=got,
        uninformative=np.zeros(len(rows), dtype=np.intp),
        shown=np.ones(len(rows), dtype=bool),
        assert_close=np.ones(len(rows), dtype=bool),
    )
