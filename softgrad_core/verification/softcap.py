"""The soft cap in float64, for bounds and for forms of mistakes; exact values have their own."""

import numpy as np

from softgrad_core.loss.logits import FloatArray


def capped(a: FloatArray, cap: FloatArray | None) -> FloatArray:
    """Return cap tanh(a / cap), or the logits where there is no cap; masked ones stay masked."""
    if cap is None:
        return a
    return np.where(np.isneginf(a), -np.inf, cap * np.tanh(a / cap))


def sech_squared(x: FloatArray) -> FloatArray:
    """Return 1 - tanh²(x), the derivative of the cap at x = a / cap; nothing cancels."""
    e = np.exp(-2.0 * np.abs(x))
    return np.asarray(4.0 * e / (1.0 + e) ** 2)
