"""How large an error rounding can explain: the bound that claims are held to by default.

Notation as in reference.py, with z = a / T, S the sum of exp(z - max(z)), K classes, N rows, target
weights q of sum s (the D of a mean and the weights of classes are in them). u is the unit roundoff
of the arithmetic, half its epsilon; v that of sums, offsets and exponentials, which kernels for
narrow types compute in float32.

To first order, a kernel that computes log f(x) = z - max(z) - log(S), or z less a rounded
log-sum-exp, and then f(x) = exp(log f(x)), makes these errors:

- z - max(z), log(S) and their difference are rounded: u (1 + 2 |log f(x)|) in log f(x), where the 1
  is the relative error of S;
- rounded numbers as large as z and max(z) are subtracted, and K terms are added, whose roundings
  differ in sign: v (|z| + |max(z)| + sqrt(K) + 1);
- where z is not what was given, but divided by T, it has been rounded itself: u (|z| + |max(z)|);
- exp turns the error of log f(x) into a relative error of f(x), and rounds: u;
- each product, quotient and difference of a gradient is rounded: u times each of its terms;
- where every class has a weight, s is a sum of K numbers that are often equal, whose roundings have
  one sign. Kernels add them up in several lanes, one by one: v K / LANES in s;
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
    if quantity == "loss":
        return _of_loss(log_p, objective)
    of_p = log_p.half
    lost = arithmetic.smallest / 2.0
    if objective.is_of_labels:
        q_y = objective.label_weights()
        of_p *= q_y * p
        of_p += lost * (q_y + 1.0)
        of_p[objective.labels, np.arange(a.shape[1])] += 2.0 * u * q_y
        return of_p
    q: FloatArray = objective.weights(len(a)).T
    s = q.sum(axis=0)
    of_p += _roundoff_of_sums(arithmetic) * len(a) / LANES
    of_p *= s
    of_p += lost * len(a)
    of_p *= p
    t = 1.0 if objective.temperature is None else objective.temperature
    return np.asarray((of_p + 2.0 * u * q + lost * (s + 1.0)) / t)


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
    offsets = np.abs(a)
    offsets += np.abs(a.max(axis=0))
    if t is not None:
        offsets /= t
    for values in (size, offsets):
        np.copyto(values, 0.0, where=~np.isfinite(values))
    of_sums = error_of_sum(len(a), arithmetic)
    if t is not None:
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
