"""Error-free transformations of floating-point arithmetic."""

import numpy as np

from softgrad_core.loss.logits import FloatArray

UPPER_HALF = np.int64(-1 << 27)
"""Mask for all bits of a float64 but the last 27."""


def two_sum(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the sum of numbers, and what rounding took from it."""
    total = x + y
    of_y = total - x
    return total, (x - (total - of_y)) + (y - of_y)


def larger_first(x: FloatArray, small: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the same where no number of the second is larger than that of the first."""
    whole = x + small
    return whole, (x - whole) + small


def remainder(x: FloatArray, quotient: FloatArray, divisor: FloatArray) -> FloatArray:
    """Return x - quotient * divisor, rounded at most once, by Dekker's product.

    All steps but one are exact: the product of the two lower halves may lose one bit.
    """
    rounded = quotient * divisor
    return np.asarray((x - rounded) - product(quotient, divisor, rounded))


def product(x: FloatArray, y: FloatArray, rounded: FloatArray) -> FloatArray:
    """Return what rounding took from a product, x * y - rounded; it may lose one bit."""
    x_high, y_high = upper_half(x), upper_half(y)
    x_low, y_low = x - x_high, y - y_high
    return np.asarray(
        x_low * y_low - (((rounded - x_high * y_high) - x_low * y_high) - x_high * y_low)
    )


def upper_half(x: FloatArray) -> FloatArray:
    """Return x with the last 27 of its 53 significant bits set to zero."""
    return (x.view(np.int64) & UPPER_HALF).view(np.float64)
