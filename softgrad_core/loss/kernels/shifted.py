"""The shifted kernel: subtracts the maximum, for logits and target weights of any magnitude.

Notation: a are the logits, capped if there is a soft cap, T is the temperature, f(x) =
softmax(a / T) the output, m = max(a), d = (a - m) / T, S = sum(exp(d)), and rest = S - 1 is the sum
without the term of the maximum. The loss is -sum_c q_c log f(x)_c, with s = sum(q), and its z-loss
is z (m / T + log S)**2. If q is a one-hot vector, y is its class.

With a label, nothing cancels: the loss is
log1p(rest) - d_y, two terms of one sign, and the gradient at the target is -(1 - f(x)_y), where
1 - f(x)_y = rest / S if y has the maximum. 1 / f(x)_y = S exp(-d_y) also holds where f(x)_y
underflows.
"""

import math
from typing import NamedTuple

import numpy as np

from softgrad_core.loss.error_free import remainder
from softgrad_core.loss.kernels.cancelling import CLOSE, Again, computed_again, target_weights
from softgrad_core.loss.kernels.exact import compute_exact_rows
from softgrad_core.loss.kernels.scaled import (
    small_exp,
    times_exp,
    times_scaled,
)
from softgrad_core.loss.kernels.softcap import Capped
from softgrad_core.loss.kernels.softmax import FAINT, Softmax, by_class, softmax, sum_classes
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray, Objective
from softgrad_core.loss.results import SoftmaxCrossEntropy, empty_results
from softgrad_core.loss.targets import IndexArray

SHIFTED_ELEMENTS = 1 << 14
"""Logits per block: a block and its temporaries fit in the L2 cache."""

TINY_EXPONENT_OF_E = -650.0
"""For d below this, exp(d) is scaled before it is multiplied by a factor that may be large."""

GAIN_EXPONENT = 600
HEAVY = 2.0**900
"""Target weights are scaled by 2**600, so that no product of two of them underflows. If a scaled
weight reaches HEAVY, the weights of its row are used unscaled."""

HEAVY_EXPONENT = 64
"""Weights whose sum overflows are divided by 2**64."""

EXTREME_T = 2.0**-100
"""A z-loss with a temperature below this, or above its inverse, is computed in decimals."""

CLOSE_OF_FLOAT = 2.0**-20
"""Where terms of results of float32 are closer than this, they are computed again."""

STEEP = 2.0**10
"""The same for a soft cap that is so much larger than the temperature."""

HUGE = 1e300
"""Above this, a sum of costs may overflow although the exact loss does not."""


class _Weights(NamedTuple):
    """Target weights, scaled by a power of two per row; arrays are of shape (C, N) or (N,)."""

    q: FloatArray
    s: FloatArray
    s_without: FloatArray
    """s - q_c, as the sum of the other weights."""
    exponent: IndexArray
    """Multiplying by 2**exponent undoes the scaling."""
    is_lost: BoolArray
    """Which rows have weights that are 0 beside their heaviest, although they are not."""


