"""Targets and options -> what the loss of each row of logits is: target weights and temperature.

The loss of a row of K logits a is

    L = -sum_c q_c log f(x)_c,  f(x) = softmax(a / T),  q_c = w_c / D ((1 - ε) t_c + ε / K),

with the target t (the one-hot vector of a label, or a distribution), the label smoothing ε, the
class weights w, the temperature T, and D, what the mean over a batch divides by. These are the
formulas of torch.nn.functional.cross_entropy, which has no temperature.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from softgrad_core.errors import InputError
from softgrad_core.loss.error_free import upper_half
from softgrad_core.loss.logits import FloatArray, described, is_number
from softgrad_core.loss.targets import IndexArray, are_distributions, as_distributions, as_labels

BoolArray = npt.NDArray[np.bool]


class Reduction(StrEnum):
    """What becomes of the losses of a batch of rows."""

    MEAN = "mean"
    SUM = "sum"
    NONE = "none"


class LossOptions(TypedDict, total=False):
    """The options of a loss, the same keywords wherever logits and targets are given.

    Attributes
    ----------
    label_smoothing
        ε in 0..1: the target becomes (1 - ε) t + ε / K. Default 0.
    class_weights
        w, of shape (C,), each from 0 on: q_c is multiplied by w_c. Default 1 for all.
    ignore_index
        The label of rows that do not count: their loss and gradients are 0. Default: none.
    temperature
        T above 0: f(x) is softmax(a / T), and dL/da has the factor 1 / T. Default 1.
    reduction
        "none" (the default): each row has its own loss. "sum", or "mean": the loss is one number
        for all rows, and the gradients are those of that. The mean of labels divides by the
        weights w_y of the rows that count, that of distributions by the number of rows.
    unnormalized_target
        Whether a distribution may have another sum than 1. Default: it may not.
    """

    label_smoothing: float
    class_weights: npt.ArrayLike | None
    ignore_index: int | None
    temperature: float
    reduction: str
    unnormalized_target: bool


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


def objective_of(  # noqa: PLR0913 - one parameter for each option
    targets: npt.ArrayLike,
    shape: tuple[int, ...],
    *,
    label_smoothing: float = 0.0,
    class_weights: npt.ArrayLike | None = None,
    ignore_index: int | None = None,
    temperature: float = 1.0,
    reduction: str = Reduction.NONE,
    unnormalized_target: bool = False,
) -> Objective:
    """Return what targets and options say of logits of a shape, (C,) or (N, C).

    Parameters
    ----------
    targets
        Labels, one integer or N of them; or distributions, of the shape of the logits.
    shape
        That of the logits.
    label_smoothing, class_weights, ignore_index, temperature, reduction, unnormalized_target
        See `LossOptions`.

    Raises
    ------
    InputError
        Where a target is no class and no distribution, or an option cannot be.

    Examples
    --------
    >>> objective = objective_of([0, 1], (2, 4), label_smoothing=0.2, reduction="mean")
    >>> objective.weights(4).round(3).tolist()
    [[0.425, 0.025, 0.025, 0.025], [0.025, 0.425, 0.025, 0.025]]
    """
    count, classes = (1, *shape)[-2:]
    smoothing = check_smoothing(label_smoothing)
    kept = check_temperature(temperature)
    weights = None if class_weights is None else check_weights(class_weights, classes)
    how = check_reduction(reduction)
    ignored = None if ignore_index is None else check_ignore_index(ignore_index)

    distribution = counted = None
    if are_distributions(targets, len(shape)):
        distribution = as_distributions(targets, shape, unnormalized=unnormalized_target)
        labels = distribution.argmax(axis=1)
        if ignored is not None and ignored >= 0:
            raise InputError(
                "ignore-index-without-labels",
                f"ignore_index {ignored} needs targets that are labels, got distributions",
            )
    else:
        labels, counted = as_counted_labels(targets, count, classes, ignored)
    batches = divisor = None
    if how is not Reduction.NONE:
        denominator = 1.0
        if how is Reduction.MEAN:
            denominator = float(count)
            if distribution is None:
                denominator = weight_of(labels if counted is None else labels[counted], weights)
            divisor = np.full(count, denominator)
        batches = Batches(count, np.array([denominator]), reduced=True)
    return Objective(
        labels,
        distribution,
        None if smoothing == 0.0 else np.full(count, smoothing),
        None if kept == 1.0 else np.full(count, kept),
        divisor,
        None if weights is None else np.broadcast_to(weights, (count, classes)),
        counted,
        batches,
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


def check_smoothing(value: object) -> float:
    """Return ε, or raise InputError where it is not from 0 to 1."""
    if not (is_number(value) and 0 <= value <= 1):
        raise InputError(
            "label-smoothing-out-of-range",
            f"expected a label_smoothing from 0 to 1, got {described(value)}",
        )
    return float(value)


def check_temperature(value: object) -> float:
    """Return T, or raise InputError where it is not above 0."""
    if not (is_number(value) and 0 < value < math.inf):
        raise InputError(
            "temperature-out-of-range",
            f"expected a temperature above 0, got {described(value)}",
        )
    return float(value)


def check_reduction(value: object) -> Reduction:
    """Return the reduction of this name, or raise InputError."""
    if not isinstance(value, str) or value not in list(Reduction):
        raise InputError(
            "reduction-unknown",
            f"expected a reduction that is mean, sum or none, got {described(value)}",
        )
    return Reduction(value)


def check_ignore_index(value: object) -> int:
    """Return the label of rows that do not count, or raise InputError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InputError(
            "ignore-index-not-an-index",
            f"expected an ignore_index that is a whole number, got {described(value)}",
        )
    return int(value)


def check_weights(values: Any, classes: int | None = None) -> FloatArray:
    """Return the weights of classes, one finite number from 0 on for each, or raise InputError."""
    try:
        given = list(np.asarray(values).tolist() if hasattr(values, "__array__") else values)
    except TypeError:
        raise InputError(
            "class-weights-not-a-list",
            f"expected class_weights as a list of numbers, got {described(values)}",
        ) from None
    if classes is not None and len(given) != classes:
        raise InputError(
            "class-weights-count",
            f"expected one of class_weights for each of {classes} logits, got {len(given)}",
        )
    for place, value in enumerate(given):
        if not (is_number(value) and 0 <= value < math.inf):
            raise InputError(
                "class-weight-out-of-range",
                f"class_weights[{place}]: expected a finite number from 0 on, "
                f"got {described(value)}",
            )
    return np.array(given, dtype=np.float64)


def weights_by_name(weights: Mapping[str, Any], names: Sequence[str] | None) -> list[Any]:
    """Return the weights of the classes in their order, one for each, or raise InputError."""
    if names is None:
        raise InputError(
            "class-weights-unnamed", "class_weights are given by name, but no class names are"
        )
    missing = [name for name in names if name not in weights]
    unknown = [name for name in weights if name not in names]
    if missing or unknown:
        problem = f'no weight for "{missing[0]}"' if missing else f'"{unknown[0]}" is no class'
        raise InputError(
            "class-weights-names", f"expected class_weights for all class names: {problem}"
        )
    return [weights[name] for name in names]


def _in_type(values: npt.NDArray[Any], number: Any) -> npt.NDArray[Any]:
    """Return numbers in a type; what is no type of NumPy's, such as Decimal, as objects."""
    if isinstance(number, type) and issubclass(number, np.generic):
        return values.astype(number, copy=False)
    return np.asarray(np.frompyfunc(number, 1, 1)(values), dtype=object)
