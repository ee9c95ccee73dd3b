"""The sources of records, read in blocks.

A source whose first line is a whole value is JSON Lines; one whose first line has numbers, or names
of columns, is a table. Any other source may have one object, an array of records, or values one
after another, in any layout.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import cast

from softgrad.exits import Exit, StoppedError
from softgrad.inputs.arrays import SUFFIXES
from softgrad.inputs.change import Unchanged
from softgrad.inputs.json.layouts import begins_in_lines, read_values, shows_layout
from softgrad.inputs.json.lines import read_lines
from softgrad.inputs.json.stream import BLOCK_BYTES, BlockStream
from softgrad.inputs.tables import begins_table, read_table
from softgrad.records.records import Block, Records
from softgrad_core.errors import InputError

STANDARD_INPUT = "-"

_OF_ARRAYS = f"arrays are read from files whose names end in {', '.join(SUFFIXES)}"
NOT_JSON = {
    b"\x93NUMPY": ("arrays-as-json", f"NumPy arrays; {_OF_ARRAYS}"),
    b"PK\x03\x04": ("arrays-as-json", f"a ZIP archive, as .npz and .pt are; {_OF_ARRAYS}"),
    b"\x1f\x8b": ("compressed-json", "a gzip file; unpack it first: gunzip -c FILE | softgrad"),
}
"""The first bytes of files that are not text, with the code of the error and what they are."""


def read(
    names: Sequence[str],
    block_bytes: int = BLOCK_BYTES,
    columns: Mapping[str, str] = MappingProxyType({}),
    *,
    in_full_blocks: bool = False,
) -> Iterator[Block | OSError]:
    """Yield the blocks of the named sources in order, and an error for what cannot be read.

    `columns` has the names of those of a table that are not called what they hold. A block has
    what has arrived, or waits until it is full.
    """
    blocks = partial(
        read_stream, block_bytes=block_bytes, columns=columns, in_full_blocks=in_full_blocks
    )
    for name in names:
        try:
            if name == STANDARD_INPUT:
                yield from _read_whole(standard_input(), "<stdin>", blocks)
            else:
                with Path(name).open("rb") as file:
                    yield from _read_whole(file, name, blocks)
        except OSError as error:
            yield OSError(error.errno, error.strerror or str(error), name)


def _read_whole(
    file: BufferedReader, source: str, blocks: Callable[[BufferedReader, str], Iterator[Block]]
) -> Iterator[Block]:
    """Yield the blocks of an open source, or raise OSError if it changes while it is read."""
    unchanged = Unchanged(file)
    yield from blocks(file, source)
    if change := unchanged.broken_by():
        raise OSError(errno.ESTALE, change)


def standard_input() -> BufferedReader:
    """Return standard input, or raise OSError if the caller closed it."""
    if sys.stdin is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    # A process that shares the descriptor may have made it non-blocking, and then input that has
    # not arrived yet would look like its end.
    with suppress(AttributeError, OSError):
        os.set_blocking(sys.stdin.fileno(), True)
    return cast("BufferedReader", sys.stdin.buffer)


def read_stream(
    file: BufferedReader,
    source: str,
    block_bytes: int = BLOCK_BYTES,
    columns: Mapping[str, str] = MappingProxyType({}),
    *,
    in_full_blocks: bool = False,
) -> Iterator[Block]:
    """Yield the blocks of an open source."""
    stream = BlockStream(file, block_bytes, are_full=in_full_blocks)
    first_line = stream.first_line(shows_layout)
    for beginning, (code, what) in NOT_JSON.items():
        if first_line.startswith(beginning):
            records = Records(source)
            records.add_unreadable(1, InputError(code, f"expected JSON, got {what}"))
            yield records
            return
    if begins_table(first_line):
        yield from read_table(stream, source, columns)
        return
    if columns:
        what = f"--map is for arrays and tables, and {source} has JSON; jq renames its fields: "
        what += "jq -c '.logits = .NAME'"
        raise StoppedError(Exit.USAGE, what)
    layout = read_lines if begins_in_lines(first_line) else read_values
    yield from layout(stream, source)
