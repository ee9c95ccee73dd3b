"""What shows only in several records together: their order, their axis, their mean."""

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.verification.diagnosis import forms
from softgrad_core.verification.diagnosis.case import CORRECT, Case, Terms
from softgrad_core.verification.diagnosis.catalogue.mistake import Mistake
from softgrad_core.verification.diagnosis.forms import Form, every


def log_normalisers(c: Case) -> FloatArray:
    """Return the logarithm of the sum that each claimed probability was divided by."""
    if c.quantity == "loss":
        return np.asarray(c.claim + c.kept(c.a))
    return np.asarray(c.a - c.claimed_log_p)


def over_records(c: Case) -> Terms:
    """Return the terms for probabilities that sum to 1 over the records."""
    log_p = c.a - forms.median(log_normalisers(c), axis=1)
    return forms.from_log_p(c, np.where((np.exp(log_p).sum(axis=1) < 1.05).all(), log_p, np.nan))


def over_all(c: Case) -> Terms:
    """Return the terms for probabilities of which all in the array sum to 1."""
    log_p = c.a - forms.median(log_normalisers(c).reshape(1, -1), axis=1)
    return forms.from_log_p(c, np.where(np.exp(log_p).sum() < 1.05, log_p, np.nan))


NEIGHBOURS = (
    Mistake(
        "one-loss-for-all",
        "every record has the same loss: the mean, or the sum, over the batch",
        'have the loss of each record, reduction="none"',
        {"loss": (Form("one and the same number", lambda c: (forms.median(c.claim, axis=1),)),)},
        of_batch=True,
    ),
    Mistake(
        "another-record",
        "the numbers are those of the record before or after",
        "look for an index that is off by one, or for records in another order",
        every(
            CORRECT,
            Form("{} of the record before", lambda c: (c.beside[0],)),
            Form("{} of the record after", lambda c: (c.beside[1],)),
        ),
        of_batch=True,
    ),
    Mistake(
        "softmax-over-the-whole-array",
        "the softmax was taken over the whole array: all records together sum to 1",
        "sum over the classes of one record, the last axis",
        every(CORRECT, Form("{} with exp(a) / Σ over all for p", over_all)),
        of_batch=True,
    ),
    Mistake(
        "softmax-over-the-wrong-axis",
        "the softmax was taken over the records: each class sums to 1 over the batch",
        "sum over the classes of one record, the last axis",
        every(
            ("probs", "log_probs", "grad_logits"),
            Form("{} with exp(a) / Σ over records for p", over_records),
        ),
        of_batch=True,
    ),
)
