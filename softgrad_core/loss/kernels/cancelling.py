"""Derivatives whose two terms cancel, and divergences, with twice the digits of float64.

dL/da_c is (s f(x)_c - q_c) / T. Where a network is nearly trained on smoothed labels, these terms
are alike in many digits, and their rounding errors are all that float64 keeps of the difference.
The notation is that of shifted.py.
"""

from typing import NamedTuple

import numpy as np

from softgrad_core.loss.kernels.exact import exact_row
from softgrad_core.loss.kernels.pairs import (
    Pair,
    add,
    exp,
    log,
    over,
    pair,
    tanh,
    times,
    total,
    two_sum,
)
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray, Objective
from softgrad_core.loss.targets import IndexArray

Places = tuple[IndexArray, IndexArray]
"""A class and a row, for each row."""

CLOSE = 0.9
"""Where the difference of two terms is less than so much of the larger one, they are close."""

LOST = 2.0**-97
"""What terms in pairs may have lost, by themselves, and by a soft cap over T."""

ENOUGH = 2.0**54
"""By so much more than what was lost, a difference has all the digits of float64."""

SMALLEST, LARGEST = 2.0**-300, 2.0**300
"""Factors of usual size: their products keep all digits of a pair."""

LOWEST = -700.0
"""exp of all below is as good as 0 beside a target weight of usual size."""


class Doubled(NamedTuple):
    """What is computed of N rows; arrays of shape (C, N) or (N,).

    Attributes
    ----------
    gradient
        dL/da, but for the derivative of a cap.
    z_losses
        The z-loss, 0 where there is none.
    divergence
        The loss with sum_c q_c log q_c added, but for a z-loss.
    is_right
        Where the gradient has not underflowed.
    is_enough, is_told
        Whether the gradient has all its digits where it cancels, and whether the divergence has.
    """

    gradient: FloatArray
    z_losses: FloatArray
    divergence: FloatArray
    is_right: BoolArray
    is_enough: BoolArray
    is_told: BoolArray


class _Sums(NamedTuple):
    """The sums of a row: of e without the largest and of all, and of q likewise."""

    rest: Pair
    total: Pair
    others: Pair
    weights: Pair
    slope: Pair
    """The derivative of a z-loss by log S."""


def doubled(rows: FloatArray, objective: Objective) -> Doubled:
    """Compute again what cancels in rows of logits, in which masked classes are -infinity."""
    ones = np.ones(len(rows))
    t = ones if objective.temperature is None else objective.temperature
    steep = 0.0 if objective.softcap is None else objective.softcap / t
    z, is_masked = _capped(rows.T, objective.softcap)
    top = _largest(z, is_masked), np.arange(len(rows))
    inverse_t = over(pair(ones), pair(t))
    d = times(add(z, -z.at(top)), inverse_t.as_rows(z.x.shape))
    is_gone = is_masked | (d.x < LOWEST)
    e = exp(d.without(is_gone)).without(is_gone)
    rest = total(_without_one(e, top))
    logs = log(add(rest, pair(ones)))
    log_sums = add(times(z.at(top), inverse_t), logs)
    q, is_usual = target_weights(objective, rows.shape[1])
    others = total(_without_one(q, top))
    slope = times(_z_slopes(objective), log_sums)
    sums = _Sums(rest, add(rest, pair(ones)), others, add(others, q.at(top)), slope)
    x, size = _numerators(e, q, top, sums)
    is_usual &= _are_usual(t) & (steep < LARGEST) & ~np.isnan(x.x).any(axis=0)
    is_lost = (np.abs(x.x) < CLOSE * size) & (np.abs(x.x) < LOST * (1.0 + steep) * ENOUGH * size)
    divergence, is_told = _divergences(objective, d, is_masked, logs)
    if objective.z_scale is not None:
        is_told &= np.abs(log_sums.x) > 0.5
    return Doubled(
        times(x, over(inverse_t, sums.total).as_rows(x.x.shape)).x,
        0.5 * times(slope, log_sums).x,
        divergence,
        is_usual & ~(is_gone & (q.x == 0.0)),
        is_usual & ~is_lost.any(axis=0),
        is_told,
    )


def divergences(rows: FloatArray, objective: Objective) -> FloatArray:
    """Return the losses of rows that are divergences, with all their digits."""
    again = doubled(rows, objective)
    losses = again.divergence + again.z_losses
    for row in np.flatnonzero(~again.is_told | np.isnan(losses)).tolist():
        losses[row] = exact_row(rows[row].tolist(), objective.part([row])).divergence
    return losses


def _numerators(e: Pair, q: Pair, top: Places, sums: _Sums) -> tuple[Pair, FloatArray]:
    """Return (s + slope) e - q S, and the larger of the two terms.

    At the largest logit this is (others + slope) e - q rest.
    """
    is_top = np.zeros(e.x.shape, np.bool)
    is_top[top] = True

    def by_class(at_top: Pair, elsewhere: Pair) -> Pair:
        pairs = zip(at_top, elsewhere, strict=True)
        return Pair(*(np.where(is_top, one, other) for one, other in pairs))

    s = by_class(sums.others, sums.weights)
    gained = times(add(s, sums.slope.as_rows(s.x.shape)), e)
    lost = times(q, by_class(sums.rest, sums.total))
    size = np.maximum((s.x + np.abs(sums.slope.x)) * e.x, lost.x)
    return add(gained, -lost), size


