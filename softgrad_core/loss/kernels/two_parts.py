"""Arithmetic on numbers in two parts, x + lost, and exponentials with 20 bits more than float64.

It is what `direct.c` does with fused multiplications. Pieces of few bits have exact products.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from softgrad_core.loss.error_free import larger_first, product, remainder, two_sum
from softgrad_core.loss.kernels import triples
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.targets import IndexArray

PIECE = 1 << 14
"""Exponentials that are computed together: with all that is needed they fit in the L2 cache."""

ENTRIES = 1024
UNITS = [
    float.fromhex(part)
    for part in ("0x1.62e42ffp-11", "-0x1.718432a2p-45", "0x1.3c7673007e5edp-79")
]
"""log(2) / 1024 in three parts. The first two have few bits: whole multiples of them are exact."""

OF_HEAD, OF_RATIO = 1.5 * 2.0**27, 1.5 * 2.0**15
"""Adding and subtracting these rounds to multiples of 2**-25 and 2**-37."""


class Two(NamedTuple):
    """Numbers in two parts."""

    x: FloatArray
    lost: FloatArray

    def __neg__(self) -> "Two":
        return Two(-self.x, -self.lost)


def two(x: FloatArray) -> Two:
    """Return numbers of float64 in two parts."""
    return Two(x, np.zeros(1))


def plus(x: Two, y: Two) -> Two:
    """Return x + y."""
    whole, lost = two_sum(x.x, y.x)
    return Two(*larger_first(whole, lost + (x.lost + y.lost)))


def times(x: Two, y: Two) -> Two:
    """Return x * y."""
    whole = x.x * y.x
    return Two(*larger_first(whole, product(x.x, y.x, whole) + (x.x * y.lost + x.lost * y.x)))


def over(x: Two, y: Two) -> Two:
    """Return x / y."""
    whole = x.x / y.x
    return Two(*larger_first(whole, (remainder(x.x, whole, y.x) + (x.lost - whole * y.lost)) / y.x))


def log(x: Two) -> Two:
    """Return log(x), by one step of Newton's method."""
    m, k = np.frexp(x.x)
    first = np.log(m)
    e = exp_in_parts(-first, None)
    whole = times(plus(two(m), two(np.ldexp(x.lost, -k))), Two(*e))
    less = plus(whole, two(np.full_like(m, -1.0)))
    k = k.astype(np.float64)
    log = plus(two(first), Two(less.x, less.lost - 0.5 * less.x * less.x))
    return plus(Two(k * triples.LN2[0], k * triples.LN2[1]), log)


def sum_in_two(head: FloatArray, tail: FloatArray | None) -> Two:
    """Return the sums of numbers that are not negative, along the first axis.

    As in `sum_classes` of softmax.py, the upper parts of the heads are summed exactly.
    """
    _, exponent = np.frexp(head.sum(axis=0))
    cut = np.ldexp(1.0, exponent + 1)
    upper = head + cut
    upper -= cut
    high = upper.sum(axis=0)
    np.subtract(head, upper, out=upper)
    if tail is not None:
        upper += tail
    return Two(*two_sum(high, upper.sum(axis=0)))


def exp_in_parts(d: FloatArray, d_error: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Return exp(d + d_error) as a head of 26 bits and a tail, to about 2**-74."""
    head, tail = np.empty_like(d), np.empty_like(d)
    given, heads, tails = (x.ravel(order="K") for x in (d, head, tail))
    errors = None if d_error is None else d_error.ravel(order="K")
    for start in range(0, d.size, PIECE):
        piece = slice(start, start + PIECE)
        error = None if errors is None else errors[piece]
        heads[piece], tails[piece] = _exp_of_piece(given[piece], error)
    return head, tail


def _exp_of_piece(d: FloatArray, d_error: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Return the same; d = k log(2) / 1024 + r + small, where r has 26 bits."""
    k = np.rint(d * (1.0 / (UNITS[0] + UNITS[1])))
    r = k * UNITS[0]
    np.subtract(d, r, out=r)
    lost = k * UNITS[1]
    small = r.copy()
    r -= lost
    rounded = r + OF_RATIO
    rounded -= OF_RATIO
    small -= rounded
    small -= lost
    small -= np.multiply(k, UNITS[2], out=lost)
    if d_error is not None:
        small += d_error
    np.add(rounded, small, out=r)
    series = r * (1.0 / 120.0)
    for coefficient in (1.0 / 24.0, 1.0 / 6.0, 0.5):
        series += coefficient
        series *= r
    # exp(r + small) - 1 - r, from the sum of the two.
    series *= r
    series += small
    return _times_power(k.astype(np.int64), rounded, series)


def _times_power(k: IndexArray, r: FloatArray, small: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return 2**(k / 1024) (1 + r + small) as a head and a tail; the arrays are overwritten."""
    heads, tails = (part.take(k & (ENTRIES - 1)) for part in _table())
    k >>= 10
    k += 1023
    k <<= 52
    power = k.view(np.float64)
    tails += tails * (small + r)
    tails += np.multiply(heads, small, out=small)
    r *= heads
    head = heads + r
    head += OF_HEAD
    head -= OF_HEAD
    heads -= head
    r += heads
    r += tails
    head *= power
    r *= power
    return head, r


@cache
def _table() -> tuple[FloatArray, FloatArray]:
    """Return the powers 2**(j / 1024), rounded to 26 bits, and what is to be added to them."""
    j = np.arange(ENTRIES, dtype=np.float64)
    unit = triples.triple(np.full(ENTRIES, triples.LN2[0]), triples.LN2[1])
    x = triples.add(unit, triples.triple(np.full(ENTRIES, triples.LN2[2])))
    power = triples.exp(triples.times(x, triples.triple(j / ENTRIES)))
    heads = (power.x + OF_HEAD) - OF_HEAD
    return heads, (power.x - heads) + power.middle
