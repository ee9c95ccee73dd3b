"""Claims that failed, and all that a formula which may have made them is computed from.

Notation: p = f(x) = softmax(a), e = e(y) the one-hot vector of the target, d = a - max(a), K the
number of classes. Arrays are of shape (K, n), one column for each record, or (n,).
"""

from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.logits import FloatArray
from softgrad_core.targets import IndexArray
from softgrad_core.tolerances import Tolerance

if TYPE_CHECKING:
    from collections.abc import Callable

Terms = tuple[FloatArray, ...]
BoolArray = npt.NDArray[np.bool]
Number = TypeVar("Number", bound=np.generic)

CORRECT = {
    "probs": "p",
    "log_probs": "(log p)",
    "loss": "(-log p_y)",
    "grad_probs": "(-e / p)",
    "grad_logits": "(p - e)",
}
"""The formula of each quantity."""

ROUNDINGS = 3.0
"""So many epsilons a claim may be from what a formula gives: rounded at each of a few steps."""

MOST_LOST = 0.125
"""The largest relative error that is taken for one of rounding."""


def total(terms: Terms) -> FloatArray:
    """Return the sum of the terms."""
    return np.asarray(sum(terms[1:], start=terms[0]))


def total_size(terms: Terms) -> FloatArray:
    """Return the sum of the sizes of the terms, which rounding errors are relative to."""
    return total(tuple(map(np.abs, terms)))


