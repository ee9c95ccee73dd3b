"""The kernel: probabilities, loss and both gradients of a softmax output layer.

Notation: a are the logits, y is the true class, f(x) = softmax(a) the output, m = max(a),
d = a - m, S = sum(exp(d)), and rest = S - 1 is the sum without the term of the maximum.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.logits import FloatArray, as_rows
from softgrad_core.targets import IndexArray, as_labels

BLOCK_ELEMENTS = 1 << 14
"""Logits that are computed together: a block and its temporaries stay in the L2 cache."""

# 2**64 as exp(LN_SCALE + LN_SCALE_TAIL). LN_SCALE is a multiple of 2**-43, the last place of
# numbers around 700, so that subtracting it from one of those is exact.
SCALE_EXPONENT = 64
LN_SCALE = 44.361419555836505
LN_SCALE_TAIL = -5.62123739673937e-15


@dataclass(frozen=True, slots=True, eq=False)
class SoftmaxCrossEntropy:
    """The numbers of the output layer, for one row of C logits or for N rows of them.

    Attributes
    ----------
    probs
        The softmax f(x), of shape (C,) or (N, C).
    loss
        The negative log-likelihood -log f(x)_y in nats, of shape () or (N,).
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


def _compute_block(a: FloatArray, y: IndexArray, result: SoftmaxCrossEntropy, start: int) -> None:
    """Fill the rows of `result` from `start` on with those of the logits `a`."""
    row = np.arange(len(a))
    top = a.argmax(axis=1)
    d, d_error = _subtract_maximum(a, a[row, top])
    e = np.exp(d)
    e[row, top] = 0.0
    rest, rest_error = _sum_rows(e, e * d_error)
    e[row, top] = 1.0

    # S = 1 + rest, as rounded, and what rounding took from it, relative to S.
    total = 1.0 + rest
    rounded_rest = total - 1.0
    lost = (1.0 - (total - rounded_rest)) + (rest - rounded_rest) + rest_error
    lost /= total

    d_y, d_y_error = d[row, y], d_error[row, y]
    d_error -= lost[:, np.newaxis]
    d_error *= e
    e += d_error
    probs = np.divide(e, total[:, np.newaxis], out=e)
    at_top = rest / total
    at_top += (rest_error - rest * lost) / total
    complement = np.where(top == y, at_top, 1.0 - probs[row, y])

    out = slice(start, start + len(a))
    result.probs[out] = probs
    result.loss[out] = (np.log1p(rest) + (rest_error / total - d_y_error)) - d_y
    result.grad_probs[start + row, y] = -_times_exp(total, -d_y, lost - d_y_error)
    result.grad_logits[out] = probs
    # 0 - x and not -x: where all of it underflows, the result is 0 and not -0.
    result.grad_logits[start + row, y] = 0.0 - complement


def _subtract_maximum(a: FloatArray, maximum: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return d = a - m as rounded, and what rounding took from it."""
    m = maximum[:, np.newaxis]
    d = a - m
    minus_m = d - a
    error = (a - (d - minus_m)) - (m + minus_m)
    # Masked classes and differences near the largest float leave NaN or infinity here. Their
    # exp(d) is 0 whatever the error is.
    if not np.isfinite(error.sum()):
        error[~np.isfinite(error)] = 0.0
    return d, error


def _sum_rows(terms: FloatArray, corrections: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the sums of rows of `terms + corrections` as rounded, and what rounding took.

    The terms are not negative. Each is cut in two at one place of its row, high enough that the
    upper parts add up without any rounding; the lower parts are too small for theirs to matter
    (the extraction of Rump, Ogita and Oishi, Accurate floating-point summation, 2008).
    """
    _, exponent = np.frexp(terms.sum(axis=1))
    cut = np.ldexp(1.0, exponent + 1)[:, np.newaxis]
    upper = terms + cut
    upper -= cut
    corrections += terms - upper
    upper_sum = upper.sum(axis=1)
    lower_sum = corrections.sum(axis=1)
    rounded = upper_sum + lower_sum
    return rounded, (upper_sum - rounded) + lower_sum


def _times_exp(factor: FloatArray, x: FloatArray, x_error: FloatArray) -> FloatArray:
    """Return factor * exp(x + x_error): infinite only where the exact value overflows."""
    # Beyond 1/2 only where x is so large that exp(x) overflows whatever its error.
    x_error = x_error.clip(-0.5, 0.5)
    near = np.exp(x) * (1.0 + x_error)
    far = np.exp(x - LN_SCALE) * (1.0 + (x_error - LN_SCALE_TAIL))
    return np.where(x < 700.0, factor * near, np.ldexp(factor * far, SCALE_EXPONENT))
