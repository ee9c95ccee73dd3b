"""Derivatives of the loss by differences of the loss itself, in decimals.

A check must not share code with what it checks. So this module knows the loss,

    L(a) = -sum_c q_c log f(x)_c, with -log f(x)_c = log(sum_k exp(a_k / T)) - a_c / T,

and neither gradient. Notation: q are the target weights (the one-hot vector of a label), T is the
temperature, E_c = exp((a_c - max(a)) / T), S = sum_c E_c, and h is the step.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import NamedTuple

from softgrad_core.decimals import DIGITS, EXTENDED
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective

STEP_EXPONENT = -12
METHOD = f"central differences of the loss, step 1e{STEP_EXPONENT}, {DIGITS} digits"

# The error of a central difference is about a sixth of the squared step, here 2e-25.
_STEP = Decimal(10) ** STEP_EXPONENT
_UP = EXTENDED.exp(_STEP)
_DOWN = EXTENDED.exp(-_STEP)
_SPREAD = EXTENDED.subtract(_UP, _DOWN)

# Stands for an exponential that even a decimal cannot hold: far below what float64 can.
_TINY = Decimal("1e-1000000")


class Differences(NamedTuple):
    """Derivatives by differences, and for each the size of the larger of its terms."""

    values: Sequence[Decimal | None]
    sizes: Sequence[Decimal | None]


def difference_loss(a: FloatArray, objective: Objective) -> tuple[Differences, Differences]:
    """Return the derivatives of the loss of one row with respect to f(x) and to a.

    All are None where a class with a target weight is masked: the loss is infinite there and
    nearby, which leaves no difference to take.
    """
    with localcontext(EXTENDED):
        q = objective.weights(len(a), Decimal)[0].tolist()
        t = Decimal(1 if objective.temperature is None else float(objective.temperature[0]))
        logits = [Decimal(logit) for logit in a.tolist()]
        if any(q_c and not logit.is_finite() for q_c, logit in zip(q, logits, strict=True)):
            unknown = Differences([None] * len(a), [None] * len(a))
            return unknown, unknown
        largest = max(logits)
        e = [_exp(logit - largest if t == 1 else (logit - largest) / t) for logit in logits]
        return _by_probs(e, q), _by_logits(e, q, t)


def _exp(d: Decimal) -> Decimal:
    """Return exp(d), which is 0 for a masked class only."""
    return (d.exp() or _TINY) if d.is_finite() else Decimal(0)


def _by_probs(e: Sequence[Decimal], q: Sequence[Decimal]) -> Differences:
    """Return the derivatives with respect to f(x): only -q_c log f_c depends on f_c."""
    total = sum(e)
    # f_c moves to f_c (1 + h) and f_c (1 - h).
    slope = -_log_ratio(2 * _STEP, 1 - _STEP) / (2 * _STEP)
    values = [
        q_c * slope * total / e_c if q_c else Decimal(0) for e_c, q_c in zip(e, q, strict=True)
    ]
    return Differences(values, values)


def _by_logits(e: Sequence[Decimal], q: Sequence[Decimal], t: Decimal) -> Differences:
    """Return the derivatives with respect to a, of which a_c / T moves by h."""
    total = sum(e)
    step = 2 * _STEP * t
    values, sizes = [], []
    for e_c, rest, q_c, others in zip(e, _sums_of_others(e), q, _sums_of_others(q), strict=True):
        # For the other classes only the sum in -log f(x)_k changes: its term E_c moves to
        # E_c exp(h) and E_c exp(-h).
        of_others = others * _log_ratio(e_c * _SPREAD, (total - e_c) + e_c * _DOWN) / step
        # For c itself -log f(x)_c is log(1 + rest / E_c), where E_c moves.
        of_itself = q_c and q_c * _log_ratio(-rest * _SPREAD, e_c + rest * _UP) / step
        values.append(of_others + of_itself)
        sizes.append(max(of_others, -of_itself))
    return Differences(values, sizes)


def _sums_of_others(values: Sequence[Decimal]) -> list[Decimal]:
    """Return for each value the sum of the others."""
    total = sum(values, start=Decimal(0))
    # Subtracting a value that is more than half of the sum, as one at most is, loses digits.
    return [
        total - value
        if 2 * value <= total
        else sum(values[:c], start=Decimal(0)) + sum(values[c + 1 :])
        for c, value in enumerate(values)
    ]


def _log_ratio(difference: Decimal, base: Decimal) -> Decimal:
    """Return log((base + difference) / base) for a difference of at most 2e-12 of `base`.

    The series of log(1 + x) keeps every digit of a small x. The logarithm of the rounded ratio,
    which is near 1, would lose as many digits as x has leading zeros.
    """
    x = difference / base
    return x * (1 - x * (Decimal("0.5") - x / 3))
