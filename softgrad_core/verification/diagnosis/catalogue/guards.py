"""Guards that change numbers: an ε in a logarithm, bounds of logits or probabilities, lost masks.

Where a guard does nothing, the numbers are right.
"""

from collections.abc import Callable, Iterator

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import (
    ROUNDINGS,
    Case,
    Terms,
    total,
    total_size,
)
from softgrad_core.verification.diagnosis.catalogue.practice import (
    caps,
    has_cap,
    has_z_loss,
    of_logits,
    slope_at,
)
from softgrad_core.verification.diagnosis.mistake import Form, Mistake

EPSILONS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 2.0**-23, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16)
"""The numbers that people add to a probability, or clip it at, to keep its logarithm finite."""

BOUNDS = [1, 2, 3, 5, 6, 8, 10, 12, 15, 16, 20, 25, 30, 32, 40, 50, 60, 64, 70, 75, 80, 85, 88, 100]
BOUNDS += [128, 500, 700, 1000, 10_000]
"""The numbers that people keep logits within."""


def is_cross_entropy(c: Case) -> BoolArray:
    """Return the rows whose loss is the cross-entropy alone: all or none."""
    return np.full(c.count, not c.has_z_loss and c.objective.is_divergence is None)


def tells(c: Case) -> BoolArray:
    """Return the rows that may show a guard: those of a cross-entropy alone.

    With few digits one of so many guards gives any number.
    """
    has_digits = c.quantity != "loss" or c.dtype.epsilon <= Dtype.FLOAT32.epsilon
    return np.asarray(is_cross_entropy(c) & has_digits & (c.half_units is None))


def guarded(p_y: str, guard: Callable[[FloatArray, float], FloatArray]) -> Iterator[Form]:
    """Yield the forms of a logarithm with a guard ε; `p_y` is how the guarded p_y is written."""
    for epsilon in EPSILONS:

        def terms(c: Case, epsilon: float = epsilon) -> Terms:
            return f.from_p(c, guard(c.p, epsilon))

        value = f"with ε = {epsilon:.2g}"
        yield Form("log_probs", f"log {p_y} {value}", terms, applies=tells)
        yield Form("loss", f"-log {p_y} {value}", terms, applies=tells)
        yield Form("grad_probs", f"-e / {p_y} {value}", terms, applies=tells)


def guarded_gradient() -> Iterator[Form]:
    """Yield the forms of the gradient of a logarithm to whose argument ε was added."""
    for epsilon in EPSILONS:

        def terms(c: Case, epsilon: float = epsilon) -> Terms:
            return tuple(c.p_y / (c.p_y + epsilon) * term for term in c.right)

        formula = f"p_y / (p_y + ε) {{}} with ε = {epsilon:.2g}"
        yield Form("grad_logits", formula, terms, applies=tells)


def clipped_probabilities() -> Iterator[Form]:
    """Yield the forms of probabilities that were kept between ε and 1 - ε."""
    for epsilon in EPSILONS:

        def terms(c: Case, epsilon: float = epsilon) -> Terms:
            return f.from_p(c, c.p.clip(epsilon, 1.0 - epsilon))

        def applies(c: Case, epsilon: float = epsilon) -> BoolArray:
            is_outside = (c.p < epsilon) | (c.p > 1.0 - epsilon)
            return np.asarray(tells(c) & is_outside.any(axis=0))

        formula = f"{{}} with p between ε and 1 - ε, ε = {epsilon:.2g}"
        yield Form("probs grad_logits", formula, terms, applies=applies)


def clamped(low: float, high: float, formula: str) -> Iterator[Form]:
    """Yield the forms of logits within bounds: without, and with the derivative of that."""

    def is_outside(c: Case) -> BoolArray:
        return (c.logits < low) | (c.logits > high)

    def constant(c: Case) -> Terms:
        return of_logits(c, c.logits.clip(low, high) / c.temperature, np.ones_like(c.p))

    def flat(c: Case) -> Terms:
        z, slope = c.logits.clip(low, high) / c.temperature, np.where(is_outside(c), 0.0, 1.0)
        return of_logits(c, z, slope)

    for quantities, terms, suffix in (
        (f.EVERY, constant, ""),
        ("grad_logits", flat, ", flat outside"),
    ):

        def applies(c: Case, terms: Callable[[Case], Terms] = terms) -> BoolArray:
            may_be = tells(c) & ~has_cap(c) & is_outside(c).any(axis=0)
            return may_be & are_near(c, terms(c), max(abs(low), high)) if may_be.any() else may_be

        yield Form(quantities, f"{{}} of {formula}{suffix}", terms, applies=applies)


def are_near(c: Case, terms: Terms, largest: float) -> BoolArray:
    """Return the rows whose claims these terms give, for logits up to the largest.

    In a case the rounding errors are those of its own logits, which may be much larger.
    """
    if c.is_summed:
        return np.ones(c.count, dtype=bool)
    largest = min(largest, np.abs(c.logits[np.isfinite(c.logits)]).max(initial=0.0))
    lost = c.epsilon * (ROUNDINGS + 2.0 * largest) * total_size(terms)
    lost = lost + c.slack / c.safe_unit
    return np.asarray((np.abs(c.claim - total(terms)) <= lost).all(axis=0))


def slope_of_the_cap(x: FloatArray) -> FloatArray:
    """Return the derivative of tanh, 0 at -infinity."""
    return np.where(np.isneginf(x), 0.0, slope_at(x))


def with_capped_masks(formula: str, slope: Callable[[FloatArray], FloatArray]) -> Form:
    """Return the form of a cap that made -cap of masks; `slope` is what its derivative is."""

    def terms(c: Case) -> Terms:
        x = c.logits / caps(c)
        return of_logits(c, caps(c) * np.tanh(x) / c.temperature, slope(x))

    def applies(c: Case) -> BoolArray:
        return np.asarray(has_cap(c) & ~has_z_loss(c) & np.isneginf(c.logits).any(axis=0))

    return Form(f.EVERY, formula, terms, applies=applies)


GUARDS = (
    Mistake(
        "clamped-logits",
        "the logits were kept within bounds, which changes the softmax of all that are outside",
        "subtract the largest logit of each record: then exp cannot overflow, and needs no bounds",
        *(form for bound in BOUNDS for form in clamped(-bound, bound, f"a within ±{bound:,}")),
        *clamped(0.0, np.inf, "max(a, 0)"),
    ),
    Mistake(
        "mask-became-a-logit",
        "the soft cap made -cap of the -infinity of masked classes, so that they take part",
        "mask after the soft cap",
        with_capped_masks("{} with -cap for masked logits", slope_of_the_cap),
        with_capped_masks(
            "{} with -cap for masked logits, without 1 - tanh²(a / cap)", np.ones_like
        ),
    ),
    Mistake(
        "epsilon-in-the-logarithm",
        "an ε that guards the logarithm changes small probabilities",
        "compute log_softmax from the logits, which needs no guard",
        *guarded("(p_y + ε)", lambda p, epsilon: p + epsilon),
        *guarded("max(p_y, ε)", lambda p, epsilon: p.clip(epsilon, 1.0 - epsilon)),
        *guarded_gradient(),
        *clipped_probabilities(),
    ),
)
