"""Rows of usual size in NumPy, in blocks that fit in the cache, where no kernel was compiled.

The formulas and the notation are those of `direct.c`: exp(a) itself, from which nothing is
subtracted, and what rounding took where two terms are close. Here e is known to about 2**-74, as a
head of 26 bits and a tail: products of two heads are exact.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad_core.loss.error_free import upper_half
from softgrad_core.loss.kernels.exponentials import Exponentials, exponentials
from softgrad_core.loss.kernels.factors import (
    SMALLEST,
    Factors,
    are_usual,
    factors_of,
)
from softgrad_core.loss.kernels.softmax import NARROW, by_class
from softgrad_core.loss.kernels.two_parts import (
    Two,
    log,
    over,
    plus,
    sum_in_two,
    times,
    two,
)
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray, Objective
from softgrad_core.loss.results import BLOCK_FIELDS, SoftmaxCrossEntropy, empty_results
from softgrad_core.loss.targets import IndexArray, Places

ELEMENTS = 1 << 16
"""Logits per block."""

LOWEST, HIGHEST = -700.0, 600.0
"""Logits of usual size: all exp(a) and their sums have all their digits."""

LOWEST_LARGEST = -300.0
"""The largest logit is at least this: 1 / S times any factor of usual size does not overflow."""

SMALLEST_RATIO = 2.0**-900
"""The quotient of two sums has all its digits, and so has its inverse."""

LIMIT_OF_LABELS = 0.75
"""How close terms may come where only the label has a weight: e is rounded there."""


class _Sums(NamedTuple):
    """Of each row e of one class, the sum of the others, and S; 1 / S, log S and the z-loss.

    `slope` is the derivative of the z-loss by log S.
    """

    one: Two
    rest: Two
    total: Two
    inverse: Two
    slope: Two
    z_loss: FloatArray
    is_usual: BoolArray


def compute_usual(
    rows: npt.NDArray[Any], objective: Objective, out: SoftmaxCrossEntropy
) -> IndexArray:
    """Compute the results that `out` has arrays for, and return the indices of the rows left."""
    blocks = [block for name in BLOCK_FIELDS if (block := getattr(out, name)) is not None]
    are_float = bool(blocks) and all(block.dtype.itemsize < 8 for block in [rows, *blocks])
    factors = factors_of(objective, rows.shape[1], are_float=are_float)
    step = max(1, ELEMENTS // rows.shape[1])
    left = [np.empty(0, np.intp)]
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        chosen = rows[block], objective.part(block), factors.part(block), out.part(block)
        # The derivative of a cap takes one more digit.
        in_parts = not (are_float or (objective.has_labels and objective.softcap is None))
        again = start + _compute_block(*chosen, in_parts=in_parts)
        if again.size and objective.has_labels and objective.z_scale is not None:
            again = again[
                _compute_in_parts(rows[again], objective.part(again), factors, again, out)
            ]
        left.append(again)
    return np.concatenate(left)


def _compute_in_parts(
    rows: npt.NDArray[Any],
    objective: Objective,
    factors: Factors,
    places: IndexArray,
    out: SoftmaxCrossEntropy,
) -> IndexArray:
    """Compute some rows whose z-loss cancels with e in two parts; return those still left."""
    numbers = empty_results(rows.shape, np.dtype(np.float64), out.fields, None)
    exact = factors.part(places)._replace(are_float=False)
    left = _compute_block(rows, objective, exact, numbers, in_parts=True)
    out.put(places, numbers)
    return left


def _compute_block(
    rows: npt.NDArray[Any],
    objective: Objective,
    factors: Factors,
    out: SoftmaxCrossEntropy,
    *,
    in_parts: bool,
) -> IndexArray:
    if len(rows) == 1 and rows.shape[1] <= NARROW:
        # NumPy sums a single row in another order.
        numbers = empty_results((2, rows.shape[1]), np.dtype(np.float64), out.fields, None)
        twice = [0, 0]
        given = rows[twice], objective.part(twice), factors, numbers
        left = _compute_block(*given, in_parts=in_parts)
        out.put(slice(None), numbers.part(slice(0, 1)))
        return left[:1]
    a = by_class(np.asarray(objective.masked(rows), np.float64))
    e = exponentials(a, objective, in_parts=in_parts)
    largest = e.d.max(axis=0)
    is_usual = e.d.min(axis=0) >= LOWEST
    if not is_usual.all():
        is_usual = ((e.d >= LOWEST) | (e.d == -np.inf)).all(axis=0)
    is_usual &= (largest >= LOWEST_LARGEST) & (largest <= HIGHEST) & factors.is_usual
    compute = _compute_labels if objective.has_labels else _compute_spread
    is_usual &= compute(e, objective, factors, out)
    if objective.counted is not None:
        for name in set(out.fields) - {"probs"}:
            getattr(out, name)[~objective.counted] = 0.0
    return np.flatnonzero(~is_usual)


def _compute_labels(
    e: Exponentials, objective: Objective, factors: Factors, out: SoftmaxCrossEntropy
) -> BoolArray:
    """Compute rows where the label alone has a target weight, and return which are usual."""
    places = np.arange(len(objective.labels)), objective.labels
    q = factors.more
    if objective.class_weights is not None:
        q = times(two(objective.class_weights[places]), q)
    f = _sums(e, places[::-1], factors)
    is_usual = f.is_usual & are_usual(q.x)
    factor = times(times(q, factors.by_t), f.inverse)
    if out.probs is not None:
        out.probs[...] = e.times(f.inverse).T
    if out.loss is not None:
        out.loss[...] = q.x * _log_of_sum(f) * factors.outer.x + f.z_loss
    if out.z_loss is not None:
        out.z_loss[...] = f.z_loss
    if out.grad_probs is not None:
        out.grad_probs[places] = 0.0 - times(over(f.total, f.one), times(q, factors.outer)).x
    if out.grad_logits is None:
        return is_usual
    x = -times(factor, f.rest)
    if objective.z_scale is not None:
        with_z = plus(q, f.slope)
        lost = times(q, f.rest)
        x = plus(times(f.slope, f.one), -lost)
        limit, least = factors.limit, factors.limit
        if e.tail is None and not factors.are_float:
            least = np.full(1, 0.125)
            limit = np.minimum(LIMIT_OF_LABELS + 2.0 * factors.z.x / q.x, 1.0)
        is_usual &= np.abs(x.x) >= limit * lost.x
        is_usual &= np.abs(with_z.x) >= least * (q.x + 20.0 * factors.z.x)
        by = times(factors.by_t, f.inverse)
        factor, x = times(with_z, by), times(x, by)
    gradient = e.times(factor)
    gradient[places[::-1]] = 0.0 + x.x
    if e.slopes is not None:
        gradient *= e.slopes
    out.grad_logits[...] = gradient.T
    return is_usual


def _compute_spread(
    e: Exponentials, objective: Objective, factors: Factors, out: SoftmaxCrossEntropy
) -> BoolArray:
    """Compute rows where several classes have target weights, and return which are usual."""
    places = np.arange(len(objective.labels))
    y, one = (objective.labels, places), (e.d.argmax(axis=0), places)
    f = _sums(e, one, factors)
    q, q_one, others = _weights(objective, factors, one, e.d.shape)
    s = plus(others, q_one)
    is_usual = f.is_usual & are_usual(s.x * factors.outer.x)
    is_masked = e.d == -np.inf
    if q is not None:
        is_usual &= ((q.x >= SMALLEST) | (q.x == 0.0)).all(axis=0)
    is_usual &= ~(is_masked if q is None else is_masked & (q.x > 0.0)).any(axis=0)
    if out.probs is not None:
        out.probs[...] = e.times(f.inverse).T
    if out.loss is not None:
        costs = _costs(e, y, one, factors, q)
        out.loss[...] = (s.x * _log_of_sum(f) + costs) * factors.outer.x + f.z_loss
        is_usual &= costs < np.inf
    if out.z_loss is not None:
        out.z_loss[...] = f.z_loss
    if out.grad_probs is not None:
        out.grad_probs[...] = _by_probs(e, f, factors, y, q).T
        is_usual &= e.d.max(axis=0) - np.where(is_masked, 0.0, e.d).min(axis=0) <= HIGHEST
    if out.grad_logits is None:
        return is_usual
    with_z, by = plus(s, f.slope), times(factors.by_t, f.inverse)
    is_usual &= np.abs(with_z.x) >= factors.limit * (s.x + np.abs(f.slope.x))
    factor = times(with_z, by)
    gradient, is_far = _gradient(e, factor, factors, q)
    if q is None:
        q_y = times(plus(factors.other, factors.more), factors.by_t)
        _put(gradient, is_far, y, (times(e.at(y), factor), q_y), factors.limit)
    gained, lost = times(plus(others, f.slope), f.one), times(q_one, f.rest)
    _put(gradient, is_far, one, (times(gained, by), times(lost, by)), factors.limit)
    if e.slopes is not None:
        gradient *= e.slopes
    # Adding 0 has a 0 be 0 and not -0.
    out.grad_logits[...] = np.add(gradient, 0.0, out=gradient).T
    return is_usual & is_far.all(axis=0)


def _put(
    gradient: FloatArray,
    is_far: BoolArray,
    places: Places,
    terms: tuple[Two, Two],
    limit: FloatArray,
) -> None:
    """Write the difference of two terms, and whether they are far from one another."""
    x = plus(terms[0], -terms[1]).x
    gradient[places] = 0.0 + x
    is_far[places] = np.abs(x) >= limit * terms[1].x


def _gradient(
    e: Exponentials, factor: Two, factors: Factors, q: Two | None
) -> tuple[FloatArray, BoolArray]:
    """Return e factor - q / T, of shape (C, N), and where these terms are not too close."""
    by_t = factors.by_t
    whole = factors.other if q is None else q
    if q is None or (by_t.x != 1.0).any():
        whole = times(whole, by_t)
    if e.tail is None:
        gradient = e.head * factor.x
        gradient -= whole.x
    else:
        head = upper_half(factor.x + factor.x * 2.0**-27)
        gradient = e.head * head
        gradient -= whole.x
        small = e.head * ((factor.x - head) + factor.lost)
        small += e.tail * factor.x
        small -= whole.lost
        gradient += small
    return gradient, np.abs(gradient) >= factors.limit * whole.x


def _weights(
    objective: Objective,
    factors: Factors,
    one: Places,
    shape: tuple[int, ...],
) -> tuple[Two | None, Two, Two]:
    """Return q if it needs an array, that of one class of each row, and the sum of the others."""
    has_weights = objective.class_weights is not None
    if objective.distribution is None and objective.num_classes is None and not has_weights:
        is_label = one[0] == objective.labels
        label = Two(factors.more.x * is_label, factors.more.lost * is_label)
        count: FloatArray = np.full(1, shape[0] - 1.0)
        others = times(factors.other, two(count))
        rest = Two(factors.more.x * ~is_label, factors.more.lost * ~is_label)
        return None, plus(factors.other, label), plus(others, rest)
    q = two(by_class(objective.targets(shape[0]).copy()))
    if objective.smoothing is not None:
        q = plus(times(q, factors.more), factors.other)
        if objective.num_classes is not None:
            is_class = np.arange(shape[0])[:, np.newaxis] < objective.num_classes
            q = Two(q.x * is_class, q.lost * is_class)
    elif (factors.more.x != 1.0).any():
        q = times(q, factors.more)
    if objective.class_weights is not None:
        q = times(q, two(by_class(objective.class_weights)))
    if q.lost.shape != shape:
        return q, two(q.x[one]), _sum_of_others(q.x, None, one)
    return q, Two(q.x[one], q.lost[one]), _sum_of_others(q.x, q.lost, one)


def _sum_of_others(head: FloatArray, tail: FloatArray | None, one: Places) -> Two:
    """Return the sums of all numbers but one of each row."""
    parts = [head] if tail is None else [head, tail]
    kept = [part[one] for part in parts]
    for part in parts:
        part[one] = 0.0
    others = sum_in_two(head, tail)
    for part, numbers in zip(parts, kept, strict=True):
        part[one] = numbers
    return others


def _costs(
    e: Exponentials,
    y: Places,
    one: Places,
    factors: Factors,
    q: Two | None,
) -> FloatArray:
    """Return sum_c q_c (d_one - d_c), in which no term is negative."""
    terms = e.d[one] - e.d
    if e.d_error is not None:
        terms += e.d_error[one] - e.d_error
    if q is not None:
        terms[q.x == 0.0] = 0.0
        terms *= q.x
        return sum_in_two(terms, None).x
    return factors.other.x * sum_in_two(terms, None).x + factors.more.x * terms[y]


def _by_probs(
    e: Exponentials,
    f: _Sums,
    factors: Factors,
    y: Places,
    q: Two | None,
) -> FloatArray:
    """Return -q S / e, of shape (C, N)."""
    whole = e.head if e.tail is None else e.head + e.tail
    lost = np.zeros_like(whole) if e.tail is None else (e.head - whole) + e.tail
    ratio = over(Two(*(np.broadcast_to(x, whole.shape) for x in f.total)), Two(whole, lost))
    if q is not None:
        return np.where(q.x == 0.0, 0.0, -times(ratio, times(q, factors.outer)).x)
    result = -times(ratio, times(factors.other, factors.outer)).x
    weight = times(plus(factors.other, factors.more), factors.outer)
    result[y] = -times(Two(*(x[y] for x in ratio)), weight).x
    return result


def _sums(e: Exponentials, one: Places, factors: Factors) -> _Sums:
    """Return the sums of e, in which `one` stands apart."""
    e_one = e.at(one)
    rest = _sum_of_others(e.head, e.tail, one)
    total = plus(rest, e_one)
    inverse = over(two(np.ones_like(total.x)), total)
    is_usual = (rest.x >= SMALLEST_RATIO * e_one.x) & (rest.x * SMALLEST_RATIO <= e_one.x)
    is_usual &= (rest.x > 0.0) & (e_one.x > 0.0)
    z = factors.z.x
    if not z.any():
        nothing = np.zeros_like(total.x)
        return _Sums(e_one, rest, total, inverse, two(nothing), nothing, is_usual)
    logs = log(total)
    slope = times(Two(2.0 * z, 2.0 * factors.z.lost), logs)
    z_loss = z * (logs.x * logs.x + 2.0 * logs.x * logs.lost)
    # Without tails, a sum near 1 has lost digits of its logarithm.
    least = 0.5 if e.tail is None and not factors.are_float else 2.0**-10
    is_usual &= (np.abs(logs.x) >= least) | (z == 0.0)
    return _Sums(e_one, rest, total, inverse, slope, z_loss, is_usual)


def _log_of_sum(f: _Sums) -> FloatArray:
    """Return log(S / e) of one class."""
    x = over(f.rest, f.one)
    return np.log1p(x.x) + x.lost / (1.0 + x.x)
