"""Libraries compiled from C, and what that of `direct.c` has besides the kernels."""

import ctypes
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

SUMMED = 1 << 16
"""Numbers that are summed in two parts."""

TILE = 2048
"""Numbers per tile, as in `direct.c`: each array in memory has so many, or those of a row."""


def load(source: Path) -> ctypes.CDLL | None:
    """Return the library compiled from this source, if there is one."""
    try:
        # The name has the checksum of the source, so that an outdated library is not loaded.
        name = f"_{source.stem}_{zlib.crc32(source.read_bytes()):08x}.so"
        return ctypes.CDLL(str(source.with_name(name)))
    except OSError:
        return None


def processors(library: Any) -> Sequence[str]:
    """Return the kinds of processor that this one is of, fastest first; none without a library."""
    if library is None:
        return []
    library.softgrad_processors.restype = ctypes.c_char_p
    names: bytes = library.softgrad_processors()
    return names.decode().split()


LIBRARY = load(Path(__file__).parent / "kernels" / "direct.c")
if LIBRARY is not None:
    LIBRARY.softgrad_sum.restype = ctypes.c_double
    LIBRARY.softgrad_sum.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_void_p]


def sum_in_parts(numbers: npt.NDArray[np.float64]) -> Sequence[float]:
    """Return numbers whose sum is that of the given ones but for 2**-80 of it, or more of them."""
    if LIBRARY is None:
        return list(map(float, numbers))
    parts: list[float] = []
    error = ctypes.c_double()
    for start in range(0, len(numbers), SUMMED):
        block = numbers[start : start + SUMMED]
        total = LIBRARY.softgrad_sum(address(block), len(block), ctypes.byref(error))
        parts += [total, error.value]
    return parts


class RowSums(NamedTuple):
    """The sum of each row, or NaN if one is negative or it is infinite; where the largest is."""

    sums: npt.NDArray[np.float64]
    largest: npt.NDArray[np.intp]


class _Check(ctypes.Structure):
    """The arguments of the check of target probabilities, laid out as in `direct.c`."""

    _fields_ = [
        ("targets", ctypes.c_void_p),
        ("rows", ctypes.c_ssize_t),
        ("columns", ctypes.c_ssize_t),
        *((name, ctypes.c_void_p) for name in ("sums", "largest")),
    ]


def sum_rows(rows: npt.NDArray[Any]) -> RowSums | None:
    """Return the sums of rows, or None if there is no library, or it cannot read these."""
    kinds = {np.dtype(np.float64): "double", np.dtype(np.float32): "float"}
    if LIBRARY is None or rows.dtype not in kinds or not rows.flags.c_contiguous:
        return None
    count, columns = rows.shape
    sums, largest = np.empty(count), np.empty(count, np.intp)
    check = _Check(address(rows), count, columns, address(sums), address(largest))
    name = f"softgrad_{processors(LIBRARY)[0]}_check_{kinds[rows.dtype]}"
    function = LIBRARY[name]
    function.argtypes, function.restype = [ctypes.c_void_p], None
    function(ctypes.addressof(check))
    return RowSums(sums, largest)


def address(array: npt.NDArray[Any] | None) -> int | None:
    """Return where the first number of an array is in memory."""
    return None if array is None else array.ctypes.data
