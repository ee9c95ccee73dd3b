"""Check targets: labels, class names and target probabilities."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.errors import InputError, shortened
from softgrad_core.loss.library import RowSums, sum_rows
from softgrad_core.loss.logits import described, is_number
from softgrad_core.tensors import as_numpy

IndexArray = npt.NDArray[np.intp]

Places = tuple[IndexArray, IndexArray]
"""A class and a row, for each row."""

SUM_TOLERANCE = 1e-5
"""Maximum distance from 1 of the sum of a distribution in float32 or with six digits."""


def label_array(targets: npt.ArrayLike, rows: int) -> npt.NDArray[Any]:
    """Return `targets` as an array, or raise InputError if they are none."""
    try:
        return as_numpy(targets)
    except TypeError as error:
        reason = f"expected targets as an array of numbers, {error}"
        raise InputError("targets-not-numbers", reason) from None
    except ValueError:
        raise InputError("targets-shape", f"expected {rows} targets, got ragged lists") from None


def as_labels(targets: npt.ArrayLike, rows: int, classes: int) -> IndexArray:
    """Return `targets`, one label per row, as checked class indices.

    Raises
    ------
    InputError
        If they are not integers, not one per row, or outside 0..classes-1.
    """
    given = label_array(targets, rows)
    if given.size and given.dtype.kind not in "iu":
        raise InputError(
            "target-not-an-index",
            f"expected class indices, whole numbers from 0 to {classes - 1}, "
            f"got an array of {given.dtype}",
        )
    if given.size != rows or given.ndim > 1:
        raise InputError("targets-shape", f"expected targets of shape ({rows},), got {given.shape}")
    labels = given.reshape(rows)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        row = int(((labels < 0) | (labels >= classes)).argmax())
        raise _outside(int(labels[row]), classes, row if given.ndim else None)
    return labels.astype(np.intp, copy=False)


def are_distributions(targets: npt.ArrayLike, dimensions: int) -> bool:
    """Return whether targets have one number per class: as many dimensions as the logits."""
    if isinstance(targets, int):
        return False
    try:
        return np.ndim(targets) == dimensions and (dimensions > 1 or np.size(targets) > 1)
    except ValueError:
        return False


def targets_by_rows(targets: npt.ArrayLike, shape: tuple[int, ...], axis: int) -> npt.ArrayLike:
    """Return targets with their classes last, if they are probabilities.

    `shape` is that of the logits with the classes last, from this axis. Raises InputError if the
    targets have another shape.
    """
    if axis in (-1, len(shape) - 1) or not are_distributions(targets, len(shape)):
        return targets
    given = as_numpy(targets)
    moved: npt.NDArray[Any] = np.moveaxis(given, axis, -1)
    if moved.shape[:-1] != shape[:-1]:
        wanted = list(shape[:-1])
        wanted.insert(axis % len(shape), shape[-1])
        raise InputError(
            "targets-shape",
            f"expected target probabilities of shape {tuple(wanted)}, got {given.shape}",
        )
    return moved


def as_distributions(
    targets: npt.ArrayLike, shape: tuple[int, ...], classes: int, *, unnormalized: bool
) -> tuple[npt.NDArray[Any], IndexArray]:
    """Return `targets`, of the shape of the logits, as checked rows of target probabilities.

    With them comes the most probable class of each row. They are not copied if the compiled library
    can read them. If only the first columns of the logits are classes, the targets may be those of
    the classes alone.

    Raises
    ------
    InputError
        If the shape differs, a value is negative or not finite, padding has a probability, or,
        unless `unnormalized`, a row does not sum to 1.
    """
    given = label_array(targets, shape[0])
    if given.dtype.kind not in "fiu":
        raise InputError(
            "target-not-a-distribution",
            f"expected target probabilities as numbers, got an array of {given.dtype}",
        )
    if given.shape not in (shape, (*shape[:-1], classes)):
        raise InputError(
            "targets-shape", f"expected target probabilities of shape {shape}, got {given.shape}"
        )
    rows = given.reshape(math.prod(shape[:-1]), given.shape[-1])
    found = sum_rows(rows) if given.shape == shape else None
    if found is None:
        rows = np.zeros((len(rows), shape[-1]))
        rows[:, : given.shape[-1]] = given.reshape(len(rows), given.shape[-1])
        good = (np.isfinite(rows) & (rows >= 0.0)).all(axis=1)
        found = RowSums(np.where(good, rows.sum(axis=1), np.nan), rows.argmax(axis=1))
    # A sum is NaN if a value is negative, or the sum is not finite.
    good = ~np.isnan(found.sums)
    if not unnormalized:
        good &= np.abs(found.sums - 1.0) <= SUM_TOLERANCE
    # The rounded sum may miss the limit: the exact sum decides.
    for row in np.flatnonzero(~good).tolist():
        check_distribution(
            rows[row].tolist(),
            shape[-1],
            unnormalized=unnormalized,
            row=row if len(shape) > 1 else None,
        )
    if (padded := rows[:, classes:].any(axis=1)).any():
        row = int(padded.argmax())
        place = classes + int(rows[row, classes:].argmax())
        what = f"target[{place}], {rows[row, place]:g},"
        raise padding_target(what, classes, row if len(shape) > 1 else None)
    return rows, found.largest


def padding_target(what: str, classes: int, row: int | None) -> InputError:
    """Return the error about a target that is no class, but padding."""
    reason = f"{what} is that of a column of padding: num_classes is {classes}"
    return InputError("target-padding", reason, row)


def check_distribution(
    target: Sequence[object], classes: int, *, unnormalized: bool, row: int | None = None
) -> None:
    """Raise InputError unless a target has one probability per class, with the sum 1."""
    if len(target) != classes:
        raise InputError(
            "target-count",
            f"expected one target probability for each of {classes} logits, got {len(target)}",
            row,
        )
    for place, value in enumerate(target):
        if not (is_number(value) and 0 <= value < math.inf):
            raise InputError(
                "target-not-a-distribution",
                f"target[{place}]: expected a probability, a finite number from 0 on, "
                f"got {described(value)}",
                row,
            )
    total = math.fsum(target)  # type: ignore[arg-type]
    if not unnormalized and abs(total - 1.0) > SUM_TOLERANCE:
        raise InputError(
            "target-sum",
            f"expected target probabilities with the sum 1, got {total:.12g}; "
            "if that is meant, say so by unnormalized_target",
            row,
        )


def class_index(
    target: object, classes: int, names: Sequence[str] | None = None, what: str = "target"
) -> int:
    """Return the index of a class that is given by index or by name.

    Error messages and codes call it `what`.

    Raises
    ------
    InputError
        If it is neither. The message has a hint if the mistake is a common one.

    Examples
    --------
    >>> class_index("dog", 3, ["cat", "dog", "bird"])
    1
    >>> class_index(3, 3)
    Traceback (most recent call last):
    softgrad_core.errors.InputError: target 3 is outside 0..2; classes are numbered from 0
    """
    match target:
        case bool() | list() | dict():
            got = described(target)
        case int():
            if not 0 <= target < classes:
                raise _outside(target, classes, what=what)
            return target
        case str():
            return _index_of_name(target, names, what)
        case float() if target.is_integer() and abs(target) >= 2**53:
            raise _outside(target, classes, what=what)
        case float() if target.is_integer():
            got = (
                f"{target}; write {int(target)} "
                "(whole numbers become fractions in a column with missing values)"
            )
        case None:
            got = "null"
        case _:
            got = shortened(str(target))
    raise InputError(
        f"{what}-not-an-index",
        f"expected a {what} that is a whole number from 0 to {classes - 1} or a name, got {got}",
    )


def check_class_names(names: Sequence[object], classes: int) -> list[str]:
    """Return `names`, or raise InputError unless there is one distinct text per class."""
    texts = [name for name in names if isinstance(name, str)]
    if len(texts) < len(names):
        wrong = next(name for name in names if not isinstance(name, str))
        raise InputError(
            "classes-not-names", f"expected class names as text, got {shortened(repr(wrong))}"
        )
    if len(texts) != classes:
        is_one = len(texts) == 1 and len(texts[0].split()) == classes
        hint = f"; write {','.join(texts[0].split())}" if is_one else ""
        raise InputError(
            "classes-count",
            f"expected one class name for each of {classes} logits, got {len(texts)}{hint}",
        )
    if len(set(texts)) < classes:
        [(twice, _)] = Counter(texts).most_common(1)
        raise InputError(
            "classes-repeated", f'class name "{shortened(twice)}" is given more than once'
        )
    return texts


def _outside(
    target: float, classes: int, row: int | None = None, what: str = "target"
) -> InputError:
    number = str(target) if abs(target) < 2**53 else _rounded(target)
    reason = f"{what} {number} is outside 0..{classes - 1}; classes are numbered from 0"
    if target < 0:
        reason += f" (where it marks rows to be left out, give it as ignore_index {number})"
    return InputError(f"{what}-out-of-range", reason, row)


def _rounded(target: float) -> str:
    """Return a huge target in the format of a float, as which some decoders read it."""
    try:
        return f"{float(target):.6g}"
    except OverflowError:
        return shortened(str(target))


def _index_of_name(name: str, names: Sequence[str] | None, what: str) -> int:
    if names is None:
        reason = f'{what} "{shortened(name)}" is a name, but no class names are given'
        if name.isascii() and name.isdigit():
            reason = f'{what} "{shortened(name)}" is text; write the index as a number'
        raise InputError(f"{what}-unknown", reason)
    if name not in names:
        import difflib

        close = difflib.get_close_matches(name, names, n=1)
        hint = f'; did you mean "{shortened(close[0])}"?' if close else ""
        raise InputError(
            f"{what}-unknown",
            f'{what} "{shortened(name)}" is none of the {len(names)} class names{hint}',
        )
    return names.index(name)
