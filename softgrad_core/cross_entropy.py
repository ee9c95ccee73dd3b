"""The kernel: probabilities, loss and both gradients of a softmax output layer.

Notation: a are the logits, y is the true class, f(x) = softmax(a) the output, m = max(a),
d = a - m, S = sum(exp(d)), and rest = S - 1 is the sum without the term of the maximum.
"""

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.logits import FloatArray, as_rows
from softgrad_core.targets import IndexArray, as_labels

BLOCK_ELEMENTS = 1 << 14
"""Logits that are computed together: a block and its temporaries stay in the L2 cache."""

NARROW = 32
"""Up to this many classes a block is computed class by class, above it row by row."""

# 2**128 as exp(LN_SCALE + LN_SCALE_TAIL). LN_SCALE is a multiple of 2**-43, the last place of
# numbers around 700, so that adding it to one of those, or subtracting it, is exact.
SCALE_EXPONENT = 128
LN_SCALE = 88.72283911167301
LN_SCALE_TAIL = -1.124247479347874e-14

FAINT = 1e-270
"""Below this a sum of exponentials may have terms that float64 cannot hold with all digits."""

LARGEST_SCALED = math.ldexp(sys.float_info.max, -SCALE_EXPONENT)


@dataclass(frozen=True, slots=True, eq=False)
class SoftmaxCrossEntropy:
    """The numbers of the output layer, for one row of C logits or for N rows of them.

    Attributes
    ----------
    probs
        The softmax f(x), of shape (C,) or (N, C).
    loss
        The negative log-likelihood -log f(x)_y in nats: a NumPy scalar, or of shape (N,).
    grad_probs
        dL/df(x) = -e(y) / f(x)_y, of the shape of `probs`.
    grad_logits
        dL/da = -(e(y) - f(x)), of the shape of `probs`.
    """

    probs: npt.NDArray[np.floating[Any]]
    loss: npt.NDArray[np.floating[Any]]
    grad_probs: npt.NDArray[np.floating[Any]]
    grad_logits: npt.NDArray[np.floating[Any]]


