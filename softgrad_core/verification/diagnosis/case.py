"""Claims that failed, and all that a formula which may have made them is computed from.

Notation: p = f(x) = softmax(a / T), e = e(y) the one-hot vector of the target, K the number of
classes, d = (a - max(a)) / T. Arrays are of shape (K, n), one column for each row of logits, or
(n,).

Formulas are those of the plain loss, -log p_y at T = 1. Any other is a multiple of it: with target
weights q of sum s, and e = q / s for the one-hot vector, the loss and its gradient with respect to
p are s times as large, that with respect to a s / T times. This factor is the unit of a row.
"""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray, Objective, rows_of
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.tolerances import Tolerance

if TYPE_CHECKING:
    from collections.abc import Callable

Terms = tuple[FloatArray, ...]
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
    claimed
        Of shape (K, n), or (1, n) for a loss; of shape (1, m) for that of m batches.
    wrong
        Which of these numbers failed, of the same shape.
    a, objective
        The logits, of shape (K, n), and what the losses of these rows are.
    p
        The probabilities, of shape (K, n).
    beside
        The right values of the row before each, and of the one after, of the shape of `claimed`.
    highest
        The largest logit of all rows that were looked at together with these.

    Attributes
    ----------
    size, records
        How many rows each record has, and how many records there are.
    claim
        What is claimed of each row in its unit, of shape (K, n) or (1, n); NaN where there is one
        loss for several rows.
    unit
        The unit of each row, of shape (n,): 0 for a row that does not count.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the facts of the case
        self,
        quantity: str,
        tolerance: Tolerance,
        claimed: FloatArray,
        wrong: BoolArray,
        a: FloatArray,
        objective: Objective,
        p: FloatArray,
        beside: tuple[FloatArray, FloatArray],
        highest: float,
    ) -> None:
        self.quantity = quantity
        self.tolerance = tolerance
        self.dtype = tolerance.dtype
        self.claimed = claimed
        self.wrong = wrong
        self.logits = a
        self.objective = objective
        self.p = p
        self._beside = beside
        self._highest = highest
        self.classes, self.count = a.shape
        self.size = objective.batches.size if objective.batches else 1
        self.records = self.count // self.size
        self.columns = np.arange(self.count)
        self.y = objective.labels
        self._take_unit()
        self.a = a / self.temperature
        self.d = (a - a.max(axis=0)) / self.temperature
        self.p_y = self.at_target(p)
        self._rounding_errors: dict[float, FloatArray] = {}
        self._parameters: dict[tuple[Callable[[Case], FloatArray], bool], FloatArray] = {}

    def _take_unit(self) -> None:
        """Find what each row is measured in."""
        one = np.ones(self.count)
        objective = self.objective
        self.temperature = one if objective.temperature is None else objective.temperature
        self.divisor = one if objective.divisor is None else objective.divisor
        self.is_hard = one > 0.0
        if objective.is_plain:
            self.q_sum = self.unit = self.safe_unit = one
            self.e = self.one_hot(self.y)
            self.claim = self._by_row(self.claimed)
            return
        q = objective.weights(self.classes).T
        self.q_sum = q.sum(axis=0)
        counts = self.q_sum > 0.0
        # A row that does not count is measured by what it would have counted, had it a weight of 1.
        sums = np.where(counts, self.q_sum, 1.0 / np.where(self.divisor > 0.0, self.divisor, 1.0))
        self.e = q / sums
        self.is_hard = np.asarray((self.e == 1.0).any(axis=0))
        self.safe_unit = one
        if self.quantity in {"loss", "grad_probs", "grad_logits"}:
            self.safe_unit = sums
        if self.quantity == "grad_logits":
            self.safe_unit = sums / self.temperature
        counts |= self.quantity in {"probs", "log_probs"}
        self.unit = np.where(counts, self.safe_unit, 0.0)
        self.claim = self._by_row(self.claimed) / self.safe_unit

    @property
    def is_summed(self) -> bool:
        """Whether there is one claim for several rows: the loss of a batch."""
        return bool(self.claimed.shape[1] < self.count)

    def _by_row(self, values: FloatArray) -> FloatArray:
        """Return what is claimed of each row; NaN where nothing is."""
        return np.full((1, self.count), np.nan) if self.is_summed else values

    def of_claims(self, values: FloatArray) -> FloatArray:
        """Return the values of rows as those of what is claimed: summed, for that of a batch."""
        if not self.is_summed:
            return values
        rows = np.broadcast_to(values, (1, self.count))
        return np.asarray(rows.reshape(1, self.records, self.size).sum(axis=2))

    def of_records(self, shown: BoolArray) -> BoolArray:
        """Return for each record whether all its rows that failed show what these rows do.

        Where there is one claim for all of them, one that shows it is enough.
        """
        if shown.shape[0] == self.records:
            return shown
        if self.is_summed:
            return np.asarray(shown.reshape(self.records, self.size).any(axis=1))
        shown = shown | ~self.wrong.any(axis=0)
        return np.asarray(shown.reshape(self.records, self.size).all(axis=1))

    def of_rows(self, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """Return the values of claims or records as those of their rows."""
        return np.repeat(values, self.count // values.shape[-1], axis=-1)

    def has(self, dtype: Dtype) -> bool:
        """Return whether something may have been computed in this type: the claims' or narrower."""
        return dtype is self.dtype or dtype in self.dtype.narrower

    def are_of(self, dtype: Dtype) -> BoolArray:
        """Return of which rows the claims consist of numbers of a type."""
        is_of_it = (self.claimed == dtype.round(self.claimed)) | np.isnan(self.claimed)
        return self.of_rows(np.asarray(is_of_it.all(axis=0)))

    def one_hot(self, labels: IndexArray) -> FloatArray:
        """Return the one-hot vectors of `labels` as columns."""
        e = np.zeros((self.classes, self.count))
        e[labels, self.columns] = 1.0
        return e

    def at_target(self, values: FloatArray) -> FloatArray:
        """Return the value of each column at its target; NaN where that is not one class."""
        return np.where(self.is_hard, values[self.y, self.columns], np.nan)

    def kept(self, values: FloatArray) -> FloatArray:
        """Return, of values for each class, those that the quantity has: all, or their mean by e.

        The latter is that of the target for a label.
        """
        if self.quantity != "loss":
            return values
        terms = np.where(self.e > 0.0, self.e * values, 0.0)
        return np.asarray(terms.sum(axis=0, keepdims=True))

    def mean_over(self, denominators: FloatArray | int) -> FloatArray:
        """Return what rows of means are multiplied by, were these their denominators."""
        if self.objective.divisor is None:
            return np.ones(self.count)
        return np.asarray(self.divisor / denominators)

    def variant(self, **changes: object) -> FloatArray:
        """Return what e would be, were something else said of the targets."""
        return np.asarray(
            replace(self.objective, **changes).weights(self.classes).T  # type: ignore[arg-type]
            / np.where(self.q_sum > 0.0, self.q_sum, 1.0)
        )

    def part(self, records: IndexArray) -> "Case":
        """Return the case of some of the records."""
        if len(records) == self.records:
            return self
        rows = rows_of(records, self.size)
        claims = records if self.is_summed else rows
        return Case(
            self.quantity,
            self.tolerance,
            self.claimed[:, claims],
            self.wrong[:, claims],
            self.logits[:, rows],
            self.objective.of_batches(records),
            self.p[:, rows],
            (self._beside[0][:, claims], self._beside[1][:, claims]),
            self._highest,
        )

    @property
    def beside(self) -> tuple[FloatArray, FloatArray]:
        """The right values of the row before each, and of the one after, in its unit."""
        before, after = self._beside
        return self._by_row(before) / self.safe_unit, self._by_row(after) / self.safe_unit

    @property
    def highest(self) -> FloatArray:
        """The largest logit of all rows that were looked at together."""
        return np.asarray(self._highest / self.temperature)

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
        """Whether no number of a row is further off than digits that were lost explain."""
        right, size = (
            self.of_claims(self.unit * values)
            for values in (total(self.right), total_size(self.right))
        )
        near = np.abs(self.claimed - right) <= MOST_LOST * size + self.slack
        return self.of_rows(np.asarray(near.all(axis=0)))

    def parameter(
        self, find: "Callable[[Case], FloatArray]", *, varies: bool = False
    ) -> FloatArray:
        """Return the parameters that a function finds, which several formulas may share.

        The rows of a record have one and the same, unless it varies.
        """
        if (find, varies) not in self._parameters:
            values = find(self)
            values = np.where(np.isfinite(values), values, np.nan)
            if self.size > 1 and not varies and not self.is_summed:
                values = np.where(self.wrong.any(axis=0), values, np.nan)
                values = self.of_rows(_medians(values.reshape(self.records, self.size)))
            self._parameters[find, varies] = values
        return self._parameters[find, varies]

    @cached_property
    def only_target_is_wrong(self) -> BoolArray:
        """Whether no other number of a row failed."""
        return np.asarray((self.wrong.sum(axis=0) == 1) & self.wrong[self.y, self.columns])

    @property
    def is_one_number(self) -> bool:
        """Whether a claim has one number only that is not 0 by its nature."""
        return self.quantity in {"loss", "grad_probs"}

    @cached_property
    def is_finite(self) -> bool:
        """Whether all claims are finite."""
        return bool(np.isfinite(self.claimed).all())

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
                return (-divided(self.e, self.p),)
            case _:
                return (self.p, -self.e)

    @cached_property
    def factor(self) -> FloatArray:
        """The number by which each claim is a multiple of the correct value, if it is one.

        NaN where it is 0, not finite, or so near to 1 that it is no factor.
        """
        right = np.broadcast_to(total(self.right), (len(self.claim), self.count))
        if self.is_summed:
            factor = self.of_rows(self.claimed[0] / self.of_claims(self.unit * right)[0])
        else:
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


def divided(values: FloatArray, by: FloatArray) -> FloatArray:
    """Return the quotients of columns, 0 where the first number is 0."""
    return np.divide(values, by, out=np.zeros_like(by), where=values != 0.0)


def _medians(values: FloatArray) -> FloatArray:
    """Return for each row one of its finite numbers, in the middle of them, or NaN."""
    ordered = np.sort(values, axis=1)
    middle = (np.isfinite(ordered).sum(axis=1) - 1).clip(min=0) // 2
    return np.asarray(ordered[np.arange(len(ordered)), middle])
