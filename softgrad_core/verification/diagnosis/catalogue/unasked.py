"""What was not asked for: a mean, a sum, label smoothing, a z-loss, a temperature."""

from collections.abc import Callable

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import Case, total
from softgrad_core.verification.diagnosis.mistake import Form, Mistake


def batch_size(values: FloatArray) -> FloatArray:
    """Return the sizes of batches that are near the values, NaN where none is."""
    return np.where(np.rint(values) <= 1e9, f.whole(values, 0.05), np.nan)


def size_of_one_term(c: Case) -> FloatArray:
    """Return the N for which the gradient subtracts 1 / N at the target."""
    subtracted = f.subtracted_at_target(c)
    return np.where(subtracted > 0.001, batch_size(1.0 / subtracted), np.nan)


def smoothing_of_gradient(c: Case) -> FloatArray:
    """Return K times what the gradient subtracts at the classes other than the target."""
    subtracted = np.where(c.e == 1.0, np.nan, c.p - c.claim)
    smoothing = f.share(c.classes * f.median(subtracted, axis=0)[0])
    return np.where(smoothing > 0.002, smoothing, np.nan)


def smoothed_gradient(formula: str, kept: Callable[[FloatArray, int], FloatArray]) -> Form:
    """Return the form that subtracts ε / K, and at the target what is kept of 1."""
    return Form(
        "grad_logits",
        formula,
        lambda c, s: (c.p, -kept(s, c.classes) * c.e, -s / c.classes),
        smoothing_of_gradient,
    )


def smoothing_of_loss(c: Case) -> FloatArray:
    """Return the ε that puts a loss between the target's and the mean over the classes."""
    of_target = c.log_sum - c.at_target(c.d)
    of_all = c.log_sum - c.d.mean(axis=0)
    smoothing = f.share((c.claim[0] - of_target) / (of_all - of_target))
    return np.where(smoothing > 1e-6, smoothing, np.nan)


def z_loss_weight(c: Case) -> FloatArray:
    """Return the weight of the square of log Σ exp(a) that was added, unless one was asked for."""
    if c.has_z_loss:
        return np.full(c.count, np.nan)
    if c.quantity == "loss":
        weight = (c.claim[0] - total(c.right)[0]) / c.log_normaliser**2
    else:
        top = c.p.argmax(axis=0)
        excess = (c.claim - total(c.right))[top, c.columns]
        weight = excess / (2.0 * c.log_normaliser * c.p[top, c.columns])
    return np.where(weight > 0.0, weight, np.nan)


def temperature(c: Case) -> FloatArray:
    """Return T if the claim is made of softmax(a / T), whatever it is multiplied by."""
    log_p = c.claimed_log_p
    weight = np.where(np.isfinite(log_p) & np.isfinite(c.d), np.exp(log_p), 0.0)
    if c.quantity == "grad_logits" and c.classes > 2:
        # At the target digits cancelled.
        weight = weight * (1.0 - c.e)
    # The slope of log p over a, by least squares.
    log_p, d = (np.where(weight > 0.0, values, 0.0) for values in (log_p, c.d))
    weight = weight / weight.sum(axis=0)
    d = d - (weight * d).sum(axis=0)
    slope = (weight * d * log_p).sum(axis=0) / (weight * d * d).sum(axis=0)
    is_other = (slope > 1e-3) & (slope < 1e3) & (np.abs(slope - 1.0) > 0.02)
    return np.where(is_other, c.temperature / slope, np.nan)


def other_denominator(c: Case) -> FloatArray:
    """Return what a mean was divided by in place of D, if digits suffice to know a whole number."""
    other = c.divisor / c.factor
    nearest = np.rint(other)
    shows = (nearest >= 2.0) & (nearest < 0.1 / max(c.dtype.epsilon, 1e-7))
    is_near = shows & (np.abs(other - nearest) <= 0.2)
    is_near &= (c.objective.divisor is not None) & (nearest != c.divisor)
    return np.where(is_near, nearest, np.nan)


