"""Check logits, and convert them to rows of floating-point numbers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from softgrad_core.errors import InputError, shortened
from softgrad_core.tensors import Packed, are_numbers, as_array, as_numpy, hint_for, with_last

FloatArray = npt.NDArray[np.float64]


class OutOfRange:
    """A number outside the range of float64, as it was written."""

    def __init__(self, digits: str) -> None:
        self.digits = digits

    def __repr__(self) -> str:
        return self.digits


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Logits as an (N, C) block, and the form in which they were passed."""

    values: npt.NDArray[Any]
    dtype: np.dtype[Any]
    """The floating type of the results: that of the logits, or float64 for integers."""
    shape: tuple[int, ...]
    """The shape in which they were passed."""

    @property
    def single(self) -> bool:
        """Whether one row of shape (C,) was passed."""
        return len(self.shape) == 1


def as_rows(logits: Any) -> Rows:
    """Return `logits`, of shape (C,) or (..., C), as checked rows of float64.

    Values are finite, or -infinity for a masked class.

    Raises
    ------
    InputError
        If the array is not numeric, has another shape or fewer than two classes, or if a row
        contains NaN or +infinity, or has all classes masked.
    """
    given = given_rows(logits)
    values = given.values.astype(np.float64, copy=False)
    check_rows(values, given.single)
    return Rows(values, given.dtype, given.shape)


def given_rows(logits: Any, *, axis: int = -1, packed: bool = False) -> Rows:
    """Return `logits`, of shape (C,) or (..., C), as rows whose values are not checked yet.

    The classes may be on another `axis`; the shape that is returned has them last.

    They keep their floating type. Integers become float64, and types that NumPy lacks float32, or
    remain `Packed`.

    Raises
    ------
    InputError
        If the array is not numeric, has another shape or fewer than two classes.
    """
    # numpy.ma is slow to import: recognize a masked array by its method instead.
    if hasattr(logits, "filled"):
        raise InputError("logits-shape", "expected a plain array, got one with a mask; use -inf")
    if isinstance(logits, (list, tuple)) and _holds_boolean(logits):
        raise InputError("logit-not-a-number", "expected numbers, got a boolean among them")
    try:
        given = as_array(logits) if packed else as_numpy(logits)
    except ValueError:
        raise InputError(
            "logits-ragged", "expected rows of one length, got rows of several lengths"
        ) from None
    except TypeError as error:
        raise InputError(
            "logit-not-a-number", f"expected logits as an array of numbers, {error}"
        ) from None
    given = classes_last(given, axis)
    if isinstance(given, Packed):
        check_class_count(given.shape[-1])
        values: Any = given.reshape(-1, given.shape[-1])
        return Rows(values, np.dtype(np.float32), given.shape)
    if not are_numbers(given.dtype):
        raise InputError(
            "logit-not-a-number",
            f"expected an array of numbers, at most float64, got {hint_for(given.dtype)}",
        )
    if not given.ndim:
        raise InputError("logits-shape", "expected logits of shape (C,) or (..., C), got a number")
    check_class_count(given.shape[-1])
    dtype = given.dtype.newbyteorder("=") if given.dtype.kind == "f" else np.dtype(np.float64)
    values = np.ascontiguousarray(given.reshape(-1, given.shape[-1]), dtype=dtype)
    return Rows(values, dtype, given.shape)


def classes_last(given: Any, axis: int) -> Any:
    """Return an array with the axis of the classes last, or raise InputError if it has none."""
    if not isinstance(axis, (int, np.integer)) or not -given.ndim <= axis < max(1, given.ndim):
        raise InputError(
            "axis-out-of-range",
            f"expected an axis of logits of shape {given.shape}, got {axis!r}",
        )
    return given if axis in (-1, given.ndim - 1) else with_last(given, int(axis))


def check_class_count(count: int) -> None:
    """Raise InputError unless there are at least two classes."""
    if count == 0:
        raise InputError("logits-empty", "expected at least 2 logits, got none")
    if count == 1:
        raise InputError(
            "logits-one-class",
            "expected at least 2 logits, got 1; the softmax of one class is always 1",
        )


def check_rows(values: FloatArray, single: bool = False) -> None:
    """Raise InputError for the first row with NaN or +infinity, or with all classes masked."""
    if np.isfinite(values).all():
        return
    # A row's maximum is NaN or +inf if any value is, and -inf if all classes are masked.
    bad = ~np.isfinite(values.max(axis=1))
    if bad.any():
        row = int(bad.argmax())
        check_values(values[row].tolist(), row=None if single else row)


def check_values(values: Sequence[object], row: int | None = None) -> None:
    """Raise InputError for the first value that is not a logit, or if all classes are masked."""
    for place, value in enumerate(values):
        if problem := _problem_of(value):
            code, got = problem
            raise InputError(
                code, f"logits[{place}]: expected a finite number or -Infinity, got {got}", row
            )
    if all(value == -math.inf for value in values):
        raise InputError(
            "logits-all-masked",
            "all logits are -Infinity: with every class masked there is no softmax",
            row,
        )


def _problem_of(value: object) -> tuple[str, str] | None:
    """Return the error code and a description of `value` if it is not a logit, else None."""
    match value:
        case bool() | None | str() | dict():
            return "logit-not-a-number", described(value)
        case int():
            return None if _fits_float64(value) else ("logit-out-of-range", _too_large(str(value)))
        case float() if math.isnan(value):
            return "logit-nan", "NaN"
        case float():
            return ("logit-infinite", "+Infinity") if value == math.inf else None
        case OutOfRange():
            return "logit-out-of-range", _too_large(value.digits)
        case Iterable():
            return "logits-nested", "a list; a batch is a list of rows, all of one length"
        case _:
            return "logit-not-a-number", shortened(repr(value))


def described(value: object) -> str:
    """Describe a value that should have been a number, for an error message."""
    match value:
        case None:
            return "null (some encoders write NaN that way)"
        case bool():
            return str(value).lower()
        case str():
            return f'the text "{shortened(value)}"'
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case float() if math.isnan(value):
            return "NaN"
        case float() if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        case int() if not _fits_float64(value):
            return _too_large(str(value))
        case OutOfRange():
            return _too_large(value.digits)
        case _:
            return shortened(repr(value) if not isinstance(value, np.generic) else str(value))


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is NaN or a number in the range of float64, but not a boolean."""
    if isinstance(value, (bool, np.bool)):
        return False
    if isinstance(value, int):
        return _fits_float64(value)
    return isinstance(value, (float, np.floating, np.integer))


def _holds_boolean(values: Iterable[object]) -> bool:
    return any(
        _holds_boolean(value)
        if isinstance(value, (list, tuple))
        else isinstance(value, (bool, np.bool))
        for value in values
    )


def _fits_float64(value: int) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _too_large(digits: str) -> str:
    return f"{shortened(digits)}, which is outside the range of float64"
