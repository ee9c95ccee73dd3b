"""Another function in place of the softmax, the loss, the logarithm or the label."""

import math

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import Case, Terms
from softgrad_core.verification.diagnosis.mistake import Form, Mistake


def squared_error(c: Case) -> FloatArray:
    """Return the sum of (p - e)² over the classes."""
    return np.asarray(((c.p - c.e) ** 2).sum(axis=0, keepdims=True))


def through_softmax(p: FloatArray, terms: Terms) -> Terms:
    """Return the terms of J v for a v of these terms, with the Jacobian J = diag(p) - p pᵀ."""
    return tuple(part for term in terms for part in (p * term, -p * (p * term).sum(axis=0)))


def not_p(c: Case) -> FloatArray:
    """Return 1 - p, without cancellation."""
    return np.where(c.p > 0.5, c.p_of_others, 1.0 - c.p)


def binary_cross_entropy(c: Case) -> Terms:
    """Return the derivatives with respect to p of the binary cross-entropy of each class."""
    return (-c.e / c.p, (1.0 - c.e) / not_p(c))


def binary_through_softmax(c: Case) -> Terms:
    """Return J times these derivatives."""
    odds = (1.0 - c.e) * c.p / not_p(c)
    return (-c.e, odds, c.p, -c.p * odds.sum(axis=0))


def for_next_label(c: Case) -> Terms:
    """Return the right terms for the label y + 1."""
    return f.for_labels(c, (c.y + 1) % c.classes)


def for_previous_label(c: Case) -> Terms:
    """Return the right terms for the label y - 1."""
    return f.for_labels(c, (c.y - 1) % c.classes)


FUNCTIONS = (
    Mistake(
        "sigmoid-for-softmax",
        "a sigmoid was applied to each logit instead of a softmax to all",
        "apply the softmax over the classes",
        Form(f.EVERY, "{} with σ(a) for p", lambda c: f.from_log_p(c, -np.logaddexp(0.0, -c.a))),
    ),
    Mistake(
        "binary-cross-entropy",
        "the binary cross-entropy of each class was computed from a softmax",
        "use the loss -log p_y, in which the target alone has a term",
        Form(
            "loss",
            "-log p_y - Σ log(1 - p_c)",
            lambda c: (*c.right, -(np.log(not_p(c)) * (1.0 - c.e)).sum(axis=0, keepdims=True)),
        ),
        Form("grad_probs grad_logits", "-e / p + (1 - e) / (1 - p)", binary_cross_entropy),
    ),
    Mistake(
        "binary-cross-entropy-through-softmax",
        "the binary cross-entropy of each class was differentiated through a softmax",
        "use the loss -log p_y, in which the target alone has a term",
        Form("grad_logits", "J (-e / p + (1 - e) / (1 - p))", binary_through_softmax),
    ),
    Mistake(
        "squared-error",
        "the squared error was used instead of the cross-entropy",
        "use the loss -log p_y; its gradient is p - e, without the Jacobian",
        Form("loss", "|p - e|²", lambda c: (squared_error(c),)),
        Form("loss", "|p - e|² / 2", lambda c: (squared_error(c) / 2.0,)),
        Form("loss", "|p - e|² / K", lambda c: (squared_error(c) / c.classes,)),
        Form("grad_probs", "2 (p - e)", lambda c: (2.0 * c.p, -2.0 * c.e)),
        Form("grad_logits", "J (p - e)", lambda c: through_softmax(c.p, (c.p, -c.e))),
        Form("grad_logits", "2 J (p - e)", lambda c: through_softmax(c.p, (2 * c.p, -2 * c.e))),
    ),
    Mistake(
        "softmax-twice",
        "the softmax was applied twice: the loss applies it, and was given probabilities",
        "pass the logits to the loss, or use a loss that takes probabilities",
        Form(f.EVERY, "{} with softmax(p) for p", lambda c: f.from_p(c, f.softmax(c.p))),
    ),
    Mistake(
        "softmax-twice-through-both",
        "the softmax was applied twice and differentiated twice",
        "pass the logits to the loss, or use a loss that takes probabilities",
        Form(
            "grad_logits",
            "J (softmax(p) - e)",
            lambda c: through_softmax(c.p, (f.softmax(c.p), -c.e)),
        ),
    ),
    Mistake(
        "logits-ignored",
        "all classes are equally probable, whatever the logits",
        "check that the kernel reads the logits, and from where",
        Form(
            f.EVERY, "{} with 1 / K for p", lambda c: f.from_p(c, np.full_like(c.p, 1 / c.classes))
        ),
    ),
    Mistake(
        "label-off-by-one",
        "the label is off by one: classes numbered from 1, or targets shifted",
        "number the classes from 0",
        Form("loss", "-log p_k with k = y + 1", for_next_label),
        Form("loss", "-log p_k with k = y - 1", for_previous_label),
        Form("grad_probs", "-e(y + 1) / p", for_next_label),
        Form("grad_probs", "-e(y - 1) / p", for_previous_label),
        Form("grad_logits", "p - e(y + 1)", for_next_label),
        Form("grad_logits", "p - e(y - 1)", for_previous_label),
    ),
    Mistake(
        "logarithm-to-base-2",
        "the logarithm was taken to base 2",
        "take the natural logarithm, or multiply by ln 2",
        f.scaled("{} / ln 2", lambda _: 1.0 / math.log(2.0)),
    ),
    Mistake(
        "logarithm-to-base-10",
        "the logarithm was taken to base 10",
        "take the natural logarithm, or multiply by ln 10",
        f.scaled("{} / ln 10", lambda _: 1.0 / math.log(10.0)),
    ),
)
