"""The compiled kernel for logits of ordinary magnitude, built from `direct.c`.

It is missing if no compiler was found, or the processor is not supported. Then the kernel of
`softgrad_core.loss.kernels.shifted` computes all rows. Its results may differ in the last place.
"""

import ctypes
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.results import BLOCK_FIELDS, FIELDS, SoftmaxCrossEntropy, empty_results
from softgrad_core.loss.targets import IndexArray

Kernel = Callable[[int], int]
"""Computes the task at an address and returns the number of rows that it left."""

Kernels = Mapping[np.dtype[Any], Kernel]
"""A kernel for each type of logits."""

TILE, ARRAYS = 2048, 6
"""Logits per tile, and arrays of so many numbers that the kernel needs, as in `direct.c`."""

BLOCK_ELEMENTS = 1 << 24
"""Maximum number of logits per block, about 30 ms of work. With smaller blocks, threads would wait
more often for Python's lock and for pages of memory, which may have 2 MiB."""

COPIED_ELEMENTS = 1 << 17
"""The same if NumPy copies a block: these fit in the L2 cache."""


SUMMED = 1 << 16
"""Numbers that are summed in two parts."""


class _Numbers(ctypes.Structure):
    """A number or more for each row: where the first one is, and how many it is to the next row."""

    _fields_ = [("at", ctypes.c_void_p), ("step", ctypes.c_ssize_t)]


NUMBERS = (
    "distribution",
    "class_weights",
    "smoothing",
    "scale",
    "divisor",
    "temperature",
    "softcap",
    "z_scale",
    "z_divisor",
    "counted",
    "num_classes",
)
"""The attributes of the objective that the kernel reads, in the order of `direct.c`."""


class _Task(ctypes.Structure):
    """The arguments of the kernel, laid out as in `direct.c`."""

    _fields_ = [
        ("logits", ctypes.c_void_p),
        ("labels", ctypes.c_void_p),
        ("rows", ctypes.c_ssize_t),
        ("columns", ctypes.c_ssize_t),
        *((name, _Numbers) for name in NUMBERS),
        *((name, ctypes.c_void_p) for name in FIELDS),
        ("memory", ctypes.c_void_p),
        ("left", ctypes.c_void_p),
    ]


def _library() -> ctypes.CDLL | None:
    """Return the compiled library, if there is one."""
    source = Path(__file__).with_suffix(".c")
    try:
        # The name has the checksum of the source, so that an outdated library is not loaded.
        name = f"_direct_{zlib.crc32(source.read_bytes()):08x}.so"
        library = ctypes.CDLL(str(source.with_name(name)))
    except OSError:
        return None
    library.softgrad_processors.restype = ctypes.c_char_p
    library.softgrad_sum.restype = ctypes.c_double
    library.softgrad_sum.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_void_p]
    return library


def all_kernels() -> Sequence[Kernels]:
    """Return the kernels that this processor can run, fastest first. Their results are equal."""
    library = _library()
    return (
        []
        if library is None
        else [
            {
                np.dtype(np.float64): _kernel(library[f"softgrad_{processor}_double"]),
                np.dtype(np.float32): _kernel(library[f"softgrad_{processor}_float"]),
            }
            for processor in library.softgrad_processors().decode().split()
        ]
    )


def _kernel(function: Any) -> Kernel:
    function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_ssize_t
    return function  # type: ignore[no-any-return]


KERNELS: Kernels = next(iter(all_kernels()), {})

LIBRARY = _library()


def sum_in_parts(numbers: FloatArray) -> Sequence[float]:
    """Return numbers whose sum is that of the given ones but for 2**-80 of it, or more of them."""
    if LIBRARY is None:
        return list(map(float, numbers))
    parts: list[float] = []
    error = ctypes.c_double()
    for start in range(0, len(numbers), SUMMED):
        block = numbers[start : start + SUMMED]
        total = LIBRARY.softgrad_sum(_address(block), len(block), ctypes.byref(error))
        parts += [total, error.value]
    return parts


def elements_of_block(rows: npt.NDArray[Any], out: SoftmaxCrossEntropy) -> int:
    """Return the maximum number of logits per block."""
    return BLOCK_ELEMENTS if _fit_a_kernel(rows, out) else COPIED_ELEMENTS


def compute_direct(
    rows: npt.NDArray[Any], objective: Objective, out: SoftmaxCrossEntropy
) -> IndexArray:
    """Compute the results that `out` has arrays for, and return the indices of the rows left.

    Losses are float64. The other results may have any type.
    """
    if not KERNELS:
        return np.arange(len(rows))
    if _fit_a_kernel(rows, out):
        return _compute(rows, objective, out)
    numbers = empty_results(rows.shape, np.dtype(np.float64), out.fields, None)
    left = _compute(np.ascontiguousarray(rows, dtype=np.float64), objective, numbers)
    out.put(slice(None), numbers)
    return left


def _fit_a_kernel(rows: npt.NDArray[Any], out: SoftmaxCrossEntropy) -> bool:
    """Return whether a kernel can read these rows and write these results without copies."""
    blocks = [block for name in BLOCK_FIELDS if (block := getattr(out, name)) is not None]
    return (
        rows.dtype in KERNELS
        and rows.flags.c_contiguous
        and all(block.dtype == rows.dtype and block.flags.carray for block in blocks)
    )


def _compute(rows: npt.NDArray[Any], objective: Objective, out: SoftmaxCrossEntropy) -> IndexArray:
    count, columns = rows.shape
    labels = np.ascontiguousarray(objective.labels)
    # This list keeps alive the arrays whose addresses the kernel gets.
    numbers = [_side_by_side(getattr(objective, name)) for name in NUMBERS]
    memory = np.empty(ARRAYS * max(columns, TILE))
    left = np.empty(count, np.bool)
    task = _Task(
        *(_address(rows), _address(labels), count, columns),
        *map(_numbers, numbers),
        *(_address(getattr(out, name)) for name in FIELDS),
        *(_address(memory), _address(left)),
    )
    # ctypes releases Python's lock during the call.
    left_count = KERNELS[rows.dtype](ctypes.addressof(task))
    return np.flatnonzero(left) if left_count else np.empty(0, np.intp)


def _side_by_side(numbers: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
    """Return numbers so that those of one row are side by side."""
    if numbers is None or numbers.ndim == 1 or numbers.strides[1] == numbers.itemsize:
        return numbers
    return np.ascontiguousarray(numbers)


def _numbers(numbers: npt.NDArray[Any] | None) -> _Numbers:
    if numbers is None:
        return _Numbers(None, 0)
    return _Numbers(_address(numbers), numbers.strides[0] // numbers.itemsize)


def _address(array: npt.NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data
