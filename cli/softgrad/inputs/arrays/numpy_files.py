"""Files of NumPy, .npy and .npz, mapped into memory so that they are read as they are used."""

import math
import mmap
import zipfile
import zlib
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np

from softgrad.exits import StoppedError
from softgrad.inputs.arrays.files import ALONE, Array, ArrayFile, broken, map_file, release
from softgrad_core.tensors import Packed

LOCAL_HEADER_BYTES = 30
"""The length of a ZIP member's header, without the name and the extra field that follow it."""

_E5M2, _ONE_BYTE = b"'<f1'", b"'|V1'"
"""What NumPy writes, and does not read, for float8_e5m2, and a type of the same size."""


def open_numpy(name: str) -> ArrayFile:
    """Open a .npy or .npz file; compressed members are read whole when they are asked for."""
    mapped = map_file(name)
    if name.endswith(".npy"):
        arrays = {ALONE: partial(_array, name, ALONE, mapped, 0)}
        return ArrayFile(name, arrays, release=partial(release, mapped))
    try:
        with zipfile.ZipFile(name) as archive:
            members = {
                info.filename.removesuffix(".npy"): info
                for info in archive.infolist()
                if info.filename.endswith(".npy")
            }
    except zipfile.BadZipFile:
        raise _broken(name, "it is not a .npz file") from None
    return ArrayFile(
        name,
        {
            array: partial(_array, name, array, mapped, _start(mapped, info))
            if info.compress_type == zipfile.ZIP_STORED
            else partial(_unpacked, name, array, info)
            for array, info in members.items()
        },
        release=partial(release, mapped),
    )


def _broken(name: str, reason: str) -> StoppedError:
    return broken(name, f"arrays: {reason}")


def _start(mapped: mmap.mmap, info: zipfile.ZipInfo) -> int:
    """Return where the data of a member begins."""
    header = mapped[info.header_offset : info.header_offset + LOCAL_HEADER_BYTES]
    lengths = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))
    return info.header_offset + LOCAL_HEADER_BYTES + sum(lengths)


def _unpacked(file: str, name: str, info: zipfile.ZipInfo) -> Any:
    """Return a compressed array."""
    try:
        with zipfile.ZipFile(file) as archive:
            data = archive.read(info)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _broken(file, f'"{name}": {error}') from None
    return _array(file, name, data, 0)


def _array(file: str, name: str, data: Any, start: int) -> Any:
    """Return the array whose header begins at a place of the data."""
    try:
        return _read(data, start)
    except (ValueError, EOFError) as error:
        what = f'"{name}": ' if name else ""
        raise _broken(file, f"{what}{error}") from None


def _read(data: Any, start: int) -> Any:
    # NumPy accepts no header that is longer than this.
    beginning = data[start : start + (1 << 16)]
    head = BytesIO(beginning.replace(_E5M2, _ONE_BYTE, 1))
    read = np.lib.format.read_array_header_2_0
    if np.lib.format.read_magic(head) == (1, 0):
        read = np.lib.format.read_array_header_1_0
    shape, is_fortran, dtype = read(head)
    place = start + head.tell()
    if dtype.hasobject:
        raise ValueError("got Python objects")
    wanted, got = math.prod(shape) * dtype.itemsize, len(data) - place
    if wanted > got:
        raise ValueError(f"it breaks off: expected {wanted:,} bytes, got {got:,}")
    order: Any = "F" if is_fortran else "C"
    array: Array = np.ndarray(shape, dtype, data, place, order=order)
    if _E5M2 in beginning[: head.tell()]:
        return Packed(array.view(np.uint8), "float8_e5m2")
    return array
