"""The shifted kernel: subtracts the maximum, for logits and target weights of any magnitude.

Notation: a are the logits, T is the temperature, f(x) = softmax(a / T) the output, m = max(a),
d = (a - m) / T, S = sum(exp(d)), and rest = S - 1 is the sum without the term of the maximum. The
loss is -sum_c q_c log f(x)_c, with s = sum(q). If q is a one-hot vector, y is its class.

d is rounded. Knuth's two-difference (The Art of Computer Programming, vol. 2, 4.2.2) finds the
rounding error, which is folded into exp(d). With a label, nothing cancels: the loss is
log1p(rest) - d_y, two terms of one sign, and the gradient at the target is -(1 - f(x)_y), where
1 - f(x)_y = rest / S if y has the maximum. 1 / f(x)_y = S exp(-d_y) also holds where f(x)_y
underflows.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad_core.loss.error_free import remainder
from softgrad_core.loss.kernels.scaled import (
    LN_SCALE,
    LN_SCALE_TAIL,
    SCALE_EXPONENT,
    small_exp,
    times_exp,
    times_scaled,
)
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.results import SoftmaxCrossEntropy
from softgrad_core.loss.targets import IndexArray

SHIFTED_ELEMENTS = 1 << 14
"""Logits per block: a block and its temporaries fit in the L2 cache."""

NARROW = 32
"""Up to this many classes, arrays are stored class by class; with more, row by row."""

FAINT = 1e-270
"""Below this, a sum of exponentials may have subnormal terms, which lose digits."""

TINY_EXPONENT_OF_E = -650.0
"""For d below this, exp(d) is scaled before it is multiplied by a factor that may be large."""

GAIN_EXPONENT = 600
HEAVY = 2.0**900
"""Target weights are scaled by 2**600, so that no product of two of them underflows. If a scaled
weight reaches HEAVY, the weights of its row are used unscaled."""

HEAVY_EXPONENT = 64
"""Weights whose sum overflows are divided by 2**64."""

HUGE = 1e300
"""Above this, a sum of costs may overflow although the exact loss does not."""


class _Softmax(NamedTuple):
    """The softmax of a block and the quantities behind it, of shape (C, N) or (N,)."""

    probs: FloatArray
    d: FloatArray
    d_error: FloatArray
    """The rounding error of d: the exact value is d + d_error."""
    rest: FloatArray
    rest_error: FloatArray
    total: FloatArray
    lost: FloatArray
    """The relative rounding error of S: the exact value is total * (1 + lost)."""
    complement: FloatArray
    """1 - f(x) for the class with the maximum."""


class _Weights(NamedTuple):
    """Target weights, scaled by a power of two per row; arrays are of shape (C, N) or (N,)."""

    q: FloatArray
    s: FloatArray
    s_without: FloatArray
    """s - q_c, as the sum of the other weights."""
    exponent: IndexArray
    """Multiplying by 2**exponent undoes the scaling."""


def _softmax(rows: FloatArray, temperature: FloatArray | None = None) -> _Softmax:
    """Return the softmax of rows, as arrays of shape (C, N)."""
    a = _by_class(rows)
    d, d_error = _distances(a, temperature)
    at_maximum = d == 0.0
    e = np.exp(d)
    np.copyto(e, 0.0, where=at_maximum)
    # S = 1 + rest, where rest leaves out one maximum only: ties count in full.
    buffer = e * d_error
    rest, rest_error = _sum_classes(e, buffer, _count_ties(at_maximum))
    if (faint := rest < FAINT).any():
        _mend_faint_sums(rest, rest_error, np.flatnonzero(faint), d, d_error)
    np.copyto(e, 1.0, where=at_maximum)
    total = 1.0 + rest
    rounded_rest = total - 1.0
    lost = (1.0 - (total - rounded_rest)) + (rest - rounded_rest) + rest_error
    lost /= total
    correction = np.subtract(d_error, lost, out=buffer)
    correction *= e
    e += correction
    probs = np.divide(e, total, out=e)[:, : len(rows)]
    # Drop the copy that `_by_class` made of a single row.
    if len(rows) < len(total):
        d, d_error = d[:, :1], d_error[:, :1]
        rest, rest_error, total, lost = rest[:1], rest_error[:1], total[:1], lost[:1]
    complement = rest / total
    complement += (rest_error - rest * lost) / total
    return _Softmax(probs, d, d_error, rest, rest_error, total, lost, complement)


def compute_block(rows: FloatArray, objective: Objective, out: SoftmaxCrossEntropy) -> None:
    """Compute the results that `out` has arrays for, for rows with labels and no options."""
    f = _softmax(rows)
    labels, places = objective.labels, np.arange(len(rows))
    y = labels, places
    d_y, d_y_error = f.d[y], f.d_error[y]
    complement = np.where(d_y == 0.0, f.complement, 1.0 - f.probs[y])

    if out.probs is not None:
        out.probs[...] = f.probs.T
    if out.loss is not None:
        out.loss[...] = (np.log1p(f.rest) + (f.rest_error / f.total - d_y_error)) - d_y
    if out.grad_probs is not None:
        out.grad_probs[places, labels] = -times_exp(f.total, -d_y, f.lost - d_y_error)
    if out.grad_logits is not None:
        out.grad_logits[...] = f.probs.T
        # 0 - x rather than -x: if the complement underflows, the result is 0, not -0.
        out.grad_logits[places, labels] = 0.0 - complement


def compute_weighted_block(
    rows: FloatArray, objective: Objective, out: SoftmaxCrossEntropy
) -> None:
    """Compute the results that `out` has arrays for, for any target weights and temperatures.

    The gradient is ((s - q_c) f(x)_c - q_c (1 - f(x)_c)) / T. Neither inner difference cancels.
    """
    f = _softmax(rows, objective.temperature)
    weights = _target_weights(objective, rows)
    temperature = np.ones(len(rows)) if objective.temperature is None else objective.temperature
    faint = _faint_rests(f)

    if out.probs is not None:
        out.probs[...] = f.probs.T
    if out.loss is not None:
        out.loss[...] = _weighted_loss(rows, weights, temperature, f, faint)
    if out.grad_probs is not None:
        q, exponent = weights.q, weights.exponent
        counts = q > 0.0
        out.grad_probs[...] = 0.0
        out.grad_probs.T[counts] = -times_exp(
            np.broadcast_to(f.total, q.shape)[counts],
            -f.d[counts],
            (f.lost - f.d_error)[counts],
            q[counts],
            np.broadcast_to(exponent, q.shape)[counts],
        )
    if out.grad_logits is not None:
        out.grad_logits[...] = _weighted_gradient(f, weights, temperature, faint).T


def _weighted_gradient(
    f: _Softmax, weights: _Weights, temperature: FloatArray, faint: dict[int, float]
) -> FloatArray:
    """Return dL/da, of shape (C, N)."""
    q, s_without = weights.q, weights.s_without
    t, k = np.frexp(temperature)
    exponent = weights.exponent - k
    gained = np.ldexp(s_without * f.probs / t, exponent)
    lost = q * np.where(f.d == 0.0, f.complement, 1.0 - f.probs)
    lost = np.ldexp(lost / t, exponent)
    # Where f(x) or 1 - f(x) underflows, or nearly so, its product with a weight need not.
    tiny = np.nonzero((f.d < TINY_EXPONENT_OF_E) & (f.d > -math.inf))
    power = small_exp(f.d[tiny], (f.d_error - f.lost)[tiny]) / f.total[tiny[1]] / t[tiny[1]]
    gained[tiny] = times_scaled(s_without[tiny], power, exponent[tiny[1]])
    for row, rest in faint.items():
        top = f.d[:, row] == 0.0, row
        lost[top] = times_scaled(q[top], rest / t[row], exponent[row])
    return np.asarray(gained - lost)


def _target_weights(objective: Objective, rows: FloatArray) -> _Weights:
    """Return the target weights of rows, scaled so that they neither underflow nor overflow."""
    q = objective.weights(rows.shape[1], gain=2.0 ** (GAIN_EXPONENT // 2))
    exponent = np.full(len(rows), -GAIN_EXPONENT)
    heavy = ~(q.max(axis=1) < HEAVY)
    if heavy.any():
        q[heavy] = objective.part(heavy).weights(rows.shape[1])
        exponent[heavy] = 0
        overflows = heavy & ~np.isfinite(q.sum(axis=1))
        q[overflows] = np.ldexp(q[overflows], -HEAVY_EXPONENT)
        exponent[overflows] = HEAVY_EXPONENT
    q = _by_class(q)
    s, s_without = _sums_without_each(q)
    # Drop the copy that `_by_class` made of a single row.
    count = len(rows)
    return _Weights(q[:, :count], s[:count], s_without[:, :count], exponent)


def _sums_without_each(q: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the sum of each column, and for each element the sum of the others in its column."""
    top = q.argmax(axis=0), np.arange(q.shape[1])
    rest = q.copy()
    rest[top] = 0.0
    others, others_error = _sum_classes(rest, np.zeros_like(q), 0.0)
    s = q[top] + others
    # s - q does not cancel: only the largest element can exceed half of the sum.
    without = (s - q) + others_error
    without[top] = others
    return s, without


