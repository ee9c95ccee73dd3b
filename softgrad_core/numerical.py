"""Derivatives of the loss by differences of the loss itself, in extended precision.

What checks must not share code with what it checks: this file knows the loss,

    L(a) = log(sum_c exp(a_c)) - a_y = -log f(x)_y,

and neither gradient. Notation: E_c = exp(a_c - max(a)), S = sum_c E_c, h is the step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from functools import cached_property

import numpy as np
import numpy.typing as npt

from softgrad_core.comparison import Comparison, Verdict, compare
from softgrad_core.logits import as_rows
from softgrad_core.targets import as_labels

DEFAULT_TOLERANCE = 1e-12

DIGITS = 40
STEP_EXPONENT = -12
METHOD = f"central differences of the loss, step 1e{STEP_EXPONENT}, {DIGITS} digits"

_CONTEXT = Context(prec=DIGITS, Emin=MIN_EMIN, Emax=MAX_EMAX)
_STEP = Decimal(10) ** STEP_EXPONENT
_UP = _CONTEXT.exp(_STEP)
_DOWN = _CONTEXT.exp(-_STEP)
_SPREAD = _CONTEXT.subtract(_UP, _DOWN)


@dataclass(frozen=True)
class GradientCheck:
    """Both gradients of one row beside the derivatives of its loss by differences."""

    method: str
    grad_probs: Comparison
    grad_logits: Comparison

    @cached_property
    def passed(self) -> bool:
        """Whether no component failed; components that are uninformative do not fail."""
        return Verdict.FAIL not in (self.grad_probs.verdict, self.grad_logits.verdict)


def check_gradients(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    grad_probs: npt.ArrayLike,
    grad_logits: npt.ArrayLike,
    *,
    tolerance: float = DEFAULT_TOLERANCE,
) -> list[GradientCheck]:
    """Compare gradients with central differences of the loss, component by component.

    Parameters
    ----------
    logits, targets
        As for `softmax_cross_entropy`: one row of C logits, or N rows.
    grad_probs, grad_logits
        The gradients in question, dL/df(x) and dL/da, of the shape of `logits`.
    tolerance
        The relative error from which on a component fails, however small that component is.

    Returns
    -------
    list of GradientCheck
        One for each row.

    Raises
    ------
    InputError
        As `softmax_cross_entropy` does.
    ValueError
        Where a gradient has not the shape of `logits`.

    Examples
    --------
    >>> [check] = check_gradients([0.0, 0.0], 0, [-2.0, 0.0], [-0.5, 0.5])
    >>> check.passed
    True
    >>> [check] = check_gradients([0.0, 0.0], 0, [-2.0, 0.0], [-0.5, 0.5 * (1 + 1e-12)])
    >>> check.grad_logits.verdict, check.grad_logits.worst_class
    (<Verdict.FAIL: 'fail'>, 1)
    """
    rows = as_rows(logits)
    count, classes = rows.values.shape
    labels = as_labels(targets, count, classes)
    blocks = []
    for name, given in (("grad_probs", grad_probs), ("grad_logits", grad_logits)):
        block = np.atleast_2d(np.asarray(given, dtype=np.float64))
        if block.shape != rows.values.shape:
            raise ValueError(
                f"expected {name} of the shape of the logits, {rows.values.shape}, "
                f"got {block.shape}"
            )
        blocks.append(block.tolist())
    return [
        _check_row(row, label, probs_row, logits_row, tolerance)
        for row, label, probs_row, logits_row in zip(
            rows.values.tolist(), labels.tolist(), *blocks, strict=True
        )
    ]


def _check_row(
    a: list[float], y: int, grad_probs: list[float], grad_logits: list[float], tolerance: float
) -> GradientCheck:
    with localcontext(_CONTEXT):
        by_probs, by_logits = difference_loss(a, y)
        return GradientCheck(
            METHOD,
            compare(grad_probs, by_probs, tolerance),
            compare(grad_logits, by_logits, tolerance),
        )


def difference_loss(
    a: Sequence[float], y: int
) -> tuple[Sequence[Decimal | None], Sequence[Decimal | None]]:
    """Return the derivatives of the loss with respect to f(x) and to `a`, by differences.

    They are None throughout where the target is masked: the loss is infinite, and so are its
    neighbours, which leaves no difference to take.
    """
    values = [Decimal(value) for value in a]
    if not values[y].is_finite():
        return [None] * len(a), [None] * len(a)
    maximum = max(values)
    e = [(value - maximum).exp() for value in values]
    total = sum(e)
    zero = Decimal(0)

    # -log f_y depends on f_y alone; f_y (1 + h) and f_y (1 - h) differ from it by h f_y.
    by_probs = [zero] * len(a)
    by_probs[y] = (
        -_log_ratio((1 + _STEP) - (1 - _STEP), 1 - _STEP) * total / (2 * _STEP * e[y])
        if e[y]
        else Decimal("-Infinity")
    )
    by_logits = [
        # L(a + h) - L(a - h), where only the term of c moves, to E_c exp(h) and E_c exp(-h).
        _log_ratio(e_c * _SPREAD, (total - e_c) + e_c * _DOWN) / (2 * _STEP)
        for e_c in e
    ]
    # For c = y the loss is log(1 + others / E_y), and it is E_y that moves.
    others = sum((e_c for c, e_c in enumerate(e) if c != y), start=zero)
    by_logits[y] = _log_ratio(-others * _SPREAD, e[y] + others * _UP) / (2 * _STEP)
    return by_probs, by_logits


def _log_ratio(difference: Decimal, base: Decimal) -> Decimal:
    """Return log((base + difference) / base) for a difference of 2e-12 of `base` or less.

    The series of log(1 + x) keeps every digit of a small x, where the logarithm of a rounded
    ratio near 1 would need as many digits more as x has leading zeros.
    """
    x = difference / base
    return x * (1 - x * (Decimal("0.5") - x / 3))
