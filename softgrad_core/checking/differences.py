"""Derivatives of the loss by differences of the loss itself, in decimals.

A check must not share code with what it checks. So this module knows the loss,

    L(a) = -sum_c q_c log f(x)_c + ζ l**2, with -log f(x)_c = l - z_c, l = log(sum_k exp(z_k)),

and neither gradient. Notation: q are the target weights (the one-hot vector of a label), z is a / T
with the temperature T, or cap tanh(a / cap) / T with a soft cap, ζ is the weight of a z-loss,
E_c = exp(z_c - max(z)), S = sum_c E_c, and h is the step.
"""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import NamedTuple

from softgrad_core.decimals import DIGITS, EXTENDED, SMALL, tanh
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective

STEP_EXPONENT = -12
METHOD = f"central differences of the loss, step 1e{STEP_EXPONENT}, {DIGITS} digits"

# The error of a central difference is about a sixth of the squared step, here 2e-25.
_STEP = Decimal(10) ** STEP_EXPONENT

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
        cap = None if objective.softcap is None else Decimal(float(objective.softcap[0]))
        z = logits if cap is None else [_capped(logit, cap) for logit in logits]
        largest = max(z)
        e = [_exp(one - largest if t == 1 else (one - largest) / t) for one in z]
        moves = [_move(logit, t, cap) for logit in logits]
        penalty = None
        if objective.z_scale is not None:
            rest = sum(sorted(e)[:-1], start=Decimal(0))
            penalty = _Penalty(objective.z_weights(Decimal)[0], largest / t, rest)
        step = 2 * _STEP * (t if cap is None else min(t, cap))
        return _by_probs(e, q), _by_logits(e, q, moves, penalty, step)


class _Move(NamedTuple):
    """What becomes of exp(z) where its logit moves up by h, and down."""

    up: Decimal
    down: Decimal
    spread: Decimal
    """The difference of the two, with all its digits."""
    rise: Decimal
    fall: Decimal
    """By how much z moves."""


class _Penalty(NamedTuple):
    """The weight of a z-loss, and the parts of log(sum_k exp(z_k)) = max(z) + log(1 + rest)."""

    weight: Decimal
    largest: Decimal
    rest: Decimal

    def of_both(self, e_c: Decimal, move: _Move, *, is_largest: bool) -> Decimal:
        """Return the sum of the logarithms, less 2 max(z), for z_c moved up and down."""
        if is_largest:
            moved = move.rise - move.fall
            return moved + _log1p(self.rest / move.up) + _log1p(self.rest / move.down)
        up, down = self.rest + e_c * _expm1(move.rise), self.rest + e_c * _expm1(-move.fall)
        return _log1p(up) + _log1p(down)


def _move(logit: Decimal, t: Decimal, cap: Decimal | None) -> _Move:
    """Return what becomes of exp(z) where a logit moves by a step of T, or of the cap."""
    up = down = _STEP
    if cap is not None:
        # tanh(x) - tanh(y) = sinh(x - y) / (cosh(x) cosh(y)), in which nothing cancels.
        step = _STEP * min(t, cap)
        up, down = (
            cap * _sinh(step / cap) / (_cosh((logit + by) / cap) * _cosh(logit / cap)) / t
            if logit.is_finite()
            else Decimal(0)
            for by in (step, -step)
        )
    lower = (-down).exp()
    return _Move(up.exp(), lower, lower * _expm1(up + down), up, down)


def _capped(logit: Decimal, cap: Decimal) -> Decimal:
    """Return cap tanh(a / cap); a masked class stays masked."""
    if not logit.is_finite():
        return logit
    return cap * tanh(logit / cap)


def _cosh(x: Decimal) -> Decimal:
    return (x.exp() + (-x).exp()) / 2


def _sinh(x: Decimal) -> Decimal:
    """Return the hyperbolic sine of a small number, by its series."""
    return x * (1 + x * x / 6)


def _expm1(x: Decimal) -> Decimal:
    """Return exp(x) - 1 of a small number, by its series."""
    return x * (1 + x * (Decimal("0.5") + x / 6))


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


def _by_logits(
    e: Sequence[Decimal],
    q: Sequence[Decimal],
    moves: Sequence[_Move],
    penalty: _Penalty | None,
    step: Decimal,
) -> Differences:
    """Return the derivatives with respect to a, of which a_c moves by half a step up and down."""
    total = sum(e, start=Decimal(0))
    values, sizes = [], []
    top = e.index(max(e))
    columns = zip(e, _sums_of_others(e), q, _sums_of_others(q), moves, strict=True)
    for c, (e_c, rest, q_c, others, move) in enumerate(columns):
        # For the other classes only the sum in -log f(x)_k changes, by its term E_c.
        of_sum = _log_ratio(e_c * move.spread, (total - e_c) + e_c * move.down) / step
        of_others = others * of_sum
        # For c itself -log f(x)_c is log(1 + rest / E_c), where E_c moves.
        spread = -rest * move.spread / (move.up * move.down)
        of_itself = q_c and q_c * _log_ratio(spread, e_c + rest / move.down) / step
        values.append(of_others + of_itself)
        sizes.append(max(of_others, -of_itself))
        if penalty is not None:
            # The difference of two squares is that of the numbers times their sum.
            both = penalty.of_both(e_c, move, is_largest=c == top)
            weight = penalty.weight * of_sum
            values[-1] += weight * (2 * penalty.largest + both)
            sizes[-1] = max(sizes[-1], weight * (2 * abs(penalty.largest) + both))
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
    return _log1p(difference / base)


def _log1p(x: Decimal) -> Decimal:
    """Return log(1 + x); small numbers keep their digits."""
    if abs(x) > SMALL:
        return (1 + x).ln()
    return x * (1 - x * (Decimal("0.5") - x * (1 / Decimal(3) - x / 4)))
