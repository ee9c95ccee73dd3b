"""The objective: the loss function of each row, made of its target and the options.

The loss of a row of K logits a is

    L = -sum_c q_c log f(x)_c,  f(x) = softmax(a / T),  q_c = w_c / D ((1 - ε) t_c + ε / K),

with the target t (the one-hot vector of a label, or a distribution), the label smoothing ε, the
class weights w, the temperature T, and the denominator D of the mean over a batch. Apart from T,
the formulas are those of torch.nn.functional.cross_entropy.
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
from softgrad_core.loss.targets import (
    IndexArray,
    are_distributions,
    as_distributions,
    as_labels,
    label_array,
)
from softgrad_core.tensors import has_type

BoolArray = npt.NDArray[np.bool]


class Batches(NamedTuple):
    """M consecutive batches of rows, all of the same size.

    Attributes
    ----------
    size
        The number of rows per batch.
    denominators
        What the sum of the losses of each batch is divided by, of shape (M,): 0 for the mean of a
        batch without counted rows.
    reduced
        Whether there is one loss per batch rather than one per row.
    """

    size: int
    denominators: FloatArray
    reduced: bool

    def reduce(self, losses: FloatArray) -> FloatArray:
        """Return the loss of each batch: the sum over its rows, whose losses include 1/D.

        The mean of a batch without counted rows is NaN.
        """
        by_batch = losses.reshape(len(self.denominators), self.size)
        sums = np.array([sum_of(batch) for batch in by_batch])
        return np.where(self.denominators == 0.0, np.nan, sums)


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """The loss functions of N rows. An attribute that is None has no effect.

    Attributes
    ----------
    labels
        The true class of each row, of shape (N,). For a distribution, its most probable class; for
        an ignored row, class 0.
    distribution
        The target probabilities t, of shape (N, K); None if the targets are labels.
    smoothing, temperature, divisor
        ε, T and D, of shape (N,).
    class_weights
        w, of shape (N, K).
    counted
        Which rows count, of shape (N,): False for an ignored row.
    batches
        How rows form batches; None if each row stands alone.
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
        """Return q times the square of `gain`, of shape (N, K).

        It is computed in the type `number`: a NumPy type, or Decimal. With a `gain`, numbers far
        below 1 keep their digits.
        """
        gained = number(gain)
        q = _in_type(self.targets(classes), number) * gained
        if self.smoothing is not None:
            smoothing = _in_type(self.smoothing[:, np.newaxis], number)
            q = (1 - smoothing) * q + smoothing * gained / classes
        weights = None if self.class_weights is None else _in_type(self.class_weights, number)
        q = q * (gained if weights is None else weights * gained)
        if self.divisor is not None:
            # The mean of no rows has gradients of 0.
            is_nothing = (self.divisor == 0.0)[:, np.newaxis]
            divisor = _in_type(self.divisor[:, np.newaxis] + is_nothing, number)
            q = np.where(is_nothing, 0 * q, q / divisor)
        if self.counted is not None:
            q = np.where(self.counted[:, np.newaxis], q, 0 * q)
        return np.asarray(q)

    @property
    def is_of_labels(self) -> bool:
        """Whether the loss of each row is -q_y log f(x)_y, with f(x) = softmax(a)."""
        return self.distribution is None and self.smoothing is None and self.temperature is None

    def label_weights(self, *, gain: float = 1.0) -> FloatArray:
        """Return q_y times the square of `gain`, of shape (N,), if only the labels have weights."""
        q = np.full(len(self.labels), gain * gain)
        if self.class_weights is not None:
            q *= self.class_weights[np.arange(len(q)), self.labels]
        if self.divisor is not None:
            # The mean of no rows has gradients of 0.
            q = np.divide(q, self.divisor, out=np.zeros_like(q), where=self.divisor != 0.0)
        return q if self.counted is None else np.where(self.counted, q, 0.0)

    def targets(self, classes: int) -> FloatArray:
        """Return the target probabilities t, of shape (N, K)."""
        if self.distribution is not None:
            return self.distribution
        one_hot = np.zeros((len(self.labels), classes))
        one_hot[np.arange(len(self.labels)), self.labels] = 1.0
        return one_hot

    def part(self, rows: IndexArray | slice | Sequence[int]) -> "Objective":
        """Return the objective of some rows, without their batches but each with its 1/D."""
        values = {name: getattr(self, name) for name in _NEUTRAL}
        given = {name: value[rows] for name, value in values.items() if value is not None}
        return Objective(self.labels[rows], **given)

    def of_batches(self, batches: IndexArray | Sequence[int]) -> "Objective":
        """Return the objective of some batches, or of some rows if each row stands alone."""
        if self.batches is None:
            return self.part(batches)
        rows = rows_of(batches, self.batches.size)
        chosen = self.batches._replace(denominators=self.batches.denominators[batches])
        return replace(self.part(rows), batches=chosen)


def sum_of(numbers: Sequence[float] | FloatArray) -> float:
    """Return the sum of nonnegative numbers, rounded once, or infinity if it overflows."""
    try:
        return math.fsum(np.ascontiguousarray(numbers, dtype=np.float64).data)
    except OverflowError:
        return math.inf


