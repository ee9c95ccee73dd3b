"""A soft cap, a z-loss or a divergence that was left out, or done in another way.

The unit of dL/da has the derivative of the cap in it, see case.py. Forms without it, or with
another one, are divided by it.
"""

from collections.abc import Callable

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import Case, Terms, total
from softgrad_core.verification.diagnosis.mistake import Form, Mistake
from softgrad_core.verification.softcap import sech_squared


def has_cap(c: Case) -> BoolArray:
    """Return the rows that have a soft cap: all or none."""
    return np.full(c.count, c.objective.softcap is not None)


def has_z_loss(c: Case) -> BoolArray:
    """Return the rows that have a z-loss: all or none."""
    return np.full(c.count, c.has_z_loss)


def slope_at(x: FloatArray) -> FloatArray:
    """Return the derivative of tanh, and 1 for masked classes."""
    return sech_squared(np.where(np.isfinite(x), x, 0.0))


def of_logits(c: Case, z: FloatArray, slope: FloatArray) -> Terms:
    """Return the terms for softmax(z), where `slope` is the derivative of T z by the logits.

    Masked classes are those in which z is -infinity.
    """
    terms = f.from_log_p(c, f.log_softmax(z))
    if c.quantity != "grad_logits":
        return terms
    of_unit = c.slopes if c.objective.softcap is not None else np.ones_like(slope)
    return tuple(term * slope / of_unit for term in terms)


def masked(c: Case, z: FloatArray) -> FloatArray:
    """Return capped logits in which masked classes, and padding, stay masked."""
    return np.where(np.isneginf(c.logits), -np.inf, z)


def with_cap(
    formula: str, z: Callable[[Case], FloatArray], slope: Callable[[Case], FloatArray]
) -> Form:
    """Return the form for other capped logits, for rows that have a cap."""
    return Form(
        f.EVERY, formula, lambda c: of_logits(c, masked(c, z(c)), slope(c)), applies=has_cap
    )


def caps(c: Case) -> FloatArray:
    """Return the soft cap of each row."""
    cap = c.objective.softcap
    return np.full(c.count, np.nan) if cap is None else cap


def by_logits(c: Case) -> FloatArray:
    """Return a tanh(a / cap)."""
    return c.logits * np.tanh(c.logits / caps(c)) / c.temperature


def slope_by_logits(c: Case) -> FloatArray:
    """Return the derivative of a tanh(a / cap)."""
    x = c.logits / caps(c)
    return np.asarray(np.tanh(x) + x * slope_at(x))


def counts_padding(c: Case) -> BoolArray:
    """Return the rows whose claim may have padding among its classes."""
    if c.unmasked is None:
        return np.zeros(c.count, dtype=bool)
    if c.quantity == "loss":
        return np.ones(c.count, dtype=bool)
    return np.asarray((np.isneginf(c.logits) & (c.claimed != 0.0)).any(axis=0))


def over_all_columns(c: Case) -> tuple[FloatArray, FloatArray]:
    """Return the logits of all columns, capped if there is a cap, and the derivative of that."""
    assert c.unmasked is not None  # noqa: S101 - there is padding
    if c.objective.softcap is None:
        return c.unmasked / c.temperature, np.ones_like(c.p)
    x = c.unmasked / caps(c)
    return caps(c) * np.tanh(x) / c.temperature, slope_at(x)


def with_penalty(
    formula: str, factor: Callable[[Case], FloatArray | float], quantities: str
) -> Form:
    """Return the form whose z-loss, or its gradient, is multiplied by a factor."""

    def terms(c: Case) -> Terms:
        *others, penalty = c.right
        return (*others, factor(c) * penalty)

    return Form(quantities, formula, terms, applies=has_z_loss)


def weight_of_penalty(c: Case) -> FloatArray:
    """Return the weight of the z-loss in a claim that has a z-loss."""
    *others, penalty = np.broadcast_arrays(*c.right)
    left = c.claim - sum(others, start=np.zeros_like(c.claim))
    top = np.abs(penalty).argmax(axis=0), c.columns
    return np.asarray(c.z_scales * left[top] / penalty[top])


def log_sum_before_the_cap(c: Case) -> Terms:
    """Return the terms with a z-loss of the logits as they are given."""
    *others, _ = c.right
    a = c.logits / c.temperature
    top = a.max(axis=0)
    log_sum = top + np.log(np.exp(a - top).sum(axis=0))
    weights = c.objective.z_weights() / c.safe_sums
    if c.quantity == "loss":
        return (*others, (weights * log_sum**2)[np.newaxis])
    return (*others, 2.0 * weights * log_sum * f.softmax(a) / c.slopes)


def of_ignored_rows(c: Case) -> Terms:
    """Return the gradient of the z-loss in rows that do not count."""
    objective = c.objective
    assert objective.z_scale is not None  # noqa: S101 - see has_z_loss
    n = 1.0 if objective.z_divisor is None else objective.z_divisor
    weights = c.scale * objective.z_scale / n
    return (2.0 * weights * c.log_normaliser * c.p / c.safe_sums,)


