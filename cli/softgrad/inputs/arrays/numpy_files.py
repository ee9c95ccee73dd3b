"""Files of NumPy, .npy and .npz, whose arrays are read as they are used.

All that an archive says about itself is compared with what is in it, its checksums included, before
anything is computed.
"""

import math
import shutil
import struct
import tempfile
import tokenize
import zipfile
import zlib
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np

from softgrad.exits import Exit, InputFailedError
from softgrad.inputs.arrays.contents import Contents, Stored
from softgrad.inputs.arrays.files import ALONE, ArrayFile, broken
from softgrad_core.tensors import Packed

LOCAL_HEADER_BYTES = 30
"""The length of a ZIP member's header, without the name and the extra field that follow it."""

ENCRYPTED = 1
"""The bit of a member's flags that says that it is encrypted."""

VERSIONS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,  # It differs in the encoding of names of fields.
}
"""What reads the header of each version of the format."""

CHECKED_BYTES = 1 << 18
"""How much of a member is summed up at a time, while it is in the cache."""

MOST_IN_MEMORY = 1 << 28
"""A compressed member that is larger than this is unpacked into a temporary file."""

HEADER_BYTES = 1 << 16
"""NumPy accepts no header that is longer than this."""

_E5M2, _ONE_BYTE = b"'<f1'", b"'|V1'"
"""What NumPy writes, and does not read, for float8_e5m2, and a type of the same size."""


def open_numpy(name: str) -> ArrayFile:
    """Open a .npy or .npz file; compressed members are read whole when they are asked for."""
    contents = Contents(name)
    if name.endswith(".npy"):
        return ArrayFile(name, {ALONE: partial(_array, name, ALONE, contents, 0)}, contents)
    try:
        with zipfile.ZipFile(contents.file) as archive:
            infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise _broken(name, "it is not a .npz file") from None
    arrays: dict[str, Any] = {}
    for info in infos:
        array = info.filename.removesuffix(".npy")
        if array in arrays:
            raise _broken(name, f'there are two named "{array}"')
        arrays[array] = _member(name, array, contents, info)
    return ArrayFile(name, arrays, contents)


def _member(name: str, array: str, contents: Contents, info: zipfile.ZipInfo) -> Any:
    """Return what returns the array of a member, or raise InputFailedError if it is not whole."""
    try:
        start = _start(contents, info)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            return partial(_unpacked, name, array, info, contents)
        if info.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"it is compressed by method {info.compress_type}, which is not read")
        end = start + info.file_size
        _check_sum(contents, start, end, info.CRC)
    except (ValueError, struct.error) as error:
        raise _broken(name, f'"{array}": {error}') from None
    return partial(_array, name, array, contents, start, end)


def _check_sum(contents: Contents, start: int, end: int, expected: int) -> None:
    """Raise ValueError if the bytes of a member are not those that its checksum is of."""
    found, buffer = 0, memoryview(bytearray(CHECKED_BYTES))
    for place in range(start, end, CHECKED_BYTES):
        part = buffer[: min(CHECKED_BYTES, end - place)]
        contents.read_into(part, place)
        found = zlib.crc32(part, found)
    if found != expected:
        raise ValueError("it is damaged: its checksum is another one")


def _broken(name: str, reason: str) -> InputFailedError:
    return broken(name, f"arrays: {reason}")


def _start(contents: Contents, info: zipfile.ZipInfo) -> int:
    """Return where the data of a member begins, or raise ValueError if its headers differ."""
    place = info.header_offset
    header = contents[place : place + LOCAL_HEADER_BYTES]
    signature, _, flags, method, *_, name_length, extra_length = struct.unpack("<4s5H3I2H", header)
    start: int = place + LOCAL_HEADER_BYTES + name_length + extra_length
    if (flags | info.flag_bits) & ENCRYPTED:
        raise ValueError("it is encrypted")
    is_same = signature == b"PK\3\4" and method == info.compress_type
    name = contents[place + LOCAL_HEADER_BYTES : place + LOCAL_HEADER_BYTES + name_length]
    if not is_same or name not in {info.orig_filename.encode(), info.filename.encode("cp437", "?")}:
        raise ValueError("its header is another one than the archive's directory says")
    if start + info.compress_size > len(contents):
        raise ValueError("it breaks off before its end")
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise ValueError("the archive's directory gives it two sizes")
    return start


