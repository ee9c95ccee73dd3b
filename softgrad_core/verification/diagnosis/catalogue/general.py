"""Whole families of mistakes, named only where no certain one fits."""

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.diagnosis import forms
from softgrad_core.verification.diagnosis.case import CORRECT, Case, Terms, total
from softgrad_core.verification.diagnosis.catalogue.mistake import Mistake
from softgrad_core.verification.diagnosis.forms import Form, every, scaled


def in_digits_of(dtype: Dtype) -> Form:
    """Return the form of the right value, for claims that are numbers of a narrower type."""

    def are_of_it(c: Case) -> BoolArray:
        if not (dtype in c.dtype.narrower and c.is_near_right.any()):
            return np.zeros(c.count, dtype=bool)
        # Numbers of float32 may have been written with fewer digits than tell them apart.
        return c.are_of(dtype) | (dtype is Dtype.FLOAT32)

    return Form(f"{{}} to the digits of {dtype}", lambda c: c.right, None, dtype, are_of_it)


def reordered(c: Case) -> Terms:
    """Return the right numbers in the order of the claims."""
    order = c.claim.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable")
    return (np.take_along_axis(np.sort(total(c.right), axis=0), order, axis=0),)


def has_nan(c: Case) -> BoolArray:
    """Return which claims have NaN in them."""
    return c.of_rows(np.asarray(np.isnan(c.claimed).any(axis=0)))


GENERAL = (
    Mistake(
        "constant-factor",
        "all is multiplied by one number",
        "look for a scale: a weight, an upstream gradient, a loss scale, a mean over other records "
        "than those that count",
        scaled("r × {}", lambda _, r: r, lambda c: c.factor),
        symbol="r",
        is_general=True,
    ),
    Mistake(
        "factor-of-each-record",
        "each record is multiplied by a number of its own",
        "look for an upstream gradient or a weight that should not be in it, or is that of "
        "another record",
        scaled("r × {}", lambda _, r: r, lambda c: c.factor, ("log_probs", "grad_logits")),
        symbol="r",
        varies=True,
        is_general=True,
    ),
    Mistake(
        "weighted-target",
        "only the one-hot vector was multiplied by a weight w",
        "multiply p and e alike; for a target q whose weights do not sum to 1, p Σq - q",
        {"grad_logits": (Form("p - w e", lambda c, w: (c.p, -w * c.e), forms.kept_target),)},
        symbol="w",
        varies=True,
        is_general=True,
    ),
    Mistake(
        "another-label",
        "it is right for another label",
        "look whether labels and logits are in the same order",
        every(
            ("grad_probs", "grad_logits"),
            Form("{} with e(k) for e", lambda c, k: forms.for_label(c, k.astype(int)), forms.label),
        ),
        symbol="k",
        varies=True,
        is_general=True,
    ),
    Mistake(
        "classes-in-another-order",
        "the numbers are right and stand at other classes",
        "look for a transposed, sorted or shuffled axis",
        every(
            ("probs", "log_probs", "grad_probs", "grad_logits"),
            Form("{} in another order", reordered),
        ),
        is_general=True,
    ),
    Mistake(
        "digits-of-a-narrower-type",
        "the formula is right, but there are no more digits than a narrower type has",
        "name that type as the dtype, look for a conversion to it, or write logits with all digits",
        every(CORRECT, *map(in_digits_of, Dtype.FLOAT64.narrower)),
        is_general=True,
        keeps_digits=False,
    ),
    Mistake(
        "not-a-number",
        "there is NaN in it: an overflow, 0 / 0, infinity - infinity or log of what is below 0",
        "look for exp of something large, and for logarithms of 0",
        every(
            CORRECT,
            Form("NaN", lambda c: (c.claim,), applies=has_nan, gives_nan=True),
        ),
        is_general=True,
    ),
)
