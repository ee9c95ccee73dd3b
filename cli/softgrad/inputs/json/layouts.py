"""JSON values in any layout -> records: objects over several lines, arrays, one after another."""

import json
import re
from collections.abc import Iterator

from softgrad.inputs.json.stream import LINES_AND_OBJECTS, BlockStream
from softgrad.records import json_text
from softgrad.records.records import Records
from softgrad_core.errors import InputError

# A value that is not complete is tried again with each block while it is short, so that it comes
# out as soon as it can, and after that each time its text has doubled.
SHORT = 1 << 16

_ARRAY_OF_RECORDS = re.compile(r"\[[ \t\r\n]*[{\]]")
_UNDECIDED_ARRAY = re.compile(r"\[[ \t\r\n]*$")
_BRACKETS_AND_STRINGS = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"|[\[\]{}]')
_NEXT_AFTER_JUNK = re.compile(r"[\n{,\]]")


def begins_in_lines(line: bytes) -> bool:
    """Return whether a source with this first line is JSON Lines.

    It is not where the line begins an array, or an object that goes on after the line.
    """
    if not line.startswith(b"{"):
        return not line.startswith(b"[")
    try:
        json_text.decode(line.decode(errors="replace"), 0)
    except json.JSONDecodeError as error:
        return not json_text.breaks_off(error)
    except InputError:
        return True
    return True


def read_values(stream: BlockStream, source: str) -> Iterator[Records]:
    """Yield the records as soon as they are complete; memory holds one of them, or one block."""
    reader = _ValueReader(source)
    while block := stream.take(LINES_AND_OBJECTS):
        records = reader.feed(block)
        records.size = len(block)
        yield records
    yield reader.finish()


class _ValueReader:
    """The text that has come and is not yet read, and what is expected next."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._text = ""
        self._place = 0
        self._line = 1
        self._in_array = False
        self._after_value = False
        self._waiting: list[str] = []
        self._wanted_length = 0

    def feed(self, block: bytes) -> Records:
        """Return the records that are complete with this block."""
        # Bytes that are not UTF-8 become lone surrogates; their record is refused when complete.
        self._waiting.append(block.decode(errors="surrogateescape"))
        if sum(map(len, self._waiting)) < self._wanted_length:
            return Records(self._source)
        self._join()
        return self._read(at_end=False)

    def finish(self) -> Records:
        """Return the records that are left at the end of the source."""
        self._join()
        records = self._read(at_end=True)
        if self._in_array:
            reason = "not valid JSON: the array of records breaks off before its closing ]"
            records.add_unreadable(self._line, InputError("invalid-json", reason))
        return records

    def _join(self) -> None:
        # The line is kept from its start, which tells how far it is indented, unless it is long.
        start = self._text.rfind("\n", 0, self._place) + 1
        if self._place - start > SHORT:
            start = self._place
        self._text = self._text[start:] + "".join(self._waiting)
        self._place -= start
        self._waiting = []

    def _read(self, *, at_end: bool) -> Records:
        records = Records(self._source)
        self._wanted_length = 0
        while self._skip_to_value(at_end=at_end):
            try:
                value, end = json_text.decode(self._text, self._place)
            except json.JSONDecodeError as error:
                if at_end or not self._may_go_on(error):
                    refusal = json_text.as_input_error(error, self._place, self._line)
                    if self._refuse(records, refusal, at_end=at_end):
                        continue
            except InputError as error:
                if self._refuse(records, error, at_end=at_end):
                    continue
            else:
                self._add(records, value, end)
                continue
            pending = len(self._text) - self._place
            self._wanted_length = pending if pending > SHORT else 0
            break
        return records

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Return whether more text may make the value complete."""
        cut_string = error.msg.startswith("Unterminated") and "\n" not in self._text[error.pos :]
        return cut_string or json_text.breaks_off(error)

    def _skip_to_value(self, *, at_end: bool) -> bool:
        """Move to the next value; return False where there is none in the text so far."""
        while sign := self._next_sign():
            if self._in_array:
                if sign == "]":
                    self._in_array = False
                elif sign == "," and self._after_value:
                    self._after_value = False
                else:
                    return True
            else:
                if sign != "[":
                    return True
                if not at_end and _UNDECIDED_ARRAY.match(self._text, self._place):
                    return False
                if not self._enter_array():
                    return True
            self._move(self._place + 1)
        return False

    def _next_sign(self) -> str:
        """Move over white space; return the character there, or nothing at the end."""
        self._move(json_text.skip_blank(self._text, self._place))
        return self._text[self._place : self._place + 1]

    def _enter_array(self) -> bool:
        """Return whether the array that begins here is one of records, and be in it if so."""
        start = _ARRAY_OF_RECORDS.match(self._text, self._place)
        self._in_array = start is not None
        self._after_value = False
        return self._in_array

    def _refuse(self, records: Records, error: InputError, *, at_end: bool) -> bool:
        """Refuse what stands here and move to where the next record may be found.

        Return False, with nothing done, where that is not to be seen in the text so far.
        """
        end, is_between_values = self._end_of_damage()
        if end is None:
            if not at_end:
                return False
            end = len(self._text)
        records.add_unreadable(self._line, error)
        self._move(end)
        self._after_value = is_between_values
        return True

    def _end_of_damage(self) -> tuple[int | None, bool]:
        """Return where to go on after what is not JSON, and whether a value ends there.

        That is where its brackets close, or before, at a line that begins an object and is
        indented no more: then the record was cut off.
        """
        text, start = self._text, self._place
        if text[start] not in "{[":
            junk = _NEXT_AFTER_JUNK.search(text, start + 1)
            return (junk.start() if junk else None), True
        line_start = text.rfind("\n", 0, start) + 1
        indent = json_text.skip_blank(text, line_start) - line_start
        next_record = re.compile(rf"^[ \t]{{0,{indent}}}(?=\{{)", re.MULTILINE)
        found = next_record.search(text, text.find("\n", start) + 1 or len(text))
        limit = found.end() if found else len(text)
        depth = 0
        for token in _BRACKETS_AND_STRINGS.finditer(text, start, limit):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if depth == 0:
                return token.end(), True
        return (limit if found else None), False

    def _add(self, records: Records, value: object, end: int) -> None:
        try:
            text = json_text.as_one_line(self._text[self._place : end])
            records.add(self._line, text, value)
        except UnicodeEncodeError as error:
            byte = ord(error.object[error.start]) & 0xFF
            reason = f"byte 0x{byte:02X} in the record is not UTF-8"
            records.add_unreadable(self._line, InputError("invalid-utf-8", reason))
        self._move(end)
        self._after_value = True

    def _move(self, place: int) -> None:
        self._line += self._text.count("\n", self._place, place)
        self._place = place
