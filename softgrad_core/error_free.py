"""Arithmetic that says what its roundings took: pairs of a rounded number and its error."""

import numpy as np

from softgrad_core.logits import FloatArray

SPLITTER = 134217729.0
"""2**27 + 1, by which a number of 53 digits is cut in two of half as many."""

ONE = np.ones(())

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
    """Return 1 / (x + error) as rounded, and what rounding took."""
    inverse = 1.0 / x
    correction = inverse * (remainder(ONE, inverse, x) - inverse * error)
    return add_small(inverse, correction)


def remainder(x: FloatArray, quotient: FloatArray, divisor: FloatArray) -> FloatArray:
    """Return x - quotient * divisor, exactly where nothing overflows (Dekker's product)."""
    product = quotient * divisor
    quotient_high, quotient_low = _halves(quotient)
    divisor_high, divisor_low = _halves(divisor)
    error = quotient_low * divisor_low - (
        ((product - quotient_high * divisor_high) - quotient_low * divisor_high)
        - quotient_high * divisor_low
    )
    return np.asarray((x - product) - error)


def _halves(x: FloatArray) -> Pair:
    """Return numbers of half as many digits that add up to x."""
    shifted = SPLITTER * x
    high = shifted - (shifted - x)
    return high, x - high
