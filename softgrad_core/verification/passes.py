"""Passes over the claims of rows and their exact values: compiled from `screening.c`, or in NumPy.

The error of a number is relative to the power of two below its exact value. It is large, or NaN,
where the exact value is 0 or infinite.
"""

import ctypes
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.library import LIBRARY, address, load, processors
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.comparison import are_close

ROOM = 8
"""One in this many numbers of a row may lie between the bounds, and this many at least."""

PIECE = 1024
"""The numbers of a row that the compiled passes take at once, as in `screening.c`."""

EXPONENT, OF_INVERSE, LEAST_INVERSE = map(np.int64, (0x7FF0 << 48, 0x7FE0 << 48, 1 << 51))
"""The bits of a float64 that give the power of two below it. Taken from the second number, they
give the inverse of this power; the third is the inverse of the largest one."""


class Workspace:
    """Memory for blocks of rows, one after another: new memory would cost more than the work."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, type], npt.NDArray[Any]] = {}

    def array(self, name: str, shape: tuple[int, ...], number: type) -> npt.NDArray[Any]:
        """Return the array of this name; what was in it is lost."""
        size = math.prod(shape)
        array = self._arrays.get((name, number))
        if array is None or array.size < size:
            array = self._arrays[name, number] = np.empty(size, number)
        return array[:size].reshape(shape)


class Logits(NamedTuple):
    """Rows of logits as float64, and the largest and the smallest number of each."""

    a: FloatArray
    top: FloatArray
    bottom: FloatArray


class Values(NamedTuple):
    """Claims and their exact values, of shape (N, C), and which column is the target's."""

    exact: FloatArray
    claims: npt.NDArray[Any]
    targets: IndexArray


class Errors(NamedTuple):
    """Of each row the least power of two, its largest error, where that is, and the target's.

    The largest error is that of a number which is not the target's.
    """

    least: FloatArray
    largest: FloatArray
    worst: IndexArray
    own: FloatArray


class Bounds(NamedTuple):
    """Bounds of the errors of each row, relative to the power of two below the exact value."""

    lower: FloatArray
    """Numbers that are off by this much, or less, pass."""
    upper: FloatArray
    """Numbers that are off by more than this fail."""


class TwoBounds(NamedTuple):
    """The bounds of each row: for the target's number, and for all others."""

    of_others: Bounds
    of_target: Bounds

    def part(self, rows: IndexArray) -> "TwoBounds":
        """Return the bounds of some of the rows."""
        return TwoBounds(*(Bounds(some.lower[rows], some.upper[rows]) for some in self))


class Sorted(NamedTuple):
    """Some rows, whose numbers are sorted by bounds: right, wrong, or between the bounds."""

    wrong: IndexArray
    """How many numbers of each are wrong."""
    worst: IndexArray
    """Where the largest error of those is."""
    are_close: BoolArray
    """Whether torch.testing.assert_close passes the row."""
    columns: BoolArray
    """In which columns of each a number is wrong, of shape (n, C)."""
    between: IndexArray
    """The places of numbers that are between the bounds, in the order of the rows."""
    found: npt.NDArray[np.int64]
    """How many of these each row has; -1 where there are too many."""


class _Logits(ctypes.Structure):
    """The arguments of the first pass, laid out as in `screening.c`."""

    _fields_ = [
        ("logits", ctypes.c_void_p),
        *((name, ctypes.c_ssize_t) for name in ("rows", "columns")),
        *((name, ctypes.c_void_p) for name in ("copy", "top", "bottom")),
    ]


class _Values(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("exact", "claims")),
        *((name, ctypes.c_ssize_t) for name in ("rows", "columns")),
    ]


class _Errors(ctypes.Structure):
    """The arguments of the second pass."""

    _fields_ = [
        ("values", _Values),
        *((name, ctypes.c_void_p) for name in ("targets", "least", "largest", "own", "worst")),
    ]


