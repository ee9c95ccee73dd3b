"""Records in any layout: objects over several lines, arrays of records, values in a row."""

import json
import re
from collections.abc import Iterator

from softgrad.inputs.json.stream import LINES_AND_OBJECTS, BlockStream
from softgrad.records import json_text
from softgrad.records.records import Records
from softgrad_core.errors import InputError

SHORT = 1 << 16
"""An incomplete value up to this length is parsed again with every block, so that it comes out as
soon as it is complete; a longer one each time its text has doubled."""

_ARRAY_OF_RECORDS = re.compile(r"\[[ \t\r\n]*[{\]]")
_UNDECIDED_ARRAY = re.compile(r"\[[ \t\r\n]*$")
_IN_STRING = r'"[^"\\\n]*(?:\\.[^"\\\n]*)*'
_TOKENS = re.compile(rf'{_IN_STRING}"|[\[\]{{}}]')
_TOKENS_SO_FAR = re.compile(rf'{_IN_STRING}(?:"|(?P<open>\\?\Z))|[\[\]{{}}]')
"""The same for text that goes on, and a string in it perhaps."""
_NEXT_AFTER_JUNK = re.compile(r"[\n{,\]]")


def begins_in_lines(line: bytes) -> bool:
    """Return whether a source with this first line is JSON Lines.

    It is not if the line begins an array, or an object that continues on the next line, or if an
    object follows another: there may be no second line.
    """
    if not line.startswith(b"{"):
        return not line.startswith(b"[")
    text = line.decode(errors="replace")
    try:
        _, end = json_text.decode(text, 0)
    except json.JSONDecodeError as error:
        return not json_text.breaks_off(error)
    except InputError:
        return True
    return not text.startswith("{", json_text.skip_blank(text, end))


def shows_layout(line: bytes) -> bool:
    """Return whether the beginning of a first line says already what its source is."""
    if not line.startswith(b"{"):
        return True
    try:
        json_text.decode(line.decode(errors="replace"), 0)
    except json.JSONDecodeError as error:
        return json_text.is_final(error)
    except InputError:
        pass
    return True


def read_values(stream: BlockStream, source: str) -> Iterator[Records]:
    """Yield the records as soon as they are complete; memory holds one record or one block."""
    reader = _ValueReader(source)
    while block := stream.take(LINES_AND_OBJECTS):
        records = reader.feed(block)
        records.size = len(block)
        yield records
    yield reader.finish()


class _ValueReader:
    """Holds the text that is not parsed yet, and knows what may come next."""

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
        """Return the records that this block completes."""
        # Bytes that are not UTF-8 become lone surrogates; their record is refused when complete.
        self._waiting.append(block.decode(errors="surrogateescape"))
        if sum(map(len, self._waiting)) < self._wanted_length:
            return Records(self._source)
        return self._read(at_end=False)

    def finish(self) -> Records:
        """Return the records that are left at the end of the source."""
        records = self._read(at_end=True)
        if self._in_array:
            reason = "not valid JSON: the array of records breaks off before its closing ]"
            records.add_unreadable(self._line, InputError("invalid-json", reason))
        return records

    def _read(self, *, at_end: bool) -> Records:
        # The text is kept from the start of a line, which shows the indent, unless it is long.
        start = self._text.rfind("\n", 0, self._place) + 1
        if self._place - start > SHORT:
            start = self._place
        self._text = self._text[start:] + "".join(self._waiting)
        self._place -= start
        self._waiting = []
        self._wanted_length = 0
        records = Records(self._source)
        while self._skip_to_value(at_end=at_end):
            try:
                value, end = json_text.decode(self._text, self._place)
            except json.JSONDecodeError as error:
                problem = None
                if at_end or json_text.is_final(error):
                    problem = json_text.as_input_error(error, self._place, self._line)
            except InputError as error:
                problem = error
            else:
                self._add(records, value, end)
                continue
            if problem is None or not self._refuse(records, problem, at_end=at_end):
                pending = len(self._text) - self._place
                self._wanted_length = pending if pending > SHORT else 0
                break
        return records

    def _skip_to_value(self, *, at_end: bool) -> bool:
        """Move to the next value; return False if the text so far has none."""
        while True:
            self._move(json_text.skip_blank(self._text, self._place))
            sign = self._text[self._place : self._place + 1]
            if self._in_array and sign == "]":
                self._in_array = False
            elif self._in_array and sign == "," and self._after_value:
                self._after_value = False
            elif not self._in_array and sign == "[":
                if not at_end and _UNDECIDED_ARRAY.match(self._text, self._place):
                    return False
                if not _ARRAY_OF_RECORDS.match(self._text, self._place):
                    return True
                self._in_array, self._after_value = True, False
            else:
                return bool(sign)
            self._move(self._place + 1)

    def _refuse(self, records: Records, error: InputError, *, at_end: bool) -> bool:
        """Refuse the value here, and move to where the next record may start.

        Return False, with nothing done, if the text so far does not show where that is.
        """
        end, is_between_values = self._end_of_damage(at_end=at_end)
        if end is None:
            if not at_end:
                return False
            end = len(self._text)
        records.add_unreadable(self._line, error)
        self._move(end)
        self._after_value = is_between_values
        return True

    def _end_of_damage(self, *, at_end: bool) -> tuple[int | None, bool]:
        """Return where to go on after what is not JSON, and whether a value ends there.

        That is where its brackets close, or at an earlier line that starts an object and is not
        indented further: then the record was cut off.
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
        tokens = _TOKENS if at_end else _TOKENS_SO_FAR
        for token in tokens.finditer(text, start, limit):
            if not at_end and token["open"] is not None:
                return None, False
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
