"""Right formulas of which a step was rounded to the type of the claims, or to a narrower one.

In the type of the claims rounding explains most of such numbers: they pass, and the answer remarks
on them (`remarks.py`). Under a wider arithmetic they fail.
"""

from collections.abc import Callable, Iterator

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.comparison import CERTAIN_ULP
from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import Case, Terms, total, total_size
from softgrad_core.verification.diagnosis.mistake import Form, Mistake
from softgrad_core.verification.log_sums import errors_to_neighbours

COMPUTED_IN = [dtype for dtype in Dtype if dtype.is_computed_in]

SAME_ULP = 1.0
"""Numbers as near as this are one: the last steps of a kernel may round them twice."""

SAME_LOSS_ULP = 0.51
"""Losses as near as this are one: they are rounded once, and each row has one only."""

NEARLY_ALL = 0.9
"""The share of a row's numbers that a formula must give. Of many numbers some are so near to a tie
that a kernel's own errors round them the other way: 7 % in PyTorch's log_softmax in bfloat16."""

NOT_ALL = 0.85
"""The share of its numbers that the right formula gives, at most, in a row that shows another."""


def cancels(c: Case) -> BoolArray:
    """Return the rows in which the largest p rounds to 1, so that 1 - p is 0."""
    return np.asarray(c.p_of_others <= c.dtype.epsilon)


def equals(c: Case, terms: Terms, dtype: Dtype) -> BoolArray:
    """Return the rows whose claims are these numbers, digit by digit, and not the right ones.

    The few that are not are off by no more than rounding errors of this type.
    """
    values = c.safe_unit * total(terms)
    lost = c.rounding_errors(dtype.epsilon) * c.safe_unit * total_size(terms) + c.slack
    is_near = ((np.abs(c.claimed - values) <= lost) | (c.claimed == values)).all(axis=0)
    if not is_near.any():
        return np.asarray(is_near)
    right = c.safe_unit * total(c.right)
    counts = (np.abs(right) >= c.dtype.smallest_normal) & np.isfinite(right)
    number = np.maximum(counts.sum(axis=0), 1)
    same = SAME_LOSS_ULP if c.quantity == "loss" else SAME_ULP

    def share(values: FloatArray) -> FloatArray:
        near = np.abs(c.claimed - values) <= same * c.dtype.spacing(values)
        return np.asarray((near & counts).sum(axis=0) / number)

    return np.asarray(is_near & (share(values) >= NEARLY_ALL) & (share(right) <= NOT_ALL))


def with_a_rounded_step(
    formula: str, dtype: Dtype, terms: Callable[[Case, Dtype], Iterator[Terms]]
) -> Form:
    """Return the form of a step that was rounded to a type; `terms` are what it may give."""

    def is_rounded(c: Case) -> BoolArray:
        shown = np.zeros(c.count, dtype=bool)
        is_typed = c.half_units is not None
        if dtype.epsilon < c.dtype.epsilon or c.is_summed or c.has_z_loss or is_typed:
            return shown
        for some in terms(c, dtype):
            shown |= equals(c, some, dtype)
        return shown

    return Form(f.EVERY, formula, lambda c: (c.claim,), applies=is_rounded)


def of_rounded_log_p(c: Case, dtype: Dtype) -> Iterator[Terms]:
    """Yield what the logarithms of the probabilities give, rounded to a type.

    PyTorch's kernels on CPUs round S and log S to it before.
    """
    rounded = dtype.round(np.log(dtype.round(np.exp(c.log_sum))))
    for log_sum in (c.log_sum, rounded):
        log_p = dtype.round(c.d - log_sum)
        yield f.from_log_p(c, log_p)
        yield f.from_p(c, dtype.round(np.exp(log_p)))


def of_rounded_log_sum(c: Case, dtype: Dtype) -> Iterator[Terms]:
    """Yield what z - L gives, with log Σ exp(z) rounded to a type for L."""
    for error in errors_to_neighbours(c.log_normaliser, c.log_sum, dtype):
        log_p = c.a - (c.log_normaliser + error)
        yield f.from_log_p(c, log_p)
        yield f.from_p(c, dtype.round(np.exp(dtype.round(log_p))))


def rounded_probabilities(dtype: Dtype) -> Form:
    """Return the form of p - e where all of p was rounded to a type before the subtraction."""

    def is_rounded(c: Case) -> BoolArray:
        if dtype.epsilon <= c.dtype.epsilon or not c.is_near_right.any():
            return np.zeros(c.count, dtype=bool)
        p = c.claim + c.e
        lost = 4.0 * c.dtype.epsilon * np.maximum(np.abs(p), c.e)
        is_of_type = (np.abs(p - dtype.round(p)) <= lost).all(axis=0)
        near = (np.abs(p - c.p) <= dtype.spacing(c.p) + lost).all(axis=0)
        return np.asarray(is_of_type & near)

    return Form("grad_logits", f"{dtype}(p) - e", lambda c: (c.claim,), applies=is_rounded)


