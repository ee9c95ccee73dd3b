"""The exact values that claims are compared with, in a wider type than theirs.

Shares no code with cross_entropy.py, whose own results can be claims as well. Notation as there:
a are the logits, m = max(a), d = (a - m) / T, S = sum(exp(d)), rest = S - 1, q the target weights.
With a soft cap d is the difference of the capped logits, by a formula in which nothing cancels.
Arrays are of shape (C, N), one column for each row of logits.
"""

from functools import reduce
from typing import NamedTuple

import numpy as np

from softgrad_core.dtypes import Dtype, WideArray
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.targets import IndexArray

QUANTITIES = ("probs", "log_probs", "loss", "z_loss", "grad_probs", "grad_logits")
"""What can be claimed: the softmax, its logarithm, the loss, its z-loss, and both gradients."""

NARROW = 32
"""Up to this many classes, operations run along the records; above it, along the classes."""


LARGE_WEIGHT = 2.0**500
"""A number that float64 holds with all its digits, times a smaller weight, is either outside the
range of the narrower types or still has them all."""


def by_class(rows: FloatArray) -> FloatArray:
    """Return (N, C) rows as an array of shape (C, N), in the fastest memory layout."""
    return np.ascontiguousarray(rows.T) if rows.shape[1] <= NARROW else rows.T


def reference(a: FloatArray, objective: Objective, dtype: Dtype) -> dict[str, WideArray]:
    """Return all quantities, with errors of a small part of an ulp of `dtype`.

    The computation is in NumPy's long double, which has 64 bits or more on most machines, if
    `dtype` is float64 or not only labels have weights; otherwise in float64. On machines where
    the long double is no wider than float64 (Windows, macOS on ARM) errors are a few ulp.

    Parameters
    ----------
    a
        Checked logits, of shape (C, N).
    objective
        The loss of each column.
    dtype
        The type of the claims.

    Returns
    -------
    dict
        Arrays of the shape of `a`; the losses are of shape (1, N). There is a z-loss only if the
        objective has one.

    Examples
    --------
    >>> objective = Objective(np.array([1]))
    >>> values = reference(np.array([[0.0], [0.0]]), objective, Dtype.FLOAT32)
    >>> values["grad_logits"].tolist(), values["grad_probs"].tolist()
    ([[0.5], [-0.5]], [[0.0], [-2.0]])
    """
    # Target weights may bring numbers back into the range of a type that left it before.
    is_in_range = objective.is_of_labels and bool((objective.label_weights() < LARGE_WEIGHT).all())
    needs_more = dtype is Dtype.FLOAT64 or not is_in_range
    wide: WideArray = a.astype(np.longdouble if needs_more else np.float64)
    with np.errstate(all="ignore"):
        softmax = _softmax(wide, objective)
        values = (_of_labels if objective.is_plain else _of_weights)(softmax, objective)
    return {"probs": softmax.probs, "log_probs": softmax.log_probs, **values}


class _Softmax(NamedTuple):
    probs: WideArray
    log_probs: WideArray
    d: WideArray
    d_error: WideArray
    total: WideArray
    top: IndexArray
    complement: WideArray
    """1 - f(x) at the top."""
    log_sum: WideArray
    """log sum(exp(a / T))."""
    slopes: WideArray | None
    """The derivatives of the soft cap."""


def _softmax(a: WideArray, objective: Objective) -> _Softmax:
    top, columns = a.argmax(axis=0), np.arange(a.shape[1])
    largest, slopes = a.max(axis=0), None
    d, d_error = _subtract(a, largest)
    if objective.softcap is not None:
        cap = objective.softcap.astype(a.dtype)
        d, slopes = _capped_differences(a, d, top, cap)
        d_error = np.zeros_like(d)
        largest = cap * np.tanh(largest / cap)
    if objective.temperature is not None:
        t = objective.temperature.astype(a.dtype)
        quotient = d / t
        d, d_error = quotient, _without_odd((_remainder(d, quotient, t) + d_error) / t)
        largest = largest / t
    e = np.exp(d)
    e += e * d_error
    # The loss of the class of the maximum is log1p(rest), in which nothing cancels.
    e[top, columns] = 0.0
    rest = _sum_classes(e)
    e[top, columns] = 1.0
    total = 1.0 + rest
    log_probs = d + (d_error - np.log1p(rest))
    log_sum = largest + np.log1p(rest)
    return _Softmax(e / total, log_probs, d, d_error, total, top, rest / total, log_sum, slopes)