def _capped(a: FloatArray, cap: FloatArray | None) -> tuple[Pair, BoolArray]:
    """Return the capped logits, 0 for masked classes, and which these are."""
    is_masked = a == -np.inf
    a = np.where(is_masked, 0.0, a)
    if cap is None:
        return pair(a), is_masked
    caps = pair(np.broadcast_to(cap, a.shape))
    limited = times(caps, tanh(over(pair(np.abs(a)), caps)))
    return Pair(np.copysign(limited.x, a), limited.tail * np.where(a < 0.0, -1.0, 1.0)), is_masked


def _largest(z: Pair, is_masked: BoolArray) -> IndexArray:
    """Return where the largest logit of each row is; of equal ones, that with the largest tail."""
    x = np.where(is_masked, -np.inf, z.x)
    return np.asarray(np.where(x == x.max(axis=0), z.tail, -np.inf).argmax(axis=0))


def _without_one(x: Pair, place: Places) -> Pair:
    x = Pair(x.x.copy(), x.tail.copy())
    x.x[place] = x.tail[place] = 0.0
    return x


def _are_usual(factors: FloatArray) -> BoolArray:
    return (factors >= SMALLEST) & (factors <= LARGEST)


def _smoothed(objective: Objective, classes: int) -> Pair:
    """Return (1 - ε) t + ε / K."""
    t = pair(objective.targets(classes).T.astype(np.float64))
    if objective.smoothing is None:
        return t
    smoothing, ones = objective.smoothing, np.ones(len(objective.smoothing))
    count: FloatArray = classes * ones
    if objective.num_classes is not None:
        count = objective.num_classes.astype(np.float64)
    part = over(pair(smoothing), pair(count)).as_rows(t.x.shape)
    q = add(times(t, two_sum(ones, -smoothing).as_rows(t.x.shape)), part)
    return q.without(np.arange(classes)[:, np.newaxis] >= count)


def target_weights(objective: Objective, classes: int) -> tuple[Pair, BoolArray]:
    """Return the target weights, and whether they and their factors are of usual size."""
    q = _smoothed(objective, classes)
    share, is_usual = _share(objective, objective.divisor)
    # What has underflowed on the way is no 0.
    is_usual &= (_are_usual(q.x) | (q.x == 0.0)).all(axis=0)
    if objective.smoothing is not None:
        is_usual &= _are_usual(objective.smoothing)
    if objective.class_weights is not None:
        w = objective.class_weights.T
        q = times(q, pair(w))
        is_usual &= (_are_usual(w) | (w == 0.0)).all(axis=0)
    q = times(q, share.as_rows(q.x.shape))
    return q, is_usual & (_are_usual(q.x) | (q.x == 0.0)).all(axis=0)


def _share(objective: Objective, divisor: FloatArray | None) -> tuple[Pair, BoolArray]:
    """Return m over a divisor, 0 for rows that do not count, and whether both are usual."""
    ones = np.ones(len(objective.labels))
    scale = ones if objective.scale is None else objective.scale
    by = ones if divisor is None else divisor
    is_nothing = by == 0.0
    if objective.counted is not None:
        is_nothing = is_nothing | ~objective.counted
    share = over(pair(scale * ones), pair(np.where(is_nothing, 1.0, by)))
    is_usual = _are_usual(scale) & (_are_usual(by) | is_nothing)
    return share.without(is_nothing), is_usual


def _z_slopes(objective: Objective) -> Pair:
    """Return twice the weights of the z-loss."""
    if objective.z_scale is None:
        return pair(np.zeros(len(objective.labels)))
    share, _ = _share(objective, objective.z_divisor)
    return times(pair(2.0 * objective.z_scale), share)


def _divergences(
    objective: Objective, d: Pair, is_masked: BoolArray, logs: Pair
) -> tuple[FloatArray, BoolArray]:
    """Return m / D sum_c q_c (log q_c - log f(x)_c), and whether all its digits are there."""
    if objective.is_divergence is None:
        return np.zeros(len(logs.x)), np.zeros(len(logs.x), np.bool)
    q = _smoothed(objective, len(d.x))
    counts = q.x > 0.0
    is_usual = (~counts | (_are_usual(q.x) & ~is_masked)).all(axis=0)
    safe = Pair(np.where(counts & _are_usual(q.x), q.x, 1.0), np.where(counts, q.tail, 0.0))
    term = times(q, add(log(safe), add(logs.as_rows(q.x.shape), -d))).without(~counts)
    size = (np.abs(term.x) + q.x * (1.0 + np.abs(d.x))).sum(axis=0)
    share, _ = _share(objective, objective.divisor)
    whole = total(term)
    is_told = is_usual & (np.abs(whole.x) >= LOST * ENOUGH * size)
    return times(whole, share).x, is_told
