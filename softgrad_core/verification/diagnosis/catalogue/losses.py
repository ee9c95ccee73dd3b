"""Another function: a sigmoid, another loss, another logarithm, another label."""

import math
from collections.abc import Callable

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.verification.diagnosis import forms
from softgrad_core.verification.diagnosis.case import CORRECT, Case, Terms
from softgrad_core.verification.diagnosis.catalogue.mistake import Mistake, given
from softgrad_core.verification.diagnosis.forms import Form, every, scaled


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


def moved_label(formula: str) -> tuple[Form, ...]:
    """Return the forms for the neighbours of the target."""

    def for_neighbour(step: int) -> Callable[[Case], Terms]:
        return lambda c: forms.for_label(c, (c.y + step) % c.classes)

    return tuple(
        Form(formula.format(name), for_neighbour(step))
        for name, step in (("y + 1", 1), ("y - 1", -1))
    )


LOSSES = (
    Mistake(
        "sigmoid-for-softmax",
        "a sigmoid was applied to each logit in the place of the softmax",
        "apply the softmax over the classes",
        every(
            CORRECT,
            Form("{} with σ(a) for p", lambda c: forms.from_log_p(c, -np.logaddexp(0.0, -c.a))),
        ),
    ),
    Mistake(
        "binary-cross-entropy",
        "the binary cross-entropy of each class was used on a softmax",
        "use the loss -log p_y, of which only the target has a term",
        given(
            loss=(
                "-log p_y - Σ log(1 - p_c)",
                lambda c: (*c.right, -(np.log(c.not_p) * (1.0 - c.e)).sum(axis=0, keepdims=True)),
            ),
            grad_probs=("-e / p + (1 - e) / (1 - p)", binary_cross_entropy),
            grad_logits=("-e / p + (1 - e) / (1 - p)", binary_cross_entropy),
        ),
    ),
    Mistake(
        "binary-cross-entropy-through-softmax",
        "the binary cross-entropy of each class was differentiated through a softmax",
        "use the loss -log p_y, of which only the target has a term",
        given(grad_logits=("J (-e / p + (1 - e) / (1 - p))", binary_through_softmax)),
    ),
    Mistake(
        "squared-error",
        "the squared error was used in the place of the cross-entropy",
        "use the loss -log p_y, whose gradient is p - e without the Jacobian",
        {
            "loss": (
                Form("|p - e|²", lambda c: (squared_error(c),)),
                Form("|p - e|² / 2", lambda c: (squared_error(c) / 2.0,)),
                Form("|p - e|² / K", lambda c: (squared_error(c) / c.classes,)),
            ),
            "grad_probs": (Form("2 (p - e)", lambda c: (2.0 * c.p, -2.0 * c.e)),),
            "grad_logits": (
                Form("J (p - e)", lambda c: through_softmax(c.p, (c.p, -c.e))),
                Form("2 J (p - e)", lambda c: through_softmax(c.p, (2 * c.p, -2 * c.e))),
            ),
        },
    ),
    Mistake(
        "softmax-twice",
        "the softmax was applied twice: a loss that applies it was given probabilities",
        "hand the loss the logits, or use a loss that takes probabilities",
        every(
            CORRECT, Form("{} with softmax(p) for p", lambda c: forms.from_p(c, forms.softmax(c.p)))
        ),
    ),
    Mistake(
        "softmax-twice-through-both",
        "the softmax was applied twice and differentiated twice",
        "hand the loss the logits, or use a loss that takes probabilities",
        given(
            grad_logits=(
                "J (softmax(p) - e)",
                lambda c: through_softmax(c.p, (forms.softmax(c.p), -c.e)),
            )
        ),
    ),
    Mistake(
        "logits-ignored",
        "all classes are equally probable, whatever the logits",
        "look whether the kernel reads the logits, and from where",
        every(
            CORRECT,
            Form(
                "{} with 1 / K for p", lambda c: forms.from_p(c, np.full_like(c.p, 1 / c.classes))
            ),
        ),
    ),
    Mistake(
        "label-off-by-one",
        "the label is off by one: the classes were numbered from 1, or shifted",
        "number the classes from 0",
        {
            "loss": moved_label("-log p_k with k = {}"),
            "grad_probs": moved_label("-e({}) / p"),
            "grad_logits": moved_label("p - e({})"),
        },
    ),
    Mistake(
        "logarithm-to-base-2",
        "the logarithm was taken to base 2",
        "take the natural logarithm, or multiply by ln 2",
        scaled("{} / ln 2", lambda _: 1.0 / math.log(2.0)),
    ),
    Mistake(
        "logarithm-to-base-10",
        "the logarithm was taken to base 10",
        "take the natural logarithm, or multiply by ln 10",
        scaled("{} / ln 10", lambda _: 1.0 / math.log(10.0)),
    ),
)