def compute_block(rows: FloatArray, objective: Objective, out: SoftmaxCrossEntropy) -> None:
    """Compute the results that `out` has arrays for, for rows with labels and no options."""
    f = softmax(rows)
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
    rows: FloatArray, objective: Objective, out: SoftmaxCrossEntropy, *, are_float: bool = False
) -> None:
    """Compute the results that `out` has arrays for, for any target weights and temperatures.

    The gradient is ((s - q_c) f(x)_c - q_c (1 - f(x)_c)) / T. Neither inner difference cancels. A
    z-loss adds 2 z (m / T + log S) f(x)_c / T, and all is multiplied by the derivative of the cap.
    Results that are to be rounded to float32 need fewer digits.
    """
    f = softmax(rows, objective.temperature, objective.softcap)
    weights = _target_weights(objective, rows, are_float)
    temperature = np.ones(len(rows)) if objective.temperature is None else objective.temperature
    faint, is_near = _faint_rests(f), np.zeros(len(rows), np.bool)
    is_unsure = weights.is_lost | _are_out_of_range(objective, temperature)
    a = rows if f.capped is None else f.capped.values.T

    z_losses, slopes = np.zeros(len(rows)), np.zeros(len(rows))
    if objective.z_scale is not None:
        z_weights, log_sums = objective.z_weights(), _log_sums(a, f, temperature)
        slopes = np.where(z_weights == 0.0, 0.0, 2.0 * z_weights * log_sums)
        z_losses = 0.5 * slopes * log_sums
        # Where the two parts of the logarithm cancel.
        is_near = (np.abs(log_sums) < 0.5) & (z_weights > 0.0)
    if out.probs is not None:
        out.probs[...] = f.probs.T
    if out.grad_probs is not None:
        out.grad_probs[...] = _by_probs(f, weights).T
    if out.grad_logits is not None:
        gradient, size = _weighted_gradient(f, weights, temperature, slopes, faint)
        is_near |= _are_close(objective, gradient, size, are_float)
        out.grad_logits[...] = _times_slopes(gradient, f.capped).T
    chosen = np.flatnonzero(is_near & ~is_unsure)
    if chosen.size:
        again = computed_again(rows[chosen], objective.part(chosen))
        is_unsure |= _put_again(again, chosen, out, z_losses, f.capped)
    if out.loss is not None:
        out.loss[...] = _weighted_loss(a, weights, temperature, f, faint) + z_losses
    if out.z_loss is not None:
        out.z_loss[...] = z_losses
    _compute_exactly(rows, objective, out, is_unsure)


def _compute_exactly(
    rows: FloatArray, objective: Objective, out: SoftmaxCrossEntropy, is_unsure: BoolArray
) -> None:
    """Compute rows again in decimals: those that are unsure, and those with NaN in a result."""
    for name in out.fields:
        values = getattr(out, name)
        is_unsure |= np.isnan(values if values.ndim == 1 else values.sum(axis=1))
    unsure = np.flatnonzero(is_unsure)
    if unsure.size:
        numbers = empty_results((len(unsure), rows.shape[1]), rows.dtype, out.fields, None)
        compute_exact_rows(rows[unsure], objective.part(unsure), numbers)
        out.put(unsure, numbers)


def _are_out_of_range(objective: Objective, temperature: FloatArray) -> BoolArray:
    """Return which rows have factors that only decimals take.

    A cap far above T shows the bits that it has lost, and what a temperature far from 1 is
    multiplied by may be as far from it.
    """
    is_extreme = (temperature < EXTREME_T) | (temperature > 1.0 / EXTREME_T)
    if objective.z_scale is None:
        is_extreme = np.zeros(len(temperature), np.bool)
    if objective.softcap is not None:
        is_extreme |= objective.softcap / temperature > STEEP
    return is_extreme


def _are_close(
    objective: Objective, gradient: FloatArray, size: FloatArray, are_float: bool
) -> BoolArray:
    """Return the rows in which terms of dL/da are so close that digits cancel."""
    if objective.has_labels and objective.z_scale is None:
        return np.zeros(gradient.shape[1], np.bool)
    # With a z-loss there are three terms, whose errors add up.
    if objective.z_scale is not None and not are_float:
        return np.ones(gradient.shape[1], np.bool)
    limit = CLOSE_OF_FLOAT if are_float else CLOSE
    return np.asarray((np.abs(gradient) < limit * size).any(axis=0))


def _times_slopes(gradient: FloatArray, limited: Capped | None) -> FloatArray:
    """Return derivatives times those of the cap."""
    if limited is None:
        return gradient
    slope, exponent = limited.slopes, limited.exponents
    return np.where(slope == 0.0, 0.0, np.ldexp(gradient * slope, exponent))


def _put_again(
    again: Again,
    chosen: IndexArray,
    out: SoftmaxCrossEntropy,
    z_losses: FloatArray,
    limited: Capped | None,
) -> BoolArray:
    """Write what was computed again of chosen rows: dL/da where it is right, and z-losses.

    Return the rows in which that takes still more digits.
    """
    z_losses[chosen] = again.z_losses
    is_unsure = np.zeros(len(z_losses), np.bool)
    is_unsure[chosen] = ~again.has_z_loss
    if out.grad_logits is not None:
        gradient = np.zeros((len(again.gradient), len(z_losses)))
        gradient[:, chosen] = again.gradient
        gradient = _times_slopes(gradient, limited)[:, chosen].T
        out.grad_logits[chosen] = np.where(again.is_right.T, gradient, out.grad_logits[chosen])
        is_unsure[chosen] |= ~again.is_enough
    return is_unsure


