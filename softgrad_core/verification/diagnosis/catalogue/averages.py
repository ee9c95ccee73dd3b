"""Averaged or summed over the classes or over a batch, where that was not asked for."""

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.verification.diagnosis import forms
from softgrad_core.verification.diagnosis.case import Case
from softgrad_core.verification.diagnosis.catalogue.mistake import Mistake
from softgrad_core.verification.diagnosis.forms import Form, scaled


def batch_size(values: FloatArray) -> FloatArray:
    """Return the whole numbers from 2 on that values may stand for, NaN where they are far off."""
    whole = np.rint(values)
    is_whole = (whole >= 2.0) & (whole <= 1e9) & (np.abs(values - whole) <= 0.05 * whole)
    return np.where(is_whole, whole, np.nan)


def one_term(c: Case) -> FloatArray:
    """Return the number N for which the gradient subtracts 1 / N at the target."""
    kept = forms.kept_target(c)
    return np.where(kept > 0.001, batch_size(1.0 / kept), np.nan)


AVERAGES = (
    Mistake(
        "mean-over-classes",
        "the mean over the classes was taken: it was divided by their number K",
        "sum over the classes, and divide at most by the number of records",
        scaled("{} / K", lambda c: 1.0 / c.classes),
    ),
    Mistake(
        "mean-over-batch",
        "the mean over a batch of N records was taken",
        "multiply by N, or have the loss summed; a whole batch is compared with its reduction",
        scaled("{} / N", lambda _, n: 1.0 / n, lambda c: batch_size(1.0 / c.factor)),
        symbol="N",
        is_whole=True,
    ),
    Mistake(
        "mean-over-batch-twice",
        "the mean over a batch of N records was taken twice",
        "divide by N in one place only, and multiply by it to compare it here",
        scaled("{} / N²", lambda _, n: 1.0 / n**2, lambda c: batch_size(1.0 / np.sqrt(c.factor))),
        symbol="N",
        is_whole=True,
    ),
    Mistake(
        "sum-over-batch",
        "it is N times what it should be: summed over a batch, or a loss scale of N",
        "divide by N",
        scaled("N × {}", lambda _, n: n, lambda c: batch_size(c.factor)),
        symbol="N",
        is_whole=True,
    ),
    Mistake(
        "one-term-averaged",
        "only the one-hot vector was divided by the number N of records",
        "divide p and e alike",
        {
            "grad_logits": (
                Form(
                    "p - e / N",
                    lambda c, n: (c.p, -c.e / n),
                    one_term,
                ),
            )
        },
        symbol="N",
        is_whole=True,
    ),
)
