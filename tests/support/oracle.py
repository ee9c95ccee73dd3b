"""Exact values of the output layer from mpmath, and distances from them in ulps."""

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
    z_loss: mpf
    grad_probs: list[mpf]
    grad_logits: list[mpf]
    terms: list[mpf]
    """The largest of the terms that `grad_logits` is made of, for each class."""
    loss_size: mpf
    """The larger of the terms that the loss is the sum of."""


def exact_targets(
    columns: int, target: int | list[float], label_smoothing: float, num_classes: int
) -> list[mpf]:
    """Compute the smoothed target of one row; columns that are no classes have none."""
    given = [float(c == target) for c in range(columns)] if isinstance(target, int) else target
    smoothing = mpf(label_smoothing)
    return [
        (1 - smoothing) * mpf(t) + smoothing / num_classes if c < num_classes else mpf(0)
        for c, t in enumerate(given)
    ]


def exact(
    logits: list[float],
    target: int | list[float],
    label_smoothing: float = 0.0,
    class_weights: list[float] | None = None,
    temperature: float = 1.0,
    divisor: float = 1.0,
    num_classes: int | None = None,
    loss_scale: float = 1.0,
    kl_divergence: bool = False,
    softcap: float | None = None,
    z_loss_scale: float = 0.0,
    z_divisor: float = 1.0,
) -> Exact:
    """Compute one row from the definitions. A masked class is -inf and must not be the target."""
    with mpmath.workprec(PRECISION):
        count = len(logits) if num_classes is None else num_classes
        logits = [*logits[:count], *[-math.inf] * (len(logits) - count)]
        shares = exact_targets(len(logits), target, label_smoothing, count)
        factor = mpf(loss_scale) / mpf(divisor)
        weights = class_weights or [1.0] * len(logits)
        q = [factor * mpf(w) * t for t, w in zip(shares, weights, strict=True)]
        constant = mpf(0)
        if kl_divergence:
            # Near 1, 200 bits have too few digits of what the logarithm is made of.
            with mpmath.workprec(20 * PRECISION):
                exactly = exact_targets(len(logits), target, label_smoothing, count)
                constant = factor * mpmath.fsum(t * mpmath.log(t) for t in exactly if t)
        slopes = [mpf(1)] * len(logits)
        given = list(map(mpf, logits))
        if softcap is not None:
            slopes = [derivative_of_cap(a, mpf(softcap)) for a in given]
            given = [a if mpmath.isinf(a) else softcap * mpmath.tanh(a / softcap) for a in given]
        # mpf - mpf of two floats is rounded once, to 200 bits, however far apart they are.
        maximum = max(given)
        values = [(value - maximum) / mpf(temperature) for value in given]
        e = [mpmath.exp(value) for value in values]
        total = mpmath.fsum(e)
        others = [rest / total for rest in _sums_of_others(e)]
        q_others = _sums_of_others(q)
        rest = mpmath.fsum(_without_one_maximum(e))
        log_probs = [value - mpmath.log1p(rest) for value in values]
        pairs = list(zip(q, log_probs, strict=True))
        gained = [term / total * w for term, w in zip(e, q_others, strict=True)]
        lost = [weight * other for weight, other in zip(q, others, strict=True)]
        loss = mpmath.fsum(-weight * log_p for weight, log_p in pairs if weight)
        log_sum = maximum / mpf(temperature) + mpmath.log1p(rest)
        z_weight = mpf(loss_scale) / mpf(z_divisor) * mpf(z_loss_scale)
        z_loss = z_weight * log_sum**2
        # The logarithm of the sum is itself a sum of two, which may cancel.
        size = abs(maximum / mpf(temperature)) + mpmath.log1p(rest)
        penalty = [2 * z_weight * log_sum * term / total for term in e]
        sizes = [2 * z_weight * size * term / total for term in e]
        factors = [slope / mpf(temperature) for slope in slopes]
        parts = list(zip(gained, lost, penalty, factors, strict=True))
        return Exact(
            probs=[term / total for term in e],
            log_probs=log_probs,
            loss=loss + constant + z_loss,
            loss_size=max(loss, abs(constant), z_weight * size**2),
            z_loss=z_loss,
            grad_probs=[
                -weight * mpmath.exp(-log_p) if weight else mpf(0) for weight, log_p in pairs
            ],
            grad_logits=[(x - y + z) * factor for x, y, z, factor in parts],
            terms=[
                max(x, y, z) * factor
                for x, y, z, factor in zip(gained, lost, sizes, factors, strict=True)
            ],
        )


def derivative_of_cap(a: mpf, cap: mpf) -> mpf:
    """Return the derivative of cap tanh(a / cap), in the form in which nothing cancels."""
    if mpmath.isinf(a):
        return mpf(0)
    e = mpmath.exp(-2 * abs(a) / cap)
    return 4 * e / (1 + e) ** 2


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


def _sums_of_others(values: list[mpf]) -> list[mpf]:
    """Return for each value the sum of the others: a difference only where nothing cancels."""
    total = mpmath.fsum(values)
    return [
        total - value if 2 * value <= total else mpmath.fsum(values[:c] + values[c + 1 :])
        for c, value in enumerate(values)
    ]


def _without_one_maximum(e: list[mpf]) -> list[mpf]:
    place = max(range(len(e)), key=e.__getitem__)
    return e[:place] + e[place + 1 :]
