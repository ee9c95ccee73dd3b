"""What kernels for narrow types give that round the log-sum-exp before they subtract it.

Such a kernel computes log f(x) = z - L, where L is l = log Σ exp(z), rounded to the type. With
large logits, or a large offset that all of them share, L is off by far more than what `rounding.py`
allows; but by an amount that is known: the distance of l to a number of the type next to it. So
the error e = L - l of a row moves all of its numbers together, log f(x) by -e and the loss by e.

Notation as in `rounding.py`. A loss with a z-loss, a temperature or a soft cap needs none of this:
the bound has the error of L where there is one.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from softgrad_core.dtypes import Dtype, WideArray
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective

ROUNDINGS = 2.0
"""How many roundings of S and log S may come before that of l."""

NOTICEABLE = 0.5
"""How far, in units of what is rounded, e moves the numbers of a row that tell something."""

NEARER = 0.7
"""The share of the error of such a row that is left where e explains it."""

MOST = 0.6
"""The share of such rows that e must explain."""


def may_be_rounded(objective: Objective, arithmetic: Dtype) -> bool:
    """Return whether the error of L may be more than what the bound has for it."""
    is_narrow = arithmetic.epsilon > Dtype.FLOAT32.epsilon
    return is_narrow and not objective.is_scaled and objective.z_scale is None


def nearest_error(log_sums: FloatArray, arithmetic: Dtype) -> FloatArray:
    """Return L - l of each row if l is rounded to the nearest number of the type."""
    return arithmetic.round(log_sums) - log_sums


def largest_error(highest: FloatArray, classes: int, arithmetic: Dtype) -> FloatArray:
    """Return more than |L - l| of rows, of which `highest` is the largest |z|."""
    u, log_k = arithmetic.epsilon / 2.0, np.log(classes)
    return np.asarray(u * (highest + log_k) + ROUNDINGS * u * (1.0 + log_k))


def errors_of_log_sums(
    exact: Mapping[str, WideArray], a: FloatArray, objective: Objective, arithmetic: Dtype
) -> Iterator[FloatArray]:
    """Yield what L - l may be in each column: that of the nearest number, and of its neighbours.

    NaN where L is no such number: the roundings before the last one are too small for that.
    """
    if may_be_rounded(objective, arithmetic):
        log_s = -np.asarray(exact["log_probs"].max(axis=0), dtype=np.float64)
        yield from errors_to_neighbours(a.max(axis=0) + log_s, log_s, arithmetic)


def errors_to_neighbours(
    log_sums: FloatArray, log_s: FloatArray, arithmetic: Dtype
) -> Iterator[FloatArray]:
    """Yield what L - l may be for each l, of which `log_s` is the part log S."""
    unit = arithmetic.spacing(log_sums)
    nearest = nearest_error(log_sums, arithmetic)
    yield nearest
    before = ROUNDINGS * arithmetic.epsilon / 2.0 * (1.0 + log_s)
    for error in (nearest - unit, nearest + unit):
        yield np.where(np.abs(error) <= unit / 2.0 + before, error, np.nan)


def errors_of_losses(
    exact: Mapping[str, WideArray], a: FloatArray, objective: Objective, arithmetic: Dtype
) -> FloatArray:
    """Return how far the losses of columns are off where l is rounded to the nearest number."""
    nearest = next(errors_of_log_sums(exact, a, objective, arithmetic), None)
    if nearest is None:
        return np.zeros(a.shape[1])
    return np.asarray(objective.weights(len(a)).sum(axis=1) * nearest)


def moved(
    quantity: str, exact: Mapping[str, WideArray], error: FloatArray, objective: Objective
) -> WideArray:
    """Return the values of a quantity where log Σ exp(z) is off by this error in each column."""
    values = exact[quantity]
    if quantity == "log_probs":
        return np.asarray(values - error)
    if quantity == "probs":
        return np.asarray(values * np.exp(-error))
    if quantity == "grad_probs":
        return np.asarray(values * np.exp(error))
    s = objective.weights(len(exact["probs"])).sum(axis=1)
    if quantity == "loss":
        return np.asarray(values + s * error)
    return np.asarray(values + s * exact["probs"] * np.expm1(-error))


def are_moved(  # noqa: PLR0913, PLR0917 - what is claimed of what
    quantity: str,
    claim: FloatArray,
    exact: Mapping[str, WideArray],
    rounding: FloatArray,
    a: FloatArray,
    objective: Objective,
    arithmetic: Dtype,
) -> bool:
    """Return whether claims of shape (C, n) are those of a kernel that rounds l.

    A mistake may happen to move one row as a rounding of its l would, but not most rows.
    """
    counts = (np.abs(exact[quantity]) >= arithmetic.smallest_normal) & (rounding > 0.0)

    def size(differences: WideArray) -> FloatArray:
        sizes = np.where(counts, np.abs(differences) / rounding, 0.0)
        return np.asarray(sizes.max(axis=0), dtype=np.float64)

    candidates = errors_of_log_sums(exact, a, objective, arithmetic)
    values = moved(quantity, exact, next(candidates), objective)
    tells = size(values - exact[quantity]) > NOTICEABLE
    right, left = size(claim - exact[quantity]), size(claim - values)
    for e in candidates:
        values = moved(quantity, exact, e, objective)
        left = np.where(np.isnan(e), left, np.minimum(left, size(claim - values)))
    return bool(tells.any() and (left < NEARER * right)[tells].mean() >= MOST)
