"""The formulas that several families of mistakes share, written as terms.

The notation and the units are those of case.py. N is the number of records in a batch.
"""

from collections.abc import Callable

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.diagnosis.case import CORRECT, Case, Terms, divided
from softgrad_core.verification.diagnosis.mistake import Form

EVERY = " ".join(name for name in CORRECT if name != "z_loss")

OF_P = "probs log_probs grad_logits"
"""The quantities that show the probability of every class."""

OF_LOSS = "loss grad_probs grad_logits"
"""The quantities that are multiplied by a weight of the row."""

LINEAR = f"log_probs {OF_LOSS}"
"""The quantities that a factor of the loss multiplies."""


def softmax(a: FloatArray) -> FloatArray:
    """Return the softmax of each column."""
    e = np.exp(a - a.max(axis=0))
    return np.asarray(e / e.sum(axis=0))


def log_softmax(a: FloatArray) -> FloatArray:
    """Return the logarithm of the softmax of each column."""
    d = a - a.max(axis=0)
    return np.asarray(d - np.log(np.exp(d).sum(axis=0)))


def from_p(c: Case, p: FloatArray) -> Terms:
    """Return the terms of the quantity if these were the probabilities."""
    match c.quantity:
        case "probs":
            return (p,)
        case "log_probs":
            return (np.log(p),)
        case "loss":
            return (-c.kept(np.log(p)),)
        case "grad_probs":
            return (-divided(c.e, p),)
        case _:
            return (p, -c.e)


def from_log_p(c: Case, log_p: FloatArray) -> Terms:
    """Return the terms of the quantity if these were the logarithms of the probabilities."""
    if c.quantity == "log_probs":
        return (log_p,)
    if c.quantity == "loss":
        return (-c.kept(log_p),)
    return from_p(c, np.exp(log_p))


def for_targets(c: Case, e: FloatArray) -> Terms:
    """Return the right terms if these were the target weights, in units of their sum."""
    if c.quantity == "loss":
        costs = np.where(e > 0.0, e * c.d, 0.0).sum(axis=0, keepdims=True)
        return (c.log_sum * e.sum(axis=0, keepdims=True), -costs)
    if c.quantity == "grad_probs":
        return (-divided(e, c.p),)
    return (c.p * e.sum(axis=0), -e)


def for_labels(c: Case, labels: IndexArray) -> Terms:
    """Return the right terms if these were the labels; NaN for targets that are no labels."""
    if c.objective.distribution is not None:
        return (np.full((1, c.count), np.nan),)
    return for_targets(c, c.variant(labels=labels))


def at_temperature(c: Case, t: FloatArray) -> Terms:
    """Return the terms for softmax(a / t), without the factor 1 / t of the gradient."""
    terms = from_log_p(c, log_softmax(c.d * (c.temperature / t)))
    if c.quantity != "grad_logits":
        return terms
    return tuple(c.temperature * term for term in terms)


def scaled(
    formula: str,
    factor: Callable[..., FloatArray | float],
    parameter: Callable[[Case], FloatArray] | None = None,
    quantities: str = LINEAR,
) -> Form:
    """Return the form that multiplies the right value by a factor, from a case and a parameter."""

    def scale(c: Case, *parameters: FloatArray) -> Terms:
        return tuple(factor(c, *parameters) * term for term in c.right)

    return Form(quantities, formula, scale, parameter)


def subtracted_at_target(c: Case) -> FloatArray:
    """Return what the claimed gradient subtracts from p at the target."""
    return c.p_y - c.at_target(c.claim)


def median_of_others(c: Case, values: FloatArray) -> FloatArray:
    """Return the median of the values of each row at the classes that are not its label."""
    others = np.arange(c.classes)[:, np.newaxis] != c.y
    return np.asarray(median(np.where(others, values, np.nan), axis=0)[0])


def share(values: FloatArray) -> FloatArray:
    """Return the values between 0 and 1, NaN for others."""
    return np.where((values > 0.0) & (values < 1.0), values, np.nan)


def whole(values: FloatArray, within: float) -> FloatArray:
    """Return the whole numbers from 2 on that values are near, but for this share; NaN if none."""
    nearest = np.rint(values)
    is_near = (nearest >= 2.0) & (np.abs(values - nearest) <= within * nearest)
    return np.where(is_near, nearest, np.nan)


def median(values: FloatArray, axis: int) -> FloatArray:
    """Return the medians of the finite values, NaN if there are none; the axis is kept."""
    finite = np.isfinite(values)
    ordered = np.sort(np.where(finite, values, np.inf), axis=axis)
    count = finite.sum(axis=axis, keepdims=True)
    lower, upper = (
        np.take_along_axis(ordered, place.clip(0, values.shape[axis] - 1), axis=axis)
        for place in ((count - 1) // 2, count // 2)
    )
    return np.where(count > 0, (lower + upper) / 2.0, np.nan)
