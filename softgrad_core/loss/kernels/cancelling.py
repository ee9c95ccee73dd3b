"""Derivatives whose two terms cancel, and divergences, with three times the digits of float64.

dL/da_c is (s f(x)_c - q_c) / T. Where a network is nearly trained on smoothed labels, these terms
are alike in many digits, and their rounding errors are all that float64 keeps of the difference.
Where targets are the network's own probabilities, these rounding errors are the difference.
The notation is that of shifted.py.
"""

from typing import NamedTuple

import numpy as np

from softgrad_core.loss.error_free import two_sum
from softgrad_core.loss.kernels.exact import exact_row
from softgrad_core.loss.kernels.triples import (
    Triple,
    add,
    exp,
    log,
    over,
    tanh,
    times,
    total,
    triple,
)
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray, Objective
from softgrad_core.loss.targets import IndexArray, Places

CLOSE = 0.9
"""Where the difference of two terms is less than so much of the larger one, they are close."""

LOST = 2.0**-145
"""What terms in triples may have lost, by themselves, and by a soft cap over T."""

ENOUGH = 2.0**54
"""By so much more than what was lost, a difference has all the digits of float64."""

SMALLEST, LARGEST = 2.0**-300, 2.0**300
"""Factors of usual size: their products keep all digits of a triple."""

LOWEST = -700.0
"""exp of all below is as good as 0 beside a target weight of usual size."""

FEW_BITS = 2.0**-80
"""Where no target is less than this by the largest, triples hold their differences exactly."""

TINY = 2.0**-40
"""Below this, two terms of a series have all the digits of float64."""


class Again(NamedTuple):
    """What is computed again of N rows; arrays of shape (C, N) or (N,).

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
    is_enough, has_z_loss, is_told
        Whether the gradient has all its digits where it cancels, and the z-loss and the divergence
        have.
    """

    gradient: FloatArray
    z_losses: FloatArray
    divergence: FloatArray
    is_right: BoolArray
    is_enough: BoolArray
    has_z_loss: BoolArray
    is_told: BoolArray


class _Sums(NamedTuple):
    """The sums of a row: of e without the largest and of all, and of q likewise."""

    rest: Triple
    total: Triple
    others: Triple
    weights: Triple


def computed_again(rows: FloatArray, objective: Objective) -> Again:
    """Compute again what cancels in rows of logits, in which masked classes are -infinity."""
    ones = np.ones(len(rows))
    t = ones if objective.temperature is None else objective.temperature
    error = LOST * (ones if objective.softcap is None else 1.0 + objective.softcap / t)
    z, is_masked = _capped(rows.T, objective.softcap)
    top = _largest(z, is_masked), np.arange(len(rows))
    d, largest = add(z, -z.at(top)), z.at(top)
    if objective.temperature is not None:
        d, largest = over(d, triple(t).as_rows(d.x.shape)), over(largest, triple(t))
    is_gone = is_masked | (d.x < LOWEST)
    e = exp(d.without(is_gone)).without(is_gone)
    rest = total(_without_one(e, top))
    q, is_usual = _weights(objective, rows.shape[1])
    share, is_usual_share = _share(objective, objective.divisor)
    others = total(_without_one(q, top))
    sums = _Sums(rest, add(rest, triple(ones)), others, add(others, q.at(top)))
    x, size = _numerators(e, q, top, sums)
    x, size = _of_equal_logits(x, size, rows.T, objective, q)
    divergence, is_told = _divergences(objective, e, (x, size), sums, error)
    x, size = times(x, share.as_rows(x.x.shape)), size * share.x
    slope, z_losses, has_z_loss = _z_losses(objective, largest, sums, is_masked, error)
    added = times(slope.as_rows(e.x.shape), e)
    x, size = add(x, added), np.maximum(size, np.abs(added.x))
    is_lost = (np.abs(x.x) < error * ENOUGH * size).any(axis=0)
    is_usual &= is_usual_share & _are_usual(t) & (error < 1.0) & ~np.isnan(x.x).any(axis=0)
    by = sums.total if objective.temperature is None else times(sums.total, triple(t))
    return Again(
        over(x, by.as_rows(x.x.shape)).x,
        z_losses,
        times(divergence, share).x,
        is_usual & ~(is_gone & (q.x == 0.0)),
        is_usual & has_z_loss & ~is_lost,
        is_usual & has_z_loss,
        is_usual & has_z_loss & is_told,
    )


