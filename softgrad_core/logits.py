"""Logits as they are given -> rows of float64, or what is wrong with them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.errors import InputError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Checked logits as an (N, C) block, and the form in which they were given."""

    values: FloatArray
    dtype: np.dtype[Any]
    """The floating type for results: that of the input, float64 for whole numbers."""
    single: bool
    """True where one row of shape (C,) was given."""


def as_rows(logits: npt.ArrayLike) -> Rows:
    """Return `logits`, of shape (C,) or (N, C), as checked rows of float64.

    Finite values are accepted, and -infinity for a masked class.

    Raises
    ------
    InputError
        Where the array is not one of numbers, has another shape or fewer than two classes, or
        where a row holds NaN or +infinity or nothing but masked classes.
    """
    try:
        given = np.asarray(logits)
    except ValueError:
        raise InputError(
            "logits-ragged", "expected rows of one length, got rows of several lengths"
        ) from None
    if given.dtype.kind not in "fiu":
        raise InputError(
            "logit-not-a-number", f"expected an array of numbers, got one of {given.dtype}"
        )
    if given.ndim not in (1, 2):
        raise InputError(
            "logits-shape", f"expected logits of shape (C,) or (N, C), got {given.shape}"
        )
    check_class_count(given.shape[-1])
    single = given.ndim == 1
    values = np.ascontiguousarray(np.atleast_2d(given), dtype=np.float64)
    check_rows(values, single)
    return Rows(values, given.dtype if given.dtype.kind == "f" else values.dtype, single)


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
    """Raise InputError for the first row that is not finite beside its masked classes."""
    # The largest is NaN where any is, +inf where any is, -inf where all are masked.
    bad = ~np.isfinite(values.max(axis=1))
    if bad.any():
        row = int(bad.argmax())
        check_values(values[row].tolist(), row=None if single else row)


def check_values(values: Sequence[object], row: int | None = None) -> None:
    """Raise InputError for the first value that is not a logit, naming its place."""
    for place, value in enumerate(values):
        problem = _problem_of(value)
        if problem is not None:
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
    """Return the error code and a description of `value` where it is not a logit."""
    match value:
        case bool():
            return "logit-not-a-number", f"{str(value).lower()}"
        case int():
            return None if _fits_float64(value) else ("logit-out-of-range", _too_large(str(value)))
        case float() if math.isnan(value):
            return "logit-nan", "NaN"
        case float() if value == math.inf:
            return "logit-infinite", "+Infinity"
        case float():
            return None
        case None:
            return "logit-not-a-number", "null (some encoders write NaN so)"
        case str():
            return "logit-not-a-number", f'the text "{_shortened(value)}"'
        case dict():
            return "logit-not-a-number", "an object"
        case Iterable():
            return "logits-nested", "a list; one record holds one row of logits"
        case _:
            return "logit-out-of-range", _too_large(str(value))


def _fits_float64(value: int) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _too_large(digits: str) -> str:
    return f"{_shortened(digits)}, which is outside the range of float64"


def _shortened(text: str, limit: int = 24) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
