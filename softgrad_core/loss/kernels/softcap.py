"""The soft cap, cap tanh(a / cap), with about ten more bits than float64, and its derivative.

The softmax needs differences of capped logits, whose exponentials have the absolute error of the
difference as their relative one. So what rounding takes from a capped logit is kept, as a second
number to be added to it. Notation: w = |a| / cap, e = exp(-2 w), tanh(w) = (1 - e) / (1 + e), and
the derivative of the cap is 1 - tanh(w)**2 = 4 e / (1 + e)**2, in which nothing cancels.

exp(x) = 2**(k / 32) exp(r) with |r| <= log(2) / 64, where 2**(k / 32) is a table's entry in two
parts, times a power of two.
"""

from functools import cache
from typing import NamedTuple

import numpy as np

from softgrad_core.loss.error_free import product, remainder
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.targets import IndexArray

ENTRIES = 32
"""The entries of the table."""

UNIT, UNIT_TAIL = float.fromhex("0x1.62e42fef8p-6"), float.fromhex("0x1.1cf79abc9e3b4p-41")
"""log(2) / 32 in two parts; the first has few bits, so that its product with k is exact."""

LARGEST = 2000.0
"""For larger w, e is smaller than what any factor could bring back into the range of float64."""

SMALL = 2.0**-5
"""Below this w, tanh(w) / w is a sum of few powers of w**2."""

OF_TANH = (-1 / 3, 2 / 15, -17 / 315, 62 / 2835, -1382 / 155925, 21844 / 6081075)
"""The coefficients of tanh(w) / w - 1, from w**2 on."""


class Capped(NamedTuple):
    """Capped logits, of the shape of the logits.

    Attributes
    ----------
    values, tails
        The capped logits, and what is to be added to them.
    slopes, exponents
        Their derivatives are slopes * 2**exponents.
    """

    values: FloatArray
    tails: FloatArray
    slopes: FloatArray
    exponents: IndexArray

    def first(self) -> "Capped":
        """Return the first column of each array."""
        return Capped(
            self.values[:, :1], self.tails[:, :1], self.slopes[:, :1], self.exponents[:, :1]
        )


def capped(a: FloatArray, cap: FloatArray) -> Capped:
    """Return cap tanh(a / cap) for logits and caps that broadcast; masked classes stay masked."""
    a, cap = np.broadcast_arrays(a, cap)
    is_masked = a == -np.inf
    size = np.where(is_masked, 0.0, np.abs(a))
    w = size / cap
    tail = remainder(size, w, np.ascontiguousarray(cap)) / cap
    is_small, is_large = w < SMALL, w > LARGEST
    w, tail = np.where(is_large, LARGEST, w), np.where(is_large | is_small, 0.0, tail)
    e, e_tail, exponent = _exp(-2.0 * w, -2.0 * tail)
    scaled, scaled_tail = np.ldexp(e, exponent), np.ldexp(e_tail, exponent)
    under = 1.0 + scaled
    under_tail = ((1.0 - under) + scaled) + scaled_tail
    square = under * under
    slope = 4.0 * e / square
    slope += (
        remainder(4.0 * e, slope, square) / square
        - slope * product(under, under, square) / square
        + slope * (e_tail / e - 2.0 * under_tail / under)
    )
    tanh, tanh_tail = _quotient(scaled, scaled_tail, under, under_tail)
    values = cap * tanh
    tails = product(np.ascontiguousarray(cap), tanh, values) + cap * tanh_tail
    # For small w nothing is divided: the cap is a itself, and a little less.
    square = w * w
    series = np.zeros_like(w)
    for coefficient in reversed(OF_TANH):
        series = (series + coefficient) * square
    values, tails = np.where(is_small, size, values), np.where(is_small, size * series, tails)
    sign = np.where(is_masked, -np.inf, np.sign(a))
    return Capped(
        np.where(is_masked, -np.inf, np.copysign(values, a)),
        np.where(is_masked, 0.0, tails * np.where(is_masked, 0.0, sign)),
        np.where(is_masked, 0.0, slope),
        exponent,
    )


@cache
def _table() -> tuple[FloatArray, FloatArray]:
    """Return the powers 2**(j / 32), and what is to be added to them."""
    from decimal import Decimal, localcontext

    with localcontext(prec=50):
        powers = [Decimal(2) ** (Decimal(j) / ENTRIES) for j in range(ENTRIES)]
        heads = [float(power) for power in powers]
        tails = [float(power - Decimal(head)) for power, head in zip(powers, heads, strict=True)]
    return np.array(heads), np.array(tails)


def _exp(x: FloatArray, x_tail: FloatArray) -> tuple[FloatArray, FloatArray, IndexArray]:
    """Return exp(x + x_tail) in two parts, the first between 1 and 2, and its power of two."""
    k = np.rint(x / UNIT)
    upper = x - k * UNIT  # Exact.
    lower = x_tail - k * UNIT_TAIL
    r = upper + lower
    r_tail = (upper - r) + lower
    series: FloatArray = np.full_like(r, 1.0 / 40320.0)
    for factorial in (5040.0, 720.0, 120.0, 24.0, 6.0, 2.0):
        series = series * r + 1.0 / factorial
    r_tail = r_tail + r * r * series
    whole = k.astype(np.int64)
    heads, tails = (part[whole % ENTRIES] for part in _table())
    added = heads * r
    rest = product(heads, r, added) + (tails + (heads * r_tail + tails * r))
    first = heads + added
    rest = ((heads - first) + added) + rest
    e = first + rest
    return e, (first - e) + rest, whole // ENTRIES


def _quotient(
    e: FloatArray, e_tail: FloatArray, under: FloatArray, under_tail: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return (1 - e) / under in two parts, for an e up to 1 in two parts."""
    over = 1.0 - e
    over_tail = ((1.0 - over) - e) - e_tail
    quotient = over / under
    tail = (remainder(over, quotient, under) + over_tail - quotient * under_tail) / under
    return quotient, tail
