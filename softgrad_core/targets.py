"""A target as it is given, a label or a name -> the index of the true class."""

import difflib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from softgrad_core.errors import InputError

IndexArray = npt.NDArray[np.intp]


def as_labels(targets: npt.ArrayLike, rows: int, classes: int) -> IndexArray:
    """Return `targets`, one label for each of `rows` rows, as checked indices.

    Raises
    ------
    InputError
        Where they are not whole numbers, not one for each row, or outside 0..classes-1.
    """
    given = np.asarray(targets)
    if given.dtype.kind not in "iu":
        raise InputError(
            "target-not-an-index",
            f"expected class indices, whole numbers from 0 to {classes - 1}, "
            f"got an array of {given.dtype}",
        )
    if given.size != rows or given.ndim > 1:
        raise InputError(
            "targets-shape", f"expected one target for each of {rows} rows, got shape {given.shape}"
        )
    labels = given.reshape(rows)
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        row = int(outside.argmax())
        raise _outside(int(labels[row]), classes, row if given.ndim else None)
    return labels.astype(np.intp, copy=False)


def class_index(target: object, classes: int, names: Sequence[str] | None = None) -> int:
    """Return the index of the true class among `classes`, given as an index or a name.

    Raises
    ------
    InputError
        Where it is neither, with what it probably was meant to be.

    Examples
    --------
    >>> class_index("dog", 3, ["cat", "dog", "bird"])
    1
    >>> class_index(3, 3)
    Traceback (most recent call last):
    softgrad_core.errors.InputError: target 3 is outside 0..2; classes are numbered from 0
    """
    match target:
        case bool():
            got = str(target).lower()
        case int():
            if not 0 <= target < classes:
                raise _outside(target, classes)
            return target
        case str():
            return _index_of_name(target, names)
        case float() if target.is_integer():
            got = (
                f"{target}; write {int(target)} "
                "(a column of labels with gaps in it becomes one of fractions)"
            )
        case None:
            got = "null"
        case list() | dict():
            got = "a list" if isinstance(target, list) else "an object"
        case _:
            got = str(target)
    raise InputError(
        "target-not-an-index",
        f"expected a target that is a whole number from 0 to {classes - 1} or a name, got {got}",
    )


def check_class_names(names: Sequence[object], classes: int) -> list[str]:
    """Return `names`, one different text for each class, or raise InputError."""
    texts = [name for name in names if isinstance(name, str)]
    if len(texts) < len(names):
        wrong = next(name for name in names if not isinstance(name, str))
        raise InputError("classes-not-names", f"expected class names as text, got {wrong!r}")
    if len(texts) != classes:
        raise InputError(
            "classes-count",
            f"expected one class name for each of {classes} logits, got {len(texts)}",
        )
    if len(set(texts)) < classes:
        twice = next(name for name in texts if texts.count(name) > 1)
        raise InputError("classes-repeated", f'class name "{twice}" is given more than once')
    return texts


def _outside(target: int, classes: int, row: int | None = None) -> InputError:
    reason = f"target {target} is outside 0..{classes - 1}; classes are numbered from 0"
    if target < 0:
        reason += " (a negative label often marks a row to be left out)"
    return InputError("target-out-of-range", reason, row)


def _index_of_name(name: str, names: Sequence[str] | None) -> int:
    if names is None:
        reason = f'target "{name}" is a name, but no class names are given'
        if name.strip().isascii() and name.strip().isdigit():
            reason = f'target "{name}" is text; write the index as a number: {int(name)}'
        raise InputError("target-unknown", reason)
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1)
        hint = f'; did you mean "{close[0]}"?' if close else ""
        raise InputError(
            "target-unknown", f'target "{name}" is none of the {len(names)} class names{hint}'
        )
    return names.index(name)
