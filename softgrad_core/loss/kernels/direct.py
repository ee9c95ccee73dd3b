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

from softgrad_core.loss.objective import Objective
from softgrad_core.loss.results import BLOCK_FIELDS, FIELDS, SoftmaxCrossEntropy, empty_results
from softgrad_core.loss.targets import IndexArray

Kernel = Callable[[int], int]
"""Computes the task at an address and returns the number of rows that it left."""

Kernels = Mapping[np.dtype[Any], Kernel]
"""A kernel for each type of logits."""

TILE = 2048
"""Logits per tile, as in `direct.c`: the kernel needs memory for this many."""

GAIN = 2.0**300
"""The kernel takes weights times the square of this, so that none that counts underflows."""

BLOCK_ELEMENTS = 1 << 24
"""Maximum number of logits per block, about 30 ms of work. With smaller blocks, threads would wait
more often for Python's lock and for pages of memory, which may have 2 MiB."""

COPIED_ELEMENTS = 1 << 17
"""The same if NumPy copies a block or makes target weights for it: these fit in the L2 cache."""


class _Task(ctypes.Structure):
    """The arguments of the kernel, laid out as in `direct.c`."""

    _fields_ = [
        ("logits", ctypes.c_void_p),
        ("labels", ctypes.c_void_p),
        ("rows", ctypes.c_ssize_t),
        ("classes", ctypes.c_ssize_t),
        ("shares", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("temperatures", ctypes.c_void_p),
        ("caps", ctypes.c_void_p),
        ("z_weights", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in FIELDS),
        ("memory", ctypes.c_void_p),
        ("left", ctypes.c_void_p),
    ]


def all_kernels() -> Sequence[Kernels]:
    """Return the kernels that this processor can run, fastest first. Their results are equal."""
    source = Path(__file__).with_suffix(".c")
    try:
        # The name has the checksum of the source, so that an outdated library is not loaded.
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
    """Return the maximum number of logits per block."""
    in_place = objective.has_labels and objective.num_classes is None
    in_place = in_place and _fit_a_kernel(rows, out)
    return BLOCK_ELEMENTS if in_place else COPIED_ELEMENTS


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
    count, classes = rows.shape
    labels = np.ascontiguousarray(objective.labels)
    shares = weights = z_weights = None
    if not objective.has_labels:
        # The kernel changes these weights temporarily, which is safe: the array is new.
        weights = np.ascontiguousarray(objective.weights(classes, gain=GAIN))
    elif objective.has_label_weights:
        shares = np.ascontiguousarray(objective.label_weights(gain=GAIN))
    if objective.z_scale is not None:
        z_weights = np.ascontiguousarray(objective.z_weights(gain=GAIN))
    temperatures, caps = (
        None if values is None else np.ascontiguousarray(values)
        for values in (objective.temperature, objective.softcap)
    )
    of_row = max(classes, TILE) if weights is None else 3 * classes
    memory = np.empty(of_row if caps is None else 2 * of_row)
    left = np.empty(count, np.bool)
    task = _Task(
        *(_address(rows), _address(labels), count, classes),
        *map(_address, (shares, weights, temperatures, caps, z_weights)),
        *(_address(getattr(out, name)) for name in FIELDS),
        *(_address(memory), _address(left)),
    )
    # ctypes releases Python's lock during the call.
    left_count = KERNELS[rows.dtype](ctypes.addressof(task))
    return np.flatnonzero(left) if left_count else np.empty(0, np.intp)


def _address(array: npt.NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data
