"""The kernel for labels and logits of usual size: exp(a) itself, from which nothing is subtracted.

Notation: a are the logits, y is the true class, e = exp(a), rest is the sum of e without e_y, and
S = rest + e_y. Then f(x) = e / S, 1 - f(x)_y = rest / S, -log f(x)_y = log1p(rest / e_y), and
1 / f(x)_y = S / e_y. Nothing cancels, and there is no a - max(a) that would be rounded.

How far a result is from the exact one: exp is good to 0.66 units in the last place (NumPy's with
AVX-512; others are better), which counts for one term and for the sum. Sums and 1 / S are rounded
once, from all their digits. So a probability has these errors and half a unit of its own, at most
3.7 where the last places are as unlucky as can be.

It takes rows whose exponentials neither overflow nor are so small that they lose digits that
count; which they are is found after the fact, row by row, and these are left to the caller.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.error_free import Pair, add, add_small, invert, power_of_two
from softgrad_core.logits import FloatArray
from softgrad_core.results import SoftmaxCrossEntropy
from softgrad_core.shifted import FAINT, NARROW
from softgrad_core.targets import IndexArray

DIRECT_ELEMENTS = 1 << 19
"""Logits that are computed together: fewer would make threads wait for each other too often."""

TILE = 512
"""Rows that are transposed together: of few classes, so that they stay in the nearest cache."""

LARGEST = 340.0
"""Logits of at most this size have exponentials of which any two have a quotient."""

ZERO = np.zeros(())

_LARGEST_EXP, _SMALLEST_EXP = np.exp(LARGEST), np.exp(-LARGEST)

LEAST_SUM = 0.25
"""From this sum on, e that lost digits to underflow gives an f(x) that has lost them as well."""


class Direct:
    """Computes blocks of at most `size` rows, in memory that it keeps from one to the next."""

    def __init__(self, size: int, rows: npt.NDArray[Any]) -> None:
        count, classes = min(size, len(rows)), rows.shape[1]
        self._memory = np.empty((2, max(count, 2) * classes))
        # What is rounded to fewer digits in the end needs no care for the last ones.
        self._is_exact = rows.dtype == np.float64
        self._by_class = classes <= NARROW
        self._classes = classes

    def compute(
        self, rows: npt.NDArray[Any], labels: IndexArray, out: SoftmaxCrossEntropy
    ) -> IndexArray:
        """Fill in what `out` has for the rows; return which of them are left to be computed."""
        count, places = len(labels), np.arange(len(labels))
        e, spare = self._exponentials(rows)
        flat, at = e.reshape(-1), self._places(labels)
        e_y = flat[at]
        flat[at] = 0.0
        upper, lower = self._sum(e, spare)
        flat[at] = e_y
        rest, rest_error = add_small(upper, lower)
        total, total_error = add(upper, e_y, lower)
        inverse, inverse_error = invert(total, total_error) if self._is_exact else (1 / total, ZERO)

        if out.loss is not None:
            ratio = rest / e_y
            loss = np.log1p(ratio) + rest_error / e_y / (1.0 + ratio)
            out.loss[...] = loss[:count]
        if out.grad_probs is not None:
            out.grad_probs[places, labels] = -(total / e_y + total_error / e_y)[:count]
        self._store(e, inverse, out)
        if out.grad_logits is not None:
            complement = rest * inverse + (rest * inverse_error + rest_error * inverse)
            # 0 - x and not -x: where all of it underflows, the result is 0 and not -0.
            out.grad_logits[places, labels] = (0.0 - complement)[:count]
        return np.flatnonzero(~_fits(rows, total[:count], rest[:count], e_y[:count]))

    def _places(self, labels: IndexArray) -> IndexArray:
        """Return where e_y of each row is in memory."""
        count = len(labels)
        if not self._by_class:
            return np.asarray(np.arange(count) * self._classes + labels)
        columns = max(count, 2)
        return np.asarray(np.arange(columns) + labels * columns)

    def _exponentials(self, rows: npt.NDArray[Any]) -> FloatArray:
        """Return exp(a), of shape (C, N) for few classes, else (N, C), and as much memory again."""
        count, classes = rows.shape
        if not self._by_class:
            memory = self._memory[:, : rows.size].reshape(2, count, classes)
            np.exp(rows, out=memory[0], dtype=np.float64)
            return memory
        # A single row is doubled, or NumPy would sum it as it sums a long one.
        columns = max(count, 2)
        memory = self._memory[:, : classes * columns].reshape(2, classes, columns)
        e, tiled = memory[0], count // TILE * TILE
        np.positive(
            rows[:tiled].reshape(-1, TILE, classes).transpose(0, 2, 1),
            out=e[:, :tiled].reshape(classes, -1, TILE).transpose(1, 0, 2),
            dtype=np.float64,
        )
        np.copyto(e[:, tiled:], rows[tiled:].T)
        np.exp(e, out=e)
        return memory

    def _sum(self, e: FloatArray, spare: FloatArray) -> Pair:
        """Return the sums of e in two parts, of which the first is exact.

        Each e is cut in two at one place of its row, high enough that the upper parts add up
        without any rounding; the lower parts are too small for theirs to matter (the extraction of
        Rump, Ogita and Oishi, Accurate floating-point summation, 2008).
        """
        axis = 0 if self._by_class else 1
        total = e.sum(axis=axis)
        if not self._is_exact:
            return total, ZERO
        cut = np.expand_dims(4.0 * power_of_two(total), axis)
        np.add(e, cut, out=spare)
        np.subtract(spare, cut, out=spare)
        upper = spare.sum(axis=axis)
        np.subtract(e, spare, out=spare)
        return upper, spare.sum(axis=axis)

    def _store(self, e: FloatArray, inverse: FloatArray, out: SoftmaxCrossEntropy) -> None:
        """Write e / S where the probabilities go, and where the gradient does."""
        blocks = [block for block in (out.probs, out.grad_logits) if block is not None]
        if not blocks:
            return
        if self._by_class:
            np.multiply(e, inverse, out=e)
            np.copyto(blocks[0], e[:, : len(blocks[0])].T, casting="same_kind")
        else:
            np.multiply(e, inverse[:, np.newaxis], out=blocks[0], casting="same_kind")
        for block in blocks[1:]:
            np.copyto(block, blocks[0])


def _fits(
    rows: npt.NDArray[Any], total: FloatArray, rest: FloatArray, e_y: FloatArray
) -> npt.NDArray[np.bool]:
    """Return which rows have right results; those with NaN have not."""
    fits: npt.NDArray[np.bool] = (rest >= FAINT) & (e_y >= _SMALLEST_EXP) & (total <= _LARGEST_EXP)
    low = fits & (total < LEAST_SUM)
    if low.any():
        fits[low] = rows[low].min(axis=1) >= -LARGEST
    return fits