class _Sorting(ctypes.Structure):
    """The arguments of the third pass."""

    _fields_ = [
        ("values", _Values),
        *((name, ctypes.c_void_p) for name in ("targets", "chosen")),
        ("count", ctypes.c_ssize_t),
        *(
            (name, ctypes.c_void_p)
            for name in ("lower", "upper", "lower_of_target", "upper_of_target")
        ),
        *((name, ctypes.c_double) for name in ("rtol", "atol")),
        *((name, ctypes.c_void_p) for name in ("wrong", "worst", "are_close", "columns")),
        ("between", ctypes.c_void_p),
        ("room", ctypes.c_ssize_t),
        ("found", ctypes.c_void_p),
    ]


def _compiled() -> Mapping[str, Any]:
    """Return the compiled passes by name and type, such as sort_float; none without a library."""
    library: Any = load(Path(__file__).with_name("screening.c"))
    kinds = processors(LIBRARY)
    if library is None or not kinds:
        return {}
    names = (f"{name}_{kind}" for name in ("logits", "measure", "sort") for kind in _KINDS.values())
    passes = {name: library[f"softgrad_{kinds[0]}_{name}"] for name in names}
    for function in passes.values():
        function.argtypes, function.restype = [ctypes.c_void_p], None
    return passes


_KINDS = {np.dtype(np.float64): "double", np.dtype(np.float32): "float"}

PASSES = _compiled()


def read_logits(space: Workspace, given: npt.NDArray[Any]) -> Logits:
    """Read logits of shape (N, C), in any floating type."""
    given = _readable(given)
    if not PASSES:
        a = np.ascontiguousarray(given, dtype=np.float64)
        return Logits(a, a.max(axis=1), a.min(axis=1))
    is_copied = given.dtype != np.float64
    a = space.array("logits", given.shape, np.float64) if is_copied else given
    top, bottom = np.empty(len(a)), np.empty(len(a))
    copy = address(a) if is_copied else None
    task = _Logits(address(given), *given.shape, copy, address(top), address(bottom))
    PASSES[f"logits_{_KINDS[given.dtype]}"](ctypes.addressof(task))
    return Logits(a, top, bottom)


def values_of(exact: FloatArray, claims: npt.NDArray[Any], targets: IndexArray) -> Values:
    """Return claims of shape (N, C) beside their exact values, ready for the passes."""
    return Values(exact, _readable(claims), np.ascontiguousarray(targets, dtype=np.int64))


def measure(space: Workspace, values: Values) -> Errors:
    """Measure the errors of claims."""
    if not PASSES:
        return _measured(space, values)
    least, largest, own = (np.empty(len(values.exact)) for _ in range(3))
    worst = np.empty(len(least), np.int64)
    arrays = values.targets, least, largest, own, worst
    task = _Errors(_arguments(values), *map(address, arrays))
    PASSES[f"measure_{_KINDS[values.claims.dtype]}"](ctypes.addressof(task))
    return Errors(least, largest, worst, own)


def sort(
    space: Workspace, values: Values, chosen: IndexArray, bounds: TwoBounds, dtype: Dtype
) -> Sorted:
    """Sort the numbers of chosen rows by bounds, which have a number for each of these rows.

    `dtype` is that of the claims, whose tolerances assert_close has.
    """
    count, columns = len(chosen), values.exact.shape[1]
    if not PASSES:
        return _sorted(space, values, chosen, bounds, dtype)
    room = _room(columns)
    wrong, worst, found = (np.zeros(count, np.int64) for _ in range(3))
    close, wrong_columns = np.zeros(count, np.bool), np.zeros((count, columns), np.bool)
    between = space.array("between", (count * room + PIECE,), np.int64)
    chosen = np.ascontiguousarray(chosen, dtype=np.int64)
    limits = [np.ascontiguousarray(limit) for some in bounds for limit in some]
    task = _Sorting(
        _arguments(values),
        *(address(values.targets), address(chosen), count),
        *map(address, limits),
        *(dtype.rtol, dtype.atol),
        *map(address, (wrong, worst, close, wrong_columns)),
        *(address(between), room, address(found)),
    )
    PASSES[f"sort_{_KINDS[values.claims.dtype]}"](ctypes.addressof(task))
    used = int(found.clip(0).sum())
    return Sorted(wrong, worst, close, wrong_columns, between[:used], found)


