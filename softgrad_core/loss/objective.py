"""Targets and options -> what the loss of each row of logits is: target weights and temperature.

The loss of a row of K logits a is

    L = -sum_c q_c log f(x)_c,  f(x) = softmax(a / T),  q_c = w_c / D ((1 - ε) t_c + ε / K),

with the target t (the one-hot vector of a label, or a distribution), the label smoothing ε, the
class weights w, the temperature T, and D, what the mean over a batch divides by. These are the
formulas of torch.nn.functional.cross_entropy, which has no temperature.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Unpack

import numpy as np
import numpy.typing as npt

from softgrad_core.errors import InputError
from softgrad_core.loss.error_free import upper_half
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.options import OPTIONS, LossOptions, Reduction, check_options
from softgrad_core.loss.targets import IndexArray, are_distributions, as_distributions, as_labels

BoolArray = npt.NDArray[np.bool]


class Batches(NamedTuple):
    """M batches of rows, one after another.

    Attributes
    ----------
    size
        The number of rows of each.
    denominators
        What the sum of the losses of each is divided by, of shape (M,): 0 where a mean has no rows
        that count.
    reduced
        Whether the loss of a batch is one number, rather than one for each row.
    """

    size: int
    denominators: FloatArray
    reduced: bool

    def reduce(self, losses: FloatArray) -> FloatArray:
        """Return the loss of each batch, from those of its rows, which are divided already.

        It is NaN where a mean has no rows that count.
        """
        by_batch = losses.reshape(len(self.denominators), self.size)
        sums = np.array([sum_of(batch) for batch in by_batch])
        return np.where(self.denominators == 0.0, np.nan, sums)


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """What the losses of N rows are. What is None is as if nothing were said of it.

    Attributes
    ----------
    labels
        The true class of each row, of shape (N,); for a distribution the most probable one, for a
        row that does not count the first one.
    distribution
        The targets t, of shape (N, K), where they are distributions.
    smoothing, temperature, divisor
        ε, T and D, of shape (N,).
    class_weights
        w, of shape (N, K).
    counted
        Which rows count, of shape (N,).
    batches
        Which rows are of one batch. None where each stands alone.
    """

    labels: IndexArray
    distribution: FloatArray | None = None
    smoothing: FloatArray | None = None
    temperature: FloatArray | None = None
    divisor: FloatArray | None = None
    class_weights: FloatArray | None = None
    counted: BoolArray | None = None
    batches: Batches | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the loss of each row is -log f(x)_y, with f(x) = softmax(a)."""
        return all(getattr(self, name) is None for name in _NEUTRAL)

    def weights(
        self, classes: int, number: Any = np.float64, *, gain: float = 1.0
    ) -> npt.NDArray[Any]:
        """Return q, of shape (N, K), computed in a type: one of NumPy's, or Decimal.

        It is returned times the square of `gain`, by which numbers far below 1 keep their digits.
        """
        gained = number(gain)
        q = _in_type(self.targets(classes), number) * gained
        if self.smoothing is not None:
            smoothing = _in_type(self.smoothing[:, np.newaxis], number)
            q = (1 - smoothing) * q + smoothing * gained / classes
        weights = None if self.class_weights is None else _in_type(self.class_weights, number)
        q = q * (gained if weights is None else weights * gained)
        if self.divisor is not None:
            # A mean over nothing has gradients of 0.
            is_nothing = (self.divisor == 0.0)[:, np.newaxis]
            divisor = _in_type(self.divisor[:, np.newaxis] + is_nothing, number)
            q = np.where(is_nothing, 0 * q, q / divisor)
        if self.counted is not None:
            q = np.where(self.counted[:, np.newaxis], q, 0 * q)
        return np.asarray(q)

    @property
    def is_of_labels(self) -> bool:
        """Whether the loss of each row is -q_y log f(x)_y, with f(x) = softmax(a)."""
        others = self.distribution, self.smoothing, self.temperature
        return all(other is None for other in others)

    def label_weights(self, *, gain: float = 1.0) -> FloatArray:
        """Return q_y, of shape (N,), where no other class has a weight, times `gain` squared."""
        q = np.full(len(self.labels), gain * gain)
        if self.class_weights is not None:
            q *= self.class_weights[np.arange(len(q)), self.labels]
        if self.divisor is not None:
            # A mean over nothing has gradients of 0.
            q = np.divide(q, self.divisor, out=np.zeros_like(q), where=self.divisor != 0.0)
        return q if self.counted is None else np.where(self.counted, q, 0.0)

    def targets(self, classes: int) -> FloatArray:
        """Return t, of shape (N, K)."""
        if self.distribution is not None:
            return self.distribution
        one_hot = np.zeros((len(self.labels), classes))
        one_hot[np.arange(len(self.labels)), self.labels] = 1.0
        return one_hot

    def part(self, rows: IndexArray | slice | Sequence[int]) -> "Objective":
        """Return what is said of some rows, each with its share in its batch."""
        values = {name: getattr(self, name) for name in _NEUTRAL}
        return Objective(
            self.labels[rows],
            **{name: None if value is None else value[rows] for name, value in values.items()},
        )

    def of_batches(self, batches: IndexArray | Sequence[int]) -> "Objective":
        """Return what is said of some batches, or of some rows where each stands alone."""
        if self.batches is None:
            return self.part(batches)
        rows = rows_of(batches, self.batches.size)
        chosen = self.batches._replace(denominators=self.batches.denominators[batches])
        return replace(self.part(rows), batches=chosen)


def sum_of(numbers: Sequence[float] | FloatArray) -> float:
    """Return the sum of numbers from 0 on as rounded once, infinite where it overflows."""
    try:
        return math.fsum(np.ascontiguousarray(numbers, dtype=np.float64).data)
    except OverflowError:
        return math.inf


