"""What the results of rows depend on beside their logits, in two parts; see usual.py."""

from typing import Any, NamedTuple

import numpy as np

from softgrad_core.loss.error_free import two_sum
from softgrad_core.loss.kernels.two_parts import Two, over, times, two
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray, Objective
from softgrad_core.loss.targets import IndexArray

SMALLEST, LARGEST = 2.0**-100, 2.0**100
"""Target weights and temperatures of usual size."""

STEEPEST = 2.0**10
"""A soft cap that is larger, by T, shows what was lost of it."""

LIMIT = 2.0**-20
"""Terms that are closer, by the larger of them, are left."""


class Factors(NamedTuple):
    """What does not depend on the logits, for each row or once for all.

    Attributes
    ----------
    inner, outer
        m / D, of which one is 1: it is in the target weights where there is a z-loss.
    by_t
        `outer` over T.
    z
        The weight of the z-loss.
    other, more
        The target weight of other classes than the label, and what the label has more.
    limit
        How close terms may come, by the larger of them.
    is_usual
        Whether these are.
    are_float
        Whether results are rounded to float32, or less.
    """

    inner: Two
    outer: Two
    by_t: Two
    z: Two
    other: Two
    more: Two
    limit: FloatArray
    is_usual: BoolArray
    are_float: bool

    def part(self, rows: slice | IndexArray) -> "Factors":
        """Return the factors of some rows."""

        def of(x: Any) -> Any:
            if isinstance(x, Two):
                return Two(*map(of, x))
            return x if isinstance(x, bool) or len(x) == 1 else x[rows]

        return Factors(*map(of, self))


def factors_of(objective: Objective, classes: int, *, are_float: bool) -> Factors:
    """Return the factors of rows."""
    ones = np.ones(1)
    scale, divisor, t, cap, smoothing, z_scale, z_divisor = (
        otherwise if x is None else for_all(x)
        for x, otherwise in (
            (objective.scale, ones),
            (objective.divisor, ones),
            (objective.temperature, ones),
            (objective.softcap, 0.0 * ones),
            (objective.smoothing, 0.0 * ones),
            (objective.z_scale, 0.0 * ones),
            (objective.z_divisor, ones),
        )
    )
    one = two(ones)
    share = _share(two(scale), divisor)
    inner, outer = (one, share) if objective.z_scale is None else (share, one)
    z = _share(times(two(scale), two(z_scale)), z_divisor)
    count: FloatArray = np.full(1, float(classes))
    if objective.num_classes is not None:
        count = for_all(objective.num_classes.astype(np.float64))
    other = over(two(smoothing), two(count))
    more = Two(*two_sum(ones, -smoothing))
    is_usual = are_usual(share.x) & are_usual(z.x) & are_usual(smoothing) & (t > 0.0)
    is_usual &= are_usual(t) & are_usual(more.x) & are_usual(cap) & (cap <= STEEPEST * t)
    limit = LIMIT * (1.0 + cap / t)
    by_t, other, more = over(outer, two(t)), times(other, inner), times(more, inner)
    return Factors(inner, outer, by_t, z, other, more, limit, is_usual, are_float)


def _share(x: Two, divisor: FloatArray) -> Two:
    """Return x over a divisor; the mean of no rows has gradients of 0."""
    is_nothing = divisor == 0.0
    share = over(x, two(np.where(is_nothing, 1.0, divisor)))
    return Two(*(np.where(is_nothing, 0.0, part) for part in share))


def for_all(x: FloatArray) -> FloatArray:
    """Return the numbers of rows, or one if all are the same."""
    return np.ascontiguousarray(x[:1] if x.strides[0] == 0 else x)


def are_usual(x: FloatArray) -> BoolArray:
    """Return which target weights are 0, or neither tiny nor huge."""
    return np.asarray((x == 0.0) | ((x >= SMALLEST) & (x <= LARGEST)))
