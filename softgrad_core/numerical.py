"""Derivatives of the loss by differences of the loss itself, in extended precision.

What checks must not share code with what it checks: this file knows the loss,

    L(a) = log(sum_c exp(a_c)) - a_y = -log f(x)_y,

and neither gradient. Notation: E_c = exp(a_c - max(a)), S = sum_c E_c, h is the step.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt

from softgrad_core.comparison import DIGITS, EXTENDED, Comparison, Verdict, compare
from softgrad_core.logits import as_rows
from softgrad_core.targets import as_labels
from softgrad_core.tolerances import CHECK_TOLERANCE

STEP_EXPONENT = -12
METHOD = f"central differences of the loss, step 1e{STEP_EXPONENT}, {DIGITS} digits"

# The error of a central difference is about a sixth of the squared step, here 2e-25.
_STEP = Decimal(10) ** STEP_EXPONENT
_UP = EXTENDED.exp(_STEP)
_DOWN = EXTENDED.exp(-_STEP)
_SPREAD = EXTENDED.subtract(_UP, _DOWN)

# Stands for an exponential that even a decimal cannot hold: far below what float64 can.
_TINY = Decimal("1e-1000000")


@dataclass(frozen=True, slots=True)
class GradientCheck:
    """Both gradients of one row beside the derivatives of its loss by differences."""

    method: str
    grad_probs: Comparison
    grad_logits: Comparison

    @property
    def passed(self) -> bool | None:
        """Whether all components that could be judged are right; None where none could."""
        verdicts = (self.grad_probs.verdict, self.grad_logits.verdict)
        if Verdict.FAIL in verdicts:
            return False
        return True if Verdict.PASS in verdicts else None

    @property
    def undecided(self) -> bool:
        """Whether some component could not be judged."""
        return bool(self.grad_probs.uninformative or self.grad_logits.uninformative)


def check_gradients(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    grad_probs: npt.ArrayLike,
    grad_logits: npt.ArrayLike,
    *,
    tolerance: float = CHECK_TOLERANCE,
) -> list[GradientCheck]:
    """Compare gradients with central differences of the loss, component by component.

    Parameters
    ----------
    logits, targets
        As for `softmax_cross_entropy`: one row of C logits, or N rows.
    grad_probs, grad_logits
        The gradients in question, dL/df(x) and dL/da, of the shape of `logits`.
    tolerance
        The relative error at which a component fails, however small the component is, down to
        the smallest normal float64. Gradients in float32 need about 1e-6.

    Returns
    -------
    list of GradientCheck
        One for each row.

    Raises
    ------
    InputError
        As `softmax_cross_entropy` does.
    ValueError
        Where a gradient is not numbers or has not the shape of `logits`, or where the tolerance
        is not above 0.

    Examples
    --------
    >>> [check] = check_gradients([0.0, 0.0], 0, [-2.0, 0.0], [-0.5, 0.5])
    >>> check.passed
    True
    >>> [check] = check_gradients([0.0, 0.0], 0, [-2.0, 0.0], [-0.5, 0.5 * (1 + 1e-12)])
    >>> check.grad_logits.verdict, check.grad_logits.worst_class
    (<Verdict.FAIL: 'fail'>, 1)
    """
    if not 0 < tolerance < math.inf:
        raise ValueError(f"expected a tolerance above 0, got {tolerance}")
    rows = as_rows(logits)
    count, classes = rows.values.shape
    labels = as_labels(targets, count, classes)
    blocks = []
    for name, given in (("grad_probs", grad_probs), ("grad_logits", grad_logits)):
        array = np.asarray(given)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"expected {name} as an array of numbers, got {array.dtype}")
        block = np.atleast_2d(array.astype(np.float64, copy=False))
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
    with localcontext(EXTENDED):
        values = [Decimal(value) for value in a]
        if not values[y].is_finite():
            return [None] * len(a), [None] * len(a)
        maximum = max(values)
        e = [_exp(value - maximum) for value in values]
        return _by_probs(e, y), _by_logits(e, y)


def _exp(d: Decimal) -> Decimal:
    """Return exp(d), which is 0 for a masked class only."""
    return (d.exp() or _TINY) if d.is_finite() else Decimal(0)


def _by_probs(e: Sequence[Decimal], y: int) -> list[Decimal]:
    """Return the derivatives with respect to f(x): -log f_y depends on f_y alone."""
    derivatives = [Decimal(0)] * len(e)
    f_y = e[y] / sum(e)
    # f_y moves to f_y (1 + h) and f_y (1 - h).
    derivatives[y] = -_log_ratio(2 * _STEP, 1 - _STEP) / (2 * _STEP) / f_y
    return derivatives


def _by_logits(e: Sequence[Decimal], y: int) -> list[Decimal]:
    """Return the derivatives with respect to a."""
    total = sum(e)
    # L(a + h) - L(a - h), where only the term of c moves, to E_c exp(h) and E_c exp(-h).
    derivatives = [
        _log_ratio(e_c * _SPREAD, (total - e_c) + e_c * _DOWN) / (2 * _STEP) for e_c in e
    ]
    # For c = y the loss is log(1 + others / E_y), and it is E_y that moves.
    others = sum((e_c for c, e_c in enumerate(e) if c != y), start=Decimal(0))
    derivatives[y] = _log_ratio(-others * _SPREAD, e[y] + others * _UP) / (2 * _STEP)
    return derivatives


def _log_ratio(difference: Decimal, base: Decimal) -> Decimal:
    """Return log((base + difference) / base) for a difference of 2e-12 of `base` or less.

    The series of log(1 + x) keeps every digit of a small x, where the logarithm of a rounded
    ratio near 1 would need as many digits more as x has leading zeros.
    """
    x = difference / base
    return x * (1 - x * (Decimal("0.5") - x / 3))