def weight_of(labels: IndexArray, class_weights: FloatArray | None) -> float:
    """Return the sum of the weights of labels, or raise InputError where it overflows."""
    if class_weights is None:
        return float(len(labels))
    counts = np.bincount(labels.astype(np.intp, copy=False), minlength=len(class_weights))
    upper = upper_half(class_weights)
    # Half of the digits of a weight times a count is exact, for up to 2**26 labels of a class.
    with np.errstate(over="ignore"):
        total = sum_of(np.concatenate([counts * upper, counts * (class_weights - upper)]))
    if total == math.inf:
        raise InputError(
            "class-weights-too-large",
            "the class_weights of all labels have a sum that float64 cannot hold; "
            "the mean is the same if all are divided by one number",
        )
    return total


def rows_of(batches: IndexArray | Sequence[int], size: int) -> IndexArray:
    """Return the rows of some batches of this size."""
    return np.asarray((np.array(batches)[:, np.newaxis] * size + np.arange(size)).reshape(-1))


_NEUTRAL: dict[str, Any] = {
    "distribution": None,
    "smoothing": 0.0,
    "temperature": 1.0,
    "divisor": 1.0,
    "class_weights": 1.0,
    "counted": True,
}
"""What is said of each row beside its label, and what says nothing."""


def joined(objectives: Sequence[Objective], classes: int) -> Objective:
    """Return what is said of all these rows, which are in batches of one kind, or in none."""
    values: dict[str, Any] = {}
    for name, neutral in _NEUTRAL.items():
        columns = [getattr(one, name) for one in objectives]
        if all(column is None for column in columns):
            continue
        width = () if name not in {"class_weights", "distribution"} else (classes,)
        values[name] = np.concatenate(
            [
                np.full((len(one.labels), *width), neutral) if column is None else column
                for one, column in zip(objectives, columns, strict=True)
            ]
        )
    batches = [one.batches for one in objectives if one.batches is not None]
    if batches:
        values["batches"] = Batches(
            batches[0].size,
            np.concatenate([one.denominators for one in batches]),
            batches[0].reduced,
        )
    return Objective(np.concatenate([one.labels for one in objectives]), **values)


def objective_of(
    targets: npt.ArrayLike, shape: tuple[int, ...], **options: Unpack[LossOptions]
) -> Objective:
    """Return what targets and options say of logits of a shape, (C,) or (N, C).

    Parameters
    ----------
    targets
        Labels, one integer or N of them; or target probabilities, of the shape of the logits.
    shape
        The shape of the logits.
    **options
        See `LossOptions`.

    Raises
    ------
    InputError
        Where a target or an option cannot be used.

    Examples
    --------
    >>> objective = objective_of([0, 1], (2, 4), label_smoothing=0.2, reduction="mean")
    >>> objective.weights(4).round(3).tolist()
    [[0.425, 0.025, 0.025, 0.025], [0.025, 0.425, 0.025, 0.025]]
    """
    count, classes = (1, *shape)[-2:]
    said = check_options(options)
    weights = said["class_weights"]
    if weights is not None and len(weights) != classes:
        raise InputError(
            "class-weights-count",
            f"expected one of class_weights for each of {classes} logits, got {len(weights)}",
        )
    distribution = counted = None
    if are_distributions(targets, len(shape)):
        distribution = as_distributions(targets, shape, unnormalized=said["unnormalized_target"])
        labels = distribution.argmax(axis=1)
        _refuse_ignored_label(said["ignore_index"])
    else:
        labels, counted = as_counted_labels(targets, count, classes, said["ignore_index"])

    batches = divisor = None
    if said["reduction"] is not Reduction.NONE:
        denominator = 1.0
        if said["reduction"] is Reduction.MEAN:
            denominator = float(count)
            if distribution is None:
                denominator = weight_of(labels if counted is None else labels[counted], weights)
            divisor = np.full(count, denominator)
        batches = Batches(count, np.array([denominator]), reduced=True)

    def for_each_row(name: str) -> FloatArray | None:
        return None if said[name] == OPTIONS[name].default else np.full(count, said[name])

    return Objective(
        labels,
        distribution,
        smoothing=for_each_row("label_smoothing"),
        temperature=for_each_row("temperature"),
        divisor=divisor,
        class_weights=None if weights is None else np.broadcast_to(weights, (count, classes)),
        counted=counted,
        batches=batches,
    )


def _refuse_ignored_label(ignored: int | None) -> None:
    """Raise InputError where the targets are probabilities and a label is to be ignored."""
    if ignored is not None and ignored >= 0:
        raise InputError(
            "ignore-index-without-labels",
            f"ignore_index {ignored} needs targets that are labels, got distributions",
        )


def as_counted_labels(
    targets: npt.ArrayLike, count: int, classes: int, ignored: int | None
) -> tuple[IndexArray, BoolArray | None]:
    """Return labels as checked indices, and which of them count; None where all do."""
    if ignored is None:
        return as_labels(targets, count, classes), None
    given = np.asarray(targets)
    if given.dtype.kind not in "iu":
        return as_labels(targets, count, classes), None
    counted = np.atleast_1d(given != ignored)
    labels = as_labels(np.where(given == ignored, 0, given), count, classes)
    return labels, None if counted.all() else counted


def _in_type(values: npt.NDArray[Any], number: Any) -> npt.NDArray[Any]:
    """Return numbers in a type; what is no type of NumPy's, such as Decimal, as objects."""
    if isinstance(number, type) and issubclass(number, np.generic):
        return values.astype(number, copy=False)
    return np.asarray(np.frompyfunc(number, 1, 1)(values), dtype=object)