def rounded_before_subtraction(dtype: Dtype) -> Form:
    """Return the form of p_y - 1 where p_y or the difference was rounded to a type."""

    def is_rounded(c: Case) -> BoolArray:
        if dtype.epsilon < c.dtype.epsilon:
            return np.zeros(c.count, dtype=bool)
        claim_y = c.at_target(c.claim)
        claimed_p = claim_y + 1.0
        lost = 4.0 * c.dtype.spacing(claim_y) * (dtype is c.dtype)
        fits = (np.abs(claimed_p - dtype.round(claimed_p)) <= lost) | (
            claim_y == dtype.round(claim_y)
        ) & (dtype is not c.dtype)
        near = np.abs(claimed_p - c.p_y) <= dtype.spacing(c.p_y) + dtype.spacing(1.0 - c.p_y)
        shown = np.asarray(fits & near)
        return shown & (c.only_target_is_wrong | target_stands_out(c)) if shown.any() else shown

    formula = f"{dtype}(p_y) - 1 at the target"
    return Form("grad_logits", formula, lambda c: (c.claim,), applies=is_rounded)


def target_stands_out(c: Case) -> BoolArray:
    """Return the rows whose number at the target has lost digits that the others have."""
    right = c.safe_unit * total(c.right)
    errors = np.abs(c.claimed - right) / c.dtype.spacing(right)
    of_target = c.at_target(errors)
    others = np.where(c.e > 0.0, 0.0, errors).max(axis=0)
    return np.asarray(of_target > CERTAIN_ULP * np.maximum(others, 1.0))


def of_rounded_logits(dtype: Dtype) -> Form:
    """Return the form of the right value for logits that were rounded to a type."""
    return Form(
        f.EVERY,
        f"{{}} of {dtype}(a)",
        lambda c: f.from_log_p(c, f.log_softmax(dtype.round(c.logits) / c.temperature)),
        applies=lambda c: c.is_near_right & (dtype.round(c.logits) != c.logits).any(axis=0),
    )


CANCELLED = (
    Mistake(
        "cancelled-to-zero",
        "a probability was rounded to 1, so that 1 - p, or log p, is 0 and has no digits left",
        "compute 1 - p as the sum of the other probabilities, and the loss with log1p",
        Form("loss", "-log 1", lambda c: (np.zeros_like(c.claim),), applies=cancels),
        Form("log_probs", "a - max(a) - log 1", lambda c: (c.d,), applies=cancels),
        Form("grad_logits", "p - e with 1 for p_y", lambda c: (c.p * (1 - c.e),), applies=cancels),
        keeps_digits=False,
        is_rounding=True,
    ),
)
"""Tried before all others: numbers that have lost their digits fit many formulas."""

ROUNDED_STEPS = (
    Mistake(
        "probabilities-in-low-precision",
        "the probabilities were rounded to a narrower type, and then e was subtracted",
        "subtract first, and round once at the end",
        *(rounded_probabilities(dtype) for dtype in Dtype.FLOAT32.narrower),
        keeps_digits=False,
    ),
    Mistake(
        "target-subtracted-in-low-precision",
        "p_y was rounded before 1 was subtracted from it",
        "subtract in a wider type, or compute 1 - p_y as the sum of the other probabilities",
        *(rounded_before_subtraction(dtype) for dtype in COMPUTED_IN),
        keeps_digits=False,
        is_rounding=True,
    ),
    Mistake(
        "log-softmax-in-low-precision",
        "the logarithms of the probabilities were rounded before exp was taken of them",
        "keep them in float32 until the end, or take exp(a - max(a)) / Σ",
        *(
            with_a_rounded_step(f"{{}} with {dtype}(log p) for log p", dtype, of_rounded_log_p)
            for dtype in COMPUTED_IN
        ),
        keeps_digits=False,
        is_rounding=True,
    ),
    Mistake(
        "log-sum-exp-in-low-precision",
        "log Σ exp(a) was rounded before it was subtracted: it is as large as the logits, so its "
        "last digits are the first ones of the loss",
        "subtract max(a) from the logits first, or keep log Σ exp(a) in a wider type",
        *(
            with_a_rounded_step(
                f"{{}} with {dtype}(log Σ exp(a)) for log Σ exp(a)", dtype, of_rounded_log_sum
            )
            for dtype in COMPUTED_IN
        ),
        keeps_digits=False,
        is_rounding=True,
    ),
    Mistake(
        "logits-in-low-precision",
        "the logits were rounded before the softmax",
        "keep the logits in their own type, or verify with the rounded logits",
        *(of_rounded_logits(dtype) for dtype in Dtype.FLOAT32.narrower),
        keeps_digits=False,
    ),
)
