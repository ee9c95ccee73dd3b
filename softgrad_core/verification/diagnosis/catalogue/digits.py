"""Right formulas that lost digits, left the range of the type, or were changed by a guard."""

import math
from collections.abc import Callable

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import Case, Terms, total
from softgrad_core.verification.diagnosis.catalogue.guards import is_cross_entropy
from softgrad_core.verification.diagnosis.catalogue.roundings import COMPUTED_IN, ROUNDED_STEPS
from softgrad_core.verification.diagnosis.mistake import Form, Mistake

MOST_DECIMALS = 12
"""More decimals than this are all that a float64 has."""


def to_decimals(decimals: int) -> Form:
    """Return the form of the right value, written with a few decimals."""
    return Form(
        f.EVERY,
        f"{{}} rounded to {decimals} decimals",
        lambda c: ((c.safe_unit * total(c.right)).round(decimals) / c.safe_unit,),
        applies=lambda c: c.of_rows(
            (np.abs(c.claimed - c.claimed.round(decimals)) < 1e-15).all(axis=0)
        ),
        dtype=lambda _: Dtype.FLOAT64,
    )


def out_of_range(dtype: Dtype, shift: Callable[[Case], FloatArray | float], formula: str) -> Form:
    """Return the form of a softmax of exp(a - shift), for rows that leave the range of the type."""

    def divide(c: Case) -> Terms:
        e = dtype.round(np.exp(c.a - shift(c)))
        return f.from_p(c, e / dtype.round(e.sum(axis=0)))

    def leaves_range(c: Case) -> BoolArray:
        if dtype.epsilon < c.dtype.epsilon:
            return np.zeros(c.count, dtype=bool)
        height = c.a.max(axis=0) - shift(c)
        is_low = height < math.log(dtype.smallest) + 7.0
        is_high = height > math.log(dtype.largest) - math.log(c.classes)
        return np.asarray(is_low | is_high)

    return Form(f.EVERY, f"{formula} in {dtype}", divide, applies=leaves_range, gives_nan=True)


def underflows(c: Case, looked_at: BoolArray | np.bool) -> BoolArray:
    """Return the rows in which some p that is looked at is subnormal or 0, and not masked."""
    is_small = (c.p < c.dtype.smallest_normal) & np.isfinite(c.d)
    return np.asarray((is_small & looked_at).any(axis=0))


def log_of_underflow(c: Case) -> Terms:
    """Return what log p may be if p was rounded to its type, where it is subnormal or 0."""
    log_p = total(c.right)
    lowest, highest = (np.log(np.maximum(c.p + s * c.dtype.smallest, 0.0)) for s in (-1.0, 1.0))
    is_small = (c.p < c.dtype.smallest_normal) & np.isfinite(log_p)
    return (np.where(is_small, np.clip(c.claim, lowest, highest), log_p),)


def loss_of_underflow(c: Case) -> Terms:
    """Return what the loss may be if p was rounded to its type, where it is subnormal or 0."""
    right = total(c.right)
    is_small = np.isfinite(right) & (c.p_y < c.dtype.smallest_normal)
    if c.is_summed or not c.objective.has_labels:
        # Only whether it is infinite is known.
        return (-c.kept(np.log(c.dtype.round(c.p))),)
    lowest, highest = (-np.log(np.maximum(c.p_y + s * c.dtype.smallest, 0.0)) for s in (1.0, -1.0))
    return (np.where(is_small, np.clip(c.claim, lowest, highest), right),)


def within_a_unit(c: Case) -> Terms:
    """Return the numbers nearest to the claims within a unit of the last digit of the right ones.

    NaN where it is not known with how many digits the claims were typed.
    """
    if c.half_units is None:
        return (np.full_like(c.claimed, np.nan),)
    right, unit = c.safe_unit * total(c.right), 2.0 * c.half_units
    return (np.clip(c.claimed, right - unit, right + unit) / c.safe_unit,)


def bound(c: Case) -> FloatArray:
    """Return the size of the largest number, NaN where all are 0."""
    largest = np.abs(c.safe_unit * c.claim).max(axis=0)
    return np.where(largest > 0.0, largest, np.nan)


ROUNDED = (
    Mistake(
        "rounded-to-decimals",
        "the numbers are right, but written with few decimals",
        "allow half a unit of the last: an atol of 5e-4 for three decimals, of 5e-9 for eight",
        *(to_decimals(decimals) for decimals in range(1, MOST_DECIMALS + 1)),
        keeps_digits=False,
    ),
)
"""Tried before all others but zeros, which are rounded numbers as well."""

LOST_DIGITS = (
    Mistake(
        "last-digit",
        "the last digits are one off: they were cut off, perhaps, and not rounded",
        "round to the nearest: up where the first digit that is left out is 5 or more",
        Form(f.EVERY, "{} but for the last digit", within_a_unit),
        keeps_digits=False,
    ),
    Mistake(
        "logarithm-of-underflow",
        "the logarithm was taken of a probability so small that it had lost its digits, or was 0",
        "compute the logarithm from the logits: a_y - max(a) - log Σ exp(a - max(a))",
        Form(
            "loss",
            "-log f(x)_y, of f(x)_y rounded to its type",
            loss_of_underflow,
            # With a smoothed target it is as likely that a sum overflowed.
            applies=lambda c: (
                is_cross_entropy(c) & underflows(c, c.e > 0.0) & (c.objective.smoothing is None)
            ),
            gives_nan=True,
        ),
        Form(
            "log_probs",
            "log f(x), of f(x) rounded to its type",
            log_of_underflow,
            applies=lambda c: underflows(c, np.True_),
        ),
        keeps_digits=False,
    ),
    Mistake(
        "no-shift-by-the-maximum",
        "the maximum was not subtracted before exp, which left the range of the type",
        "subtract the largest logit of each record before exp",
        *(out_of_range(dtype, lambda _: 0.0, "exp(a) / Σ exp(a)") for dtype in COMPUTED_IN),
    ),
    Mistake(
        "shift-by-the-maximum-of-all",
        "the maximum of the whole array was subtracted before exp: low records are 0 / 0",
        "subtract the largest logit of each record before exp",
        *(
            out_of_range(dtype, lambda c: c.highest, "exp(a - max over all) / Σ")
            for dtype in COMPUTED_IN
        ),
        of_batch=True,
    ),
    *ROUNDED_STEPS,
    Mistake(
        "rounding-errors",
        "rounding in the type of the claims may add up to this, which is more than is allowed",
        "accumulate in a wider type; if that is done, look for a small mistake, as a factor near 1",
        Form(
            f.EVERY,
            "{} with rounding errors",
            lambda c: c.right,
            applies=lambda c: c.is_near_right & (not c.rounds_once),
            dtype=lambda c: c.dtype,
        ),
        keeps_digits=False,
    ),
    Mistake(
        "clipped",
        "the gradient was clipped: no number is larger than a bound c",
        "verify the gradient before it is clipped",
        Form(
            "grad_probs grad_logits",
            "{} between -c and c",
            lambda c, bound: (np.clip(c.safe_unit * total(c.right), -bound, bound) / c.safe_unit,),
            bound,
        ),
        symbol="c",
    ),
)
