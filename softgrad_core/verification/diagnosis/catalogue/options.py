"""An option of the loss that was left out or applied in another way."""

from collections.abc import Callable, Iterator

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import Case, Terms
from softgrad_core.verification.diagnosis.mistake import Form, Mistake


def row_factor(
    formula: str, factor: Callable[[Case], FloatArray], quantities: str = f.OF_LOSS
) -> Form:
    """Return the form that multiplies the right value by a known factor of each row."""
    form = f.scaled(formula, factor, quantities=quantities)
    return form._replace(applies=lambda c: np.abs(factor(c) - 1.0) > 1e-9)


def other_targets(formula: str, e: Callable[[Case], FloatArray]) -> Form:
    """Return the form for other target weights, which are in units of their sum."""
    return Form(
        f.OF_LOSS,
        formula,
        lambda c: f.for_targets(c, e(c)),
        applies=lambda c: np.asarray((np.abs(e(c) - c.e) > 1e-9).any(axis=0)),
    )


def other_smoothing(formula: str, change: Callable[[FloatArray, int], FloatArray]) -> Form:
    """Return the form for another ε, computed from ε and the number of classes."""

    def e(c: Case) -> FloatArray:
        smoothing = c.objective.smoothing
        return c.e if smoothing is None else c.variant(smoothing=change(smoothing, c.classes))

    return other_targets(formula, e)


def other_temperature(
    formula: str, other: Callable[[FloatArray], FloatArray], *, chain_rule: bool
) -> Form:
    """Return the form for another temperature t than T.

    Its gradient has the factor 1 / t of the chain rule, or else the factor 1 / T.
    """

    def terms(c: Case) -> Terms:
        t = other(c.temperature)
        divisor = t if chain_rule else c.temperature
        scale = 1.0 / divisor if c.quantity == "grad_logits" else np.ones(c.count)
        return tuple(scale * term for term in f.at_temperature(c, t))

    return Form(f.EVERY, formula, terms, applies=lambda c: np.abs(c.temperature - 1.0) > 1e-9)


def counted_rows(c: Case) -> FloatArray:
    """Return for each row how many rows of its batch count."""
    return c.of_rows(c.counts)


def mean_over(c: Case, denominators: FloatArray | int) -> FloatArray:
    """Return the factor of each row if the mean were divided by these denominators, not by D."""
    if c.objective.divisor is None:
        return np.ones(c.count)
    return np.asarray(c.divisor / denominators)


def without_class_weights(c: Case) -> FloatArray:
    """Return e without class weights, which are left out of the mean's denominator too."""
    divisor = None if c.objective.divisor is None else counted_rows(c)
    return c.variant(class_weights=None, divisor=divisor)


def over_rows(c: Case) -> Terms:
    """Return the terms for probabilities that sum to 1 over the rows of a batch."""
    a = c.a.reshape(c.classes, c.records, c.size)
    log_p = a - np.log(np.exp(a - a.max(axis=2, keepdims=True)).sum(axis=2, keepdims=True))
    return f.from_log_p(c, (log_p - a.max(axis=2, keepdims=True)).reshape(c.a.shape))


def of_ignored_rows(label: int | None) -> Iterator[Form]:
    """Yield the forms of a gradient of ignored rows too: with the D of the others, and of all."""
    formula = {None: "p", 0: "p - e(0)", -1: "p - e(K - 1)"}[label]

    def terms(c: Case) -> Terms:
        e = np.zeros_like(c.p)
        if label is not None:
            e[label] = 1.0
        return (c.p, -np.where(c.row_counts, c.e, e))

    def of_all(c: Case) -> Terms:
        # Where no row counts, the unit of a row is 1, not 1 / D.
        factor = np.where(c.divisor > 0.0, c.divisor, 1.0) / c.rows_of_batch
        return tuple(factor * term for term in terms(c))

    is_alone, of_mean = f"{formula} in ignored rows", f"D / N (p - e), {formula} in ignored rows"
    yield Form("grad_logits", is_alone, terms, applies=lambda c: ~c.row_counts, counts_all=True)
    yield Form("grad_logits", of_mean, of_all, applies=ignored_rows_failed, counts_all=True)


def ignored_rows_failed(c: Case) -> BoolArray:
    """Return the rows of means over batches in which some ignored row has a gradient."""
    failed = (c.has_failed & ~c.row_counts).reshape(c.records, c.size).any(axis=1)
    return np.asarray(c.of_rows(failed) & (c.objective.divisor is not None))


