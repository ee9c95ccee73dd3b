"""Exponentials and products, scaled by powers of two where they would overflow or underflow."""

import math
import sys
from typing import Any

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.targets import IndexArray

# 2**128 = exp(LN_SCALE + LN_SCALE_TAIL). LN_SCALE is a multiple of 2**-43, the last place of
# numbers around 700, so that adding it to such a number or subtracting it is exact.
SCALE_EXPONENT = 128
LN_SCALE = 88.72283911167301
LN_SCALE_TAIL = -1.124247479347874e-14

LARGEST_SCALED = math.ldexp(sys.float_info.max, -SCALE_EXPONENT)

# 2**1536 in the same way: with it, exp(x) is a normal float for all |x| from 600 to 1500.
FAR = 12
FAR_EXPONENT = FAR * SCALE_EXPONENT


def times_exp(
    factor: FloatArray,
    x: FloatArray,
    x_error: FloatArray,
    weight: FloatArray | float = 1.0,
    exponent: IndexArray | int = 0,
) -> FloatArray:
    """Return factor * exp(x + x_error) * weight * 2**exponent, for x >= 0.

    The result is infinite only where the exact value overflows.
    """
    # Below this limit, exp(x) times the number of classes is far from overflow.
    large = x > 680.0
    if not large.any() and isinstance(weight, float):
        power = np.exp(x)
        power += power * x_error
        return factor * power
    # An x above the clipped range overflows in any case, as does one with a large error.
    x = np.where(large, x.clip(max=1500.0) - FAR * LN_SCALE, x)
    x_error = np.where(large, x_error.clip(-0.5, 0.5) - FAR * LN_SCALE_TAIL, x_error)
    power = np.exp(x)
    power += power * x_error
    mantissa, weight_exponent = np.frexp(weight)
    scaled = factor * np.ldexp(power, -SCALE_EXPONENT) * mantissa
    shift = weight_exponent + exponent + np.where(large, FAR_EXPONENT, 0)
    # An error of a few last places must not turn the largest float into infinity.
    nearly = np.ldexp(scaled, shift)
    at_edge = (nearly > LARGEST_SCALED) & (nearly < LARGEST_SCALED * (1.0 + 2.0**-50))
    return np.where(at_edge, sys.float_info.max, np.ldexp(scaled, shift + SCALE_EXPONENT))


def small_exp(x: FloatArray, x_error: FloatArray) -> FloatArray:
    """Return exp(x + x_error) * 2**1536, for x far below 0."""
    power = np.exp(x.clip(min=-1500.0) + FAR * LN_SCALE)
    power += power * (x_error.clip(-0.5, 0.5) + FAR * LN_SCALE_TAIL)
    return power


def times_scaled(factor: Any, scaled: Any, exponent: Any) -> Any:
    """Return factor * scaled * 2**(exponent - 1536), without intermediate underflow."""
    mantissa, factor_exponent = np.frexp(factor)
    return np.ldexp(mantissa * scaled, factor_exponent + exponent - FAR_EXPONENT)
