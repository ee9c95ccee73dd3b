"""What shows only in several records together: their order, their axis, one loss for all."""

import numpy as np

from softgrad_core.loss.objective import BoolArray
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


def labels_of_all(c: Case) -> BoolArray:
    """Return the classes of which every row subtracts 1, of shape (K, 1)."""
    return np.asarray(f.median(c.p - c.claim, axis=1) > 0.5)


def has_labels_of_all(c: Case) -> BoolArray:
    """Return the rows whose label is one of several such classes."""
    labels = labels_of_all(c)
    is_one_of_several = labels[c.y, 0] & (c.count > 1) & (np.count_nonzero(labels) > 1)
    return np.asarray(is_one_of_several & c.is_hard)


NEIGHBOURS = (
    Mistake(
        "labels-of-all-rows",
        "1 is subtracted in the columns of all labels, in every row, as p[:, y] -= 1 does",
        "index the row of each label as well: p[np.arange(len(y)), y] -= 1",
        Form(
            "grad_logits",
            "p - 1 at the labels of all rows",
            lambda c: (c.p, np.where(labels_of_all(c), -np.ones_like(c.p), 0.0)),
            applies=has_labels_of_all,
        ),
    ),
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