def softmax_cross_entropy(logits: npt.ArrayLike, targets: npt.ArrayLike) -> SoftmaxCrossEntropy:
    """Compute the softmax, the loss and both gradients, to 4 ulp over the whole float64 range.

    Parameters
    ----------
    logits
        Pre-activations of shape (C,) or (N, C): finite, or -infinity for a masked class.
    targets
        The index of the true class, from 0: one integer, or N of them.

    Returns
    -------
    SoftmaxCrossEntropy
        In the floating type of `logits` (computed in float64, rounded once), float64 for
        whole numbers. A row's numbers are the same alone and in any block.

    Raises
    ------
    InputError
        Where a row has no softmax, or a target is no class.

    Notes
    -----
    d = a - m is rounded; its error is found by the two-difference of Knuth (The Art of
    Computer Programming, vol. 2, 4.2.2) and folded into exp(d). The loss is
    log1p(rest) - d_y, two terms of one sign, and the gradient at the target is -(1 - f(x)_y)
    with 1 - f(x)_y = rest / S where y is the maximum, so that nothing cancels.
    1 / f(x)_y = S exp(-d_y) holds also where f(x)_y underflows.

    Examples
    --------
    >>> result = softmax_cross_entropy([2.0, 1.0, 0.1], 0)
    >>> print(f"{result.loss:.6f}")
    0.417030
    >>> print(result.grad_logits.round(6))
    [-0.340999  0.242433  0.098566]

    No digit is lost where the network is sure, though 1 - f(x)_y is far below the last place of 1:

    >>> float(softmax_cross_entropy([40.0, 0.0], 0).loss)
    4.248354255291589e-18
    """
    rows = as_rows(logits)
    count, classes = rows.values.shape
    labels = as_labels(targets, count, classes)
    result = SoftmaxCrossEntropy(
        probs=np.empty((count, classes), rows.dtype),
        loss=np.empty(count, rows.dtype),
        grad_probs=np.zeros((count, classes), rows.dtype),
        grad_logits=np.empty((count, classes), rows.dtype),
    )
    step = max(1, BLOCK_ELEMENTS // classes)
    # Overflow and underflow are results here, not accidents; (-inf) - (-inf) is mended below.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for start in range(0, count, step):
            block = slice(start, start + step)
            _compute_block(rows.values[block], labels[block], result, start)
    if rows.single:
        return SoftmaxCrossEntropy(
            result.probs[0], result.loss[0], result.grad_probs[0], result.grad_logits[0]
        )
    return result


def _compute_block(
    rows: FloatArray, labels: IndexArray, result: SoftmaxCrossEntropy, start: int
) -> None:
    """Fill the rows of `result` from `start` on with those of `rows`."""
    a = _by_class(rows)
    d, d_error = _subtract(a, a.max(axis=0))
    at_maximum = d == 0.0
    e = np.exp(d)
    np.copyto(e, 0.0, where=at_maximum)
    # S = 1 + rest without one maximum; others as large count in full.
    rest, rest_error = _sum_classes(e, e * d_error, _count_ties(at_maximum))
    if (faint := rest < FAINT).any():
        _mend_faint_sums(rest, rest_error, np.flatnonzero(faint), d, d_error)
    np.copyto(e, 1.0, where=at_maximum)
    total = 1.0 + rest
    rounded_rest = total - 1.0
    lost = (1.0 - (total - rounded_rest)) + (rest - rounded_rest) + rest_error
    lost /= total

    y = labels, np.arange(len(labels))
    d_y, d_y_error = d[y], d_error[y]
    d_error -= lost
    d_error *= e
    e += d_error
    probs = np.divide(e, total, out=e)[:, : len(rows)]

    # Without the row that `_by_class` doubled.
    if len(rows) < len(total):
        rest, rest_error, total, lost = rest[:1], rest_error[:1], total[:1], lost[:1]
    complement = rest / total
    complement += (rest_error - rest * lost) / total
    complement = np.where(d_y == 0.0, complement, 1.0 - probs[y])

    span = slice(start, start + len(rows))
    out = np.arange(start, start + len(rows))
    result.probs[span] = probs.T
    result.loss[span] = (np.log1p(rest) + (rest_error / total - d_y_error)) - d_y
    result.grad_probs[out, labels] = -_times_exp(total, -d_y, lost - d_y_error)
    result.grad_logits[span] = probs.T
    # 0 - x and not -x: where all of it underflows, the result is 0 and not -0.
    result.grad_logits[out, labels] = 0.0 - complement


def _by_class(rows: FloatArray) -> FloatArray:
    """Return the rows of logits as an array of shape (C, N), in memory as is fastest.

    Operations run along the longer side. What a row's sum is rounded to depends on the layout
    that is chosen here, so that the choice must depend on the number of classes alone: a single
    row of few classes is doubled, or NumPy would sum it as it sums a long one.
    """
    if rows.shape[1] > NARROW:
        return rows.T
    return np.ascontiguousarray(rows.T if len(rows) > 1 else np.repeat(rows, 2, axis=0).T)


def _subtract(a: FloatArray, m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return d = a - m as rounded, and what rounding took from it."""
    d = a - m
    minus_m = d - a
    error = d - minus_m
    np.subtract(a, error, out=error)
    minus_m += m
    error -= minus_m
    # Masked classes and differences near the largest float leave NaN or infinity here. Their
    # exp(d) is 0 whatever the error is.
    if not np.isfinite(error.sum()):
        error[~np.isfinite(error)] = 0.0
    return d, error


def _count_ties(at_maximum: npt.NDArray[np.bool]) -> FloatArray | float:
    """Return for each row how many other classes are as large as its maximum."""
    if np.count_nonzero(at_maximum) == at_maximum.shape[1]:
        return 0.0
    ties: FloatArray = at_maximum.sum(axis=0, dtype=np.float64) - 1.0
    return ties


def _sum_classes(
    terms: FloatArray, corrections: FloatArray, ties: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """Return the sums of `terms + corrections` and `ties` as rounded, and what rounding took.

    The terms are not negative. Each is cut in two at one place of its row, high enough that the
    upper parts add up without any rounding; the lower parts are too small for theirs to matter
    (the extraction of Rump, Ogita and Oishi, Accurate floating-point summation, 2008).
    """
    _, exponent = np.frexp(terms.sum(axis=0) + ties)
    cut = np.ldexp(1.0, exponent + 1)
    upper = terms + cut
    upper -= cut
    corrections += np.subtract(terms, upper)
    upper_sum = upper.sum(axis=0) + ties
    lower_sum = corrections.sum(axis=0)
    rounded = upper_sum + lower_sum
    return rounded, (upper_sum - rounded) + lower_sum


def _mend_faint_sums(
    rest: FloatArray, rest_error: FloatArray, faint: IndexArray, d: FloatArray, d_error: FloatArray
) -> None:
    """Sum the rows of these indices anew, from exponentials so scaled that they keep all digits.

    Near the smallest numbers the roundings of many terms are alike, and add up.
    """
    scaled = d[:, faint] + LN_SCALE
    scaled[scaled == LN_SCALE] = -np.inf
    # Rows with nothing but zeros, as very large logits have them, are right as they are. The
    # others are summed one by one: a row alone must be summed as it is among others.
    for place in np.flatnonzero(scaled.max(axis=0) > -746.0):
        row = faint[place]
        terms = np.exp(scaled[:, place])
        total, _ = _sum_classes(terms, terms * (d_error[:, row] + LN_SCALE_TAIL), 0.0)
        rest[row] = np.ldexp(total, -SCALE_EXPONENT)
        rest_error[row] = 0.0


def _times_exp(factor: FloatArray, x: FloatArray, x_error: FloatArray) -> FloatArray:
    """Return factor * exp(x + x_error): infinite only where the exact value overflows."""
    power = np.exp(x)
    power += power * x_error
    product = factor * power
    large = x > 700.0
    if large.any():
        product[large] = _times_large_exp(factor[large], x[large], x_error[large])
    return product


def _times_large_exp(factor: FloatArray, x: FloatArray, x_error: FloatArray) -> FloatArray:
    # Whatever is beyond overflows, and so does an x whose error is not small.
    power = np.exp(np.minimum(x, 790.0) - LN_SCALE)
    power += power * (x_error.clip(-0.5, 0.5) - LN_SCALE_TAIL)
    scaled = factor * power
    # A few last places too much must not turn the largest number into infinity.
    at_edge = (scaled > LARGEST_SCALED) & (scaled < LARGEST_SCALED * (1.0 + 2.0**-50))
    return np.ldexp(np.where(at_edge, LARGEST_SCALED, scaled), SCALE_EXPONENT)
