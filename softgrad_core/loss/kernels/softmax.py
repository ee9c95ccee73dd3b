"""The softmax of rows of any magnitude, by subtracting the maximum, with what it rounds away.

The notation is that of shifted.py. d is rounded. Knuth's two-difference (The Art of Computer
Programming, vol. 2, 4.2.2) finds the rounding error, which is folded into exp(d).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad_core.loss.error_free import remainder
from softgrad_core.loss.kernels.scaled import LN_SCALE, LN_SCALE_TAIL, SCALE_EXPONENT
from softgrad_core.loss.kernels.softcap import Capped, capped
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.targets import IndexArray

NARROW = 32
"""Up to this many classes, arrays are stored class by class; with more, row by row."""

FAINT = 1e-270
"""Below this, a sum of exponentials may have subnormal terms, which lose digits."""


class Softmax(NamedTuple):
    """The softmax of a block and the quantities behind it, of shape (C, N) or (N,)."""

    probs: FloatArray
    d: FloatArray
    d_error: FloatArray
    """The rounding error of d: the exact value is d + d_error."""
    rest: FloatArray
    rest_error: FloatArray
    total: FloatArray
    lost: FloatArray
    """The relative rounding error of S: the exact value is total * (1 + lost)."""
    complement: FloatArray
    """1 - f(x) for the class with the maximum."""
    capped: Capped | None
    """The capped logits and their derivatives, if there is a soft cap."""


def softmax(
    rows: FloatArray, temperature: FloatArray | None = None, softcap: FloatArray | None = None
) -> Softmax:
    """Return the softmax of rows, as arrays of shape (C, N)."""
    a = by_class(rows)
    limited = None if softcap is None else capped(a, _for_columns(softcap, a))
    d, d_error = _distances(a if limited is None else limited.values, temperature, limited)
    at_maximum = d == 0.0
    e = np.exp(d)
    np.copyto(e, 0.0, where=at_maximum)
    # S = 1 + rest, where rest leaves out one maximum only: ties count in full.
    buffer = e * d_error
    rest, rest_error = sum_classes(e, buffer, _count_ties(at_maximum))
    if (faint := rest < FAINT).any():
        _mend_faint_sums(rest, rest_error, np.flatnonzero(faint), d, d_error)
    np.copyto(e, 1.0, where=at_maximum)
    total = 1.0 + rest
    rounded_rest = total - 1.0
    lost = (1.0 - (total - rounded_rest)) + (rest - rounded_rest) + rest_error
    lost /= total
    correction = np.subtract(d_error, lost, out=buffer)
    correction *= e
    e += correction
    probs = np.divide(e, total, out=e)[:, : len(rows)]
    # Drop the copy that `by_class` made of a single row.
    if len(rows) < len(total):
        d, d_error = d[:, :1], d_error[:, :1]
        rest, rest_error, total, lost = rest[:1], rest_error[:1], total[:1], lost[:1]
        limited = limited and limited.first()
    complement = rest / total
    complement += (rest_error - rest * lost) / total
    return Softmax(probs, d, d_error, rest, rest_error, total, lost, complement, limited)


def by_class(rows: FloatArray) -> FloatArray:
    """Return the rows as an array of shape (C, N), in the fastest memory layout.

    NumPy's operations then run along the longer axis. The layout determines how a row's sum is
    rounded, so it must depend on the number of classes alone. A single row of few classes is
    therefore doubled: otherwise NumPy would sum it like a row of many classes.
    """
    if rows.shape[1] > NARROW:
        return rows.T
    return np.ascontiguousarray(rows.T if len(rows) > 1 else np.repeat(rows, 2, axis=0).T)


def _for_columns(values: FloatArray, a: FloatArray) -> FloatArray:
    """Return values of rows as those of the columns of `a`, where a single row is doubled."""
    return np.repeat(values, 2) if a.shape[1] > len(values) else values


def _distances(
    a: FloatArray, temperature: FloatArray | None, limited: Capped | None
) -> tuple[FloatArray, FloatArray]:
    """Return d = (a - max(a)) / T and its rounding error."""
    if limited is None:
        return _quotients(a, temperature, None)
    # Of equal values the largest is the one with the largest tail.
    tails = np.where(a == a.max(axis=0), limited.tails, -np.inf)
    top = tails.argmax(axis=0), np.arange(a.shape[1])
    d, error = _quotients(a, temperature, limited.tails - limited.tails[top])
    # Logits that the cap makes equal in float64 still differ.
    whole = d + error
    return whole, np.where(np.isfinite(whole), (d - whole) + error, 0.0)


def _quotients(
    a: FloatArray, temperature: FloatArray | None, tails: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return (a - max(a) + tails) / T, and its rounding error, which has the tails."""
    if temperature is None:
        d, error = _subtract(a, a.max(axis=0))
        return d, error if tails is None else error + tails
    # T = t 2**k with t in [1/2, 1), except that k = 0 for T in [1, 2). To avoid needless overflow,
    # scale down before the difference and scale up after it.
    t, k = np.frexp(temperature)
    t, k = np.where(k == 1, 2.0 * t, t), np.where(k == 1, 0, k)
    t, k = _for_columns(t, a), _for_columns(k, a)
    a = np.ldexp(a, -k.clip(min=0))
    d, error = _subtract(a, a.max(axis=0))
    if tails is not None:
        error = error + np.ldexp(tails, -k.clip(min=0))
    shift = -k.clip(max=0)
    d, error = np.ldexp(d, shift), np.ldexp(error, shift)
    quotient = d / t
    error = (remainder(d, quotient, t) + error) / t
    error[~np.isfinite(error)] = 0.0
    return quotient, error


