"""What shows only in several records together: their order, their axis, one loss for all."""

import numpy as np

from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import Case, Terms
from softgrad_core.verification.diagnosis.mistake import Form, Mistake


def over_records(c: Case) -> Terms:
    """Return the terms for probabilities of which each class sums to 1 over the records."""
    log_p = c.a - f.median(c.kept(c.a) - c.claimed_log_p, axis=1)
    return f.from_log_p(c, np.where((np.exp(log_p).sum(axis=1) < 1.05).all(), log_p, np.nan))


def over_all(c: Case) -> Terms:
    """Return the terms for probabilities that sum to 1 over the whole array."""
    log_sums = (c.kept(c.a) - c.claimed_log_p).reshape(1, -1)
    log_p = c.a - f.median(log_sums, axis=1)
    return f.from_log_p(c, np.where(np.exp(log_p).sum() < 1.05, log_p, np.nan))


NEIGHBOURS = (
    Mistake(
        "one-loss-for-all",
        "every record has the same loss: the mean or the sum over the batch",
        'ask for the loss of each record: reduction="none"',
        Form("loss", "one and the same number", lambda c: (f.median(c.claim, axis=1),)),
        of_batch=True,
    ),
    Mistake(
        "another-record",
        "the numbers belong to the record before or after",
        "look for an index that is off by one, or for records in another order",
        Form(f.EVERY, "{} of the record before", lambda c: (c.in_units(c.before),)),
        Form(f.EVERY, "{} of the record after", lambda c: (c.in_units(c.after),)),
        of_batch=True,
    ),
    Mistake(
        "softmax-over-the-whole-array",
        "the softmax was taken over the whole array: all records together sum to 1",
        "sum over the classes of each record, the last axis",
        Form(f.EVERY, "{} with exp(a) / Σ over all for p", over_all),
        of_batch=True,
    ),
    Mistake(
        "softmax-over-the-wrong-axis",
        "the softmax was taken over the records: each class sums to 1 over the batch",
        "sum over the classes of each record, the last axis",
        Form(f.OF_P, "{} with exp(a) / Σ over records for p", over_records),
        of_batch=True,
    ),
)
