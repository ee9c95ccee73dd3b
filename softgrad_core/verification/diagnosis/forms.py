"""The formulas that mistakes lead to, in the terms that they add up.

Notation as in case.py, where it is said in which unit they are; N is the number of the records of
a batch, D what its mean divides by, and J = diag(p) - p pᵀ the Jacobian of the softmax.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.diagnosis.case import CORRECT, Case, Terms, divided


class Form(NamedTuple):
    """A formula that somebody may have computed.

    It is written as the terms that are added up, since rounding errors are relative to these, not
    to what is left of them where they cancel. A formula with a parameter has a function that finds
    the parameter of each record from its claim, NaN where there is none; whether all of the claim
    follows from it is judged elsewhere.
    """

    formula: str
    terms: Callable[..., Terms]
    """From a case, and the parameters where there are any: what is claimed of each row."""
    parameter: Callable[[Case], FloatArray] | None = None
    dtype: Dtype | None = None
    """The type whose rounding errors it has, where that is not the type of the claims."""
    applies: Callable[[Case], BoolArray] | None = None
    """In which rows it can be told from what is right, where that is not in all."""
    gives_nan: bool = False
    """Whether NaN in it is to be expected in the claim, rather than a sign that it has none."""
    counts_all: bool = False
    """Whether rows that do not count have it too, rather than 0."""


def softmax(a: FloatArray) -> FloatArray:
    """Return the softmax of each column."""
    e = np.exp(a - a.max(axis=0))
    return np.asarray(e / e.sum(axis=0))


def log_softmax(a: FloatArray) -> FloatArray:
    """Return the logarithm of the softmax of each column."""
    d = a - a.max(axis=0)
    return np.asarray(d - np.log(np.exp(d).sum(axis=0)))


def from_p(c: Case, p: FloatArray) -> Terms:
    """Return the terms of the quantity, had these been the probabilities."""
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
    """Return the terms of the quantity, had these been the logarithms of the probabilities."""
    if c.quantity == "log_probs":
        return (log_p,)
    if c.quantity == "loss":
        return (-c.kept(log_p),)
    return from_p(c, np.exp(log_p))


def for_label(c: Case, labels: IndexArray) -> Terms:
    """Return the right terms, had the labels been these."""
    if c.objective.distribution is not None:
        return (np.full((1, c.count), np.nan),)
    return for_targets(c, c.variant(labels=labels))


def for_targets(c: Case, e: FloatArray) -> Terms:
    """Return the right terms, had these been the target weights, in units of their sum."""
    if c.quantity == "loss":
        costs = np.where(e > 0.0, e * c.d, 0.0).sum(axis=0, keepdims=True)
        return (c.log_sum * e.sum(axis=0, keepdims=True), -costs)
    if c.quantity == "grad_probs":
        return (-divided(e, c.p),)
    return (c.p * e.sum(axis=0), -e)


def share(values: FloatArray) -> FloatArray:
    """Return the values between 0 and 1, NaN for others."""
    return np.where((values > 0.0) & (values < 1.0), values, np.nan)


def smoothing(c: Case) -> FloatArray:
    """Return K times what the gradient subtracts at classes that are not the target."""
    subtracted = np.where(c.e == 1.0, np.nan, c.p - c.claim)
    smoothed = share(c.classes * median(subtracted, axis=0)[0])
    return np.where(smoothed > 0.002, smoothed, np.nan)


def kept_target(c: Case) -> FloatArray:
    """Return what the gradient subtracts at the target."""
    return c.p_y - c.at_target(c.claim)


def label(c: Case) -> FloatArray:
    """Return the class at which the gradient subtracts most."""
    shown = c.claim - c.p if c.quantity == "grad_logits" else c.claim
    labels: IndexArray = np.where(np.isnan(shown), np.inf, shown).argmin(axis=0)
    return labels.astype(np.float64)


def temperature(c: Case) -> FloatArray:
    """Return T where the claim is made of softmax(a / T), whatever it is multiplied by."""
    log_p = c.claimed_log_p
    weight = np.where(np.isfinite(log_p) & np.isfinite(c.d), np.exp(log_p), 0.0)
    if c.quantity == "grad_logits" and c.classes > 2:
        # At the target digits were cancelled.
        weight = weight * (1.0 - c.e)
    # The slope of log p over a, by least squares.
    log_p, d = (np.where(weight > 0.0, values, 0.0) for values in (log_p, c.d))
    weight = weight / weight.sum(axis=0)
    d = d - (weight * d).sum(axis=0)
    slope = (weight * d * log_p).sum(axis=0) / (weight * d * d).sum(axis=0)
    is_other = (slope > 1e-3) & (slope < 1e3) & (np.abs(slope - 1.0) > 0.02)
    return np.where(is_other, c.temperature / slope, np.nan)


def median(values: FloatArray, axis: int) -> FloatArray:
    """Return the medians of what is finite, NaN where nothing is; the axis is kept."""
    finite = np.isfinite(values)
    ordered = np.sort(np.where(finite, values, np.inf), axis=axis)
    count = finite.sum(axis=axis, keepdims=True)
    lower, upper = (
        np.take_along_axis(ordered, place.clip(0, values.shape[axis] - 1), axis=axis)
        for place in ((count - 1) // 2, count // 2)
    )
    return np.where(count > 0, (lower + upper) / 2.0, np.nan)


LINEAR = ("loss", "log_probs", "grad_probs", "grad_logits")


def every(quantities: Iterable[str], *forms: Form) -> dict[str, tuple[Form, ...]]:
    """Return the forms for each of the quantities; {} in a formula stands for the right one."""
    return {
        name: tuple(form._replace(formula=form.formula.format(CORRECT[name])) for form in forms)
        for name in quantities
    }


def scaled(
    formula: str,
    factor: Callable[..., FloatArray | float],
    parameter: Callable[[Case], FloatArray] | None = None,
    quantities: Iterable[str] = LINEAR,
) -> dict[str, tuple[Form, ...]]:
    """Return the forms that multiply the right value, of whatever is linear in the loss."""

    def scale(c: Case, *parameters: FloatArray) -> Terms:
        return tuple(factor(c, *parameters) * term for term in c.right)

    return every(quantities, Form(formula, scale, parameter))


def at_temperature(c: Case, t: FloatArray) -> Terms:
    """Return the terms for softmax(a / T), without the factor of the chain rule."""
    terms = from_log_p(c, log_softmax(c.d * (c.temperature / t)))
    if c.quantity != "grad_logits":
        return terms
    return tuple(c.temperature * term for term in terms)


def ignored(c: Case) -> BoolArray:
    """Return which rows do not count."""
    return np.asarray(c.unit == 0.0)


def smoothed(change: Callable[[FloatArray, int], FloatArray]) -> Callable[[Case], FloatArray]:
    """Return e as it would be, were ε another one."""

    def weights(c: Case) -> FloatArray:
        smoothing = c.objective.smoothing
        return c.e if smoothing is None else c.variant(smoothing=change(smoothing, c.classes))

    return weights


def cancelled(formula: str, terms: Callable[[Case], Terms]) -> Form:
    """Return a form for records in which the largest p rounds to 1, so that nothing is left."""
    return Form(formula, terms, applies=lambda c: np.asarray(c.total_of_others <= c.dtype.epsilon))