def without_small(values: Values, dtype: Dtype) -> Values:
    """Return values with 1 for claims below the normal numbers that are surely not wrong.

    Rounding to the type alone explains them; or they are 0, and no claim of the row is subnormal,
    so that the kernel may set such numbers to 0.
    """
    exact, claims = values.exact, values.claims
    is_small = np.abs(exact) < dtype.smallest_normal
    if not is_small.any():
        return values
    is_subnormal = (np.abs(claims) < dtype.smallest_normal) & (claims != 0.0)
    may_flush = ~is_subnormal.any(axis=1, keepdims=True)
    is_fine = np.abs(claims - exact) <= dtype.smallest
    is_fine |= (claims == 0.0) & may_flush
    is_fine &= is_small
    one = claims.dtype.type(1.0)
    return Values(np.where(is_fine, 1.0, exact), np.where(is_fine, one, claims), values.targets)


def power_of_two(numbers: FloatArray) -> FloatArray:
    """Return the power of two below each number: 0 for 0 and subnormal numbers."""
    bits: npt.NDArray[np.int64] = numbers.view(np.int64) & EXPONENT
    return bits.view(np.float64)


def _arguments(values: Values) -> _Values:
    return _Values(address(values.exact), address(values.claims), *values.exact.shape)


def _readable(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return numbers that the passes can read: those of narrow types are float32 numbers."""
    is_narrow = numbers.dtype.kind not in "iu" and numbers.dtype.itemsize <= 4
    dtype = np.dtype(np.float32 if is_narrow else np.float64)
    return np.ascontiguousarray(numbers, dtype=dtype)


def _errors(space: Workspace, values: Values) -> tuple[FloatArray, FloatArray]:
    """Return the errors, and the inverse of the power of two below each exact value."""
    exact = values.exact
    bits = space.array("bits", exact.shape, np.int64)
    np.bitwise_and(exact.view(np.int64), EXPONENT, out=bits)
    np.subtract(OF_INVERSE, bits, out=bits)
    inverse = np.maximum(bits, LEAST_INVERSE, out=bits).view(np.float64)
    error = space.array("error", exact.shape, np.float64)
    np.subtract(exact, values.claims, out=error)
    np.abs(error, out=error)
    error *= inverse
    return error, inverse


def _measured(space: Workspace, values: Values) -> Errors:
    error, inverse = _errors(space, values)
    rows = np.arange(len(error))
    at = rows, values.targets
    own = error[at]
    error[at] = 0.0
    worst = error.argmax(axis=1)
    return Errors(1.0 / inverse.max(axis=1), error[rows, worst], worst, own)


def _room(columns: int) -> int:
    """Return how many numbers of each row may lie between the bounds; rows with more are left.

    It is the same for a row alone as among others, or the digits of its errors would not be.
    """
    return max(ROOM, columns // ROOM)


def _sorted(
    space: Workspace, values: Values, chosen: IndexArray, bounds: TwoBounds, dtype: Dtype
) -> Sorted:
    error = _errors(space, values)[0][chosen]
    at = np.arange(len(chosen)), values.targets[chosen]
    of_others, of_target = bounds
    wrong = error > of_others.upper[:, np.newaxis]
    wrong[at] = error[at] > of_target.upper
    right = error <= of_others.lower[:, np.newaxis]
    right[at] = error[at] <= of_target.lower
    between = ~(wrong | right)
    found = between.sum(axis=1)
    found[found > _room(error.shape[1])] = -1
    between[found == -1] = False
    row, column = np.nonzero(between)
    close = are_close(values.claims[chosen], values.exact[chosen], dtype)
    return Sorted(
        wrong.sum(axis=1),
        np.where(wrong, error, -1.0).argmax(axis=1),
        np.asarray(close.all(axis=1)),
        wrong,
        chosen[row] * error.shape[1] + column,
        found,
    )
