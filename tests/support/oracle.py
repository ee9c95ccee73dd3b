"""The exact numbers of the output layer by mpmath, and distances from them in ulps."""

import math
from dataclasses import dataclass

import mpmath
from mpmath import mpf

PRECISION = 200
LARGEST = mpf(2) ** 1024
SMALLEST_SUBNORMAL = 2.0**-1074


@dataclass(frozen=True)
class Exact:
    """Probabilities, their logarithms, loss and gradients of one row to 200 bits."""

    probs: list[mpf]
    log_probs: list[mpf]
    loss: mpf
    grad_probs: list[mpf]
    grad_logits: list[mpf]


def exact(logits: list[float], target: int) -> Exact:
    """Compute one row from the definitions; a masked class is -inf, the target is not masked."""
    with mpmath.workprec(PRECISION):
        values = [mpf(value) for value in logits]
        maximum = max(values)
        # mpf - mpf of two floats is rounded once, to 200 bits, however far apart they are.
        e = [mpmath.exp(value - maximum) for value in values]
        total = mpmath.fsum(e)
        others = mpmath.fsum(term for place, term in enumerate(e) if place != target)
        probs = [term / total for term in e]
        shift = maximum - values[target]
        rest = mpmath.fsum(_without_one_maximum(e))
        return Exact(
            probs=probs,
            log_probs=[value - maximum - mpmath.log1p(rest) for value in values],
            loss=mpmath.log1p(rest) + shift,
            grad_probs=[
                -total * mpmath.exp(shift) if place == target else mpf(0) for place in range(len(e))
            ],
            grad_logits=[
                -others / total if place == target else prob for place, prob in enumerate(probs)
            ],
        )


def ulps(got: float, expected: mpf) -> float:
    """Return the distance in units of the last place of `expected` as a float64.

    Subnormal numbers count in units of the smallest one. Infinity is at distance 0 from what
    overflows, and infinitely far from everything else.
    """
    if math.isnan(got):
        return math.inf
    if math.isinf(got):
        overflows = abs(expected) >= LARGEST * (1 - mpf(2) ** -54)
        return 0.0 if overflows and (got > 0) == (expected > 0) else math.inf
    with mpmath.workprec(PRECISION):
        unit = math.ulp(min(float(abs(expected)), 1.7976931348623157e308))
        return float(abs(mpf(got) - expected) / mpf(unit))


def _without_one_maximum(e: list[mpf]) -> list[mpf]:
    place = max(range(len(e)), key=e.__getitem__)
    return e[:place] + e[place + 1 :]