def divergences(rows: FloatArray, objective: Objective) -> FloatArray:
    """Return the losses of rows that are divergences, with all their digits."""
    again = computed_again(rows, objective)
    losses = again.divergence + again.z_losses
    for row in np.flatnonzero(~again.is_told | np.isnan(losses)).tolist():
        losses[row] = exact_row(rows[row].tolist(), objective.part([row])).divergence
    return losses


def _numerators(e: Triple, q: Triple, top: Places, sums: _Sums) -> tuple[Triple, FloatArray]:
    """Return s e - q S, and the larger of the two terms.

    At the largest logit this is others e - q rest.
    """
    is_top = np.zeros(e.x.shape, np.bool)
    is_top[top] = True
    s = sums.others.where(is_top, sums.weights)
    gained, lost = times(s, e), times(q, sums.rest.where(is_top, sums.total))
    return add(gained, -lost), np.maximum(gained.x, lost.x)


def _of_equal_logits(
    x: Triple, size: FloatArray, a: FloatArray, objective: Objective, q: Triple
) -> tuple[Triple, FloatArray]:
    """Return the same for rows whose n logits are all equal from differences of target weights.

    The difference of s e and q S is that of sum_j q_j and n q_c. It may be 0, as it is for no other
    rows: where that is certain, `size` is 0 too.
    """
    is_masked = a == -np.inf
    first = (~is_masked).argmax(axis=0), np.arange(a.shape[1])
    is_equal = ((a == a[first]) | (is_masked & (q.x == 0.0))).all(axis=0)
    if not is_equal.any():
        return x, size
    less = add(q, -q.at(first)).without(is_masked)
    count: FloatArray = (~is_masked).sum(axis=0, dtype=np.float64)
    exact = add(total(less), -times(less, triple(count))).without(is_masked)
    t = objective.targets(len(a)).T
    if objective.smoothing is not None:
        t = np.where(objective.smoothing == 1.0, 0.0, t)
    is_zero = (t == t[first]) | is_masked
    if objective.class_weights is not None:
        w = objective.class_weights.T
        is_zero &= (w == w[first]) | is_masked
    is_zero = np.broadcast_to(is_zero.all(axis=0), size.shape)
    if objective.smoothing is None and objective.class_weights is None:
        has_few_bits = ((t >= t.max(axis=0) * FEW_BITS) | (t == 0.0)).all(axis=0)
        is_zero = is_zero | (has_few_bits & (exact.x == 0.0))
    return exact.where(is_equal, x), np.where(is_equal & is_zero, 0.0, size)


def _z_losses(
    objective: Objective, largest: Triple, sums: _Sums, is_masked: BoolArray, error: FloatArray
) -> tuple[Triple, FloatArray, BoolArray]:
    """Return the derivatives of z-losses by log S, the z-losses, and whether these are exact.

    All are 0 where there is no z-loss.
    """
    if objective.z_scale is None:
        none = np.zeros(len(objective.labels))
        return triple(none), none, np.ones(len(none), np.bool)
    log_sums = add(largest, logs := log(sums.total))
    share, is_usual = _share(objective, objective.z_divisor)
    slope = times(times(triple(2.0 * objective.z_scale), share), log_sums)
    size = np.abs(log_sums.x)
    is_exact = size >= error * ENOUGH * (np.abs(largest.x) + np.abs(logs.x))
    # Here e may be left out that are too small; of a single class there are none.
    is_exact &= (size >= SMALLEST) | ((~is_masked).sum(axis=0) == 1)
    return slope, 0.5 * times(slope, log_sums).x, is_usual & (is_exact | (share.x == 0.0))


def _capped(a: FloatArray, cap: FloatArray | None) -> tuple[Triple, BoolArray]:
    """Return the capped logits, 0 for masked classes, and which these are."""
    is_masked = a == -np.inf
    a = np.where(is_masked, 0.0, a)
    if cap is None:
        return triple(a), is_masked
    caps = triple(np.broadcast_to(cap, a.shape))
    limited = times(caps, tanh(over(triple(np.abs(a)), caps)))
    return (-limited).where(a < 0.0, limited), is_masked


def _largest(z: Triple, is_masked: BoolArray) -> IndexArray:
    """Return where the largest logit of each row is; of equal ones, that with the largest rest."""
    x = np.where(is_masked, -np.inf, z.x)
    return np.asarray(np.where(x == x.max(axis=0), z.middle, -np.inf).argmax(axis=0))


def _without_one(x: Triple, place: Places) -> Triple:
    x = Triple(*(part.copy() for part in x))
    for part in x:
        part[place] = 0.0
    return x


def _are_usual(factors: FloatArray) -> BoolArray:
    return (factors >= SMALLEST) & (factors <= LARGEST)


