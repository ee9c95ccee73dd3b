"""JSON Lines: each line stands alone, so that a bad line spoils no other."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, SupportsIndex

import orjson

from softgrad.inputs.json.stream import LINES, BlockStream
from softgrad.records import json_text
from softgrad.records.records import Records
from softgrad_core.errors import InputError


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


def read_lines(stream: BlockStream, source: str) -> Iterator[Lines]:
    """Yield each block of lines."""
    first = 1
    while text := stream.take(LINES):
        yield Lines(source, first, text)
        first += text.count(b"\n")


def _add_line(records: Records, number: int | None, line: bytes) -> None:
    """Add the records of a line.

    A line that orjson refuses is blank, or bad, or has what Python's json accepts beyond orjson
    (a bare Infinity, numbers beyond float64), or holds several objects.
    """
    try:
        records.add(number, line.strip(), orjson.loads(line))
    except orjson.JSONDecodeError:
        pass
    else:
        return
    place = 0
    try:
        text = line.decode().strip(" \t\r")
        while place < len(text):
            value, end = json_text.decode(text, place)
            following = json_text.skip_blank(text, end)
            if not isinstance(value, dict) and (place or following < len(text)):
                raise json.JSONDecodeError("Expecting an object", text, place)
            records.add(number, json_text.as_one_line(text[place:end]), value)
            place = following
    except UnicodeDecodeError as error:
        hint = "; UTF-16, perhaps? Save it as UTF-8" if b"\0" in line else ""
        byte = f"byte {error.start + 1} of the line, 0x{line[error.start]:02X}"
        error_of_line = InputError("invalid-utf-8", f"{byte}, is not UTF-8{hint}")
        records.add_unreadable(number, error_of_line)
    except json.JSONDecodeError as error:
        records.add_unreadable(number, json_text.as_input_error(error, place, number or 0))
    except InputError as error:
        records.add_unreadable(number, error)
