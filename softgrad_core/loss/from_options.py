"""Targets and options of the loss, checked for logits of a shape -> the objective."""

import math
from collections.abc import Mapping
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from softgrad_core.errors import InputError
from softgrad_core.loss.error_free import upper_half
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Batches, BoolArray, Objective
from softgrad_core.loss.options import OPTIONS, LossOptions, Reduction, check_options
from softgrad_core.loss.sums import sum_of
from softgrad_core.loss.targets import (
    IndexArray,
    are_distributions,
    as_distributions,
    as_labels,
    label_array,
    padding_target,
)
from softgrad_core.tensors import has_type


def objective_of(
    targets: npt.ArrayLike,
    shape: tuple[int, ...],
    *,
    batch: int | None = None,
    **options: Unpack[LossOptions],
) -> Objective:
    """Return the objective of targets and options, checked for logits of the shape `shape`.

    Parameters
    ----------
    targets
        Labels, one integer or N of them; or target probabilities, of the shape of the logits.
    shape
        The shape of the logits, (C,) or (..., C).
    batch
        How many rows a reduction is over, if they are several batches; by default all.
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
        targets, shape = _as_rows(targets, shape, options.get("num_classes"))
    count, columns = (1, *shape)[-2:]
    checked = check_options(options)
    classes = _checked_count(checked["num_classes"], columns)
    weights = _checked_weights(checked["class_weights"], classes, columns)
    distribution = counted = None
    if are_distributions(targets, len(shape)):
        distribution, labels = as_distributions(
            targets, shape, classes, unnormalized=checked["unnormalized_target"]
        )
        _refuse_ignored_label(checked["ignore_index"])
    else:
        labels, counted = as_counted_labels(
            targets, count, columns, checked["ignore_index"], classes
        )
    if checked["kl_divergence"] and weights is not None:
        raise InputError(
            "divergence-with-weights", "expected kl_divergence without class_weights, got both"
        )

    batches = divisor = z_divisor = None
    reduction = _reduction(checked, is_said=options.get("reduction") is not None)
    if reduction is not Reduction.NONE:
        counts = np.ones(count, dtype=bool) if counted is None else counted
        counts = counts.reshape(count // batch if batch else 1, -1)
        of_batches = np.ones(len(counts)), np.ones(len(counts))
        if reduction is Reduction.MEAN:
            own = labels if distribution is None else None
            of_batches = _denominators(own, counts, weights, checked["denominator"])
            divisor, z_divisor = (np.repeat(one, counts.shape[1]) for one in of_batches)
        batches = Batches(counts.shape[1], of_batches[0], reduced=True)

    def for_each_row(name: str) -> Any:
        value = checked[name]
        return None if value == OPTIONS[name].default else np.broadcast_to(value, count)

    # For a label without smoothing q log q is 0.
    has_entropy = distribution is not None or checked["label_smoothing"] > 0.0
    return Objective(
        labels,
        distribution,
        smoothing=for_each_row("label_smoothing"),
        temperature=for_each_row("temperature"),
        divisor=divisor,
        class_weights=None if weights is None else np.broadcast_to(weights, (count, columns)),
        counted=counted,
        scale=for_each_row("loss_scale"),
        softcap=for_each_row("softcap"),
        z_scale=for_each_row("z_loss_scale"),
        z_divisor=z_divisor if checked["z_loss_scale"] else None,
        num_classes=None if classes == columns else np.broadcast_to(classes, count),
        is_divergence=for_each_row("kl_divergence") if has_entropy else None,
        batches=batches,
    )


def _checked_count(wanted: int | None, columns: int) -> int:
    """Return how many columns are classes, or raise InputError if they are more than there are."""
    if wanted is not None and wanted > columns:
        raise InputError(
            "num-classes-too-large",
            f"expected num_classes up to {columns}, the number of logits, got {wanted}",
        )
    return columns if wanted is None else wanted


def _checked_weights(weights: FloatArray | None, classes: int, columns: int) -> FloatArray | None:
    """Return a class weight for each column, 0 for padding, or raise InputError."""
    if weights is None:
        return None
    if len(weights) not in (classes, columns):
        raise InputError(
            "class-weights-count",
            f"expected one of class_weights for each of {classes} logits, got {len(weights)}",
        )
    return np.concatenate([weights[:classes], np.zeros(columns - classes)])


def _reduction(checked: Mapping[str, Any], *, is_said: bool) -> Reduction:
    """Return the reduction, which is the mean if its denominator is given, or raise InputError."""
    reduction = Reduction(checked["reduction"])
    if checked["denominator"] is None:
        return reduction
    if is_said and reduction is not Reduction.MEAN:
        raise InputError(
            "denominator-without-mean",
            f"denominator is that of a mean: expected the reduction mean, got {reduction}",
        )
    return Reduction.MEAN


def _as_rows(
    targets: npt.ArrayLike, shape: tuple[int, ...], num_classes: Any
) -> tuple[npt.NDArray[Any], tuple[int, ...]]:
    """Return targets of logits with more than two axes as those of rows, and the rows' shape."""
    classes = shape[-1]
    rows = math.prod(shape[:-1]), classes
    given = label_array(targets, rows[0])
    if given.shape in (shape, (*shape[:-1], num_classes)):
        return given.reshape(rows[0], given.shape[-1]), rows
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
    targets: npt.ArrayLike, count: int, columns: int, ignored: int | None, classes: int
) -> tuple[IndexArray, BoolArray | None]:
    """Return labels as checked class indices, and which of them count, or None if all do."""
    counted = None
    if ignored is not None and (given := label_array(targets, count)).dtype.kind in "iu":
        counted = np.atleast_1d(given != ignored)
        targets = np.where(given == ignored, 0, given)
    labels = as_labels(targets, count, columns)
    if classes < columns and (labels >= classes).any():
        row = int((labels >= classes).argmax())
        raise padding_target(f"target {labels[row]}", classes, row if np.ndim(targets) else None)
    return labels, None if counted is None or counted.all() else counted


def _denominators(
    labels: IndexArray | None,
    counts: BoolArray,
    weights: FloatArray | None,
    denominator: float | None,
) -> tuple[FloatArray, FloatArray]:
    """Return what the mean of each of M batches divides its losses by, and its z-losses.

    `counts` says which rows count, of shape (M, n). `labels` are None for probabilities.
    """
    rows = counts.sum(axis=1, dtype=np.float64)
    if denominator is not None:
        rows = np.full(len(rows), denominator)
    elif labels is not None and weights is not None:
        batches = zip(labels.reshape(counts.shape), counts, strict=True)
        return np.array([weight_of(own[some], weights) for own, some in batches]), rows
    return rows, rows


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
