"""The compiled kernel for logits of usual size: see `direct.c`, which it is built from.

There is none where no compiler was found, or on a processor that it is not made for. All rows are
left then to the kernel of `softgrad_core.loss.kernels.shifted`, whose results may differ in
the last place.
"""

import ctypes
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.loss.objective import Objective
from softgrad_core.loss.results import BLOCK_FIELDS, FIELDS, SoftmaxCrossEntropy, empty_results
from softgrad_core.loss.targets import IndexArray

Kernel = Callable[[int], int]
"""Computes the task at an address; returns how many rows are left."""

Kernels = Mapping[np.dtype[Any], Kernel]
"""One for each type of logits."""

TILE = 2048
"""Logits that the kernel works on together, as `direct.c` has it: it needs memory for as many."""

GAIN = 2.0**300
"""The kernel takes weights times the square of this, so that none that counts has underflowed."""

BLOCK_ELEMENTS = 1 << 24
"""Logits that a thread computes at a time, at most, some 30 ms of work: with fewer, threads would
wait for each other more often, for Python's lock and for pages of memory, which may be of 2 MiB."""

COPIED_ELEMENTS = 1 << 17
"""The same where NumPy makes copies or target weights of a block, which stay in the L2 cache."""


class _Task(ctypes.Structure):
    """What is to be computed, as `direct.c` has it."""

    _fields_ = [
        ("logits", ctypes.c_void_p),
        ("labels", ctypes.c_void_p),
        ("rows", ctypes.c_ssize_t),
        ("classes", ctypes.c_ssize_t),
        ("shares", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("temperatures", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in FIELDS),
        ("memory", ctypes.c_void_p),
        ("left", ctypes.c_void_p),
    ]


def all_kernels() -> Sequence[Kernels]:
    """Return the kernels that this processor can run, the fastest first; results are the same."""
    source = Path(__file__).with_suffix(".c")
    try:
        # Its name tells which source it was built from: one from another is none.
        name = f"_direct_{zlib.crc32(source.read_bytes()):08x}.so"
        library = ctypes.CDLL(str(source.with_name(name)))
    except OSError:
        return []
    library.softgrad_processors.restype = ctypes.c_char_p
    return [
        {
            np.dtype(np.float64): _kernel(library[f"softgrad_{processor}_double"]),
            np.dtype(np.float32): _kernel(library[f"softgrad_{processor}_float"]),
        }
        for processor in library.softgrad_processors().decode().split()
    ]


def _kernel(function: Any) -> Kernel:
    function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_ssize_t
    return function  # type: ignore[no-any-return]


KERNELS: Kernels = next(iter(all_kernels()), {})


def elements_of_block(
    rows: npt.NDArray[Any], objective: Objective, out: SoftmaxCrossEntropy
) -> int:
    """Return how many logits are to be computed at a time, at most."""
    is_own = objective.is_of_labels and _are_its_own(rows, out)
    return BLOCK_ELEMENTS if is_own else COPIED_ELEMENTS


def compute_direct(
    rows: npt.NDArray[Any], objective: Objective, out: SoftmaxCrossEntropy
) -> IndexArray:
    """Fill in what `out` has for the rows; return which of them are left to be computed.

    Losses are of float64, all other results of any type.
    """
    if not KERNELS:
        return np.arange(len(rows))
    if _are_its_own(rows, out):
        return _compute(rows, objective, out)
    numbers = empty_results(rows.shape, np.dtype(np.float64), out.fields, None)
    left = _compute(np.ascontiguousarray(rows, dtype=np.float64), objective, numbers)
    out.put(slice(None), numbers)
    return left


def _are_its_own(rows: npt.NDArray[Any], out: SoftmaxCrossEntropy) -> bool:
    """Return whether there is a kernel for rows and results of these types, where they are."""
    blocks = [block for name in BLOCK_FIELDS if (block := getattr(out, name)) is not None]
    return (
        rows.dtype in KERNELS
        and rows.flags.c_contiguous
        and all(block.dtype == rows.dtype and block.flags.carray for block in blocks)
    )


def _compute(rows: npt.NDArray[Any], objective: Objective, out: SoftmaxCrossEntropy) -> IndexArray:
    count, classes = rows.shape
    labels = np.ascontiguousarray(objective.labels)
    shares = weights = temperatures = None
    if not objective.is_of_labels:
        # They are made anew, so that the kernel may set one aside for a moment.
        weights = np.ascontiguousarray(objective.weights(classes, gain=GAIN))
        if objective.temperature is not None:
            temperatures = np.ascontiguousarray(objective.temperature)
    elif not objective.is_plain:
        shares = np.ascontiguousarray(objective.label_weights(gain=GAIN))
    memory = np.empty(max(classes, TILE) if weights is None else 3 * classes)
    left = np.empty(count, np.bool)
    task = _Task(
        *(_address(rows), _address(labels), count, classes),
        *map(_address, (shares, weights, temperatures)),
        *(_address(getattr(out, name)) for name in FIELDS),
        *(_address(memory), _address(left)),
    )
    # Python's lock is not held meanwhile.
    many = KERNELS[rows.dtype](ctypes.addressof(task))
    return np.flatnonzero(left) if many else np.empty(0, np.intp)


def _address(array: npt.NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data