UNASKED = (
    Mistake(
        "mean-over-classes",
        "the mean over the K classes was taken, not the sum",
        "sum over the classes; a mean is over records only",
        f.scaled("{} / K", lambda c: 1.0 / c.classes),
    ),
    Mistake(
        "mean-over-batch",
        "the numbers are 1/N of what they should be: a mean over N records, or over N devices or "
        "accumulated steps, or an upstream gradient of 1/N",
        "multiply by N, or say what is meant: the reduction, its denominator, or a loss scale",
        f.scaled("{} / N", lambda _, n: 1.0 / n, lambda c: batch_size(1.0 / c.factor)),
        symbol="N",
        is_whole=True,
    ),
    Mistake(
        "mean-over-batch-twice",
        "the mean over a batch of N records was taken twice",
        "divide by N in one place only; multiply the result by N to compare it here",
        f.scaled("{} / N²", lambda _, n: 1 / n**2, lambda c: batch_size(1 / np.sqrt(c.factor))),
        symbol="N",
        is_whole=True,
    ),
    Mistake(
        "sum-over-batch",
        "the numbers are N times what they should be: summed over a batch, or a loss scale or an "
        "upstream gradient of N",
        "divide by N, or give it as the loss scale",
        f.scaled("N × {}", lambda _, n: n, lambda c: batch_size(c.factor)),
        symbol="N",
        is_whole=True,
    ),
    Mistake(
        "denominator-of-other-rows",
        "the mean was divided by another number of rows or tokens, M in place of D",
        "count the rows that this mean is over; those of all devices and all accumulated batches, "
        "or of this one alone, without padding",
        f.scaled("D / M × {}", lambda c, d: c.divisor / d, other_denominator),
        symbol="M",
        is_whole=True,
    ),
    Mistake(
        "one-term-averaged",
        "only the one-hot vector was divided by the number N of records",
        "divide p and e by the same number",
        Form("grad_logits", "p - e / N", lambda c, n: (c.p, -c.e / n), size_of_one_term),
        symbol="N",
        is_whole=True,
    ),
    Mistake(
        "label-smoothing",
        "the labels were smoothed",
        "turn label smoothing off, or verify with the same label smoothing",
        Form(
            "loss",
            "(1 - ε) (-log p_y) - ε / K Σ log p_c",
            lambda c, s: (c.log_sum, -(1 - s) * c.at_target(c.d), -s * c.d.mean(axis=0)),
            smoothing_of_loss,
        ),
        smoothed_gradient("p - (1 - ε) e - ε / K", lambda s, _: 1 - s),
        symbol="ε",
    ),
    Mistake(
        "label-smoothing-of-another-sum",
        "the labels were smoothed so that they do not sum to 1",
        "use the smoothed target (1 - ε) e + ε / K",
        smoothed_gradient("p - (1 - ε - ε / K) e - ε / K", lambda s, k: 1 - s - s / k),
        smoothed_gradient("p - (1 - ε / K) e - ε / K", lambda s, k: 1 - s / k),
        Form(
            "grad_logits",
            "p - (1 - ε) e - 1 / K",
            lambda c, s: (c.p, -(1 - s) * c.e, np.full(c.count, -1 / c.classes)),
            lambda c: f.share(1 + 1 / c.classes - f.subtracted_at_target(c)),
        ),
        symbol="ε",
    ),
    Mistake(
        "log-normaliser-penalty",
        "a z-loss was added: the square of log Σ exp(a), times a weight c",
        "turn it off to compare the loss here, or give its scale",
        Form(
            "loss",
            "(-log p_y) + c (log Σ exp(a))²",
            lambda c, w: (*c.right, w * c.log_normaliser**2),
            z_loss_weight,
        ),
        Form(
            "grad_logits",
            "(p - e) + 2 c log Σ exp(a) p",
            lambda c, w: (*c.right, 2.0 * w * c.log_normaliser * c.p),
            z_loss_weight,
        ),
        symbol="c",
    ),
    Mistake(
        "temperature",
        "the logits were divided by a temperature T",
        "set T to 1, or verify with the same temperature",
        Form("probs log_probs", "{} of a / T", f.at_temperature, temperature),
        Form(
            "grad_logits",
            "(softmax(a / T) - e) / T",
            lambda c, t: tuple(term / t for term in f.at_temperature(c, t)),
            temperature,
        ),
        symbol="T",
    ),
    Mistake(
        "temperature-without-its-factor",
        "the logits were divided by a temperature T, and the gradient lacks the factor 1 / T",
        "divide the gradient by T as well, or set T to 1",
        Form("grad_logits", "softmax(a / T) - e", f.at_temperature, temperature),
        symbol="T",
    ),
)
