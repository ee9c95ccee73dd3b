"""Arithmetic that says what its roundings took."""

import numpy as np

from softgrad_core.loss.logits import FloatArray

UPPER_HALF = np.int64(-1 << 27)
"""The bits of a float64 without the last 27."""


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
