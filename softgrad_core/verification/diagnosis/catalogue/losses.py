"""Another loss than the one that was asked for: with a soft cap, focal, or a divergence."""

from collections.abc import Callable, Iterator

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import Case, Terms, total
from softgrad_core.verification.diagnosis.mistake import Form, Mistake

CAPS = np.geomspace(0.5, 500.0, 16)
"""The caps among which the one of a claim is looked for first."""

STEPS = 48
"""How often the interval that has the cap is cut."""

FITTED_ROWS, FITTED_ELEMENTS = 8, 1 << 13
"""The rows, and the numbers, on which a cap is looked for, at most."""

PROMISING = 0.25
"""What a cap near the right one must leave of the squares of the errors."""

GAMMAS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
"""The exponents of the focal loss that are in use."""

Capped = Callable[[Case, FloatArray], Terms]


def capped(c: Case, cap: FloatArray) -> Terms:
    """Return the terms for the logits cap tanh(a / cap), without the derivative of the cap."""
    return f.from_log_p(c, f.log_softmax(cap * np.tanh(c.a / cap)))


def capped_with_derivative(c: Case, cap: FloatArray) -> Terms:
    """Return the terms of the gradient with the derivative of the cap, 1 - tanh²."""
    slope = 1.0 / np.cosh(c.a / cap) ** 2
    return tuple(slope * term for term in capped(c, cap))


def scaled_by_tanh(c: Case, cap: FloatArray) -> Terms:
    """Return the terms for the logits a tanh(a / cap)."""
    return f.from_log_p(c, f.log_softmax(c.a * np.tanh(c.a / cap)))


def cap_of(terms: Capped) -> Callable[[Case], FloatArray]:
    """Return the function that finds the cap with which these terms are nearest to a claim."""

    def find(c: Case) -> FloatArray:
        if c.is_summed:
            return np.full(c.count, np.nan)
        most = min(FITTED_ROWS, max(1, FITTED_ELEMENTS // c.classes))
        some = c.rows_alone(np.unique(np.linspace(0, c.count - 1, most).astype(int)))

        def left(cap: float) -> float:
            """Return the share of the squares of the errors that a cap leaves in most rows."""
            error = total(terms(some, np.full(some.count, cap))) - some.claim
            squares = np.where(np.isfinite(error), error, 1e30) ** 2
            return float(np.median(squares.sum(axis=0) / unexplained))

        unexplained = ((total(some.right) - some.claim) ** 2).sum(axis=0)
        grid = [left(cap) for cap in CAPS]
        best = int(np.clip(np.argmin(grid), 1, len(CAPS) - 2))
        if not min(grid) < PROMISING:
            return np.full(c.count, np.nan)
        low, high = np.log(CAPS[best - 1]), np.log(CAPS[best + 1])
        for _ in range(STEPS):
            first, second = low + 0.382 * (high - low), low + 0.618 * (high - low)
            is_low = left(np.exp(first)) < left(np.exp(second))
            low, high = (low, second) if is_low else (first, high)
        cap = float(np.exp((low + high) / 2.0))
        rounded = float(f"{cap:.3g}")
        # Caps are round numbers, and the minimum of a square is flat.
        return np.full(c.count, rounded if abs(cap - rounded) < 1e-3 * rounded else cap)

    return find


def focal(weight: float) -> Iterator[Form]:
    """Yield the forms of a focal loss, times a weight."""
    text = "" if weight == 1.0 else f"{weight:g} "
    for gamma in GAMMAS:

        def of_loss(c: Case, gamma: float = gamma) -> Terms:
            return tuple(weight * (1.0 - c.p_y) ** gamma * term for term in c.right)

        def of_gradient(c: Case, gamma: float = gamma) -> Terms:
            others = 1.0 - c.p_y
            slope = others**gamma - gamma * c.p_y * np.log(c.p_y) * others ** (gamma - 1.0)
            return tuple(weight * slope * term for term in c.right)

        yield Form("loss", f"{text}(1 - p_y)^{gamma:g} × {{}}", of_loss)
        yield Form("grad_logits", f"{text}{{}} of the focal loss with γ = {gamma:g}", of_gradient)


def divergence(c: Case) -> Terms:
    """Return the terms of the loss less the entropy of the target."""
    logs = np.log(c.e, out=np.zeros_like(c.e), where=c.e > 0.0)
    return (*c.right, (c.e * logs).sum(axis=0, keepdims=True))


LOSSES = (
    Mistake(
        "focal-loss",
        "this is a focal loss, in which rows that are sure count less",
        "set γ to 0 to compare the plain loss",
        *focal(1.0),
        *focal(0.25),
    ),
    Mistake(
        "divergence-for-cross-entropy",
        "the entropy of the target was taken off: this is the divergence KL(q, f(x))",
        "leave Σ q log q out of the loss; the gradients are the same",
        Form(
            "loss",
            "-Σ q log p + Σ q log q",
            divergence,
            applies=lambda c: ~c.is_hard & (c.q_sum > 0.0),
        ),
    ),
    Mistake(
        "soft-cap",
        "the logits were capped: c tanh(a / c)",
        "turn the cap off to compare the loss here",
        Form("probs log_probs loss", "{} of c tanh(a / c)", capped, cap_of(capped)),
        Form(
            "grad_logits",
            "{} of c tanh(a / c)",
            capped_with_derivative,
            cap_of(capped_with_derivative),
        ),
        symbol="c",
    ),
    Mistake(
        "soft-cap-without-its-derivative",
        "the logits were capped, and the gradient lacks the derivative of the cap",
        "multiply by 1 - tanh²(a / c), or turn the cap off",
        Form("grad_logits", "p - e of c tanh(a / c), without 1 - tanh²", capped, cap_of(capped)),
        symbol="c",
    ),
    Mistake(
        "logits-times-tanh",
        "the logits were multiplied by tanh(a / c), where a cap is c tanh(a / c)",
        "cap the logits as c tanh(a / c), or turn the cap off",
        Form(f.OF_P, "{} of a tanh(a / c)", scaled_by_tanh, cap_of(scaled_by_tanh)),
        symbol="c",
    ),
)