def _faint_rests(f: _Softmax) -> dict[int, float]:
    """Return rest * 2**1536 for each row where rest may have lost digits to underflow."""
    sums = {}
    for row in np.flatnonzero(f.rest < FAINT).tolist():
        others = (f.d[:, row] < 0.0) & (f.d[:, row] > -math.inf)
        sums[row] = math.fsum(small_exp(f.d[others, row], f.d_error[others, row]))
    return sums


def _weighted_loss(
    rows: FloatArray,
    weights: _Weights,
    temperature: FloatArray,
    f: _Softmax,
    faint: dict[int, float],
) -> FloatArray:
    """Return s log(S) + sum_c q_c (-d_c), in which no term is negative."""
    q, s, _, exponent = weights
    counts = (q > 0.0) & (f.d > -math.inf)
    d, d_error = np.where(counts, f.d, 0.0), np.where(counts, f.d_error, 0.0)
    costs, costs_error = _sum_classes(q * -d, q * -d_error, 0.0)
    loss = (s * np.log1p(f.rest) + (s * f.rest_error / f.total + costs_error)) + costs
    for row, rest in faint.items():
        loss[row] = times_scaled(s[row], rest, 0) + (costs[row] + costs_error[row])
    loss = np.ldexp(loss, exponent)
    # Sums near the largest float, and a d_c that overflows before it is multiplied by q_c.
    odd = ~(costs < HUGE) | ((q > 0.0) & (f.d == -math.inf)).any(axis=0)
    for row in np.flatnonzero(odd).tolist():
        divisor = math.ldexp(1.0, -int(exponent[row])), float(temperature[row])
        loss[row] = _huge_loss(rows[row], q[:, row], math.log1p(f.rest[row]), divisor)
    return loss


