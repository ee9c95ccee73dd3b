"""Arithmetic on pairs of float64 arrays, x + tail, with twice the digits.

The sums and products are those of Dekker (A floating-point technique for extending the available
precision, 1971) and Knuth. Results are off by about 2**-102 of themselves, where nothing overflows
or underflows.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from softgrad_core.loss.error_free import product, remainder
from softgrad_core.loss.logits import FloatArray

LN2 = float.fromhex("0x1.62e42fefa3800p-1")
LN2_MIDDLE = float.fromhex("0x1.ef35793c76000p-45")
LN2_LAST = float.fromhex("0x1.cc01f97b57a08p-87")
"""log(2) in three parts; the first two have few bits, so that whole multiples of them are exact."""

DOUBLINGS = 5


class Pair(NamedTuple):
    """Numbers in two parts, of the same shape, the second below half a last place of the first."""

    x: FloatArray
    tail: FloatArray

    def __neg__(self) -> "Pair":
        return Pair(-self.x, -self.tail)

    def at(self, places: Any) -> "Pair":
        """Return the numbers at these places."""
        return Pair(self.x[places], self.tail[places])

    def without(self, left_out: Any) -> "Pair":
        """Return the numbers with 0 for those that a mask leaves out."""
        return Pair(np.where(left_out, 0.0, self.x), np.where(left_out, 0.0, self.tail))

    def as_rows(self, shape: tuple[int, ...]) -> "Pair":
        """Return a number for each row as one for each class of it."""
        return Pair(np.broadcast_to(self.x, shape), np.broadcast_to(self.tail, shape))


def pair(x: FloatArray) -> Pair:
    """Return float64 numbers as pairs."""
    return Pair(x, np.zeros_like(x))


def two_sum(x: FloatArray, y: FloatArray) -> Pair:
    """Return the exact sum of float64 numbers."""
    total = x + y
    of_y = total - x
    return Pair(total, (x - (total - of_y)) + (y - of_y))


def add(x: Pair, y: Pair) -> Pair:
    """Return x + y, exact to twice the digits where digits cancel, too."""
    first, second = two_sum(x.x, y.x), two_sum(x.tail, y.tail)
    total = _parts(first.x, first.tail + second.x)
    return _parts(total.x, total.tail + second.tail)


def times(x: Pair, y: Pair) -> Pair:
    """Return x * y."""
    one, other = _contiguous(x.x, y.x)
    whole = one * other
    return _parts(whole, product(one, other, whole) + (x.x * y.tail + x.tail * y.x))


def over(x: Pair, y: Pair) -> Pair:
    """Return x / y."""
    one, other = _contiguous(x.x, y.x)
    whole = one / other
    return _parts(whole, (remainder(one, whole, other) + (x.tail - whole * y.tail)) / other)


def total(x: Pair) -> Pair:
    """Return the sums along the first axis, in which neighbours are added first."""
    while len(x.x) > 1:
        half = len(x.x) // 2
        halves = add(x.at(slice(half)), x.at(slice(half, 2 * half)))
        rest = x.at(slice(2 * half, None))
        x = Pair(*(np.concatenate(both) for both in zip(halves, rest, strict=True)))
    return x.at(0)


def exp(x: Pair) -> Pair:
    """Return exp(x), for an x from -700 to 700.

    x = k log 2 + 32 r, where exp(r) - 1 is a sum of powers, and is doubled five times:
    exp(2 r) - 1 = 2 y + y**2 with y = exp(r) - 1.
    """
    k = np.rint(x.x / LN2)
    upper = two_sum(x.x - k * LN2, -k * LN2_MIDDLE)
    whole = add(upper, two_sum(x.tail, -k * LN2_LAST))
    r = Pair(whole.x / 2**DOUBLINGS, whole.tail / 2**DOUBLINGS)
    heads, tails = _coefficients()
    high = np.full_like(r.x, heads[-1])
    for coefficient in heads[-2:4:-1]:
        high = high * r.x + coefficient
    series = add(_constant(heads[4], tails[4], r.x), pair(high * r.x))
    for head, tail in zip(heads[3::-1], tails[3::-1], strict=True):
        series = add(_constant(head, tail, r.x), times(r, series))
    y = add(r, times(times(r, r), series))
    for _ in range(DOUBLINGS):
        y = add(Pair(2.0 * y.x, 2.0 * y.tail), times(y, y))
    e = add(pair(np.ones_like(y.x)), y)
    exponent = k.astype(np.int64)
    return Pair(np.ldexp(e.x, exponent), np.ldexp(e.tail, exponent))


def log(x: Pair) -> Pair:
    """Return log(x), by one step of Newton's method; near 1 to 2**-102 of 1."""
    first = pair(np.log(x.x))
    less = add(times(x, exp(-first)), pair(np.full_like(x.x, -1.0)))
    return add(first, add(less, pair(-0.5 * less.x * less.x)))


def tanh(x: Pair) -> Pair:
    """Return the hyperbolic tangent of an x from 0 on, to 2**-100 of 1."""
    small = np.minimum(x.x, 300.0)
    e = exp(Pair(-2.0 * small, np.where(small < x.x, 0.0, -2.0 * x.tail)))
    one = pair(np.ones_like(e.x))
    return over(add(one, -e), add(one, e))


def _parts(x: FloatArray, small: FloatArray) -> Pair:
    """Return a number and a smaller one as the pair of their sum."""
    whole = x + small
    return Pair(whole, (x - whole) + small)


def _contiguous(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return two arrays of one shape, whose bits can be looked at."""
    one, other = np.broadcast_arrays(x, y)
    return np.ascontiguousarray(one), np.ascontiguousarray(other)


def _constant(head: float, tail: float, like: FloatArray) -> Pair:
    return Pair(np.full_like(like, head), np.full_like(like, tail))


@cache
def _coefficients() -> tuple[list[float], list[float]]:
    """Return 1 / n! from n = 2 on, and what is to be added to them."""
    from fractions import Fraction
    from math import factorial

    exact = [Fraction(1, factorial(n)) for n in range(2, 14)]
    heads = [float(one) for one in exact]
    tails = [float(one - Fraction(head)) for one, head in zip(exact, heads, strict=True)]
    return heads, tails
