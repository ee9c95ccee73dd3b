"""A .safetensors file whose arrays are written side by side, block by block.

The library writes what is in memory as a whole; results may be larger than that.
"""

import math
from typing import Any, BinaryIO

import numpy as np
import orjson

from softgrad.outputs.arrays.npz import Array, Shapes, bytes_of

TYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "uint16": "BF16"}
"""The types of results; uint16 stands for bfloat16."""

ALIGNMENT = 8
"""The header is filled with blanks up to a multiple of this."""


class SafetensorsFile:
    """A .safetensors file whose arrays grow side by side; each has its place from the start."""

    def __init__(self, file: BinaryIO, arrays: Shapes) -> None:
        self._file = file
        header: dict[str, Any] = {}
        places, place = {}, 0
        # The widest types come first, so that each array begins at a multiple of its numbers' size.
        for name, (shape, given) in sorted(arrays.items(), key=_narrowness):
            dtype = np.dtype(given)
            end = place + math.prod(shape) * dtype.itemsize
            header[name] = {
                "dtype": TYPES[dtype.name],
                "shape": shape,
                "data_offsets": [place, end],
            }
            places[name], place = place, end
        text = orjson.dumps(header)
        text += b" " * (-len(text) % ALIGNMENT)
        start = file.write(len(text).to_bytes(8, "little") + text)
        self._places = {name: start + place for name, place in places.items()}
        file.truncate(start + place)

    def write(self, name: str, data: Array) -> None:
        """Write what comes next in an array."""
        buffer = bytes_of(data.astype(data.dtype.newbyteorder("<"), copy=False))
        self._file.seek(self._places[name])
        self._file.write(buffer)
        self._places[name] += len(buffer)

    def close(self) -> None:
        """Do nothing: all is written."""


def _narrowness(entry: tuple[str, tuple[tuple[int, ...], Any]]) -> int:
    _, (_, dtype) = entry
    return -int(np.dtype(dtype).itemsize)
