"""Arrays in files: .npy and .npz are mapped and read as they are used, .npz is written in place."""

import math
import mmap
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad.exits import Exit, StoppedError

Array = npt.NDArray[Any]

ALONE = ""
"""The name of the only array of a .npy file."""

LOCAL_HEADER_BYTES = 30
"""Of a member of a ZIP file, before its name and its extra field, whose lengths end it."""


class ArrayFile:
    """The arrays of a .npy or .npz file, by name; memory holds none of them.

    A member of a .npz that is compressed cannot be mapped: it is read whole when it is asked for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._file = Path(name).open("rb")  # noqa: SIM115 - it stays open as long as this is used
        try:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise self.broken("it is empty") from None
        if name.endswith(".npy"):
            self._places: dict[str, int | None] = {ALONE: 0}
            return
        try:
            with zipfile.ZipFile(name) as archive:
                self._places = {
                    info.filename.removesuffix(".npy"): self._start(info)
                    for info in archive.infolist()
                    if info.filename.endswith(".npy")
                }
        except zipfile.BadZipFile:
            raise self.broken("it is no .npz file") from None

    @property
    def names(self) -> Sequence[str]:
        """The names of the arrays."""
        return list(self._places)

    def array(self, name: str) -> Array:
        """Return an array, mapped where that can be."""
        start = self._places[name]
        try:
            if start is None:
                with np.load(self.name) as archive:
                    return np.asarray(archive[name])
            return self._mapped(start)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            what = f'"{name}": ' if name else ""
            raise self.broken(f"{what}{error}") from None

    def release(self) -> None:
        """Let go of what was read, which would otherwise be counted as memory in use."""
        with suppress(AttributeError, OSError):
            self._map.madvise(mmap.MADV_DONTNEED)

    def broken(self, reason: str) -> StoppedError:
        """Return the error of a file that holds no such arrays."""
        return StoppedError(Exit.IO_FAILED, f"{self.name}: expected NumPy arrays: {reason}")

    def _start(self, info: zipfile.ZipInfo) -> int | None:
        """Return where a member begins; None where it is compressed."""
        if info.compress_type != zipfile.ZIP_STORED:
            return None
        header = self._map[info.header_offset : info.header_offset + LOCAL_HEADER_BYTES]
        lengths = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))
        return info.header_offset + LOCAL_HEADER_BYTES + sum(lengths)

    def _mapped(self, start: int) -> Array:
        # Headers are short; this many bytes hold any that NumPy itself accepts.
        head = BytesIO(self._map[start : start + (1 << 16)])
        version = np.lib.format.read_magic(head)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        shape, is_fortran, dtype = read(head)
        place = start + head.tell()
        if dtype.hasobject:
            raise ValueError("got Python objects")
        wanted = math.prod(shape) * dtype.itemsize
        if place + wanted > len(self._map):
            raise ValueError(f"it breaks off: {wanted:,} bytes, got {len(self._map) - place:,}")
        order: Any = "F" if is_fortran else "C"
        return np.ndarray(shape, dtype, self._map, place, order=order)