def _subtract(a: FloatArray, m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return d = a - m and its rounding error."""
    d = a - m
    minus_m = d - a
    error = d - minus_m
    np.subtract(a, error, out=error)
    minus_m += m
    error -= minus_m
    # The error is NaN or infinite for masked classes and differences near the largest float.
    # Their exp(d) is 0 whatever the error is.
    if not np.isfinite(error.sum()):
        error[~np.isfinite(error)] = 0.0
    return d, error


def _count_ties(at_maximum: npt.NDArray[np.bool]) -> FloatArray | float:
    """Return for each row how many other classes share its maximum."""
    if np.count_nonzero(at_maximum) == at_maximum.shape[1]:
        return 0.0
    ties: FloatArray = at_maximum.sum(axis=0, dtype=np.float64) - 1.0
    return ties


def sum_classes(
    terms: FloatArray, corrections: FloatArray, ties: FloatArray | float
) -> tuple[FloatArray, FloatArray]:
    """Return the sums of `terms + corrections` plus `ties`, and their rounding errors.

    The terms are not negative. Each is split at a bit position common to its row, high enough that
    the upper parts are summed exactly. The lower parts are so small that their rounding errors do
    not matter (extraction by Rump, Ogita and Oishi, Accurate floating-point summation, 2008).
    """
    _, exponent = np.frexp(terms.sum(axis=0) + ties)
    cut = np.ldexp(1.0, exponent + 1)
    upper = terms + cut
    upper -= cut
    corrections += np.subtract(terms, upper)
    upper_sum = upper.sum(axis=0) + ties
    lower_sum = corrections.sum(axis=0)
    rounded = upper_sum + lower_sum
    return rounded, (upper_sum - rounded) + lower_sum


def _mend_faint_sums(
    rest: FloatArray, rest_error: FloatArray, faint: IndexArray, d: FloatArray, d_error: FloatArray
) -> None:
    """Correct the sums of the rows `faint` in place, from exponentials scaled to keep all digits.

    Unscaled, many terms near the smallest float have similar rounding errors, which add up.
    """
    scaled = d[:, faint] + LN_SCALE
    scaled[scaled == LN_SCALE] = -np.inf
    # Rows whose terms are all zero, as with very large logits, are already correct. The others are
    # summed one by one, so that the result does not depend on the rows beside them.
    for place in np.flatnonzero(scaled.max(axis=0) > -746.0):
        row = faint[place]
        terms = np.exp(scaled[:, place])
        total, _ = sum_classes(terms, terms * (d_error[:, row] + LN_SCALE_TAIL), 0.0)
        rest[row] = np.ldexp(total, -SCALE_EXPONENT)
        rest_error[row] = 0.0