def smoothed(c: Case) -> BoolArray:
    """Return the rows whose labels are smoothed."""
    return np.zeros(c.count, bool) if c.objective.smoothing is None else c.objective.smoothing > 0


def smoothing_of(c: Case) -> FloatArray:
    """Return the ε of each row, NaN if there is none."""
    smoothing = c.objective.smoothing
    return np.full(c.count, np.nan) if smoothing is None else smoothing


def other_weight_of_smoothing(c: Case) -> FloatArray:
    """Return K times what the gradient subtracts from p at classes without the label."""
    return f.share(c.classes * f.median_of_others(c, c.p - c.claim))


def parts_of_smoothing(c: Case, *, in_sum: bool) -> FloatArray:
    """Return R if ε / K was multiplied by R; `in_sum` says that p was, by the sum of the target."""
    epsilon = smoothing_of(c)
    if c.quantity == "loss":
        of_all = c.log_sum - c.d.mean(axis=0)
        of_label = c.log_sum - c.d[c.y, c.columns]
        return f.whole((c.claim[0] - (1.0 - epsilon) * of_label) / (epsilon * of_all), 0.02)
    p = c.p * (1.0 - epsilon) if in_sum else c.p
    by = epsilon * (c.p - 1.0 / c.classes) if in_sum else np.full_like(c.p, -epsilon / c.classes)
    return f.whole(f.median_of_others(c, (c.claim - p) / by), 0.02)


def smoothed_by_parts(formula: str, *, in_sum: bool) -> Form:
    """Return the form of a smoothed gradient with ε R / K for ε / K."""

    def terms(c: Case, parts: FloatArray) -> Terms:
        epsilon = smoothing_of(c)
        one_hot = np.arange(c.classes)[:, np.newaxis] == c.y
        total_weight = 1.0 - epsilon + epsilon * parts if in_sum else np.ones(c.count)
        share = np.broadcast_to(epsilon * parts / c.classes, c.p.shape)
        return (total_weight * c.p, -(1.0 - epsilon) * one_hot, -share)

    return Form(
        "grad_logits",
        formula,
        terms,
        lambda c: parts_of_smoothing(c, in_sum=in_sum),
        applies=smoothed,
    )


FACTORS = (
    Mistake(
        "temperature-factor-forgotten",
        "the gradient lacks the factor 1 / T",
        "divide it by T: the softmax is of a / T",
        row_factor("{} × T", lambda c: c.temperature, "grad_logits"),
    ),
    Mistake(
        "temperature-squared",
        "the loss was multiplied by T², as for distillation, or divided by it",
        "remove the factor, or give the loss scale that you use",
        row_factor("{} × T²", lambda c: c.temperature**2),
        row_factor("{} / T²", lambda c: c.temperature**-2.0),
        row_factor("{} / T", lambda c: 1.0 / c.temperature, "grad_logits"),
    ),
    Mistake(
        "loss-scale-left-out",
        "the loss was not multiplied by its factor m",
        "multiply the loss by the loss scale, or leave the loss scale out of the options here",
        row_factor("{} / m", lambda c: 1.0 / c.scale),
    ),
    Mistake(
        "loss-scale-twice",
        "the loss was multiplied twice by its factor m",
        "multiply by the loss scale in one place only",
        row_factor("m × {}", lambda c: c.scale),
    ),
)
"""A factor of an option in use, which other mistakes may have by chance."""