def weight_of(labels: IndexArray, class_weights: FloatArray | None) -> float:
    """Return the sum of the class weights of labels, or raise InputError if it overflows."""
    if class_weights is None:
        return float(len(labels))
    counts = np.bincount(labels.astype(np.intp, copy=False), minlength=len(class_weights))
    upper = upper_half(class_weights)
    # Half of the bits of a weight, times a count, is exact for up to 2**26 labels of a class.
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
    """Return the indices of the rows of some batches of this size."""
    return np.asarray((np.array(batches)[:, np.newaxis] * size + np.arange(size)).reshape(-1))


_NEUTRAL: dict[str, Any] = {
    "distribution": None,
    "smoothing": 0.0,
    "temperature": 1.0,
    "divisor": 1.0,
    "class_weights": 1.0,
    "counted": True,
}
"""The attributes of each row besides its label, and the values that have no effect."""


def joined(objectives: Sequence[Objective], classes: int) -> Objective:
    """Return the objective of all these rows, which are in batches of equal size or in none."""
    values: dict[str, Any] = {}
    for name, neutral in _NEUTRAL.items():
        columns = [getattr(one, name) for one in objectives]
        if all(column is None for column in columns):
            continue
        width = (classes,) if name in {"class_weights", "distribution"} else ()
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
    """Return the objective of targets and options, checked for logits of the shape `shape`.

    Parameters
    ----------
    targets
        Labels, one integer or N of them; or target probabilities, of the shape of the logits.
    shape
        The shape of the logits, (C,) or (..., C).
    **options
        See `LossOptions`.

    Raises
    ------
    InputError
        If a target or an option is invalid.

    Examples
    --------
    >>> objective = objective_of([0, 1], (2, 4), label_smoothing=0.2, reduction="mean")
    >>> objective.weights(4).round(3).tolist()
    [[0.425, 0.025, 0.025, 0.025], [0.025, 0.425, 0.025, 0.025]]
    """
    if has_type(targets) or not isinstance(targets, (int, list, tuple)):
        targets = label_array(targets, math.prod(shape[:-1]))
    if len(shape) > 2:
        targets, shape = _as_rows(targets, shape)
    count, classes = (1, *shape)[-2:]
    checked = check_options(options)
    weights = checked["class_weights"]
    if weights is not None and len(weights) != classes:
        raise InputError(
            "class-weights-count",
            f"expected one of class_weights for each of {classes} logits, got {len(weights)}",
        )
    distribution = counted = None
    if are_distributions(targets, len(shape)):
        distribution = as_distributions(targets, shape, unnormalized=checked["unnormalized_target"])
        labels = distribution.argmax(axis=1)
        _refuse_ignored_label(checked["ignore_index"])
    else:
        labels, counted = as_counted_labels(targets, count, classes, checked["ignore_index"])

    batches = divisor = None
    if checked["reduction"] is not Reduction.NONE:
        denominator = 1.0
        if checked["reduction"] is Reduction.MEAN:
            denominator = float(count)
            if distribution is None:
                denominator = weight_of(labels if counted is None else labels[counted], weights)
            divisor = np.full(count, denominator)
        batches = Batches(count, np.array([denominator]), reduced=True)

    def for_each_row(name: str) -> FloatArray | None:
        return None if checked[name] == OPTIONS[name].default else np.full(count, checked[name])

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


def _as_rows(
    targets: npt.ArrayLike, shape: tuple[int, ...]
) -> tuple[npt.NDArray[Any], tuple[int, ...]]:
    """Return targets of logits with more than two axes as those of rows, and the rows' shape."""
    classes = shape[-1]
    rows = math.prod(shape[:-1]), classes
    given = label_array(targets, rows[0])
    if given.shape == shape:
        return given.reshape(rows), rows
    if given.shape != shape[:-1]:
        wanted = f"{shape[:-1]}, or {shape} for probabilities"
        raise InputError("targets-shape", f"expected targets of shape {wanted}, got {given.shape}")
    return given.reshape(-1), rows


def _refuse_ignored_label(ignored: int | None) -> None:
    """Raise InputError if a label is to be ignored, for targets that are probabilities."""
    if ignored is not None and ignored >= 0:
        raise InputError(
            "ignore-index-without-labels",
            f"ignore_index {ignored} needs targets that are labels, got distributions",
        )


def as_counted_labels(
    targets: npt.ArrayLike, count: int, classes: int, ignored: int | None
) -> tuple[IndexArray, BoolArray | None]:
    """Return labels as checked class indices, and which of them count, or None if all do."""
    if ignored is None or (given := label_array(targets, count)).dtype.kind not in "iu":
        return as_labels(targets, count, classes), None
    counted = np.atleast_1d(given != ignored)
    labels = as_labels(np.where(given == ignored, 0, given), count, classes)
    return labels, None if counted.all() else counted


def _in_type(values: npt.NDArray[Any], number: Any) -> npt.NDArray[Any]:
    """Convert numbers to a NumPy type, or to objects of another type such as Decimal."""
    if isinstance(number, type) and issubclass(number, np.generic):
        return values.astype(number, copy=False)
    return np.asarray(np.frompyfunc(number, 1, 1)(values), dtype=object)
