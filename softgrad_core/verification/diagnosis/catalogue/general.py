"""Mistakes that cover many others, named only where none of the others fits."""

from collections.abc import Callable

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import Case, Terms, total
from softgrad_core.verification.diagnosis.mistake import Form, Mistake

MOST_LABELS = 100
"""Of the losses of more classes than this, one is near to any number."""


def label(c: Case) -> FloatArray:
    """Return the class at which the gradient subtracts most."""
    shown = c.claim - c.p if c.quantity == "grad_logits" else c.claim
    return np.asarray(np.where(np.isnan(shown), np.inf, shown).argmin(axis=0), dtype=np.float64)


def for_other_label(c: Case, k: FloatArray) -> Terms:
    """Return the right terms for other labels; those that are NaN are not looked at."""
    return f.for_labels(c, np.where(np.isnan(k), 0.0, k).astype(int))


def label_of_loss(c: Case) -> FloatArray:
    """Return the class whose loss is nearest to the claim, if there are few; NaN for many."""
    if c.classes > MOST_LABELS or c.is_summed or c.dtype.epsilon > Dtype.FLOAT32.epsilon:
        return np.full(c.count, np.nan)
    losses = c.log_sum - c.d
    return np.asarray(np.abs(losses - c.claim).argmin(axis=0), dtype=np.float64)


def second_label(c: Case) -> FloatArray:
    """Return the class besides the target at which the gradient is most below the right one."""
    off = np.where(c.e > 0.0, -np.inf, total(c.right) - c.claim)
    return np.asarray(np.where(np.isnan(off), -np.inf, off).argmax(axis=0), dtype=np.float64)


def with_second(shares: tuple[float, float, float]) -> Callable[[Case, FloatArray], Terms]:
    """Return p, e(y) and e(k) with these factors, as terms."""

    def terms(c: Case, k: FloatArray) -> Terms:
        second = np.arange(c.classes)[:, np.newaxis] == k
        return shares[0] * c.p, -shares[1] * c.e, np.where(second, -shares[2], 0.0)

    return terms


def of_p(c: Case) -> FloatArray:
    """Return what the largest p but the target's is multiplied by."""
    p = np.where(c.e > 0.0, 0.0, c.p) if c.quantity == "grad_logits" else c.p
    top = p.argmax(axis=0)
    return np.asarray(c.claim[top, c.columns] / c.p[top, c.columns])


def reordered(c: Case) -> Terms:
    """Return the right numbers in the order of the claims."""
    order = c.claim.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return (np.take_along_axis(np.sort(total(c.right), axis=0), order, axis=0),)


def in_digits_of(dtype: Dtype) -> Form:
    """Return the form of the right value, for claims whose numbers have a narrower type."""

    def are_of_it(c: Case) -> BoolArray:
        is_typed = c.half_units is not None
        if is_typed or dtype.epsilon <= c.dtype.epsilon or not c.is_near_right.any():
            return np.zeros(c.count, dtype=bool)
        # Numbers of float32 may have been written with fewer digits than tell them apart.
        return c.are_of(dtype) | (dtype is Dtype.FLOAT32)

    formula = f"{{}} to the digits of {dtype}"
    return Form(f.EVERY, formula, lambda c: c.right, applies=are_of_it, dtype=lambda _: dtype)


GENERAL = (
    Mistake(
        "constant-factor",
        "all numbers are multiplied by the same factor",
        "look for a weight, an upstream gradient, a loss scale, or a mean over other records",
        f.scaled("r × {}", lambda _, r: r, lambda c: c.factor),
        symbol="r",
        generality=1,
    ),
    Mistake(
        "factor-of-each-record",
        "each record is multiplied by a factor of its own",
        "look for weights or upstream gradients that do not belong to their records",
        f.scaled("r × {}", lambda _, r: r, lambda c: c.factor, "log_probs grad_logits"),
        symbol="r",
        generality=2,
    ),
    Mistake(
        "factor-of-p",
        "only p is multiplied by a factor, another one in each record",
        "look at the sum of exponentials: one that has something more in it makes p too small",
        Form("probs grad_logits", "{} with r p for p", lambda c, r: f.from_p(c, r * c.p), of_p),
        symbol="r",
        generality=2,
    ),
    Mistake(
        "weighted-target",
        "only the one-hot vector was multiplied by a weight w",
        "multiply p and e by the same weight; for a target q that does not sum to 1 use p Σq - q",
        Form("grad_logits", "p - w e", lambda c, w: (c.p, -w * c.e), f.subtracted_at_target),
        symbol="w",
        generality=2,
    ),
    Mistake(
        "another-label",
        "the numbers are right for another label",
        "check that labels and logits are in the same order",
        Form(
            "grad_probs grad_logits",
            "{} with e(k) for e",
            for_other_label,
            label,
        ),
        Form("loss", "-log p_k", for_other_label, label_of_loss),
        symbol="k",
        generality=2,
    ),
    Mistake(
        "second-label",
        "a second class k is a target as well",
        "look for two labels of a row, or for an index that is used twice",
        Form("grad_logits", "p - e - e(k)", with_second((1.0, 1.0, 1.0)), second_label),
        Form("grad_logits", "2 p - e - e(k)", with_second((2.0, 1.0, 1.0)), second_label),
        Form("grad_logits", "p - (e + e(k)) / 2", with_second((1.0, 0.5, 0.5)), second_label),
        symbol="k",
        generality=2,
    ),
    Mistake(
        "classes-in-another-order",
        "the numbers are right, but for other classes",
        "look for a transposed, sorted or shuffled axis",
        Form(
            f"{f.OF_P} grad_probs",
            "{} in another order",
            reordered,
            # Two numbers that changed places are another label as well.
            applies=lambda c: np.asarray(c.wrong.sum(axis=0) > 2),
        ),
        generality=1,
    ),
    Mistake(
        "digits-of-a-narrower-type",
        "the formula is right, but the numbers have no more digits than a narrower type",
        "if they are of that type, say so, as in dtype float32; else look for a conversion to it",
        *(in_digits_of(dtype) for dtype in Dtype.FLOAT64.narrower),
        generality=1,
        keeps_digits=False,
    ),
    Mistake(
        "overflow",
        "a number is infinite that should not be: something on the way left the range of the type",
        "add up in a wider type, or divide before the sum",
        Form(
            f.EVERY,
            "Infinity",
            lambda c: (np.where(np.isinf(c.of_rows(c.claimed)), c.of_rows(c.claimed), c.claim),),
            applies=lambda c: c.of_rows(
                (np.isinf(c.claimed) & np.isfinite(c.of_claims(total(c.right)))).any(axis=0)
            ),
            gives_nan=True,
        ),
        generality=1,
    ),
    Mistake(
        "not-a-number",
        "there is a NaN: from an overflow, 0 / 0, infinity - infinity, or log of a negative number",
        "look for exp of large numbers and for logarithms of 0",
        Form(
            f.EVERY,
            "NaN",
            lambda c: (c.claim,),
            applies=lambda c: c.of_rows(np.isnan(c.claimed).any(axis=0)),
            gives_nan=True,
        ),
        generality=1,
    ),
)