OPTIONS = (
    Mistake(
        "sum-for-mean",
        "the losses of the batch were summed, not averaged",
        "divide by D: the number of rows, or the sum of the weights of the rows that count",
        row_factor("D × {}", lambda c: c.divisor),
    ),
    Mistake(
        "wrong-denominator",
        "the mean was divided by a number of rows, not by D",
        "divide by the sum of the weights w_y of the labels that count, or by the denominator",
        row_factor("{} × D / N", lambda c: mean_over(c, c.rows_of_batch)),
        row_factor("{} × D / (rows that count)", lambda c: mean_over(c, counted_rows(c))),
    ),
    Mistake(
        "first-weight-for-all",
        "every row has the weight, or the upstream gradient, of the first row of its batch",
        "multiply each row by its own",
        row_factor("{} × r_0 / r_n", lambda c: c.of_rows(c.q_sum[:: c.size]) / c.q_sum),
    ),
    Mistake(
        "class-weights-ignored",
        "the class weights were left out",
        "multiply the loss of each row, or each term of it, by the weight of the class",
        other_targets("{} without w", lambda c: c.variant(class_weights=None)),
        other_targets("{} without w, also in D", without_class_weights)._replace(
            applies=lambda c: np.full(c.count, c.objective.class_weights is not None)
        ),
    ),
    Mistake(
        "ignored-rows-counted",
        "ignored rows have a gradient, as if they had a label",
        "set it to 0 where the label is ignore_index, and leave these rows out of D",
        *(form for label in (None, 0, -1) for form in of_ignored_rows(label)),
    ),
    Mistake(
        "ignored-rows-smoothed",
        "ignored rows have the gradient of the label smoothing",
        "set it to 0 where the label is ignore_index",
        Form(
            "grad_logits",
            "ε (p - 1 / K) in ignored rows",
            lambda c: (
                smoothing_of(c) * c.p,
                np.full_like(c.p, -1.0 / c.classes) * smoothing_of(c),
            ),
            applies=lambda c: smoothed(c) & ~c.row_counts,
            counts_all=True,
        ),
    ),
    Mistake(
        "smoothing-over-own-part",
        "the classes are in R parts, and the label smoothing was spread over one of them",
        "divide ε by the number of all classes, and add the sums of all parts up",
        Form(
            "loss",
            "(1 - ε) (-log p_y) - ε R / K Σ log p_c",
            lambda c, r: (
                (1.0 - smoothing_of(c)) * (c.log_sum - c.d[c.y, c.columns]),
                smoothing_of(c) * r * (c.log_sum - c.d.mean(axis=0)),
            ),
            lambda c: parts_of_smoothing(c, in_sum=False),
            applies=smoothed,
        ),
        smoothed_by_parts("p - (1 - ε) e - ε R / K", in_sum=False),
        smoothed_by_parts("p Σq - q with q = (1 - ε) e + ε R / K", in_sum=True),
        symbol="R",
        is_whole=True,
    ),
    Mistake(
        "label-smoothing-ignored",
        "the labels were not smoothed",
        "use the smoothed target (1 - ε) e + ε / K",
        other_smoothing("{} with ε = 0", lambda s, _: 0.0 * s),
    ),
    Mistake(
        "label-smoothing-over-the-others",
        "ε was spread over the K - 1 other classes",
        "spread it over all K classes, or pass an ε that is K / (K - 1) times as large",
        other_smoothing("{} with ε / (K - 1) at the others", lambda s, k: s * k / (k - 1)),
    ),
    Mistake(
        "label-smoothing-twice",
        "the labels were smoothed twice",
        "smooth them in the data or in the loss, not in both",
        other_smoothing("{} smoothed twice", lambda s, _: 1.0 - (1.0 - s) ** 2),
    ),
    Mistake(
        "label-smoothing-of-another-weight",
        "the labels were smoothed with s in place of ε",
        "use ε, or verify with the other",
        Form(
            "grad_logits",
            "{} with s for ε",
            lambda c, s: f.for_targets(c, c.variant(smoothing=s)),
            other_weight_of_smoothing,
            applies=lambda c: smoothed(c) & (c.objective.class_weights is None),
        ),
        symbol="s",
    ),
    Mistake(
        "sum-of-weights-ignored",
        "the target weights do not sum to 1, and p was not multiplied by their sum",
        "use p Σq - q, the gradient for a target q",
        Form(
            "grad_logits",
            "p - q",
            lambda c: (c.p / (c.q_sum * c.divisor), -c.e),
            applies=lambda c: np.abs(c.q_sum * c.divisor - 1.0) > 1e-9,
        ),
    ),
    Mistake(
        "temperature-ignored",
        "the temperature T was left out",
        "take the softmax of a / T, and divide the gradient by T",
        other_temperature("{} of a", np.ones_like, chain_rule=True),
        other_temperature("{} of a, with the factor 1 / T", np.ones_like, chain_rule=False),
    ),
    Mistake(
        "temperature-multiplied",
        "the logits were multiplied by T, not divided",
        "take the softmax of a / T",
        other_temperature("{} of a T", lambda t: 1.0 / t, chain_rule=False),
        other_temperature("{} of a T, with the factor T", lambda t: 1.0 / t, chain_rule=True),
    ),
    Mistake(
        "softmax-over-the-batch",
        "the softmax was taken over the rows of the batch: each class sums to 1 over them",
        "sum over the classes of each row, the last axis",
        Form(
            f.EVERY,
            "{} with exp(a) / Σ over rows for p",
            over_rows,
            applies=lambda c: np.full(c.count, c.size > 1),
        ),
    ),
)
