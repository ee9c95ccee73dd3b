"""Files of arrays, .npy and .npz, mapped into memory so that they are read as they are used."""

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
"""The length of a ZIP member's header, without the name and the extra field that follow it."""


class ArrayFile:
    """The arrays of a .npy or .npz file, by name.

    They are mapped, not held in memory, except for compressed members of a .npz, which are read
    whole when they are asked for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._file = Path(name).open("rb")  # noqa: SIM115 - it stays open as long as this is used
        try:
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:
            raise self._broken("it is empty") from None
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
            raise self._broken("it is not a .npz file") from None

    @property
    def names(self) -> Sequence[str]:
        """The names of the arrays."""
        return list(self._places)

    def array(self, name: str) -> Array:
        """Return an array, mapped if it can be."""
        start = self._places[name]
        try:
            if start is None:
                with np.load(self.name) as archive:
                    return np.asarray(archive[name])
            return self._mapped(start)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            what = f'"{name}": ' if name else ""
            raise self._broken(f"{what}{error}") from None

    def release(self) -> None:
        """Give back the memory of what was read, which would otherwise count as used."""
        with suppress(AttributeError, OSError):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _broken(self, reason: str) -> StoppedError:
        return StoppedError(Exit.IO_FAILED, f"{self.name}: expected NumPy arrays: {reason}")

    def _start(self, info: zipfile.ZipInfo) -> int | None:
        """Return where the data of a member begins; None if it is compressed."""
        if info.compress_type != zipfile.ZIP_STORED:
            return None
        header = self._map[info.header_offset : info.header_offset + LOCAL_HEADER_BYTES]
        lengths = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))
        return info.header_offset + LOCAL_HEADER_BYTES + sum(lengths)

    def _mapped(self, start: int) -> Array:
        # NumPy accepts no header that is longer than this.
        head = BytesIO(self._map[start : start + (1 << 16)])
        read = np.lib.format.read_array_header_2_0
        if np.lib.format.read_magic(head) == (1, 0):
            read = np.lib.format.read_array_header_1_0
        shape, is_fortran, dtype = read(head)
        place = start + head.tell()
        if dtype.hasobject:
            raise ValueError("got Python objects")
        wanted, got = math.prod(shape) * dtype.itemsize, len(self._map) - place
        if wanted > got:
            raise ValueError(f"it breaks off: expected {wanted:,} bytes, got {got:,}")
        order: Any = "F" if is_fortran else "C"
        return np.ndarray(shape, dtype, self._map, place, order=order)