def _by_probs(f: Softmax, weights: _Weights) -> FloatArray:
    """Return dL/dp, of shape (C, N)."""
    q, exponent = weights.q, weights.exponent
    counts = q > 0.0
    result = np.zeros_like(q)
    result[counts] = -times_exp(
        np.broadcast_to(f.total, q.shape)[counts],
        -f.d[counts],
        (f.lost - f.d_error)[counts],
        q[counts],
        np.broadcast_to(exponent, q.shape)[counts],
    )
    return result


def _weighted_gradient(
    f: Softmax,
    weights: _Weights,
    temperature: FloatArray,
    slopes: FloatArray,
    faint: dict[int, float],
) -> tuple[FloatArray, FloatArray]:
    """Return dL/da and the largest of its terms, of shape (C, N).

    `slopes` are the derivatives of z-losses by log S.
    """
    q, s_without = weights.q, weights.s_without
    t, k = np.frexp(temperature)
    exponent = weights.exponent - k
    gained = _times_probs(f, s_without, temperature, weights.exponent)
    lost = q * np.where(f.d == 0.0, f.complement, 1.0 - f.probs)
    lost = np.ldexp(lost / t, exponent)
    for row, rest in faint.items():
        top = f.d[:, row] == 0.0, row
        lost[top] = times_scaled(q[top], rest / t[row], exponent[row])
    gradient, size = gained - lost, np.maximum(gained, lost)
    if slopes.any():
        none = np.zeros(len(slopes), dtype=np.intp)
        penalty = _times_probs(f, slopes, temperature, none)
        gradient, size = gradient + penalty, np.maximum(size, np.abs(penalty))
    return gradient, size


def _times_probs(
    f: Softmax, factor: FloatArray, temperature: FloatArray, exponent: IndexArray
) -> FloatArray:
    """Return factor * f(x) / T * 2**exponent, of shape (C, N)."""
    t, k = np.frexp(temperature)
    exponent = exponent - k
    result = np.ldexp(factor * f.probs / t, exponent)
    # Where f(x) underflows, or nearly so, its product with a factor need not.
    tiny = np.nonzero((f.d < TINY_EXPONENT_OF_E) & (f.d > -math.inf))
    power = small_exp(f.d[tiny], (f.d_error - f.lost)[tiny]) / f.total[tiny[1]] / t[tiny[1]]
    factors = np.broadcast_to(factor, f.probs.shape)
    result[tiny] = times_scaled(factors[tiny], power, exponent[tiny[1]])
    # A factor that overflows does not make a probability of 0 count.
    result[np.isinf(factors) & (f.probs == 0.0)] = 0.0
    return np.asarray(result)


def _log_sums(a: FloatArray, f: Softmax, temperature: FloatArray) -> FloatArray:
    """Return log sum_c exp(a_c / T) of rows a, which are capped if there is a soft cap."""
    top = a.argmax(axis=1), np.arange(len(a))
    largest = a.T[top]
    quotient = largest / temperature
    lost = remainder(largest, quotient, temperature) / temperature
    lost[~np.isfinite(lost)] = 0.0
    if f.capped is not None:
        lost += f.capped.tails[top] / temperature
    return np.asarray(quotient + (np.log1p(f.rest) + (lost + f.rest_error / f.total)))


