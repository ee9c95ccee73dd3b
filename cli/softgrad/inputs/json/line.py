"""A line of JSON that is no single object in strict JSON, whose parts may arrive one by one."""

import json
from codecs import getincrementaldecoder

from softgrad.records import json_text
from softgrad.records.records import Records
from softgrad_core.errors import InputError

_DECODER = getincrementaldecoder("utf-8")


class LineReader:
    """Reads the objects of a line as soon as they are complete; what is damaged ends it.

    Memory holds one object. What comes after damage is skipped.
    """

    def __init__(self, number: int | None) -> None:
        self._number = number
        # Bytes that are not UTF-8 become lone surrogates; their object is refused when complete.
        self._decoder = _DECODER("surrogateescape")
        self._text = ""
        self._waiting: list[str] = []
        self._wanted_length = 0
        self._bytes_before = 0
        self._has_objects = self._is_damaged = False

    def read(self, records: Records, data: bytes, *, at_end: bool) -> None:
        """Add the records that the next part of the line completes."""
        if self._is_damaged:
            return
        self._waiting.append(self._decoder.decode(data, at_end))
        if not at_end and sum(map(len, self._waiting)) < self._wanted_length:
            return
        text = self._text + "".join(self._waiting)
        self._text, self._waiting = text.rstrip("\n") if at_end else text, []
        place = self._add_all(records, at_end=at_end)
        self._bytes_before += _size(self._text[:place])
        self._text = self._text[place:]
        # Text that is parsed again each time it has doubled is parsed twice on the whole.
        self._wanted_length = len(self._text)

    def _add_all(self, records: Records, *, at_end: bool) -> int:
        """Add the records that are complete; return where the text goes on after them."""
        text, place = self._text, 0
        while (start := json_text.skip_blank(text, place)) < len(text):
            place = start
            try:
                value, end = json_text.decode(text, place)
                following = json_text.skip_blank(text, end)
                if not isinstance(value, dict):
                    if following == len(text) and not at_end:
                        return place
                    if self._has_objects or following < len(text):
                        raise json.JSONDecodeError("Expecting an object", text, place)
            except json.JSONDecodeError as error:
                if not at_end and not json_text.is_final(error):
                    return place
                self._refuse(records, self._error_of(error, place))
                return len(text)
            except InputError as error:
                self._refuse(records, error)
                return len(text)
            self._add(records, text[place:end], value, place)
            place = following
        return place

    def _add(self, records: Records, text: str, value: object, place: int) -> None:
        self._has_objects = True
        try:
            records.add(self._number, json_text.as_one_line(text), value)
        except UnicodeEncodeError:
            bad = self._bad_byte(place, place + len(text))
            records.add_unreadable(self._number, bad or InputError("invalid-utf-8", "not UTF-8"))

    def _refuse(self, records: Records, error: InputError) -> None:
        records.add_unreadable(self._number, error)
        self._is_damaged = True

    def _error_of(self, error: json.JSONDecodeError, place: int) -> InputError:
        """Return the error of the record at a place: a bad byte before or after it, or that."""
        bad = self._bad_byte(place, error.pos + json_text.EXCERPT)
        return bad or json_text.as_input_error(error, place, self._number or 0)

    def _bad_byte(self, start: int, end: int) -> InputError | None:
        """Return the error of the first byte in a part of the text that is not UTF-8, if any."""
        part = self._text[start:end]
        try:
            part.encode()
        except UnicodeEncodeError as error:
            place = self._bytes_before + _size(self._text[: start + error.start])
            hint = "; UTF-16, perhaps? Save it as UTF-8" if "\0" in part else ""
            byte = f"byte {place + 1} of the line, 0x{ord(part[error.start]) & 0xFF:02X}"
            return InputError("invalid-utf-8", f"{byte}, is not UTF-8{hint}")
        return None


def _size(text: str) -> int:
    """Return how many bytes a text had."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogateescape"))
