"""Arithmetic on triples of float64 arrays, x + middle + tail, with three times the digits.

The sums and products are those of Knuth and Dekker (A floating-point technique for extending the
available precision, 1971). Results are off by about 2**-155 of what they are made of, where nothing
overflows or underflows.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from softgrad_core.loss.error_free import UPPER_HALF, larger_first, two_sum
from softgrad_core.loss.logits import FloatArray

LN2 = [
    float.fromhex(part)
    for part in (
        "0x1.62e42fefa3800p-1",
        "0x1.ef35793c76800p-45",
        "-0x1.9ff0342543000p-90",
        "0x1.e6864ce5316c6p-137",
    )
]
"""log(2) in four parts. The first three have few bits: whole multiples of them are exact."""

DOUBLINGS = 8

ROUNDING = np.int64(1 << 26)
"""Half of the last of the bits that `UPPER_HALF` leaves."""

SHORT = 10
"""From this power on, the terms of exp are so small that float64 has enough of their digits."""


class Triple(NamedTuple):
    """Numbers in three parts of the same shape, each at most a last place of the one before."""

    x: FloatArray
    middle: FloatArray
    tail: FloatArray

    def __neg__(self) -> "Triple":
        return Triple(-self.x, -self.middle, -self.tail)

    def at(self, places: Any) -> "Triple":
        """Return the numbers at these places."""
        return Triple(*(part[places] for part in self))

    def where(self, is_this: Any, other: "Triple") -> "Triple":
        """Return the numbers, and others where a mask is false."""
        pairs = zip(self, other, strict=True)
        return Triple(*(np.where(is_this, one, another) for one, another in pairs))

    def without(self, left_out: Any) -> "Triple":
        """Return the numbers with 0 for those that a mask leaves out."""
        return Triple(*(np.where(left_out, 0.0, part) for part in self))

    def by(self, power: float) -> "Triple":
        """Return the numbers times a power of two."""
        return Triple(*(part * power for part in self))

    def as_rows(self, shape: tuple[int, ...]) -> "Triple":
        """Return a number for each row as one for each class of it."""
        return Triple(*(np.broadcast_to(part, shape) for part in self))


def triple(x: FloatArray, middle: FloatArray | float = 0.0) -> Triple:
    """Return numbers of float64, or in two parts, as triples."""
    return Triple(x, np.zeros_like(x) + middle, np.zeros_like(x))


def add(x: Triple, y: Triple) -> Triple:
    """Return x + y."""
    first, first_lost = two_sum(x.x, y.x)
    second, second_lost = two_sum(x.middle, y.middle)
    second, lost = two_sum(second, first_lost)
    return _normal(first, second, (x.tail + y.tail) + (second_lost + lost))


def times(x: Triple, y: Triple) -> Triple:
    """Return x * y."""
    one, other, one_middle, other_middle = map(_split, (x.x, y.x, x.middle, y.middle))
    first, first_lost = _product(one, other)
    second, second_lost = _product(one, other_middle)
    third, third_lost = _product(one_middle, other)
    middle, lost = two_sum(second, third)
    middle, more_lost = two_sum(middle, first_lost)
    tail = (x.x * y.tail + x.tail * y.x) + (x.middle * y.middle + (second_lost + third_lost))
    return _normal(first, middle, tail + (lost + more_lost))


def over(x: Triple, y: Triple) -> Triple:
    """Return x / y."""
    first = x.x / y.x
    left = add(x, -times(triple(first), y))
    second = left.x / y.x
    left = add(left, -times(triple(second), y))
    return _normal(first, second, left.x / y.x)


def total(x: Triple) -> Triple:
    """Return the sums along the first axis, in which neighbours are added first."""
    while len(x.x) > 1:
        half = len(x.x) // 2
        halves = add(x.at(slice(half)), x.at(slice(half, 2 * half)))
        rest = x.at(slice(2 * half, None))
        x = Triple(*(np.concatenate(both) for both in zip(halves, rest, strict=True)))
    return x.at(0)


def exp(x: Triple) -> Triple:
    """Return exp(x), for an x from -700 to 700.

    x = k log 2 + 2**8 r, where exp(r) - 1 is a sum of powers, and is doubled eight times:
    exp(2 r) - 1 = 2 y + y**2 with y = exp(r) - 1.
    """
    k = np.rint(x.x / LN2[0])
    multiple = -k * LN2[0], -k * LN2[1], -k * LN2[2], -k * LN2[3]
    r = add(x, _normal(*multiple[:2], np.zeros_like(k)))
    r = add(r, _normal(*multiple[2:], np.zeros_like(k))).by(2.0**-DOUBLINGS)
    coefficients = _coefficients()
    high = np.full_like(r.x, coefficients[-1][0])
    for coefficient in coefficients[-2 : SHORT - 3 : -1]:
        high = high * r.x + coefficient[0]
    series = triple(high)
    for coefficient in coefficients[SHORT - 3 :: -1]:
        series = add(_constant(coefficient, r.x), times(r, series))
    y = add(r, times(times(r, r), series))
    for _ in range(DOUBLINGS):
        y = add(y.by(2.0), times(y, y))
    e = add(triple(np.ones_like(y.x)), y)
    exponent = k.astype(np.int64)
    return Triple(*(np.ldexp(part, exponent) for part in e))


def log(x: Triple) -> Triple:
    """Return log(x), by one step of Newton's method; near 1 to 2**-155 of 1."""
    first = triple(np.log(x.x))
    less = add(times(x, exp(-first)), triple(np.full_like(x.x, -1.0)))
    square = times(less, less).by(-0.5)
    return add(first, add(less, add(square, triple(less.x * less.x * less.x / 3.0))))


def tanh(x: Triple) -> Triple:
    """Return the hyperbolic tangent of an x from 0 on, to 2**-150 of 1."""
    is_small = x.x < 300.0
    e = exp(x.where(is_small, triple(np.full_like(x.x, 300.0))).by(-2.0))
    one = triple(np.ones_like(e.x))
    return over(add(one, -e), add(one, e))


def _normal(x: FloatArray, middle: FloatArray, tail: FloatArray) -> Triple:
    """Return the sum of three numbers, of which cancelling may have left the first the smallest."""
    middle, tail = two_sum(middle, tail)
    x, middle = two_sum(x, middle)
    return Triple(x, *larger_first(middle, tail))


def _split(x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return numbers and their two halves, of 26 bits each: the upper one is rounded."""
    bits = np.ascontiguousarray(x).view(np.int64)
    upper = ((bits + ROUNDING) & UPPER_HALF).view(np.float64)
    return x, upper, x - upper


def _product(
    x: tuple[FloatArray, FloatArray, FloatArray], y: tuple[FloatArray, FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Return the product of numbers with their halves, and what rounding took from it."""
    whole = x[0] * y[0]
    return whole, x[2] * y[2] - (((whole - x[1] * y[1]) - x[2] * y[1]) - x[1] * y[2])


def _constant(parts: Sequence[float], like: FloatArray) -> Triple:
    return Triple(*(np.full_like(like, part) for part in parts))


@cache
def _coefficients() -> list[list[float]]:
    """Return 1 / n! from n = 2 on, in three parts."""
    from fractions import Fraction
    from math import factorial

    result = []
    for n in range(2, 16):
        left, parts = Fraction(1, factorial(n)), []
        for _ in range(3):
            parts.append(float(left))
            left -= Fraction(parts[-1])
        result.append(parts)
    return result
