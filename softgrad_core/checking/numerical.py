"""Derivatives of the loss by differences of the loss itself, in extended precision.

What checks must not share code with what it checks: this file knows the loss,

    L(a) = -sum_c q_c log f(x)_c, with -log f(x)_c = log(sum_k exp(a_k / T)) - a_c / T,

and neither gradient. Notation: E_c = exp((a_c - max(a)) / T), S = sum_c E_c, h is the step; q are
the target weights, the one-hot vector of the true class unless more is asked for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, NamedTuple, Unpack

import numpy as np
import numpy.typing as npt

from softgrad_core.checking import CHECK_TOLERANCE
from softgrad_core.checking.comparison import Comparison, compare
from softgrad_core.decimals import DIGITS, EXTENDED
from softgrad_core.loss.logits import FloatArray, as_rows
from softgrad_core.loss.objective import Objective, objective_of
from softgrad_core.loss.options import LossOptions
from softgrad_core.verdicts import Verdict

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


class BatchCheck(NamedTuple):
    """The checks of rows that belong together."""

    rows: Sequence[GradientCheck]

    @property
    def passed(self) -> bool | None:
        """Whether all that could be judged is right; None where nothing could."""
        answers = {row.passed for row in self.rows}
        return next((answer for answer in (False, True) if answer in answers), None)

    @property
    def undecided(self) -> bool:
        """Whether something could not be judged."""
        return any(row.undecided for row in self.rows)


def check_gradients(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    grad_probs: npt.ArrayLike,
    grad_logits: npt.ArrayLike,
    *,
    tolerance: float = CHECK_TOLERANCE,
    **options: Unpack[LossOptions],
) -> list[GradientCheck]:
    """Compare gradients with central differences of the loss, component by component.

    Parameters
    ----------
    logits, targets
        As for `softmax_cross_entropy`: one row of C logits, or N rows; or soft targets.
    grad_probs, grad_logits
        The gradients in question, dL/df(x) and dL/da, of the shape of `logits`.
    tolerance
        The relative error at which a component fails, however small the component is, down to
        the smallest normal float64; where two terms cancel, of the larger of these. Gradients
        in float32 need about 1e-6.
    **options
        The options of the loss, see `LossOptions`.

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
    shape = rows.values.shape[1:] if rows.single else rows.values.shape
    objective = objective_of(targets, shape, **options)
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
        blocks.append(block)
    return check_rows(rows.values, objective, (blocks[0], blocks[1]), tolerance)


def check_rows(
    rows: FloatArray,
    objective: Objective,
    gradients: tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]],
    tolerance: float,
) -> list[GradientCheck]:
    """Check the gradients dL/df(x) and dL/da of checked rows, all of shape (N, C)."""
    grad_probs, grad_logits = gradients
    checks = []
    for row, a in enumerate(rows):
        by_probs, by_logits = difference_loss(a, objective.part([row]))
        checks.append(
            GradientCheck(
                METHOD,
                compare(grad_probs[row].tolist(), by_probs.values, tolerance),
                compare(grad_logits[row].tolist(), by_logits.values, tolerance, by_logits.sizes),
            )
        )
    return checks


class Differences(NamedTuple):
    """Derivatives by differences, and the size of the larger of the terms of each."""

    values: Sequence[Decimal | None]
    sizes: Sequence[Decimal | None]


def difference_loss(a: FloatArray, objective: Objective) -> tuple[Differences, Differences]:
    """Return the derivatives of the loss of one row with respect to f(x) and to a.

    They are None throughout where a class that the target gives weight to is masked: the loss is
    infinite, and so are its neighbours, which leaves no difference to take.
    """
    with localcontext(EXTENDED):
        q = objective.weights(len(a), Decimal)[0].tolist()
        t = Decimal(1 if objective.temperature is None else float(objective.temperature[0]))
        values = [Decimal(value) for value in a.tolist()]
        if any(weight and not value.is_finite() for weight, value in zip(q, values, strict=True)):
            nothing = Differences([None] * len(a), [None] * len(a))
            return nothing, nothing
        maximum = max(values)
        e = [_exp(value - maximum if t == 1 else (value - maximum) / t) for value in values]
        return _by_probs(e, q), _by_logits(e, q, t)


def _exp(d: Decimal) -> Decimal:
    """Return exp(d), which is 0 for a masked class only."""
    return (d.exp() or _TINY) if d.is_finite() else Decimal(0)


def _by_probs(e: Sequence[Decimal], q: Sequence[Decimal]) -> Differences:
    """Return the derivatives with respect to f(x): of -q_c log f_c, which depends on f_c alone."""
    total = sum(e)
    # f_c moves to f_c (1 + h) and f_c (1 - h).
    slope = -_log_ratio(2 * _STEP, 1 - _STEP) / (2 * _STEP)
    values = [
        weight * slope * total / e_c if weight else Decimal(0)
        for e_c, weight in zip(e, q, strict=True)
    ]
    return Differences(values, values)


def _by_logits(e: Sequence[Decimal], q: Sequence[Decimal], t: Decimal) -> Differences:
    """Return the derivatives with respect to a, of which a_c / T moves by h."""
    total = sum(e)
    step = 2 * _STEP * t
    values, sizes = [], []
    for e_c, rest, q_c, others in zip(e, _sums_of_others(e), q, _sums_of_others(q), strict=True):
        # Of the other classes -log f(x)_k changes by the sum only, where the term of c moves, to
        # E_c exp(h) and E_c exp(-h).
        of_others = others * _log_ratio(e_c * _SPREAD, (total - e_c) + e_c * _DOWN) / step
        # Of c itself it is log(1 + rest / E_c), and it is E_c that moves.
        of_itself = q_c and q_c * _log_ratio(-rest * _SPREAD, e_c + rest * _UP) / step
        values.append(of_others + of_itself)
        sizes.append(max(of_others, -of_itself))
    return Differences(values, sizes)


def _sums_of_others(values: Sequence[Decimal]) -> list[Decimal]:
    """Return for each value the sum of the others."""
    total = sum(values, start=Decimal(0))
    # At most one is more than half of the sum, and would leave few digits to a difference.
    return [
        total - value
        if 2 * value <= total
        else sum(values[:c], start=Decimal(0)) + sum(values[c + 1 :])
        for c, value in enumerate(values)
    ]


def _log_ratio(difference: Decimal, base: Decimal) -> Decimal:
    """Return log((base + difference) / base) for a difference of 2e-12 of `base` or less.

    The series of log(1 + x) keeps every digit of a small x, where the logarithm of a rounded
    ratio near 1 would need as many digits more as x has leading zeros.
    """
    x = difference / base
    return x * (1 - x * (Decimal("0.5") - x / 3))
