"""Rows in decimals of as many digits as it takes, for what no other arithmetic can tell.

These are the definitions, written down. They are slow, about a millisecond for ten classes. Only
rows whose numbers cancel beyond three times the digits of float64, or overflow on the way to a
finite result, get here. The notation is that of shifted.py.
"""

import math
from collections.abc import Sequence
from decimal import Decimal, getcontext, localcontext
from fractions import Fraction
from typing import NamedTuple

from softgrad_core.decimals import EXTENDED
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.results import SoftmaxCrossEntropy

FIRST_DIGITS, MOST_DIGITS = 60, 2000
"""Decimals have so many digits at first, and twice as many until the results have all of theirs.
Logits and factors of float64 differ from one another in less than 1,400 digits."""

FAR_BELOW = 700
"""A number of less than 1e-700 is 0, also if it is divided by a temperature."""

KEPT_DIGITS = 20
"""More digits than float64 has."""


class _Row(NamedTuple):
    """The results of one row, and how many of the digits cancelled."""

    probs: Sequence[Decimal]
    loss: Decimal
    """Without what a divergence adds."""
    divergence: Decimal
    """The loss with it."""
    z_loss: Decimal
    grad_probs: Sequence[Decimal]
    grad_logits: Sequence[Decimal]
    cancelled: int


def compute_exact_rows(rows: FloatArray, objective: Objective, out: SoftmaxCrossEntropy) -> None:
    """Compute the results that `out` has arrays for; the loss has no sum_c q_c log q_c."""
    for place, row in enumerate(rows.tolist()):
        result = exact_row(row, objective.part([place]))
        for name in out.fields:
            value = getattr(result, name)
            numbers = list(map(float, value)) if isinstance(value, list) else float(value)
            getattr(out, name)[place] = numbers


def exact_row(row: Sequence[float], objective: Objective) -> _Row:
    """Return the results of one row with more digits than float64 has."""
    digits = FIRST_DIGITS
    while True:
        with localcontext(EXTENDED) as context:
            context.prec = digits
            result = _in_decimals(row, objective)
        if result.cancelled <= digits - KEPT_DIGITS or digits >= MOST_DIGITS:
            return result
        digits *= 2


def _in_decimals(row: Sequence[float], objective: Objective) -> _Row:
    q = objective.weights(len(row), Decimal)[0].tolist()
    t = Decimal(1 if objective.temperature is None else float(objective.temperature[0]))
    cap = None if objective.softcap is None else Decimal(float(objective.softcap[0]))
    a = [Decimal(logit) for logit in row]
    z = [logit if cap is None or not logit.is_finite() else _capped(logit, cap) for logit in a]
    m = max(z)
    top = z.index(m)
    d = [(one - m) / t for one in z]
    e = [one.exp() for one in d]
    rest = sum(e[:top] + e[top + 1 :], start=Decimal(0))
    total, log_rest = 1 + rest, _log1p(rest)
    log_sum = m / t + log_rest
    cancelled = _cancelled(log_sum, abs(m / t) + log_rest)
    weight = objective.z_weights(Decimal)[0]
    s = sum(q, start=Decimal(0))
    slope = 2 * weight * log_sum
    ties = _by_ties(row, objective)
    gradients = []
    for c, (logit, e_c, q_c) in enumerate(zip(a, e, q, strict=True)):
        # At the largest logit, 1 - f(x) is the sum of the others.
        others = sum(q[:c] + q[c + 1 :], start=Decimal(0)) if c == top else s
        gained, lost = (others + slope) * e_c, q_c * (rest if c == top else total)
        size = max((others + abs(slope)) * e_c, lost)
        if weight or ties is None:
            cancelled = max(cancelled, _cancelled(gained - lost, size))
            x = (gained - lost) / total
        else:
            x = ties[c]
        gradients.append(x / t * _slope(logit, cap))
    costs = [q_c * (log_rest - d_c) for q_c, d_c in zip(q, d, strict=True) if q_c]
    loss = sum(costs, start=Decimal(0))
    z_loss = weight * log_sum**2 if weight else Decimal(0)
    divergence = loss
    entropies = objective.neg_entropies(len(row), Decimal)
    if entropies is not None and not (ties is not None and not any(ties)):
        divergence = loss + entropies[0]
        lost = _cancelled(divergence, max(loss, abs(entropies[0])))
        cancelled = max(cancelled, lost + _hidden(objective))
    elif entropies is not None:
        # f(x) is q, exactly.
        divergence = Decimal(0)
    return _Row(
        [e_c / total for e_c in e],
        loss + z_loss,
        divergence + z_loss,
        z_loss,
        [-q_c * total * (-d_c).exp() if q_c else Decimal(0) for q_c, d_c in zip(q, d, strict=True)],
        gradients,
        cancelled,
    )


def _cancelled(difference: Decimal, size: Decimal) -> int:
    """Return how many of the digits of two terms their difference has lost.

    What is far below the smallest float64, over any temperature, is 0.
    """
    if not size:
        return 0
    lost = size.adjusted() - difference.adjusted() if difference else MOST_DIGITS
    return min(lost, size.adjusted() + FAR_BELOW)


def _hidden(objective: Objective) -> int:
    """Return how many digits 1 - ε needs before the first one of ε: log q is made of them."""
    smoothing = None if objective.smoothing is None else Decimal(float(objective.smoothing[0]))
    return max(0, -smoothing.adjusted()) if smoothing else 0


def _by_ties(row: Sequence[float], objective: Objective) -> list[Decimal] | None:
    """Return s f(x)_c - q_c where all classes have equal logits; None where they have not.

    Everywhere else it is 0 for no logits, but here it may be.
    """
    finite = [logit for logit in row if logit > -math.inf]
    if any(logit != finite[0] for logit in finite):
        return None
    q = objective.weights(len(row), Fraction)[0].tolist()
    p = Fraction(1, len(finite))
    exact = [
        sum(q) * (p if logit > -math.inf else 0) - q_c for logit, q_c in zip(row, q, strict=True)
    ]
    return [Decimal(x.numerator) / x.denominator for x in exact]


def _capped(logit: Decimal, cap: Decimal) -> Decimal:
    """Return cap tanh(a / cap); small numbers keep their digits."""
    w = abs(logit) / cap
    with localcontext() as context:
        context.prec += max(0, -w.adjusted()) if w else 0
        e = (-2 * w).exp()
        return cap * ((1 - e) / (1 + e)).copy_sign(logit)


def _slope(logit: Decimal, cap: Decimal | None) -> Decimal:
    """Return the derivative of the cap."""
    if cap is None:
        return Decimal(1)
    if not logit.is_finite():
        return Decimal(0)
    e = (-2 * abs(logit) / cap).exp()
    return 4 * e / (1 + e) ** 2


def _log1p(x: Decimal) -> Decimal:
    """Return log(1 + x), for an x from 0 on; small numbers keep their digits."""
    if x > Decimal("1e-3"):
        return (1 + x).ln()
    # log(1 + x) = 2 artanh(y)
    y = x / (2 + x)
    term, square, result, n = y, y * y, y, 1
    digits = getcontext().prec + 2
    while term and term.adjusted() > result.adjusted() - digits:
        term *= square
        n += 2
        result += term / n
    return 2 * result
