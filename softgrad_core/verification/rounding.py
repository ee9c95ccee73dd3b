"""How large an error rounding can explain: the bound that claims are held to by default.

Notation as in reference.py, with z = a / T, or cap tanh(a / cap) / T, S the sum of exp(z - max(z)),
K classes, N rows, target weights q of sum s (the D of a mean and the weights of classes are in
them), and the weight ζ of the z-loss. u is the unit roundoff
of the arithmetic, half its epsilon; v that of sums, offsets and exponentials, which kernels for
narrow types compute in float32.

To first order, a kernel that computes log f(x) = z - max(z) - log(S), or z less a rounded
log-sum-exp, and then f(x) = exp(log f(x)), makes these errors:

- z - max(z), log(S) and their difference are rounded: u (1 + 2 |log f(x)|) in log f(x), where the 1
  is the relative error of S;
- rounded numbers as large as z and max(z) are subtracted, and K terms are added, whose roundings
  differ in sign: v (|z| + |max(z)| + sqrt(K) + 1);
- where z is not what was given, but divided by T or capped, it has been rounded itself:
  u (|z| + |max(z)|);
- exp turns the error of log f(x) into a relative error of f(x), and rounds: u;
- each product, quotient and difference of a gradient is rounded: u times each of its terms;
- where every class has a weight, s is a sum of K numbers that are often equal, whose roundings have
  one sign. Kernels add them up in several lanes, one by one: v K / LANES in s;
- the log-sum-exp l = max(z) + log(S) of a z-loss is off by δ = u (|l| + |max(z)|) and the error of
  the sum, which makes 2 ζ |l| δ and u ζ l² in the z-loss, and 2 ζ (δ + u |l|) f(x) in its gradient;
- the derivative of the cap has the relative error 2 u |a / cap| of its exponential, and where it is
  computed by 1 - tanh², the absolute error u of that difference;
- numbers below the smallest normal one are off by half of the smallest: p, each q, and a product.

`rounding_size` is the sum of these for each quantity. The errors that kernels make are the sum
times a small factor, `ROUNDINGS`, and half an ulp, as the result is rounded to the claim's type.
Of kernels recorded on a GPU (PyTorch, compiled PyTorch, Liger and JAX, in float32, bfloat16 and
float16, 10 to 128,256 classes) the largest factor was 3.2.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from softgrad_core.dtypes import Dtype, WideArray
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.results import LOSSES
from softgrad_core.verification.softcap import capped, sech_squared

ROUNDINGS = 4.0
"""How many times the size of what is rounded the error may be, in units of the roundoff."""

LANES = 32.0
"""How many partial sums a kernel adds equal terms up in."""


def rounding_size(
    quantity: str,
    exact: Mapping[str, WideArray],
    a: FloatArray,
    objective: Objective,
    arithmetic: Dtype,
) -> FloatArray:
    """Return the size of the rounding errors of a quantity, of the shape of its exact values.

    Parameters
    ----------
    quantity
        One of `QUANTITIES`.
    exact
        All quantities, from `reference`.
    a
        The logits, of shape (K, N).
    objective
        The loss of each column.
    arithmetic
        The type that the claims were computed in.

    Examples
    --------
    >>> from softgrad_core.verification.reference import reference
    >>> a, objective = np.array([[0.0], [0.0]]), Objective(np.array([1]))
    >>> exact = reference(a, objective, Dtype.FLOAT32)
    >>> size = rounding_size("grad_logits", exact, a, objective, Dtype.FLOAT32)
    >>> np.round(size / 2.0**-24, 1).tolist()
    [[2.1], [4.1]]
    """
    log_p = _of_probs(exact, a, objective, arithmetic)
    p = np.asarray(exact["probs"], dtype=np.float64)
    u = arithmetic.epsilon / 2.0
    if quantity == "probs":
        return p * (log_p.half + u)
    if quantity == "log_probs":
        return log_p.whole
    if quantity == "grad_probs":
        size = np.abs(np.asarray(exact["grad_probs"], dtype=np.float64))
        return size * (log_p.half + 2.0 * u)
    if quantity in LOSSES:
        penalty = _of_penalty(exact, a, objective, log_p)
        return penalty if quantity == "z_loss" else _of_loss(log_p, objective) + penalty
    of_p = log_p.half
    lost = _lost(arithmetic)
    if objective.is_of_labels:
        q_y = objective.label_weights()
        of_p *= q_y * p
        of_p += lost * (q_y + 1.0)
        of_p[objective.labels, np.arange(a.shape[1])] += 2.0 * u * q_y
        return of_p
    q: FloatArray = objective.weights(len(a)).T
    s = q.sum(axis=0)
    of_p = of_p.copy()  # The z-loss needs what it was.
    of_p += _roundoff_of_sums(arithmetic) * len(a) / LANES
    of_p *= s
    of_p += lost * len(a)
    of_p *= p
    size = of_p + 2.0 * u * q + lost * (s + 1.0)
    if objective.z_scale is not None:
        weights, log_sums = objective.z_weights(), _log_sums(exact, a, objective)
        of_log_sum = _of_log_sum(exact, a, objective, log_p)
        # Where p is 0, a bound that is out of range must not become 0 times infinity.
        penalty = of_log_sum * p + log_sums * p * (log_p.half + 2.0 * u)
        size += 2.0 * weights * penalty
        size += 2.0 * weights * log_sums * lost
    t = 1.0 if objective.temperature is None else objective.temperature
    if objective.softcap is None:
        return np.asarray(size / t)
    x = np.abs(np.where(np.isfinite(a), a, 0.0)) / objective.softcap
    slopes = sech_squared(x)
    # The gradient before the cap, from that after it; it is not known where the cap is flat.
    inner = s * p + q + (0.0 if objective.z_scale is None else 2.0 * weights * log_sums * p)
    return np.asarray((slopes * (size + inner * u * (2.0 * x + 3.0)) + 2.0 * u * inner) / t)


def rounding_beside_targets(  # noqa: PLR0913, PLR0917 - what a number is made of
    quantity: str,
    exact: FloatArray,
    log_p: FloatArray,
    offsets: FloatArray,
    q: FloatArray | float,
    classes: int,
    arithmetic: Dtype,
) -> FloatArray:
    """Return what `rounding_size` gives for single numbers of the probabilities or of dL/da.

    They are not those of the targets, which are labels without other options than weights. `log_p`
    is |log f(x)| of each number, `offsets` are |a| + |max(a)|, and q is the target's weight.
    """
    of_p = error_of_log_p(log_p, offsets, classes, arithmetic)
    if quantity == "probs":
        return np.asarray(np.abs(exact) * (of_p + arithmetic.epsilon / 2.0))
    return np.asarray(np.abs(exact) * of_p + _lost(arithmetic) * (q + 1.0))


def _lost(arithmetic: Dtype) -> float:
    """Return what a number below the smallest normal one loses: that of float64 would be 0."""
    return max(arithmetic.smallest / 2.0, Dtype.FLOAT64.smallest)


def _z_losses(exact: Mapping[str, WideArray]) -> FloatArray:
    return np.asarray(exact["z_loss"][0], dtype=np.float64)


def _log_sums(exact: Mapping[str, WideArray], a: FloatArray, objective: Objective) -> FloatArray:
    """Return |log Σ exp(z)| of each column, which is max(z) less the largest log f(x).

    Its square, the z-loss, may be out of range.
    """
    largest = np.asarray(exact["log_probs"].max(axis=0), dtype=np.float64)
    return np.abs(_largest(a, objective) - largest)


def _largest(a: FloatArray, objective: Objective) -> FloatArray:
    """Return max(z) of each column."""
    largest = capped(a.max(axis=0), objective.softcap)
    return np.asarray(largest if objective.temperature is None else largest / objective.temperature)


def _of_log_sum(
    exact: Mapping[str, WideArray], a: FloatArray, objective: Objective, log_p: "_LogProbs"
) -> FloatArray:
    """Return the size of the errors of the log-sum-exp of each column."""
    largest, log_sums = np.abs(_largest(a, objective)), _log_sums(exact, a, objective)
    return np.asarray(log_p.roundoff * (log_sums + 2.0 * largest + 1.0) + log_p.of_sums)


def _of_penalty(
    exact: Mapping[str, WideArray], a: FloatArray, objective: Objective, log_p: "_LogProbs"
) -> FloatArray:
    """Return the size of the errors of the z-losses of rows."""
    if objective.z_scale is None:
        return np.zeros((1, a.shape[1]))
    weights, z_losses = objective.z_weights(), _z_losses(exact)
    # 2 ζ |l| δ and ζ δ², which is what is left where l is 0.
    of_log_sum = _of_log_sum(exact, a, objective, log_p)
    log_sums = _log_sums(exact, a, objective)
    size = 2.0 * weights * log_sums * of_log_sum + weights * of_log_sum**2
    return np.asarray((size + 2.0 * log_p.roundoff * z_losses)[np.newaxis])


def _roundoff_of_sums(arithmetic: Dtype) -> float:
    return min(arithmetic.epsilon, Dtype.FLOAT32.epsilon) / 2.0


class _LogProbs(NamedTuple):
    """The errors of log f(x), and what they come from; 0 for masked classes."""

    size: FloatArray
    """|log f(x)|."""
    half: FloatArray
    """The error without that of one difference, as exp(z - max(z)) / S has it."""
    roundoff: float
    of_sums: float

    @property
    def whole(self) -> FloatArray:
        """The error of log f(x)."""
        return self.half + self.roundoff * self.size


def _of_probs(
    exact: Mapping[str, WideArray], a: FloatArray, objective: Objective, arithmetic: Dtype
) -> _LogProbs:
    u, t = arithmetic.epsilon / 2.0, objective.temperature
    size = np.abs(np.asarray(exact["log_probs"], dtype=np.float64))
    offsets = capped(np.abs(a), objective.softcap)
    if t is not None:
        offsets /= t
    offsets += np.abs(_largest(a, objective))
    for values in (size, offsets):
        np.copyto(values, 0.0, where=~np.isfinite(values))
    of_sums = error_of_sum(len(a), arithmetic)
    # A kernel with a z-loss has a log-sum-exp, which it may subtract as it has been rounded.
    if objective.is_scaled or objective.z_scale is not None:
        offsets *= 1.0 + u / _roundoff_of_sums(arithmetic)
    return _LogProbs(size, error_of_log_p(size, offsets, len(a), arithmetic), u, of_sums)


def _of_loss(log_p: _LogProbs, objective: Objective) -> FloatArray:
    """Return the size of the errors of the losses of rows."""
    q: FloatArray = objective.weights(len(log_p.size)).T
    size = (q * (log_p.whole + log_p.size * log_p.of_sums)).sum(axis=0)
    entropies = objective.neg_entropies(len(log_p.size))
    if entropies is not None:
        # A product, a logarithm and a sum of terms of one sign, which are subtracted.
        size += np.abs(entropies) * (2.0 * log_p.roundoff + log_p.of_sums)
    return np.asarray(size[np.newaxis])


def growth_of_sum(classes: int, rows: int, arithmetic: Dtype) -> float:
    """Return by how much the errors of the losses of rows grow when these are added up."""
    return float(1.0 + error_of_sum(classes, arithmetic) * np.log2(rows))


def error_of_sum(classes: int, arithmetic: Dtype) -> float:
    """Return the relative error of a sum of as many terms as there are classes."""
    return _roundoff_of_sums(arithmetic) * float(np.sqrt(classes) + 1.0)


def error_of_log_p(
    size: FloatArray, offsets: FloatArray, classes: int, arithmetic: Dtype
) -> FloatArray:
    """Return the error of log f(x), as exp(z - max(z)) / S has it.

    `size` is |log f(x)|, and `offsets` are |z| + |max(z)|.
    """
    u, v = arithmetic.epsilon / 2.0, _roundoff_of_sums(arithmetic)
    return np.asarray(u * size + v * offsets + (u + error_of_sum(classes, arithmetic)))