def _huge_loss(a: FloatArray, q: FloatArray, log_sum: float, divisor: tuple[float, float]) -> float:
    """Return a loss whose intermediate values overflow float64, or infinity if it does itself.

    `log_sum` is log(S). `divisor` is the factor by which q is scaled, and the temperature.
    """
    from fractions import Fraction

    counts = q > 0.0
    if not np.isfinite(a[counts]).all():
        return math.inf
    top, (too_large, temperature) = Fraction(float(a.max())), map(Fraction, divisor)
    costs = (
        Fraction(weight) * ((top - Fraction(logit)) / temperature + Fraction(log_sum))
        for weight, logit in zip(q[counts].tolist(), a[counts].tolist(), strict=True)
    )
    try:
        return float(sum(costs, start=Fraction(0)) / too_large)
    except OverflowError:
        return math.inf


def _by_class(rows: FloatArray) -> FloatArray:
    """Return the rows as an array of shape (C, N), in the fastest memory layout.

    NumPy's operations then run along the longer axis. The layout determines how a row's sum is
    rounded, so it must depend on the number of classes alone. A single row of few classes is
    therefore doubled: otherwise NumPy would sum it like a row of many classes.
    """
    if rows.shape[1] > NARROW:
        return rows.T
    return np.ascontiguousarray(rows.T if len(rows) > 1 else np.repeat(rows, 2, axis=0).T)


def _distances(a: FloatArray, temperature: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Return d = (a - max(a)) / T and its rounding error."""
    if temperature is None:
        return _subtract(a, a.max(axis=0))
    # T = t 2**k with t in [1/2, 1), except that k = 0 for T in [1, 2). To avoid needless overflow,
    # scale down before the difference and scale up after it.
    t, k = np.frexp(temperature)
    t, k = np.where(k == 1, 2.0 * t, t), np.where(k == 1, 0, k)
    if a.shape[1] > len(t):
        t, k = np.repeat(t, 2), np.repeat(k, 2)
    a = np.ldexp(a, -k.clip(min=0))
    d, error = _subtract(a, a.max(axis=0))
    shift = -k.clip(max=0)
    d, error = np.ldexp(d, shift), np.ldexp(error, shift)
    quotient = d / t
    error = (remainder(d, quotient, t) + error) / t
    error[~np.isfinite(error)] = 0.0
    return quotient, error


def _subtract(a: FloatArray, m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return d = a - m and its rounding error."""
    d = a - m
    minus_m = d - a
    error = d - minus_m
    np.subtract(a, error, out=error)
    minus_m += m
    error -= minus_m
    # The error is NaN or infinite for masked classes and differences near the largest float.
    # Their exp(d) is 0 whatever the error is.
    if not np.isfinite(error.sum()):
        error[~np.isfinite(error)] = 0.0
    return d, error


def _count_ties(at_maximum: npt.NDArray[np.bool]) -> FloatArray | float:
    """Return for each row how many other classes share its maximum."""
    if np.count_nonzero(at_maximum) == at_maximum.shape[1]:
        return 0.0
    ties: FloatArray = at_maximum.sum(axis=0, dtype=np.float64) - 1.0
    return ties


def _sum_classes(
    terms: FloatArray, corrections: FloatArray, ties: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """Return the sums of `terms + corrections` plus `ties`, and their rounding errors.

    The terms are not negative. Each is split at a bit position common to its row, high enough that
    the upper parts are summed exactly. The lower parts are so small that their rounding errors do
    not matter (extraction by Rump, Ogita and Oishi, Accurate floating-point summation, 2008).
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
    """Correct the sums of the rows `faint` in place, from exponentials scaled to keep all digits.

    Unscaled, many terms near the smallest float have similar rounding errors, which add up.
    """
    scaled = d[:, faint] + LN_SCALE
    scaled[scaled == LN_SCALE] = -np.inf
    # Rows whose terms are all zero, as with very large logits, are already correct. The others are
    # summed one by one, so that the result does not depend on the rows beside them.
    for place in np.flatnonzero(scaled.max(axis=0) > -746.0):
        row = faint[place]
        terms = np.exp(scaled[:, place])
        total, _ = _sum_classes(terms, terms * (d_error[:, row] + LN_SCALE_TAIL), 0.0)
        rest[row] = np.ldexp(total, -SCALE_EXPONENT)
        rest_error[row] = 0.0
