"""Overflow, guards, and digits that were lost on the way."""

import math
from collections.abc import Callable

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.diagnosis import forms
from softgrad_core.verification.diagnosis.case import CORRECT, Case, Terms, total
from softgrad_core.verification.diagnosis.catalogue.mistake import Mistake
from softgrad_core.verification.diagnosis.forms import Form, every


def bound(c: Case) -> FloatArray:
    """Return the size of the largest number."""
    largest = np.abs(c.safe_unit * c.claim).max(axis=0)
    return np.where(largest > 0.0, largest, np.nan)


EPSILONS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 2.0**-23, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16)


def guarded(formula: str, epsilon: float) -> Form:
    """Return the form with p + ε for p."""
    return Form(
        f"{formula.format('(p_y + ε)')} with ε = {epsilon:.2g}",
        lambda c: forms.from_p(c, c.p + epsilon),
    )


def clipped(formula: str, epsilon: float) -> Form:
    """Return the form with p no nearer to 0 and to 1 than ε."""
    return Form(
        f"{formula.format('max(p_y, ε)')} with ε = {epsilon:.2g}",
        lambda c: forms.from_p(c, c.p.clip(epsilon, 1.0 - epsilon)),
    )


def out_of_range(dtype: Dtype, shift: Callable[[Case], FloatArray | float], formula: str) -> Form:
    """Return the form of a softmax of exp(a - shift), for records that have no room in the type."""

    def exponentials(c: Case) -> FloatArray:
        return dtype.round(np.exp(c.a - shift(c)))

    def divide(c: Case) -> Terms:
        e = exponentials(c)
        return forms.from_p(c, e / dtype.round(e.sum(axis=0)))

    def leaves_range(c: Case) -> BoolArray:
        if not c.has(dtype):
            return np.zeros(c.count, dtype=bool)
        height = c.a.max(axis=0) - shift(c)
        is_low = height < math.log(dtype.smallest) + 7.0
        is_high = height > math.log(dtype.largest) - math.log(c.classes)
        return np.asarray(is_low | is_high)

    return Form(f"{formula} in {dtype}", divide, applies=leaves_range, gives_nan=True)


def rounded_before_subtraction(dtype: Dtype) -> Form:
    """Return the form of p_y - 1 where p_y, and the result, is of a type of few digits."""

    def is_rounded(c: Case) -> BoolArray:
        if not (c.has(dtype) and c.only_target_is_wrong.any()):
            return np.zeros(c.count, dtype=bool)
        claim_y = c.at_target(c.claim)
        claimed_p = claim_y + 1.0
        fits = (claimed_p == dtype.round(claimed_p)) | (claim_y == dtype.round(claim_y))
        near = np.abs(claimed_p - c.p_y) <= dtype.spacing(c.p_y) + dtype.spacing(1.0 - c.p_y)
        return np.asarray(fits & near & c.only_target_is_wrong)

    return Form(f"{dtype}(p_y) - 1 at the target", lambda c: (c.claim,), applies=is_rounded)


def of_rounded_logits(dtype: Dtype) -> Form:
    """Return the form of the right value for logits that were rounded to a type before."""
    return Form(
        f"{{}} of {dtype}(a)",
        lambda c: forms.from_log_p(c, forms.log_softmax(dtype.round(c.logits) / c.temperature)),
        applies=lambda c: c.is_near_right & (dtype.round(c.logits) != c.logits).any(axis=0),
    )


def in_own_digits(dtype: Dtype) -> Form:
    """Return the form of the right value, for claims of this type."""
    return Form(
        "{} with rounding errors",
        lambda c: c.right,
        None,
        dtype,
        lambda c: c.is_near_right & (dtype is c.dtype),
    )


DIGITS = (
    Mistake(
        "no-shift-by-the-maximum",
        "the maximum was not subtracted before exp, which left the range of the type",
        "subtract the largest logit of each record before exp",
        every(
            CORRECT,
            *(out_of_range(dtype, lambda _: 0.0, "exp(a) / Σ exp(a)") for dtype in Dtype),
        ),
    ),
    Mistake(
        "shift-by-the-maximum-of-all",
        "the maximum of the whole array was subtracted before exp: low records are 0 / 0",
        "subtract the largest logit of each record before exp",
        every(
            CORRECT,
            *(
                out_of_range(dtype, lambda c: c.highest, "exp(a - max over all) / Σ")
                for dtype in Dtype
            ),
        ),
        of_batch=True,
    ),
    Mistake(
        "epsilon-in-the-logarithm",
        "an ε that guards the logarithm changes small probabilities",
        "compute log_softmax from the logits, which needs no guard",
        {
            name: tuple(guarded(formula, epsilon) for epsilon in EPSILONS)
            + tuple(clipped(formula, epsilon) for epsilon in EPSILONS)
            for name, formula in (
                ("log_probs", "log {}"),
                ("loss", "-log {}"),
                ("grad_probs", "-e / {}"),
            )
        },
    ),
    Mistake(
        "target-subtracted-in-low-precision",
        "p_y was rounded before 1 was subtracted from it",
        "subtract in a wider type, or compute 1 - p_y as the sum of the others; round once",
        {"grad_logits": tuple(map(rounded_before_subtraction, Dtype))},
        keeps_digits=False,
    ),
    Mistake(
        "logits-in-low-precision",
        "the logits were rounded before the softmax",
        "keep the logits in their own type, or give those that the kernel had",
        every(CORRECT, *map(of_rounded_logits, Dtype.FLOAT32.narrower)),
        keeps_digits=False,
    ),
    Mistake(
        "rounding-errors",
        "the formula is right, and rounding errors have added up to more than is allowed",
        "accumulate in a wider type, or allow for them",
        every(CORRECT, *map(in_own_digits, Dtype)),
        keeps_digits=False,
    ),
    Mistake(
        "clipped",
        "no number is larger than a bound c: the gradient was clipped",
        "compare before it is clipped",
        every(
            ("grad_probs", "grad_logits"),
            Form(
                "{} between -c and c",
                lambda c, bound: (
                    np.clip(c.safe_unit * total(c.right), -bound, bound) / c.safe_unit,
                ),
                bound,
            ),
        ),
        symbol="c",
    ),
)
