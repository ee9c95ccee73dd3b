"""The bytes of a file, and the arrays in it, of which a part is read when it is looked at.

Files are not mapped into memory: a mapped file that is cut short ends the process with SIGBUS.
"""

import math
import os
import stat
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from softgrad.exits import Exit, InputFailedError
from softgrad.inputs.change import Unchanged

Array = npt.NDArray[Any]


class Contents:
    """The bytes of an open file, which any thread may read at any place.

    Its methods raise InputFailedError if the file cannot be read, or is not what it was when it was
    opened.
    """

    def __init__(self, name: str, file: BinaryIO | None = None) -> None:
        self.file = file or Path(name).open("rb", buffering=0)  # noqa: SIM115 - open as long as this
        self.name = name
        self._unchanged = Unchanged(self.file)
        self._lock = Lock()
        state = os.fstat(self.file.fileno())
        self._size = state.st_size
        if not self._size:
            what = "it is empty" if stat.S_ISREG(state.st_mode) else "it is no regular file"
            raise InputFailedError(Exit.IO_FAILED, f"{name}: expected arrays: {what}")

    def __del__(self) -> None:
        # Results of many files are written in one run: none may stay open.
        if hasattr(self, "file"):
            self.file.close()

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(self._size)
        data = bytearray(max(0, stop - start))
        self.read_into(memoryview(data), start)
        return bytes(data)

    def read_into(self, buffer: memoryview, place: int) -> None:
        """Fill a buffer with the bytes from a place on."""
        done = 0
        while done < len(buffer):
            try:
                count = self._read(buffer[done:], place + done)
            except OSError as error:
                why = error.strerror or str(error)
                raise InputFailedError(Exit.IO_FAILED, f"{self.name}: {why}") from None
            if not count:
                self.check()
                raise InputFailedError(Exit.IO_FAILED, f"{self.name}: it breaks off")
            done += count

    def check(self) -> None:
        """Raise InputFailedError if the file was changed since it was opened."""
        if change := self._unchanged.broken_by():
            raise InputFailedError(Exit.IO_FAILED, f"{self.name}: {change}")

    def _read(self, buffer: memoryview, place: int) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self.file.fileno(), [buffer], place)
        with self._lock:
            self.file.seek(place)
            return int(self.file.readinto(buffer))  # type: ignore[attr-defined]


class Stored:
    """An array in a file, in the order of C, of which a part is read when it is looked at."""

    def __init__(self, contents: Contents, place: int, shape: tuple[int, ...], dtype: Any) -> None:
        self._contents = contents
        self._place = place
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.shape = tuple(shape)
        self.ndim, self.size = len(shape), math.prod(shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Array:
        if rows is ...:
            return self._read(0, self.shape)
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            count = max(0, stop - start)
            return self._read(start, (count, *self.shape[1:]))[::step]
        if isinstance(rows, int | np.integer):
            row: Array = self[rows : rows + 1][0]
            return row
        wanted = np.arange(len(self))[rows]
        parts = [self[row : row + 1] for row in wanted.tolist()]
        return np.concatenate([self[:0], *parts])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return all of it."""
        return self[...] if dtype is None else self[...].astype(dtype, copy=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Let all of it go to other machines, which do not have the file."""
        return np.asarray, (self[...],)

    def reshape(self, *shape: Any) -> "Stored":
        """Return the same numbers in another shape, of which one length may be -1."""
        lengths = shape[0] if isinstance(shape[0], tuple) else shape
        known = math.prod(length for length in lengths if length != -1)
        whole = tuple(self.size // known if length == -1 else length for length in lengths)
        return Stored(self._contents, self._place, whole, self.dtype)

    def view(self, dtype: Any) -> "Stored":
        """Return the same bits as numbers of another type of the same size."""
        return Stored(self._contents, self._place, self.shape, dtype)

    def _read(self, row: int, shape: tuple[int, ...]) -> Array:
        """Return an array of this shape, which begins at a row."""
        array = np.empty(shape, self.dtype)
        if array.size:
            place = self._place + row * math.prod(shape[1:]) * self.dtype.itemsize
            self._contents.read_into(array.reshape(-1).view(np.uint8).data, place)
        return array
