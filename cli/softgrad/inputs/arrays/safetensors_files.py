"""Files of safetensors, mapped into memory. The library checks that a file is whole and sound."""

import mmap
from functools import partial
from typing import Any

import numpy as np
import orjson

from softgrad.inputs.arrays.files import ArrayFile, broken, map_file, needs, release
from softgrad.records.fields import OPTIONS
from softgrad_core.tensors import BITS, Packed

LENGTH_BYTES = 8
"""How many bytes, at the beginning, tell the length of the header."""

PACKED = {"BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
"""The types that NumPy lacks."""

TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BOOL": "?",
    "I8": "i1",
    "U8": "u1",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
}
"""The other types, as NumPy writes them."""


def open_safetensors(name: str) -> ArrayFile:
    """Open a .safetensors file; options of the loss are its metadata."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise needs("reading .safetensors", "'softgrad[safetensors]'") from None
    mapped = map_file(name)
    try:
        with safe_open(name, "np"):
            length = int.from_bytes(mapped[:LENGTH_BYTES], "little")
    except SafetensorError as error:
        raise broken(name, f"safetensors: {error}") from None
    start = LENGTH_BYTES + length
    header = orjson.loads(mapped[LENGTH_BYTES:start])
    metadata = header.pop("__metadata__", {})
    return ArrayFile(
        name,
        {array: partial(_array, name, mapped, start, header[array], array) for array in header},
        {option: _parsed(text) for option, text in metadata.items() if option in OPTIONS},
        partial(release, mapped),
    )


def _array(file: str, mapped: mmap.mmap, start: int, entry: dict[str, Any], name: str) -> Any:
    """Return the array that an entry of the header describes."""
    dtype, shape, place = entry["dtype"], entry["shape"], start + entry["data_offsets"][0]
    if dtype in PACKED:
        packed = PACKED[dtype]
        return Packed(np.ndarray(shape, BITS[packed], mapped, place), packed)
    if dtype not in TYPES:
        known = ", ".join([*TYPES, *PACKED])
        raise broken(file, f'"{name}" of a type out of {known}, got {dtype}')
    return np.ndarray(shape, TYPES[dtype], mapped, place)


def _parsed(text: str) -> Any:
    """Return an option of the loss from the text that metadata are."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
