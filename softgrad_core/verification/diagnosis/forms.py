"""The formulas that mistakes lead to, in the terms that they add up.

Notation as in case.py, where it is said in which unit they are; N is the number of the records of
a batch, D what its mean divides by, and J = diag(p) - p pᵀ the Jacobian of the softmax.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.diagnosis.case import CORRECT, Case, Terms, divided, total


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


def squared_error(c: Case) -> FloatArray:
    """Return the sum of (p - e)² over the classes."""
    return np.asarray(((c.p - c.e) ** 2).sum(axis=0, keepdims=True))


def through_softmax(p: FloatArray, terms: Terms) -> Terms:
    """Return the terms of J v, for a v of these terms."""
    return tuple(part for term in terms for part in (p * term, -p * (p * term).sum(axis=0)))


def binary_cross_entropy(c: Case) -> Terms:
    """Return the derivatives with respect to p of the binary cross-entropy of each class."""
    return (-c.e / c.p, (1.0 - c.e) / c.not_p)


def binary_through_softmax(c: Case) -> Terms:
    """Return J times these derivatives."""
    odds = (1.0 - c.e) * c.p / c.not_p
    return (-c.e, odds, c.p, -c.p * odds.sum(axis=0))


# --- parameters ---------------------------------------------------------------------------------


def batch_size(values: FloatArray) -> FloatArray:
    """Return the whole numbers from 2 on that values may stand for, NaN where they are far off."""
    whole = np.rint(values)
    is_whole = (whole >= 2.0) & (whole <= 1e9) & (np.abs(values - whole) <= 0.05 * whole)
    return np.where(is_whole, whole, np.nan)


def share(values: FloatArray) -> FloatArray:
    """Return the values between 0 and 1, NaN for others."""
    return np.where((values > 0.0) & (values < 1.0), values, np.nan)


def smoothing(c: Case) -> FloatArray:
    """Return K times what the gradient subtracts at classes that are not the target."""
    subtracted = np.where(c.e == 1.0, np.nan, c.p - c.claim)
    smoothed = share(c.classes * median(subtracted, axis=0)[0])
    return np.where(smoothed > 0.002, smoothed, np.nan)


def one_term(c: Case) -> FloatArray:
    """Return the number N for which the gradient subtracts 1 / N at the target."""
    kept = kept_target(c)
    return np.where(kept > 0.001, batch_size(1.0 / kept), np.nan)


def bound(c: Case) -> FloatArray:
    """Return the size of the largest number."""
    largest = np.abs(c.safe_unit * c.claim).max(axis=0)
    return np.where(largest > 0.0, largest, np.nan)


def smoothing_of_loss(c: Case) -> FloatArray:
    """Return the ε that puts a loss between that of the target and the mean over the classes."""
    of_target = c.log_sum - c.at_target(c.d)
    of_all = c.log_sum - c.d.mean(axis=0)
    return share((c.claim[0] - of_target) / (of_all - of_target))


def penalty(c: Case) -> FloatArray:
    """Return the weight of the square of the log-normaliser that is added to the loss."""
    if c.quantity == "loss":
        return np.asarray((c.claim[0] - total(c.right)[0]) / c.log_normaliser**2)
    top = c.p.argmax(axis=0)
    excess = (c.claim - total(c.right))[top, c.columns]
    return np.asarray(excess / (2.0 * c.log_normaliser * c.p[top, c.columns]))


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


def log_normalisers(c: Case) -> FloatArray:
    """Return the logarithm of the sum that each claimed probability was divided by."""
    if c.quantity == "loss":
        return np.asarray(c.claim + c.kept(c.a))
    return np.asarray(c.a - c.claimed_log_p)


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


# --- formulas of several entries, or of several forms ------------------------------------------

LINEAR = ("loss", "log_probs", "grad_probs", "grad_logits")

EPSILONS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 2.0**-23, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16)


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


def moved_label(formula: str) -> tuple[Form, ...]:
    """Return the forms for the neighbours of the target."""

    def for_neighbour(step: int) -> Callable[[Case], Terms]:
        return lambda c: for_label(c, (c.y + step) % c.classes)

    return tuple(
        Form(formula.format(name), for_neighbour(step))
        for name, step in (("y + 1", 1), ("y - 1", -1))
    )


def at_temperature(c: Case, t: FloatArray) -> Terms:
    """Return the terms for softmax(a / T), without the factor of the chain rule."""
    terms = from_log_p(c, log_softmax(c.d * (c.temperature / t)))
    if c.quantity != "grad_logits":
        return terms
    return tuple(c.temperature * term for term in terms)


def over_rows(c: Case) -> Terms:
    """Return the terms for probabilities that sum to 1 over the rows of a batch."""
    a = c.a.reshape(c.classes, c.records, c.size)
    log_p = a - np.log(np.exp(a - a.max(axis=2, keepdims=True)).sum(axis=2, keepdims=True))
    return from_log_p(c, (log_p - a.max(axis=2, keepdims=True)).reshape(c.a.shape))


def first_of_batch(c: Case, values: FloatArray) -> FloatArray:
    """Return for each row the value of the first row of its batch."""
    return np.repeat(values.reshape(c.records, c.size)[:, 0], c.size)


def counted_rows(c: Case) -> FloatArray:
    """Return for each row how many rows of its batch count."""
    counted = c.objective.counted
    counts = np.ones(c.count) if counted is None else counted.astype(np.float64)
    return c.of_rows(counts.reshape(c.records, c.size).sum(axis=1))


def factor_of(
    formula: str,
    factor: Callable[[Case], FloatArray],
    quantities: Iterable[str] = ("loss", "grad_probs", "grad_logits"),
) -> dict[str, tuple[Form, ...]]:
    """Return the forms that multiply the right value by what is known of each row."""

    def differs(c: Case) -> BoolArray:
        return np.asarray(np.abs(factor(c) - 1.0) > 1e-9)

    def scale(c: Case) -> Terms:
        return tuple(factor(c) * term for term in c.right)

    return every(quantities, Form(formula, scale, applies=differs))


def other_targets(formula: str, e: Callable[[Case], FloatArray]) -> dict[str, tuple[Form, ...]]:
    """Return the forms for other target weights, where they are others."""

    def differ(c: Case) -> BoolArray:
        return np.asarray((np.abs(e(c) - c.e) > 1e-9).any(axis=0))

    form = Form(formula, lambda c: for_targets(c, e(c)), applies=differ)
    return every(("loss", "grad_probs", "grad_logits"), form)


def without_weights(c: Case) -> FloatArray:
    """Return e without class weights, also in what the mean divides by."""
    divisor = None if c.objective.divisor is None else counted_rows(c)
    return c.variant(class_weights=None, divisor=divisor)


def ignored(c: Case) -> BoolArray:
    """Return which rows do not count."""
    return np.asarray(c.unit == 0.0)


def at_other_temperature(
    formula: str, other: Callable[[FloatArray], FloatArray | float], factor: float | None
) -> Form:
    """Return the form for another temperature t than T; its gradient has the factor 1 / t, or 1/T.

    The latter is that of `factor` None.
    """

    def terms(c: Case) -> Terms:
        t = other(c.temperature) + np.zeros(c.count)
        divisor = c.temperature if factor is None else t
        scale = 1.0 / divisor if c.quantity == "grad_logits" else np.ones(c.count)
        return tuple(scale * term for term in at_temperature(c, t))

    return Form(formula, terms, applies=lambda c: np.abs(c.temperature - 1.0) > 1e-9)


def smoothed(change: Callable[[FloatArray, int], FloatArray]) -> Callable[[Case], FloatArray]:
    """Return e as it would be, were ε another one."""

    def weights(c: Case) -> FloatArray:
        smoothing = c.objective.smoothing
        return c.e if smoothing is None else c.variant(smoothing=change(smoothing, c.classes))

    return weights


def combined(*several: dict[str, tuple[Form, ...]]) -> dict[str, tuple[Form, ...]]:
    """Return the forms of several together."""
    names = dict.fromkeys(name for forms in several for name in forms)
    return {
        name: tuple(form for forms in several for form in forms.get(name, ())) for name in names
    }


def over_records(c: Case) -> Terms:
    """Return the terms for probabilities that sum to 1 over the records."""
    log_p = c.a - median(log_normalisers(c), axis=1)
    return from_log_p(c, np.where((np.exp(log_p).sum(axis=1) < 1.05).all(), log_p, np.nan))


def over_all(c: Case) -> Terms:
    """Return the terms for probabilities of which all in the array sum to 1."""
    log_p = c.a - median(log_normalisers(c).reshape(1, -1), axis=1)
    return from_log_p(c, np.where(np.exp(log_p).sum() < 1.05, log_p, np.nan))


def guarded(formula: str, epsilon: float) -> Form:
    """Return the form with p + ε for p."""
    return Form(
        f"{formula.format('(p_y + ε)')} with ε = {epsilon:.2g}", lambda c: from_p(c, c.p + epsilon)
    )


def clipped(formula: str, epsilon: float) -> Form:
    """Return the form with p no nearer to 0 and to 1 than ε."""
    return Form(
        f"{formula.format('max(p_y, ε)')} with ε = {epsilon:.2g}",
        lambda c: from_p(c, c.p.clip(epsilon, 1.0 - epsilon)),
    )


def out_of_range(dtype: Dtype, shift: Callable[[Case], FloatArray | float], formula: str) -> Form:
    """Return the form of a softmax of exp(a - shift), for records that have no room in the type."""

    def exponentials(c: Case) -> FloatArray:
        return dtype.round(np.exp(c.a - shift(c)))

    def divide(c: Case) -> Terms:
        e = exponentials(c)
        return from_p(c, e / dtype.round(e.sum(axis=0)))

    def leaves_range(c: Case) -> BoolArray:
        if not c.has(dtype):
            return np.zeros(c.count, dtype=bool)
        height = c.a.max(axis=0) - shift(c)
        is_low = height < math.log(dtype.smallest) + 7.0
        is_high = height > math.log(dtype.largest) - math.log(c.classes)
        return np.asarray(is_low | is_high)

    return Form(f"{formula} in {dtype}", divide, applies=leaves_range, gives_nan=True)


def rounded_before_subtraction(dtype: Dtype) -> Form:
    """Return the form of p_y - 1 where p_y, and the result, is of a type of few digits."""

    def is_rounded(c: Case) -> BoolArray:
        if not (c.has(dtype) and c.only_target_is_wrong.any()):
            return np.zeros(c.count, dtype=bool)
        claim_y = c.at_target(c.claim)
        claimed_p = claim_y + 1.0
        fits = (claimed_p == dtype.round(claimed_p)) | (claim_y == dtype.round(claim_y))
        near = np.abs(claimed_p - c.p_y) <= dtype.spacing(c.p_y) + dtype.spacing(1.0 - c.p_y)
        return np.asarray(fits & near & c.only_target_is_wrong)

    return Form(f"{dtype}(p_y) - 1 at the target", lambda c: (c.claim,), applies=is_rounded)


def cancelled(formula: str, terms: Callable[[Case], Terms]) -> Form:
    """Return a form for records in which the largest p rounds to 1, so that nothing is left."""
    return Form(formula, terms, applies=lambda c: np.asarray(c.total_of_others <= c.dtype.epsilon))


def in_digits_of(dtype: Dtype) -> Form:
    """Return the form of the right value, for claims that are numbers of a narrower type."""

    def are_of_it(c: Case) -> BoolArray:
        if not (dtype in c.dtype.narrower and c.is_near_right.any()):
            return np.zeros(c.count, dtype=bool)
        # Numbers of float32 may have been written with fewer digits than tell them apart.
        return c.are_of(dtype) | (dtype is Dtype.FLOAT32)

    return Form(f"{{}} to the digits of {dtype}", lambda c: c.right, None, dtype, are_of_it)


def of_rounded_logits(dtype: Dtype) -> Form:
    """Return the form of the right value for logits that were rounded to a type before."""
    return Form(
        f"{{}} of {dtype}(a)",
        lambda c: from_log_p(c, log_softmax(dtype.round(c.logits) / c.temperature)),
        applies=lambda c: c.is_near_right & (dtype.round(c.logits) != c.logits).any(axis=0),
    )


def to_decimals(decimals: int) -> Form:
    """Return the form of the right value as a person writes it."""
    return Form(
        f"{{}} rounded to {decimals} decimals",
        lambda c: ((c.safe_unit * total(c.right)).round(decimals) / c.safe_unit,),
        applies=lambda c: c.of_rows(
            np.asarray((np.abs(c.claimed - c.claimed.round(decimals)) < 1e-12).all(axis=0))
        ),
    )


def in_own_digits(dtype: Dtype) -> Form:
    """Return the form of the right value, for claims of this type."""
    return Form(
        "{} with rounding errors",
        lambda c: c.right,
        None,
        dtype,
        lambda c: c.is_near_right & (dtype is c.dtype),
    )


def reordered(c: Case) -> Terms:
    """Return the right numbers in the order of the claims."""
    order = c.claim.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return (np.take_along_axis(np.sort(total(c.right), axis=0), order, axis=0),)


def has_nan(c: Case) -> BoolArray:
    """Return which claims have NaN in them."""
    return c.of_rows(np.asarray(np.isnan(c.claimed).any(axis=0)))
