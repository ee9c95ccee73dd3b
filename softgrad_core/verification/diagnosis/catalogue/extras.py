"""An option of the loss that was not asked for."""

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.verification.diagnosis import forms
from softgrad_core.verification.diagnosis.case import Case, total
from softgrad_core.verification.diagnosis.catalogue.mistake import Mistake
from softgrad_core.verification.diagnosis.forms import Form, every


def smoothing_of_loss(c: Case) -> FloatArray:
    """Return the ε that puts a loss between that of the target and the mean over the classes."""
    of_target = c.log_sum - c.at_target(c.d)
    of_all = c.log_sum - c.d.mean(axis=0)
    return forms.share((c.claim[0] - of_target) / (of_all - of_target))


def penalty(c: Case) -> FloatArray:
    """Return the weight of the square of the log-normaliser that is added to the loss."""
    if c.quantity == "loss":
        return np.asarray((c.claim[0] - total(c.right)[0]) / c.log_normaliser**2)
    top = c.p.argmax(axis=0)
    excess = (c.claim - total(c.right))[top, c.columns]
    return np.asarray(excess / (2.0 * c.log_normaliser * c.p[top, c.columns]))


EXTRAS = (
    Mistake(
        "label-smoothing",
        "the labels were smoothed",
        "turn label smoothing off to compare it here",
        {
            "loss": (
                Form(
                    "(1 - ε) (-log p_y) - ε / K Σ log p_c",
                    lambda c, s: (c.log_sum, -(1 - s) * c.at_target(c.d), -s * c.d.mean(axis=0)),
                    smoothing_of_loss,
                ),
            ),
            "grad_logits": (
                Form(
                    "p - (1 - ε) e - ε / K",
                    lambda c, s: (c.p, -(1 - s) * c.e, -s / c.classes),
                    forms.smoothing,
                ),
            ),
        },
        symbol="ε",
    ),
    Mistake(
        "label-smoothing-of-another-sum",
        "the labels were smoothed so that they do not sum to 1",
        "the smoothed target is (1 - ε) e + ε / K",
        {
            "grad_logits": (
                Form(
                    "p - (1 - ε - ε / K) e - ε / K",
                    lambda c, s: (c.p, -(1 - s - s / c.classes) * c.e, -s / c.classes),
                    forms.smoothing,
                ),
                Form(
                    "p - (1 - ε / K) e - ε / K",
                    lambda c, s: (c.p, -(1 - s / c.classes) * c.e, -s / c.classes),
                    forms.smoothing,
                ),
                Form(
                    "p - (1 - ε) e - 1 / K",
                    lambda c, s: (c.p, -(1 - s) * c.e, np.full(c.count, -1 / c.classes)),
                    lambda c: forms.share(1 + 1 / c.classes - forms.kept_target(c)),
                ),
            )
        },
        symbol="ε",
    ),
    Mistake(
        "log-normaliser-penalty",
        "the square of log Σ exp(a), times a weight c, was added to the loss (z-loss)",
        "turn it off to compare it here",
        {
            "loss": (
                Form(
                    "(-log p_y) + c (log Σ exp(a))²",
                    lambda c, w: (*c.right, w * c.log_normaliser**2),
                    penalty,
                ),
            ),
            "grad_logits": (
                Form(
                    "(p - e) + 2 c log Σ exp(a) p",
                    lambda c, w: (*c.right, 2.0 * w * c.log_normaliser * c.p),
                    penalty,
                ),
            ),
        },
        symbol="c",
    ),
    Mistake(
        "temperature",
        "the logits were divided by a temperature T",
        "compare with logits that are divided by T, or leave it at 1",
        {
            **every(
                ("probs", "log_probs"), Form("{} of a / T", forms.at_temperature, forms.temperature)
            ),
            "grad_logits": (
                Form(
                    "(softmax(a / T) - e) / T",
                    lambda c, t: tuple(term / t for term in forms.at_temperature(c, t)),
                    forms.temperature,
                ),
            ),
        },
        symbol="T",
    ),
    Mistake(
        "temperature-without-its-factor",
        "the logits were divided by a temperature T, and the gradient lacks the factor 1 / T",
        "divide the gradient by T as well, or leave T at 1",
        {"grad_logits": (Form("softmax(a / T) - e", forms.at_temperature, forms.temperature),)},
        symbol="T",
    ),
)
