"""The compiled kernel for logits of ordinary magnitude, built from `direct.c`.

It is missing if no compiler was found, or the processor is not supported. Then NumPy does the same
in `softgrad_core.loss.kernels.usual`. Its results may differ in the last place.
"""

import ctypes
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.loss.kernels.usual import compute_usual
from softgrad_core.loss.library import TILE, address, load, processors
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.results import BLOCK_FIELDS, FIELDS, SoftmaxCrossEntropy, empty_results
from softgrad_core.loss.targets import IndexArray

Kernel = Callable[[int], int]
"""Computes the task at an address and returns the number of rows that it left."""

Kernels = Mapping[np.dtype[Any], Kernel]
"""A kernel for each type of logits."""

ARRAYS, PIECE, LINE = 8, 64, 8
"""The arrays in memory that the kernel needs, each in whole pieces and one more, and what it may
take to have them begin with a line of the cache, as in `direct.c`."""

BLOCK_ELEMENTS = 1 << 24
"""Maximum number of logits per block, about 30 ms of work. With smaller blocks, threads would wait
more often for Python's lock and for pages of memory, which may have 2 MiB."""

COPIED_ELEMENTS = 1 << 17
"""The same if NumPy copies a block: these fit in the L2 cache."""


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
        ("are_float", ctypes.c_ssize_t),
        ("left", ctypes.c_void_p),
    ]


def all_kernels() -> Sequence[Kernels]:
    """Return the kernels that this processor can run, fastest first. Their results are equal."""
    library: Any = load(Path(__file__).with_suffix(".c"))
    return [
        {
            np.dtype(np.float64): _kernel(library[f"softgrad_{processor}_double"]),
            np.dtype(np.float32): _kernel(library[f"softgrad_{processor}_float"]),
        }
        for processor in processors(library)
    ]


def _kernel(function: Any) -> Kernel:
    function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_ssize_t
    return function  # type: ignore[no-any-return]


KERNELS: Kernels = next(iter(all_kernels()), {})


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
        return compute_usual(rows, objective, out)
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
    memory = np.empty(ARRAYS * (-(-max(columns, TILE) // PIECE) + 1) * PIECE + LINE)
    left = np.empty(count, np.uint8)
    task = _Task(
        *(address(rows), address(labels), count, columns),
        *map(_numbers, numbers),
        *(address(getattr(out, name)) for name in FIELDS),
        *(address(memory), _are_float(objective), address(left)),
    )
    # ctypes releases Python's lock during the call.
    left_count = KERNELS[rows.dtype](ctypes.addressof(task))
    return np.flatnonzero(left) if left_count else np.empty(0, np.intp)


def _are_float(objective: Objective) -> bool:
    """Return whether target probabilities are float32 numbers."""
    return objective.distribution is not None and objective.distribution.dtype == np.float32


def _side_by_side(numbers: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
    """Return numbers so that those of one row are side by side."""
    if numbers is None or numbers.ndim == 1 or numbers.strides[1] == numbers.itemsize:
        return numbers
    return np.ascontiguousarray(numbers)


def _numbers(numbers: npt.NDArray[Any] | None) -> _Numbers:
    if numbers is None:
        return _Numbers(None, 0)
    return _Numbers(address(numbers), numbers.strides[0] // numbers.itemsize)