def _unpacked(file: str, name: str, info: zipfile.ZipInfo, contents: Contents) -> Any:
    """Return a compressed array, which is in a temporary file if it is large."""
    try:
        with zipfile.ZipFile(contents.file) as archive, archive.open(info) as member:
            beginning = member.read(HEADER_BYTES)
            _layout(beginning, info.file_size, is_exact=True)
            if info.file_size <= MOST_IN_MEMORY:
                data: Any = beginning + member.read()
            else:
                data = _in_temporary_file(file, beginning, member)
        if len(data) != info.file_size:
            raise ValueError(f"expected {info.file_size:,} bytes, got {len(data):,}")
    except (*_BAD_HEADER, *_BAD_MEMBER) as error:
        contents.check()
        raise _broken(file, f'"{name}": {_said(error)}') from None
    return _array(file, name, data, 0, len(data))


def _in_temporary_file(file: str, beginning: bytes, member: Any) -> Contents:
    """Return all bytes of a member, in a file that nobody else sees."""
    try:
        unpacked: Any = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as it is read
        unpacked.write(beginning)
        shutil.copyfileobj(member, unpacked, CHECKED_BYTES)
        unpacked.flush()
    except OSError as error:
        where = f"{tempfile.gettempdir()}, where it is unpacked (TMPDIR names another folder)"
        raise InputFailedError(Exit.IO_FAILED, f"{file}: {error.strerror}: {where}") from None
    return Contents(file, unpacked)


def _array(file: str, name: str, data: Any, start: int, end: int | None = None) -> Any:
    """Return the array whose header begins at a place of the data, and that ends at another."""
    try:
        return _read(data, start, end)
    except _BAD_HEADER as error:
        what = f'"{name}": ' if name else ""
        raise _broken(file, f"{what}{_said(error)}") from None


_BAD_HEADER = (
    ValueError,
    TypeError,
    EOFError,
    SyntaxError,
    RecursionError,
    MemoryError,
    OverflowError,
    tokenize.TokenError,
)
"""What NumPy raises for headers that are none."""


_BAD_MEMBER = (zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What reading a compressed member raises if it is damaged, or of a kind that is not read."""


def _said(error: BaseException) -> str:
    """Return what is wrong with a header, in a few words."""
    is_of_ours = type(error) in {ValueError, EOFError, *_BAD_MEMBER}
    return str(error).partition("\n")[0][:200] if is_of_ours else "its header is none of NumPy's"


def _layout(beginning: bytes, size: int, *, is_exact: bool) -> tuple[int, Any, bool, Any]:
    """Return where the numbers begin, their shape, order and type, or raise ValueError.

    `size` is that of header and numbers, which may be followed by others if it is not exact.
    """
    head = BytesIO(beginning.replace(_E5M2, _ONE_BYTE, 1))
    version = np.lib.format.read_magic(head)
    if version not in VERSIONS:
        raise ValueError(f"expected version 1.0, 2.0 or 3.0 of the format, got {version}")
    shape, is_fortran, dtype = VERSIONS[version](head)
    if not all(type(count) is int and count >= 0 for count in shape):
        raise ValueError(f"expected a shape of whole numbers, got {shape}")
    if dtype.hasobject:
        raise ValueError("got Python objects")
    wanted, got = math.prod(shape) * dtype.itemsize, size - head.tell()
    if wanted > got:
        raise ValueError(f"it breaks off: expected {wanted:,} bytes, got {got:,}")
    if is_exact and wanted < got:
        raise ValueError(f"expected {wanted:,} bytes by its header, got {got:,}")
    return head.tell(), shape, is_fortran, dtype


def _read(data: Any, start: int, end: int | None) -> Any:
    beginning = data[start : start + HEADER_BYTES]
    size = (len(data) if end is None else end) - start
    length, shape, is_fortran, dtype = _layout(beginning, size, is_exact=end is not None)
    place = start + length
    array: Any
    if isinstance(data, Contents) and not is_fortran:
        array = Stored(data, place, shape, dtype)
    else:
        # Rows of an array in the order of Fortran are scattered over all of it.
        size = math.prod(shape) * dtype.itemsize
        numbers: Any = (
            data[place : place + size] if isinstance(data, bytes) else np.empty(size, "u1")
        )
        if isinstance(data, Contents):
            data.read_into(numbers.data, place)
        array = np.ndarray(shape, dtype, numbers, order="F" if is_fortran else "C")
    if _E5M2 in beginning[:length]:
        return Packed(array.view(np.uint8), "float8_e5m2")
    return array