def _capped_differences(
    a: WideArray, d: WideArray, top: IndexArray, cap: WideArray
) -> tuple[WideArray, WideArray]:
    """Return cap tanh(a / cap) less that of the largest, and the derivatives of the cap.

    tanh(x) - tanh(y) = sinh(x - y) / (cosh(x) cosh(y)), with exponentials of negative numbers only.
    """
    is_masked = np.isneginf(a)
    x = np.where(is_masked, 0.0, a) / cap
    e = np.exp(-2.0 * np.abs(x))
    of_top = top, np.arange(a.shape[1])
    x_top, e_top = x[of_top], e[of_top]
    of_both = np.where(np.sign(x) == np.sign(x_top), np.maximum(e, e_top), 1.0)
    share = np.expm1(2.0 * np.where(is_masked, 0.0, d) / cap)
    differences = cap * 2.0 * of_both * share / ((1.0 + e) * (1.0 + e_top))
    slopes = 4.0 * e / (1.0 + e) ** 2
    return np.where(is_masked, -np.inf, differences), np.where(is_masked, 0.0, slopes)


def _of_labels(f: _Softmax, objective: Objective) -> dict[str, WideArray]:
    """Return the loss and the gradients for targets that are labels."""
    at = objective.labels, np.arange(f.d.shape[1])
    others = np.where(f.top == objective.labels, f.complement, 1.0 - f.probs[at])
    grad_logits = f.probs.copy()
    grad_logits[at] = 0.0 - others
    grad_probs = np.zeros_like(f.probs)
    grad_probs[at] = -f.total * np.exp(-f.d[at]) * (1.0 - f.d_error[at])
    loss = 0.0 - f.log_probs[at][np.newaxis]
    return {"loss": loss, "grad_probs": grad_probs, "grad_logits": grad_logits}


def _of_weights(f: _Softmax, objective: Objective) -> dict[str, WideArray]:
    """Return the loss and the gradients for any target weights."""
    columns = np.arange(f.d.shape[1])
    q: WideArray = objective.weights(len(f.d), f.d.dtype.type).T
    most = q.argmax(axis=0)
    others = q.copy()
    others[most, columns] = 0.0
    q_others = _sum_classes(others)
    s_without = (q[most, columns] + q_others) - q
    s_without[most, columns] = q_others
    not_p = 1.0 - f.probs
    not_p[f.top, columns] = f.complement
    counts = q > 0
    t = 1.0 if objective.temperature is None else objective.temperature
    costs = np.where(counts, -q * f.log_probs, 0.0)
    ratios = np.where(counts, q * f.total * np.exp(-f.d) * (1.0 - f.d_error), 0.0)
    losses = _sum_classes(costs)
    added = objective.neg_entropies(len(f.d), f.d.dtype.type)
    if added is not None:
        losses = losses + added
    values = {"grad_probs": 0.0 - ratios, "grad_logits": f.probs * s_without / t - q * not_p / t}
    if objective.z_scale is not None:
        weights = objective.z_weights(f.d.dtype.type)
        z_losses = weights * f.log_sum**2
        losses = losses + z_losses
        values["z_loss"] = z_losses[np.newaxis]
        values["grad_logits"] += 2.0 * weights * f.log_sum * f.probs / t
    if f.slopes is not None:
        values["grad_logits"] *= f.slopes
    return {**values, "loss": losses[np.newaxis]}


def _sum_classes(e: WideArray) -> WideArray:
    """Return the sums of the columns; they do not depend on the number of columns."""
    return reduce(np.add, e) if len(e) <= NARROW else np.asarray(e.sum(axis=0))


def _subtract(a: WideArray, m: WideArray) -> tuple[WideArray, WideArray]:
    """Return a - m as rounded, and the rounding error (Knuth's two-difference)."""
    d = a - m
    minus_m = d - a
    error = (a - (d - minus_m)) - (m + minus_m)
    return d, _without_odd(error)


def _without_odd(error: WideArray) -> WideArray:
    """Return errors with 0 for NaN, and for large ones: there exp(d) is 0 or infinite anyway."""
    error[~(np.abs(error) < 0.5)] = 0.0
    return error


def _remainder(x: WideArray, quotient: WideArray, divisor: WideArray) -> WideArray:
    """Return x - quotient * divisor, exactly (Dekker's product)."""
    product = quotient * divisor
    (high, low), (divisor_high, divisor_low) = _halves(quotient), _halves(divisor)
    cross = ((product - high * divisor_high) - low * divisor_high) - high * divisor_low
    return np.asarray((x - product) - (low * divisor_low - cross))


def _halves(x: WideArray) -> tuple[WideArray, WideArray]:
    """Return two numbers with half as many digits that add up to x."""
    digits = np.finfo(x.dtype).nmant + 1
    shifted = (x.dtype.type(2) ** ((digits + 1) // 2) + 1) * x
    high = shifted - (shifted - x)
    return high, x - high
