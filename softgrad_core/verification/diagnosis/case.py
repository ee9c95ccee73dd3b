"""Claims that failed, and what the formulas of mistakes are computed from.

Notation: p = f(x) = softmax(a / T), e = e(y) is the one-hot vector of the target, K the number of
classes, d = (a - max(a)) / T, D what the mean over a batch divides by. Arrays have one column for
each row of logits: their shape is (K, n), or (n,).

Formulas are those of the plain loss, -log p_y at T = 1. Any other loss is a multiple of it. With
target weights q of sum s, and e = q / s for the one-hot vector, the loss and its gradient with
respect to p are s times as large, and the gradient with respect to a is s / T times as large. This
factor is the unit of a row. With a soft cap, a are the capped logits, and the unit of a gradient
has the derivative of the cap, another one for each class. A z-loss adds a term, in the same units.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray, Objective, rows_of
from softgrad_core.loss.results import LOSSES
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.comparison import HALF_UNIT_SLACK
from softgrad_core.verification.softcap import capped, sech_squared
from softgrad_core.verification.tolerances import Tolerance

Terms = tuple[FloatArray, ...]

CORRECT = {
    "probs": "p",
    "log_probs": "(log p)",
    "loss": "(-log p_y)",
    "z_loss": "(ζ l²)",
    "grad_probs": "(-e / p)",
    "grad_logits": "(p - e)",
}
"""The right formula of each quantity."""

HALF_ULP = 0.6  # Of a number rounded once, with room for a parameter that is not quite known.
ROUNDINGS = 3.0  # The epsilons that a claim may be off: a rounding at each of a few steps.
MOST_LOST = 0.125  # The largest relative error that is taken for a rounding error.


def total(terms: Terms) -> FloatArray:
    """Return the sum of the terms."""
    return np.asarray(sum(terms[1:], start=terms[0]))


def total_size(terms: Terms) -> FloatArray:
    """Return the sum of the sizes of the terms, which rounding errors are relative to."""
    return total(tuple(map(np.abs, terms)))


def divided(values: FloatArray, by: FloatArray) -> FloatArray:
    """Return the quotients, 0 where the dividend is 0."""
    return np.divide(values, by, out=np.zeros_like(by), where=values != 0.0)


@dataclass(eq=False)
class Case:
    """The claims of one quantity that failed, and what formulas are computed from.

    A record is a row of logits, or a batch of rows that is judged as one.
    """

    quantity: str
    tolerance: Tolerance
    claimed: FloatArray  # Of shape (K, n); (1, n) for losses, or (1, m) for those of m batches.
    logits: FloatArray
    objective: Objective
    highest_logit: Callable[[], float]  # Of all rows that are verified together, right or not.
    rows_of_batch: int  # The number of rows of each batch; those here may be a sample of them.
    counts: FloatArray  # How many of these count, of shape (records,).
    has_failed: BoolArray  # Which rows have a claim that failed, of shape (n,).
    look: Callable[[str], Any]  # Finds what few formulas need: "wrong", "before" and "after".
    half_units: FloatArray | None = None  # Of the last digits of claims that people typed.
    unmasked: FloatArray | None = None  # The logits with padding as it is, if there is padding.
    rounds_once: bool = False  # Whether claims are held to the arithmetic, rounded once.

    def __post_init__(self) -> None:
        objective = self.objective
        self.dtype = dtype = self.tolerance.dtype
        relative, absolute = self.tolerance.largest_relative, self.tolerance.absolute
        # The relative error of one rounding, and what any number may be off, however small it is.
        self.epsilon = max(dtype.epsilon, Dtype.FLOAT32.epsilon, relative / ROUNDINGS)
        self.slack: Any = absolute if absolute > dtype.atol else dtype.smallest
        if self.rounds_once:
            self.epsilon = max(self.tolerance.arithmetic.epsilon, Dtype.FLOAT32.epsilon)
            self.slack = HALF_ULP * dtype.spacing(self.claimed)
        if self.half_units is not None:
            self.slack = self.half_units * (1.0 + HALF_UNIT_SLACK)

        self.classes, self.count = self.logits.shape
        self.size = objective.batches.size if objective.batches else 1
        self.records = self.count // self.size
        # Whether there is one claim for several rows: the loss of a batch.
        self.is_summed = self.claimed.shape[1] < self.count
        # One pass, unless the sum overflows.
        claimed = self.claimed
        self.is_finite = bool(np.isfinite(claimed.sum()) or np.isfinite(claimed).all())
        self.columns = np.arange(self.count)
        self.y = objective.labels
        one = np.ones(self.count)
        self.temperature = one if objective.temperature is None else objective.temperature
        self.divisor = one if objective.divisor is None else objective.divisor
        self.scale = one if objective.scale is None else objective.scale

        given = capped(self.logits, objective.softcap)
        largest = given.argmax(axis=0), self.columns
        top = given[largest]
        self.a, self.d = given, given - top
        if objective.temperature is not None:
            self.a, self.d = self.a / self.temperature, self.d / self.temperature
        self.p: FloatArray = np.exp(self.d)
        self.p[largest] = 0.0
        rest = self.p.sum(axis=0)
        self.p /= 1.0 + rest
        self.p[largest] = 1.0 / (1.0 + rest)
        # The logarithms of the sums of exp(d) and of exp(a), and the sum of p over all classes but
        # the top one, with all their digits.
        self.log_sum: FloatArray = np.log1p(rest)
        self.log_normaliser: FloatArray = self.log_sum + top / self.temperature
        self.p_of_others: FloatArray = rest / (1.0 + rest)
        self._take_units()
        self._rounding_errors: dict[float, FloatArray] = {}
        self._parameters: dict[Callable[[Case], FloatArray], FloatArray] = {}

    def _take_units(self) -> None:
        """Compute e and the unit of each row, and the claims in these units."""
        has_labels = self.objective.has_labels
        q = None if has_labels else self.objective.weights(self.classes).T
        self.q_sum = self.objective.label_weights() if q is None else q.sum(axis=0)
        counts = self.q_sum > 0.0
        # A row that does not count has the unit 0; its safe unit is that of a row of weight 1.
        sums = np.where(counts, self.q_sum, 1.0 / np.where(self.divisor > 0.0, self.divisor, 1.0))
        self.e = np.zeros_like(self.d) if q is None else q / sums  # As the logits lie in memory.
        if q is None:
            self.e[self.y, self.columns] = counts
        self.is_hard = counts if q is None else np.asarray((self.e == 1.0).any(axis=0))
        self.p_y = self.at_target(self.p)
        has_no_weights = self.quantity in {"probs", "log_probs", "z_loss"}
        self.row_counts = counts | has_no_weights
        if has_no_weights:
            self.unit = self.safe_unit = np.ones(self.count)
        else:
            self.safe_unit = sums / self.temperature if self.quantity == "grad_logits" else sums
            if self.quantity == "grad_logits" and self.objective.softcap is not None:
                self.safe_unit = self.safe_unit * self.slopes
            self.unit = np.where(counts, self.safe_unit, 0.0)
        self.safe_sums = sums
        scales = self.objective.z_scale
        self.z_scales = np.zeros(self.count) if scales is None else scales
        n = self.objective.z_divisor
        self.z_divisors = np.ones(self.count) if n is None else n
        # The slope of the z-loss by log Σ exp(z), and the z-loss, both in units of the sum of q.
        self.z_slope = 2.0 * self.objective.z_weights() * self.log_normaliser / sums
        self.z_loss = self.objective.z_weights() * self.log_normaliser**2 / sums
        self.has_z_loss = self.objective.z_scale is not None
        self.claim = self.in_units(self.claimed)

    @cached_property
    def highest(self) -> FloatArray:
        """The largest of all logits, after the soft cap and the temperature of each row."""
        highest = capped(np.array(self.highest_logit()), self.objective.softcap)
        return np.asarray(highest / self.temperature)

    @cached_property
    def entropies(self) -> FloatArray:
        """What a divergence adds to the loss of each row."""
        entropies = self.objective.neg_entropies(self.classes)
        return np.zeros(self.count) if entropies is None else entropies / self.safe_sums

    @property
    def slopes(self) -> FloatArray:
        """The derivatives of the soft cap; a tiny number where they are 0."""
        assert self.objective.softcap is not None  # noqa: S101 - there is a cap
        x = np.where(np.isfinite(self.logits), self.logits, 0.0) / self.objective.softcap
        return sech_squared(x).clip(min=1e-300)

    @cached_property
    def wrong(self) -> BoolArray:
        """Which of the claims failed."""
        return np.asarray(self.look("wrong"))

    @cached_property
    def before(self) -> FloatArray:
        """The right values of the row before that of each claim, or of the batch before."""
        return np.asarray(self.look("before"))

    @cached_property
    def after(self) -> FloatArray:
        """The right values of the row after, or of the batch."""
        return np.asarray(self.look("after"))

    def part(self, records: IndexArray) -> "Case":
        """Return the case of some of the records."""
        if len(records) == self.records:
            return self
        rows = rows_of(records, self.size)
        claims = records if self.is_summed else rows
        objective, counts = self.objective.of_batches(records), self.counts[records]
        return self._of(rows, claims, objective, counts)

    def without_z_loss(self) -> "Case":
        """Return the case of what is left of the claims without the right z-loss."""
        of_loss = self.quantity == "loss"
        z_part = self.of_claims(self.unit * (self.z_loss if of_loss else self.z_slope * self.p))
        objective = replace(self.objective, z_scale=None)
        rest = replace(self, claimed=self.claimed - z_part, objective=objective)
        rest.slack = rest.slack + ROUNDINGS * self.epsilon * np.abs(z_part)
        return rest

    def rows_alone(self, rows: IndexArray) -> "Case":
        """Return the case of some rows, each a record of its own."""
        return self._of(rows, rows, self.objective.part(rows), np.ones(len(rows)))

    def _of(
        self, rows: IndexArray, claims: IndexArray, objective: Objective, counts: FloatArray
    ) -> "Case":
        return replace(
            self,
            claimed=self.claimed[:, claims],
            logits=self.logits[:, rows],
            objective=objective,
            counts=counts,
            has_failed=self.has_failed[rows],
            half_units=None if self.half_units is None else self.half_units[:, claims],
            unmasked=None if self.unmasked is None else self.unmasked[:, rows],
            look=lambda name: getattr(self, name)[:, claims],
        )

    def in_units(self, values: FloatArray) -> FloatArray:
        """Return values of the shape of `claimed` in the unit of each row."""
        if self.is_summed:
            return np.full((1, self.count), np.nan)
        return values / self.safe_unit

    def of_claims(self, values: FloatArray) -> FloatArray:
        """Return values of rows as those of claims: for the loss of a batch, their sum."""
        if not self.is_summed:
            return values
        rows = np.broadcast_to(values, (1, self.count))
        return np.asarray(rows.reshape(1, self.records, self.size).sum(axis=2))

    def of_records(self, shown: BoolArray) -> BoolArray:
        """Return whether each record shows what its rows show: all of its rows that failed.

        If there is one claim for all rows of a record, one row that shows it is enough.
        """
        if shown.shape[0] == self.records:
            return shown
        if self.is_summed:
            return np.asarray(shown.reshape(self.records, self.size).any(axis=1))
        shown = shown | ~self.has_failed
        return np.asarray(shown.reshape(self.records, self.size).all(axis=1))

    def of_rows(self, values: Any) -> npt.NDArray[Any]:
        """Return values of claims or records as those of their rows."""
        return np.repeat(values, self.count // values.shape[-1], axis=-1)

    def are_of(self, dtype: Dtype) -> BoolArray:
        """Return the rows whose claims are numbers of a type."""
        is_of_it = (self.claimed == dtype.round(self.claimed)) | np.isnan(self.claimed)
        return self.of_rows(is_of_it.all(axis=0))

    @cached_property
    def telling(self) -> tuple[IndexArray, IndexArray]:
        """Where two numbers of each row are that tell most formulas apart, as an index.

        They are of the likeliest class and of the target or, where this is the same, of another.
        """
        top = self.p.argmax(axis=0)
        other = np.where(self.y == top, (top + 1) % self.classes, self.y)
        return np.stack([top, other]), self.columns

    @cached_property
    def only_target_is_wrong(self) -> BoolArray:
        """The rows in which the number at the target failed, and no other."""
        return np.asarray((self.wrong.sum(axis=0) == 1) & self.wrong[self.y, self.columns])

    def at_target(self, values: FloatArray) -> FloatArray:
        """Return the value of each column at its target; NaN if the target is not one class."""
        return np.where(self.is_hard, values[self.y, self.columns], np.nan)

    def kept(self, values: FloatArray) -> FloatArray:
        """Return the values of all classes; for a loss their mean, with the weights e."""
        if self.quantity not in LOSSES:
            return values
        terms = np.where(self.e > 0.0, self.e * values, 0.0)
        return np.asarray(terms.sum(axis=0, keepdims=True))

    def variant(self, **changes: object) -> FloatArray:
        """Return what e would be with other targets, weights or smoothing."""
        objective = replace(self.objective, **changes)  # type: ignore[arg-type]
        sums = np.where(self.q_sum > 0.0, self.q_sum, 1.0)
        return np.asarray(objective.weights(self.classes).T / sums)

    @cached_property
    def right(self) -> Terms:
        """The terms of the right value."""
        match self.quantity:
            case "probs":
                return (self.p,)
            case "log_probs":
                return (self.d, -self.log_sum)
            case "loss":
                right: Terms = (self.log_sum[np.newaxis], -self.kept(self.d))
                if self.objective.is_divergence is not None:
                    right = (*right, self.entropies[np.newaxis])
                return (*right, self.z_loss[np.newaxis]) if self.has_z_loss else right
            case "z_loss":
                return (self.objective.z_weights()[np.newaxis] * self.log_normaliser**2,)
            case "grad_probs":
                return (-divided(self.e, self.p),)
            case _ if self.has_z_loss:
                return (self.p, -self.e, self.z_slope * self.p)
            case _:
                return (self.p, -self.e)

    @cached_property
    def claimed_log_p(self) -> FloatArray:
        """The logarithm of the probabilities that the claim was made from, if it was."""
        match self.quantity:
            case "log_probs":
                return self.claim
            case "loss" | "z_loss":
                return -self.claim
            case "grad_logits":
                return np.log(self.claim + self.e)
            case _:
                return np.log(self.claim)

    @cached_property
    def factor(self) -> FloatArray:
        """The claim divided by the right value; NaN if that is 0, not finite, or nearly 1."""
        right = np.broadcast_to(total(self.right), (len(self.claim), self.count))
        if self.is_summed:
            factor = self.of_rows(self.claimed[0] / self.of_claims(self.unit * right)[0])
        elif self.rounds_once:
            # Each number was rounded much, and the middle one of all is near their factor.
            is_small = np.abs(right * self.safe_unit) < self.dtype.smallest_normal
            factor = _middle_ones(np.where(is_small, np.nan, self.claim / right).T)
        else:
            largest = np.abs(right).argmax(axis=0)
            factor = self.claim[largest, self.columns] / right[largest, self.columns]
        is_one = np.isfinite(factor) & (factor != 0.0) & (np.abs(factor - 1.0) > 1e-4)
        return np.where(is_one, factor, np.nan)

    def parameter(self, find: Callable[["Case"], FloatArray], *, varies: bool) -> FloatArray:
        """Return the parameter of each row: one for all rows of a record, unless it varies."""
        if find not in self._parameters:
            values = find(self)
            self._parameters[find] = np.where(np.isfinite(values), values, np.nan)
        values = self._parameters[find]
        if self.size == 1 or varies or self.is_summed:
            return values
        values = np.where(self.has_failed, values, np.nan)
        return self.of_rows(_middle_ones(values.reshape(self.records, self.size)))

    def rounding_errors(self, epsilon: float) -> FloatArray:
        """Return the relative errors that rounding may cause in numbers made from p."""
        if epsilon not in self._rounding_errors:
            # The rounding error of d is in proportion to d, and exp makes it a relative error.
            errors = np.abs(self.kept(self.d))
            if not np.isfinite(errors.max(initial=0.0)):
                np.copyto(errors, 0.0, where=np.isinf(errors))
            errors *= epsilon
            # So has the sum of exp(d), which narrower types than float32 compute in that.
            of_sum = min(epsilon, Dtype.FLOAT32.epsilon) / 2.0 * math.sqrt(self.classes)
            errors += ROUNDINGS * epsilon + of_sum
            np.minimum(errors, MOST_LOST, out=errors)
            is_low = self.p.min(initial=1.0) * epsilon < self.dtype.smallest
            if is_low and self.quantity in {"probs", "grad_logits"}:
                # Subnormal probabilities have few digits, or none.
                digits = self.dtype.smallest / np.maximum(self.p, self.dtype.smallest)
                errors = np.where(self.e == 1.0, errors, np.maximum(errors, digits))
            self._rounding_errors[epsilon] = errors
        return self._rounding_errors[epsilon]

    @cached_property
    def is_near_right(self) -> BoolArray:
        """The rows in which every error is small enough to be a rounding error."""
        right, size = (
            self.of_claims(self.unit * values)
            for values in (total(self.right), total_size(self.right))
        )
        near = np.abs(self.claimed - right) <= MOST_LOST * size + self.slack
        return self.of_rows(near.all(axis=0))


def _middle_ones(values: FloatArray) -> FloatArray:
    """Return for each row the finite number in the middle of its finite numbers, or NaN."""
    ordered = np.sort(values, axis=1)
    middle = (np.isfinite(ordered).sum(axis=1) - 1).clip(min=0) // 2
    return np.asarray(ordered[np.arange(len(ordered)), middle])
