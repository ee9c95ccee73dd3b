"""JSON Lines -> records: each line stands alone, and a bad one harms no other."""

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
    """A block of lines that are still to be read; the first one has number `first`."""

    source: str
    first: int
    text: bytes | memoryview

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """Let the text go to other processes without being copied, where that is possible."""
        text = pickle.PickleBuffer(self.text) if int(protocol) >= 5 else bytes(self.text)
        return Lines, (self.source, self.first, text)

    @property
    def size(self) -> int:
        """How many bytes were read for it."""
        return len(self.text)

    def records(self) -> Records:
        """Return the records of the lines."""
        lines = bytes(self.text).split(b"\n")
        return parse_lines(lines if lines[-1] else lines[:-1], self.source, self.first)


def read_lines(stream: BlockStream, source: str) -> Iterator[Lines]:
    """Yield each block of lines."""
    first = 1
    while text := stream.take(LINES):
        yield Lines(source, first, text)
        first += text.count(b"\n")


def parse_lines(lines: list[bytes], source: str, first: int) -> Records:
    """Return the records of these lines, the first of which has number `first`."""
    try:
        values = list(map(orjson.loads, lines))
    except orjson.JSONDecodeError:
        pass
    else:
        texts = [line.strip() for line in lines]
        return Records(source, list(range(first, first + len(lines))), texts, values)

    records = Records(source)
    for number, line in enumerate(lines, first):
        try:
            records.add(number, line.strip(), orjson.loads(line))
        except orjson.JSONDecodeError:
            _add_odd_line(records, number, line)
    return records


def _add_odd_line(records: Records, number: int, line: bytes) -> None:
    """Add the records of a line that orjson refuses.

    Such a line is blank, or bad, or has what Python's json reads beyond orjson (the bare
    Infinity, numbers beyond float64), or holds several objects one after another.
    """
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
        reason = (
            f"byte {error.start + 1} of the line, 0x{line[error.start]:02X}, is not UTF-8{hint}"
        )
        records.add_unreadable(number, InputError("invalid-utf-8", reason))
    except json.JSONDecodeError as error:
        records.add_unreadable(number, json_text.as_input_error(error, place, number))
    except InputError as error:
        records.add_unreadable(number, error)