def _target_weights(objective: Objective, rows: FloatArray, are_float: bool) -> _Weights:
    """Return the target weights of rows, scaled so that they neither underflow nor overflow."""
    q = objective.weights(rows.shape[1], gain=2.0 ** (GAIN_EXPONENT // 2))
    exponent = np.full(len(rows), -GAIN_EXPONENT)
    if not (objective.is_plain or are_float):
        # Each factor would take half a last place.
        exact, is_usual = target_weights(objective, rows.shape[1])
        q[is_usual] = np.ldexp(exact.x.T[is_usual], GAIN_EXPONENT)
    heavy = ~(q.max(axis=1) < HEAVY)
    is_lost = np.zeros(len(rows), np.bool)
    if heavy.any():
        counts = q[heavy] > 0.0
        q[heavy] = objective.part(heavy).weights(rows.shape[1])
        is_lost[heavy] = (counts & (q[heavy] == 0.0)).any(axis=1)
        exponent[heavy] = 0
        # A quotient by the significand of T may be twice as large as the weights.
        overflows = heavy & ~(q.sum(axis=1) < 2.0**1022)
        q[overflows] = np.ldexp(q[overflows], -HEAVY_EXPONENT)
        exponent[overflows] = HEAVY_EXPONENT
    q = by_class(q)
    s, s_without = _sums_without_each(q)
    # Drop the copy that `by_class` made of a single row.
    count = len(rows)
    return _Weights(q[:, :count], s[:count], s_without[:, :count], exponent, is_lost)


def _sums_without_each(q: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the sum of each column, and for each element the sum of the others in its column."""
    top = q.argmax(axis=0), np.arange(q.shape[1])
    rest = q.copy()
    rest[top] = 0.0
    others, others_error = sum_classes(rest, np.zeros_like(q), 0.0)
    s = q[top] + others
    # s - q does not cancel: only the largest element can exceed half of the sum.
    without = (s - q) + others_error
    without[top] = others
    return s, without


def _faint_rests(f: Softmax) -> dict[int, float]:
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
    f: Softmax,
    faint: dict[int, float],
) -> FloatArray:
    """Return s log(S) + sum_c q_c (-d_c), in which no term is negative."""
    q, s, exponent = weights.q, weights.s, weights.exponent
    counts = (q > 0.0) & (f.d > -math.inf)
    d, d_error = np.where(counts, f.d, 0.0), np.where(counts, f.d_error, 0.0)
    costs, costs_error = sum_classes(q * -d, q * -d_error, 0.0)
    loss = (s * np.log1p(f.rest) + (s * f.rest_error / f.total + costs_error)) + costs
    for row, rest in faint.items():
        loss[row] = times_scaled(s[row], rest, 0) + (costs[row] + costs_error[row])
    loss = np.ldexp(loss, exponent)
    # Sums near the largest float, and a d_c that overflows before it is multiplied by q_c.
    odd = ~(costs < HUGE) | ((q > 0.0) & (f.d == -math.inf)).any(axis=0)
    for row in np.flatnonzero(odd).tolist():
        divisor = math.ldexp(1.0, -int(exponent[row])), float(temperature[row])
        tails = np.zeros(len(q)) if f.capped is None else f.capped.tails[:, row]
        of_row = rows[row], tails, q[:, row]
        loss[row] = _huge_loss(*of_row, math.log1p(f.rest[row]), divisor)
    return loss


def _huge_loss(
    a: FloatArray, tails: FloatArray, q: FloatArray, log_sum: float, divisor: tuple[float, float]
) -> float:
    """Return a loss whose intermediate values overflow float64, or infinity if it does itself.

    `tails` are to be added to the logits a. `log_sum` is log(S). `divisor` is the factor by which q
    is scaled, and the temperature.
    """
    from fractions import Fraction

    counts = q > 0.0
    if not np.isfinite(a[counts]).all():
        return math.inf
    too_large, temperature = map(Fraction, divisor)
    m = int(a.argmax())
    top = Fraction(float(a[m])) + Fraction(float(tails[m]))
    logits = zip(a[counts].tolist(), tails[counts].tolist(), strict=True)
    costs = (
        Fraction(weight)
        * ((top - Fraction(logit) - Fraction(tail)) / temperature + Fraction(log_sum))
        for weight, (logit, tail) in zip(q[counts].tolist(), logits, strict=True)
    )
    try:
        return float(sum(costs, start=Fraction(0)) / too_large)
    except OverflowError:
        return math.inf
