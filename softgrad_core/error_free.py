"""Arithmetic that says what its roundings took: pairs of a rounded number and its error."""

import numpy as np

from softgrad_core.logits import FloatArray

UPPER_HALF = np.int64(-1 << 27)
"""The bits of a float64 without the last 27."""

EXPONENT = np.int64(0x7FF << 52)
"""The bits of a float64 that say which power of two it begins with."""

Pair = tuple[FloatArray, FloatArray]
"""Numbers as rounded, and what is to be added to them."""


def add(larger: FloatArray, x: FloatArray, small: FloatArray) -> Pair:
    """Return the sum of three numbers, of which the third is small (the two-sum of Knuth)."""
    partial = larger + x
    of_x = partial - larger
    error = ((larger - (partial - of_x)) + (x - of_x)) + small
    total = partial + error
    return total, (partial - total) + error


def add_small(x: FloatArray, small: FloatArray) -> Pair:
    """Return the sum of two numbers, of which the second is small."""
    total = x + small
    return total, (x - total) + small


def invert(x: FloatArray, error: FloatArray) -> Pair:
    """Return 1 / (x + error) as rounded, and what rounding took.

    Of a quotient r of half as many digits, what is left of 1, d = 1 - r (x + error), comes out
    without rounding, as products of halves are exact; then 1 / (x + error) = r (1 + d + d**2 + ...)
    """
    short, high = upper_half(1.0 / x), upper_half(x)
    left = (1.0 - high * short) - (x - high) * short - error * short
    return add_small(short, short * (left + left * left))


def remainder(x: FloatArray, quotient: FloatArray, divisor: FloatArray) -> FloatArray:
    """Return x - quotient * divisor, with one rounding at most of what is left (Dekker's product).

    All but the product of the two lower halves, of which one bit may go, is exact.
    """
    product = quotient * divisor
    quotient_high, divisor_high = upper_half(quotient), upper_half(divisor)
    quotient_low, divisor_low = quotient - quotient_high, divisor - divisor_high
    error = quotient_low * divisor_low - (
        ((product - quotient_high * divisor_high) - quotient_low * divisor_high)
        - quotient_high * divisor_low
    )
    return np.asarray((x - product) - error)


def upper_half(x: FloatArray) -> FloatArray:
    """Return x without the last 27 of its 53 digits."""
    return (x.view(np.int64) & UPPER_HALF).view(np.float64)


def power_of_two(x: FloatArray) -> FloatArray:
    """Return the largest power of two that is no larger than x, where x is positive."""
    return (x.view(np.int64) & EXPONENT).view(np.float64)