def _smoothed(objective: Objective, classes: int) -> Triple:
    """Return (1 - ε) t + ε / K."""
    t = triple(objective.targets(classes).T)
    if objective.smoothing is None:
        return t
    smoothing, ones = objective.smoothing, np.ones(len(objective.smoothing))
    count: FloatArray = classes * ones
    if objective.num_classes is not None:
        count = objective.num_classes.astype(np.float64)
    part = over(triple(smoothing), triple(count)).as_rows(t.x.shape)
    q = add(times(t, triple(*two_sum(ones, -smoothing))), part)
    return q.without(np.arange(classes)[:, np.newaxis] >= count)


def _weights(objective: Objective, classes: int) -> tuple[Triple, BoolArray]:
    """Return the target weights times D / m, and whether they are of usual size."""
    q = _smoothed(objective, classes)
    # What has underflowed on the way is no 0.
    is_usual = (_are_usual(q.x) | (q.x == 0.0)).all(axis=0)
    if objective.smoothing is not None:
        is_usual &= _are_usual(objective.smoothing)
    if objective.class_weights is not None:
        w = objective.class_weights.T
        q = times(q, triple(w))
        is_usual &= (_are_usual(w) | (w == 0.0)).all(axis=0)
    return q, is_usual & (_are_usual(q.x) | (q.x == 0.0)).all(axis=0)


def target_weights(objective: Objective, classes: int) -> tuple[Triple, BoolArray]:
    """Return the target weights, and whether they and their factors are of usual size."""
    q, is_usual = _weights(objective, classes)
    share, is_usual_share = _share(objective, objective.divisor)
    q = times(q, share)
    return q, is_usual & is_usual_share & (_are_usual(q.x) | (q.x == 0.0)).all(axis=0)


def _share(objective: Objective, divisor: FloatArray | None) -> tuple[Triple, BoolArray]:
    """Return m over a divisor, 0 for rows that do not count, and whether both are usual."""
    ones = np.ones(len(objective.labels))
    scale = ones if objective.scale is None else objective.scale
    by = ones if divisor is None else divisor
    is_nothing = by == 0.0
    if objective.counted is not None:
        is_nothing = is_nothing | ~objective.counted
    share = over(triple(scale * ones), triple(np.where(is_nothing, 1.0, by)))
    is_usual = _are_usual(scale) & (_are_usual(by) | is_nothing)
    return share.without(is_nothing), is_usual


def _divergences(
    objective: Objective,
    e: Triple,
    numerators: tuple[Triple, FloatArray],
    sums: _Sums,
    error: FloatArray,
) -> tuple[Triple, BoolArray]:
    """Return sum_c q_c (log q_c - log f(x)_c), and whether all its digits are there.

    With x = q / (s f(x)) - 1 it is s sum_c f(x)_c ((1 + x_c) log(1 + x_c) - x_c) + s log s, where
    no term of the first sum is negative.
    """
    nothing = triple(np.zeros(len(objective.labels)))
    if objective.is_divergence is None:
        return nothing, np.zeros(len(objective.labels), np.bool)
    one, of_row = triple(np.ones(e.x.shape)), triple(np.ones(e.x.shape[1]))
    gained = times(sums.weights.as_rows(e.x.shape), e)
    counts = e.x > 0.0
    x = over(-numerators[0], gained.where(counts, one)).without(~counts)
    ratio = add(one, x)
    is_zero = ratio.x <= 0.0
    logs = log(one.where(is_zero, ratio))
    terms = add(times(ratio, logs).without(is_zero), -x)
    is_tiny = np.abs(x.x) < TINY
    small = x.x * x.x * (0.5 - x.x / 6.0)
    terms = times(gained, triple(small).where(is_tiny, terms))
    whole = over(total(terms), sums.total)
    less = add(total(triple(objective.targets(len(e.x)).T)), -of_row)
    if objective.smoothing is not None:
        less = times(less, triple(*two_sum(of_row.x, -objective.smoothing)))
    result = add(whole, times(sums.weights, log(add(less, of_row))))
    lost = (numerators[1] / sums.total.x * np.abs(logs.x)).sum(axis=0) + (less.x != 0.0)
    lost *= error * ENOUGH
    # What a series of two terms gives may cancel as well.
    series = (gained.x / sums.total.x * small * is_tiny).sum(axis=0)
    # A class whose e was left out as too small may have no target weight.
    is_right = (counts | (numerators[0].x == 0.0)).all(axis=0)
    return result, is_right & (np.abs(result.x) >= np.maximum(lost, 0.25 * series))
