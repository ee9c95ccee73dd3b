"""Bytes -> blocks of located records. What a source holds is told by how it begins.

A source whose first line is one whole value is JSON Lines: each line stands alone. Otherwise it
holds values in any layout: one object, an array of records, or values one after another.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import cast

from softgrad.pipeline import Block
from softgrad.readers.json_lines import read_lines
from softgrad.readers.json_values import begins_in_lines, read_values
from softgrad.readers.stream import BLOCK_BYTES, BlockStream
from softgrad.records import Records
from softgrad_core.errors import InputError

STANDARD_INPUT = "-"

_OF_ARRAYS = "arrays are read from files whose names end in .npy or .npz"
NO_JSON = {
    b"\x93NUMPY": ("arrays-as-json", f"NumPy arrays; {_OF_ARRAYS}"),
    b"PK\x03\x04": ("arrays-as-json", f"a ZIP archive, as .npz and .pt are; {_OF_ARRAYS}"),
    b"\x1f\x8b": ("compressed-json", "what gzip packed; unpack it: gunzip -c FILE | softgrad"),
}
"""How files begin that are no text, with the code of the error and what they are."""


def read(
    names: Sequence[str],
    failed: Callable[[str, OSError], None],
    advanced: Callable[[int], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Block]:
    """Yield the blocks of the named sources in order.

    `failed` is told of each source that could not be read, with the error, after which the next
    one is taken; `advanced` of the number of bytes of each block.
    """
    for name in names:
        try:
            if name == STANDARD_INPUT:
                yield from read_stream(standard_input(), "<stdin>", advanced, block_bytes)
            else:
                with Path(name).open("rb") as file:
                    yield from read_stream(file, name, advanced, block_bytes)
        except OSError as error:
            failed(name, error)


def standard_input() -> BufferedReader:
    """Return standard input, or raise OSError where the caller closed it."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return cast("BufferedReader", sys.stdin.buffer)


def read_stream(
    file: BufferedReader,
    source: str,
    advanced: Callable[[int], None],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Block]:
    """Yield the blocks of an open source."""
    stream = BlockStream(file, advanced, block_bytes)
    first_line = stream.first_line()
    for beginning, (code, what) in NO_JSON.items():
        if first_line.startswith(beginning):
            records = Records(source)
            records.add_unreadable(1, InputError(code, f"expected JSON, got {what}"))
            yield records
            return
    layout = read_lines if begins_in_lines(first_line) else read_values
    yield from layout(stream, source)
