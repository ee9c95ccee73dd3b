"""JSON Lines: each line stands alone, so that a bad line spoils no other."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, SupportsIndex

import orjson

from softgrad.inputs.json.line import LineReader
from softgrad.inputs.json.stream import BlockStream
from softgrad.records.records import Records


@dataclass(frozen=True, slots=True)
class Lines:
    """A block of lines that are not parsed yet; the first one has number `first`."""

    source: str
    first: int
    text: bytes | memoryview

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Let the text go to other processes without a copy, if the protocol can do that."""
        text = pickle.PickleBuffer(self.text) if int(protocol) >= 5 else bytes(self.text)
        return Lines, (self.source, self.first, text)

    @property
    def size(self) -> int:
        """How many bytes were read for it."""
        return len(self.text)

    def records(self) -> Records:
        """Return the records of the lines."""
        lines = bytes(self.text).split(b"\n")
        if not lines[-1]:
            lines.pop()
        numbers: list[int | None] = list(range(self.first, self.first + len(lines)))
        try:
            values = list(map(orjson.loads, lines))
        except orjson.JSONDecodeError:
            records = Records(self.source)
            for number, line in zip(numbers, lines, strict=True):
                _add_line(records, number, line)
            return records
        return Records(self.source, numbers, [line.strip() for line in lines], values)


def read_lines(stream: BlockStream, source: str) -> Iterator[Lines | Records]:
    """Yield each block of lines, and the records of a long line as soon as they are complete."""
    first = 1
    while text := stream.take_lines():
        if text.endswith(b"\n") or not (rest := stream.take_rest_of_line()):
            yield Lines(source, first, text)
            first += text.count(b"\n")
            continue
        reader = LineReader(first)
        for part, is_last in _with_last(text, rest, stream):
            records = Records(source, size=len(part))
            reader.read(records, part, at_end=is_last)
            yield records
        first += 1


def _with_last(text: bytes, rest: bytes, stream: BlockStream) -> Iterator[tuple[bytes, bool]]:
    """Yield the parts of a line, of which there are two already, and whether each is the last."""
    while rest:
        yield text, False
        text, rest = rest, b"" if rest.endswith(b"\n") else stream.take_rest_of_line()
    yield text, True


def _add_line(records: Records, number: int | None, line: bytes) -> None:
    """Add the records of a line.

    A line that orjson refuses and that is not blank is bad, or has what Python's json accepts
    beyond orjson (a bare Infinity, numbers beyond float64), or holds several objects.
    """
    if not line.strip(b" \t\r"):
        return
    try:
        records.add(number, line.strip(), orjson.loads(line))
    except orjson.JSONDecodeError:
        LineReader(number).read(records, line, at_end=True)
