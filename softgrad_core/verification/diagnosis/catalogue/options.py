"""An option of the loss that was left out, or taken otherwise."""

from collections.abc import Callable, Iterable

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.diagnosis import forms
from softgrad_core.verification.diagnosis.case import CORRECT, Case, Terms
from softgrad_core.verification.diagnosis.catalogue.mistake import Mistake
from softgrad_core.verification.diagnosis.forms import Form, every


def over_rows(c: Case) -> Terms:
    """Return the terms for probabilities that sum to 1 over the rows of a batch."""
    a = c.a.reshape(c.classes, c.records, c.size)
    log_p = a - np.log(np.exp(a - a.max(axis=2, keepdims=True)).sum(axis=2, keepdims=True))
    return forms.from_log_p(c, (log_p - a.max(axis=2, keepdims=True)).reshape(c.a.shape))


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

    form = Form(formula, lambda c: forms.for_targets(c, e(c)), applies=differ)
    return every(("loss", "grad_probs", "grad_logits"), form)


def without_weights(c: Case) -> FloatArray:
    """Return e without class weights, also in what the mean divides by."""
    divisor = None if c.objective.divisor is None else counted_rows(c)
    return c.variant(class_weights=None, divisor=divisor)


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
        return tuple(scale * term for term in forms.at_temperature(c, t))

    return Form(formula, terms, applies=lambda c: np.abs(c.temperature - 1.0) > 1e-9)


def combined(*several: dict[str, tuple[Form, ...]]) -> dict[str, tuple[Form, ...]]:
    """Return the forms of several together."""
    names = dict.fromkeys(name for forms in several for name in forms)
    return {
        name: tuple(form for forms in several for form in forms.get(name, ())) for name in names
    }


OPTIONS = (
    Mistake(
        "sum-for-mean",
        "the sum over the batch was taken, not the mean",
        "divide by D: the number of rows, or the sum of the weights of those that count",
        factor_of("D × {}", lambda c: c.divisor),
    ),
    Mistake(
        "wrong-denominator",
        "the mean was divided by a number of rows, not by the sum of the weights that count",
        "divide by the sum of the weights w_y of the labels that are not ignored",
        combined(
            factor_of("{} × D / N", lambda c: c.mean_over(c.size)),
            factor_of("{} × D / (rows that count)", lambda c: c.mean_over(counted_rows(c))),
        ),
    ),
    Mistake(
        "first-weight-for-all",
        "each row has the upstream gradient, or the weight, of the first one of its batch",
        "multiply each row by its own",
        factor_of("{} × r_0 / r_n", lambda c: first_of_batch(c, c.q_sum) / c.q_sum),
    ),
    Mistake(
        "class-weights-ignored",
        "the class weights were left out",
        "multiply the loss of each row, or each term of it, by the weight of the class",
        combined(
            other_targets("{} without w", lambda c: c.variant(class_weights=None)),
            other_targets("{} without w, also in D", without_weights),
        ),
    ),
    Mistake(
        "ignored-rows-counted",
        "rows that are to be ignored have a gradient",
        "set it to 0 where the label is ignore_index",
        {
            "grad_logits": (
                Form("p in ignored rows", lambda c: (c.p,), applies=forms.ignored, counts_all=True),
            ),
        },
    ),
    Mistake(
        "label-smoothing-ignored",
        "the labels were not smoothed",
        "the smoothed target is (1 - ε) e + ε / K",
        other_targets("{} with ε = 0", forms.smoothed(lambda s, _: 0.0 * s)),
    ),
    Mistake(
        "label-smoothing-over-the-others",
        "ε was spread over the K - 1 other classes",
        "spread it over all K classes, or give an ε that is K / (K - 1) times as large",
        other_targets(
            "{} with ε / (K - 1) at the others", forms.smoothed(lambda s, k: s * k / (k - 1))
        ),
    ),
    Mistake(
        "label-smoothing-twice",
        "the labels were smoothed twice",
        "smooth them in the data or in the loss, not in both",
        other_targets("{} smoothed twice", forms.smoothed(lambda s, _: 1.0 - (1.0 - s) ** 2)),
    ),
    Mistake(
        "sum-of-weights-ignored",
        "the target weights do not sum to 1, and p was not multiplied by their sum",
        "the gradient of a target q is p Σq - q",
        {
            "grad_logits": (
                Form(
                    "p - q",
                    lambda c: (c.p / (c.q_sum * c.divisor), -c.e),
                    applies=lambda c: np.abs(c.q_sum * c.divisor - 1.0) > 1e-9,
                ),
            )
        },
    ),
    Mistake(
        "temperature-factor-forgotten",
        "the gradient lacks the factor 1 / T",
        "divide it by T: a / T is what the softmax is of",
        factor_of("{} × T", lambda c: c.temperature, ("grad_logits",)),
    ),
    Mistake(
        "temperature-ignored",
        "the temperature T was left out",
        "take the softmax of a / T, and divide the gradient by T",
        every(
            CORRECT,
            at_other_temperature("{} of a", lambda _: 1.0, 1.0),
            at_other_temperature("{} of a, with the factor 1 / T", lambda _: 1.0, None),
        ),
    ),
    Mistake(
        "temperature-multiplied",
        "the logits were multiplied by T, not divided",
        "take the softmax of a / T",
        every(
            CORRECT,
            at_other_temperature("{} of a T", lambda t: 1.0 / t, None),
            at_other_temperature("{} of a T, with the factor T", lambda t: 1.0 / t, 1.0),
        ),
    ),
    Mistake(
        "softmax-over-the-batch",
        "the softmax was taken over the rows of the batch: each class sums to 1 over them",
        "sum over the classes of one row, the last axis",
        every(
            CORRECT,
            Form(
                "{} with exp(a) / Σ over rows for p",
                over_rows,
                applies=lambda c: np.full(c.count, c.size > 1),
            ),
        ),
    ),
)
