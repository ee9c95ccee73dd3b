"""A .npz file whose arrays are written side by side, block by block."""

import math
import os
import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

Shapes = Mapping[str, tuple[tuple[int, ...], Any]]
"""The shapes and types of arrays, by name."""


class NpzFile:
    """A .npz file whose arrays grow side by side.

    Their sizes are known, so each has its place from the start. Checksums are filled in at the
    end.
    """

    def __init__(self, file: BinaryIO, arrays: Shapes) -> None:
        self._file = file
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._places: dict[str, int] = {}
        place = 0
        for name, (shape, dtype) in arrays.items():
            head = BytesIO()
            description = np.lib.format.dtype_to_descr(np.dtype(dtype))
            np.lib.format.write_array_header_1_0(
                head, {"descr": description, "fortran_order": False, "shape": shape}
            )
            info = zipfile.ZipInfo(f"{name}.npy")
            info.external_attr = 0o600 << 16
            info.header_offset = place
            info.CRC = 0
            size = head.tell() + math.prod(shape) * np.dtype(dtype).itemsize
            info.file_size = info.compress_size = size
            self._members[name] = info
            self._places[name] = place + len(info.FileHeader(zip64=True))
            place = self._places[name] + size
            self.write(name, head.getvalue())

    def write(self, name: str, data: Array | bytes) -> None:
        """Write what comes next in an array."""
        buffer = memoryview(data).cast("B") if isinstance(data, bytes) else bytes_of(data)
        info = self._members[name]
        self._file.seek(self._places[name])
        self._file.write(buffer)
        info.CRC = zlib.crc32(buffer, info.CRC)
        self._places[name] += len(buffer)

    def close(self) -> None:
        """Write the headers, which tell the checksums, and the directory."""
        for info in self._members.values():
            self._file.seek(info.header_offset)
            self._file.write(info.FileHeader(zip64=True))
        self._file.seek(0, os.SEEK_END)
        with zipfile.ZipFile(self._file, "a") as archive:
            for info in self._members.values():
                archive.filelist.append(info)
                archive.NameToInfo[info.filename] = info
            # What marks the directory as one to be written.
            archive.comment = b""


def bytes_of(data: Array) -> memoryview:
    """Return the bytes of an array."""
    return np.ascontiguousarray(data).reshape(-1).view(np.uint8).data