class Case:
    """Claims of one quantity, and what is needed to say what a mistake would have given.

    Parameters
    ----------
    quantity
        One of the keys of `CORRECT`.
    tolerance
        What the claims were held to, and the type in which they were computed.
    claim
        Of shape (K, n), or (1, n) for a loss.
    wrong
        Which of these numbers failed, of the same shape.
    a, y
        The logits, of shape (K, n), and the targets.
    p
        The probabilities, of shape (K, n).
    beside
        The right values of the record before each, and of the one after, of the shape of `claim`.
    highest
        The largest logit of all records that were looked at together with these.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the facts of the case
        self,
        quantity: str,
        tolerance: Tolerance,
        claim: FloatArray,
        wrong: BoolArray,
        a: FloatArray,
        y: IndexArray,
        p: FloatArray,
        beside: tuple[FloatArray, FloatArray],
        highest: float,
    ) -> None:
        self.quantity = quantity
        self.tolerance = tolerance
        self.dtype = tolerance.dtype
        self.claim = claim
        self.wrong = wrong
        self.a = a
        self.y = y
        self.p = p
        self.beside = beside
        self.highest = highest
        self.classes, self.count = a.shape
        self.columns = np.arange(self.count)
        self.d = a - a.max(axis=0)
        self.e = self.one_hot(y)
        self.p_y = self.at_target(p)
        self._rounding_errors: dict[float, FloatArray] = {}
        self._parameters: dict[Callable[[Case], FloatArray], FloatArray] = {}

    def has(self, dtype: Dtype) -> bool:
        """Return whether something may have been computed in this type: the claims' or narrower."""
        return dtype is self.dtype or dtype in self.dtype.narrower

    def are_of(self, dtype: Dtype) -> BoolArray:
        """Return which claims consist of numbers of a type."""
        is_of_it = (self.claim == dtype.round(self.claim)) | np.isnan(self.claim)
        return np.asarray(is_of_it.all(axis=0))

    def one_hot(self, labels: IndexArray) -> FloatArray:
        """Return the one-hot vectors of `labels` as columns."""
        e = np.zeros((self.classes, self.count))
        e[labels, self.columns] = 1.0
        return e

    def at_target(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return the value of each column at its target."""
        return np.asarray(values[self.y, self.columns])

    def kept(self, values: FloatArray) -> FloatArray:
        """Return, of values for each class, those that the quantity has: all, or the target's."""
        return self.at_target(values)[np.newaxis] if self.quantity == "loss" else values

    def part(self, indices: IndexArray) -> "Case":
        """Return the case of some of the records."""
        if len(indices) == self.count:
            return self
        return Case(
            self.quantity,
            self.tolerance,
            self.claim[:, indices],
            self.wrong[:, indices],
            self.a[:, indices],
            self.y[indices],
            self.p[:, indices],
            (self.beside[0][:, indices], self.beside[1][:, indices]),
            self.highest,
        )

    @cached_property
    def not_p(self) -> FloatArray:
        """1 - p."""
        return np.where(self.p > 0.5, self.total_of_others, 1.0 - self.p)

    @cached_property
    def total_of_others(self) -> FloatArray:
        """The sum of p over the classes that are not the most probable one."""
        return self.rest / (1.0 + self.rest)

    @cached_property
    def rest(self) -> FloatArray:
        """The sum of exp(d) without the term of the maximum."""
        e = np.exp(self.d)
        e[self.a.argmax(axis=0), self.columns] = 0.0
        return np.asarray(e.sum(axis=0))

    @cached_property
    def log_sum(self) -> FloatArray:
        """The logarithm of the sum of exp(d), also where that is 1 but for the last digits."""
        return np.asarray(np.log1p(self.rest))

    @property
    def epsilon(self) -> float:
        """The relative error of one rounding: that of float32 at least, and what is tolerated."""
        return max(
            self.dtype.epsilon, Dtype.FLOAT32.epsilon, self.tolerance.largest_relative / ROUNDINGS
        )

    @property
    def slack(self) -> float:
        """What numbers may be off however small they are: little, unless more is tolerated."""
        slack = self.tolerance.absolute
        return slack if slack > self.dtype.atol else self.dtype.smallest

    @cached_property
    def log_normaliser(self) -> FloatArray:
        """The logarithm of the sum of exp(a)."""
        return np.asarray(self.log_sum + self.a.max(axis=0))

    def rounding_errors(self, epsilon: float) -> FloatArray:
        """Return the relative errors that numbers made from the probabilities may have."""
        if epsilon not in self._rounding_errors:
            # A difference from the maximum is rounded before exp in proportion to its size.
            d = self.kept(self.d)
            errors = epsilon * (ROUNDINGS + np.abs(np.where(np.isfinite(d), d, 0.0)))
            errors = np.minimum(errors, MOST_LOST)
            if self.quantity in {"probs", "grad_logits"}:
                # Small probabilities have few digits, or none.
                digits = self.dtype.smallest / np.maximum(self.p, self.dtype.smallest)
                errors = np.where(self.e == 1.0, errors, np.maximum(errors, digits))
            self._rounding_errors[epsilon] = errors
        return self._rounding_errors[epsilon]

    @cached_property
    def is_near_right(self) -> BoolArray:
        """Whether no number of a record is further off than digits that were lost explain."""
        off = np.abs(self.claim - total(self.right))
        return np.asarray((off <= MOST_LOST * total_size(self.right) + self.slack).all(axis=0))

    def parameter(self, find: "Callable[[Case], FloatArray]") -> FloatArray:
        """Return the parameters that a function finds, which several formulas may share."""
        if find not in self._parameters:
            values = find(self)
            self._parameters[find] = np.where(np.isfinite(values), values, np.nan)
        return self._parameters[find]

    @cached_property
    def only_target_is_wrong(self) -> BoolArray:
        """Whether no other number of a record failed."""
        return np.asarray((self.wrong.sum(axis=0) == 1) & self.at_target(self.wrong))

    @property
    def is_one_number(self) -> bool:
        """Whether a claim has one number only that is not 0 by its nature."""
        return self.quantity in {"loss", "grad_probs"}

    @cached_property
    def is_finite(self) -> bool:
        """Whether all claims are finite."""
        return bool(np.isfinite(self.claim).all())

    @cached_property
    def right(self) -> Terms:
        """The terms of the correct value."""
        match self.quantity:
            case "probs":
                return (self.p,)
            case "log_probs":
                return (self.d, -self.log_sum)
            case "loss":
                return (self.log_sum[np.newaxis], -self.kept(self.d))
            case "grad_probs":
                return (-self.e / self.p_y,)
            case _:
                return (self.p, -self.e)

    @cached_property
    def factor(self) -> FloatArray:
        """The number by which each claim is a multiple of the correct value, if it is one.

        NaN where it is 0, not finite, or so near to 1 that it is no factor.
        """
        right = total(self.right)
        largest = np.abs(right).argmax(axis=0)
        factor = self.claim[largest, self.columns] / right[largest, self.columns]
        is_one = np.isfinite(factor) & (factor != 0.0) & (np.abs(factor - 1.0) > 1e-4)
        return np.where(is_one, factor, np.nan)

    @cached_property
    def claimed_log_p(self) -> FloatArray:
        """The logarithm of the probabilities from which the claim was made, if it was."""
        if self.quantity == "log_probs":
            return self.claim
        if self.quantity == "grad_logits":
            return np.log(self.claim + self.e)
        return np.log(self.claim)
