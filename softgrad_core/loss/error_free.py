"""Error-free transformations of floating-point arithmetic."""

import numpy as np

from softgrad_core.loss.logits import FloatArray

UPPER_HALF = np.int64(-1 << 27)
"""Mask for all bits of a float64 but the last 27."""


def remainder(x: FloatArray, quotient: FloatArray, divisor: FloatArray) -> FloatArray:
    """Return x - quotient * divisor, rounded at most once, by Dekker's product.

    All steps but one are exact: the product of the two lower halves may lose one bit.
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
    """Return x with the last 27 of its 53 significant bits set to zero."""
    return (x.view(np.int64) & UPPER_HALF).view(np.float64)
