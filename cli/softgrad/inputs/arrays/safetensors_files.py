"""Files of safetensors. Their library checks that a file is whole and sound."""

import json
from functools import partial
from typing import Any

import orjson

from softgrad.inputs.arrays.contents import Contents, Stored
from softgrad.inputs.arrays.files import ArrayFile, broken, needs
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
    contents = Contents(name)
    try:
        with safe_open(name, "np"):
            length = int.from_bytes(contents[:LENGTH_BYTES], "little")
        start = LENGTH_BYTES + length
        header = json.loads(contents[LENGTH_BYTES:start], object_pairs_hook=_without_doubles)
    except (SafetensorError, ValueError) as error:
        raise broken(name, f"safetensors: {error}") from None
    metadata = header.pop("__metadata__", {})
    return ArrayFile(
        name,
        {array: partial(_array, name, contents, start, header[array], array) for array in header},
        contents,
        {option: _parsed(text) for option, text in metadata.items() if option in OPTIONS},
    )


def _array(file: str, contents: Contents, start: int, entry: dict[str, Any], name: str) -> Any:
    """Return the array that an entry of the header describes."""
    dtype, shape, place = entry["dtype"], entry["shape"], start + entry["data_offsets"][0]
    if dtype in PACKED:
        packed = PACKED[dtype]
        bits: Any = Stored(contents, place, shape, BITS[packed])
        return Packed(bits, packed)
    if dtype not in TYPES:
        known = ", ".join([*TYPES, *PACKED])
        raise broken(file, f'"{name}" of a type out of {known}, got {dtype}')
    return Stored(contents, place, shape, TYPES[dtype])


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, or raise ValueError if two members have one name."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'there are two named "{twice}"')
    return members


def _parsed(text: str) -> Any:
    """Return an option of the loss from the text that metadata are."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