def without_entropy(c: Case) -> Terms:
    """Return the loss without Σ q log q."""
    return (total(c.right) - c.entropies,)


PRACTICE = (
    Mistake(
        "cap-derivative-missing",
        "the gradient lacks the derivative of the soft cap",
        "multiply by 1 - tanh²(a / cap)",
        Form(
            "grad_logits",
            "{} without 1 - tanh²(a / cap)",
            lambda c: tuple(term / c.slopes for term in c.right),
            applies=has_cap,
        ),
        step="The chain rule for the soft cap",
    ),
    Mistake(
        "cap-left-out",
        "the logits were not capped",
        "take cap tanh(a / cap) for a, or leave the soft cap out of the options here",
        with_cap(
            "{} of a, without the cap",
            lambda c: c.logits / c.temperature,
            lambda c: np.ones_like(c.p),
        ),
        step="The soft cap",
    ),
    Mistake(
        "cap-of-a-times-tanh",
        "the logits were multiplied by tanh(a / cap), not the cap",
        "take cap tanh(a / cap)",
        with_cap("{} of a tanh(a / cap)", by_logits, slope_by_logits),
        step="The soft cap",
    ),
    Mistake(
        "cap-after-the-temperature",
        "the logits were divided by T before the soft cap, not after it",
        "take cap tanh(a / cap) / T",
        with_cap(
            "{} of cap tanh(a / T / cap)",
            lambda c: caps(c) * np.tanh(c.logits / c.temperature / caps(c)),
            lambda c: slope_at(c.logits / c.temperature / caps(c)),
        )._replace(applies=lambda c: has_cap(c) & (np.abs(c.temperature - 1.0) > 1e-9)),
    ),
    Mistake(
        "padding-not-masked",
        "the columns of padding were taken for classes",
        "set their logits to -infinity, or leave them out of every sum",
        Form(
            f.EVERY.replace("grad_probs", ""),
            "{} over all columns",
            lambda c: of_logits(c, *over_all_columns(c)),
            applies=counts_padding,
        ),
    ),
    Mistake(
        "z-loss-summed",
        "the z-loss was summed over the rows, not averaged",
        "divide it by the number of rows that count, as the loss by D",
        with_penalty("{} with n ζ for ζ", lambda c: c.z_divisors, "loss z_loss grad_logits"),
    ),
    Mistake(
        "z-loss-left-out",
        "the z-loss was left out",
        "add ζ (log Σ exp z)², or leave the z-loss out of the options here",
        with_penalty("{} without the z-loss", lambda _: 0.0, "loss grad_logits"),
        step="The gradient with the z-loss",
    ),
    Mistake(
        "z-loss-without-its-2",
        "the derivative of the square lacks its factor 2",
        "the gradient of ζ l² is 2 ζ l times that of l",
        with_penalty("{} with ζ l p for 2 ζ l p", lambda _: 0.5, "grad_logits"),
        step="The gradient with the z-loss",
    ),
    Mistake(
        "z-loss-weight-twice",
        "the weight of the z-loss was multiplied twice",
        "multiply by ζ in one place only",
        with_penalty("{} with ζ² for ζ", lambda c: c.z_scales, "loss z_loss grad_logits"),
    ),
    Mistake(
        "z-loss-of-another-weight",
        "the z-loss has another weight w than the one that was asked for",
        "use one weight, or verify with this one",
        Form(
            "loss z_loss grad_logits",
            "{} with w for ζ",
            lambda c, w: (*c.right[:-1], w / c.z_scales * c.right[-1]),
            weight_of_penalty,
            applies=has_z_loss,
        ),
        symbol="w",
    ),
    Mistake(
        "z-loss-before-the-cap",
        "the z-loss has log Σ exp(a) of the logits before the soft cap",
        "take the logarithm of the sum that the softmax divides by",
        Form(
            "loss grad_logits",
            "{} with log Σ exp(a) before the cap",
            log_sum_before_the_cap,
            applies=lambda c: has_z_loss(c) & has_cap(c),
        ),
    ),
    Mistake(
        "z-loss-of-ignored-rows",
        "ignored rows have the gradient of the z-loss",
        "leave rows whose label is ignore_index out of the z-loss too",
        Form(
            "grad_logits",
            "2 ζ l p in ignored rows",
            of_ignored_rows,
            applies=lambda c: has_z_loss(c) & ~c.row_counts,
            counts_all=True,
        ),
    ),
    Mistake(
        "entropy-left-out",
        "this is the cross-entropy: the divergence has Σ q log q beside it",
        "add Σ q log q, or leave the divergence out of the options here",
        Form(
            "loss",
            "-Σ q log p",
            without_entropy,
            applies=lambda c: np.full(c.count, c.objective.is_divergence is not None),
        ),
    ),
)
