"""JSON as text: reading what orjson refuses, and edits that keep the other bytes as they are."""

import json
import math
import re
import sys
from collections.abc import Container, Iterator

from softgrad.messages import printable
from softgrad_core.errors import InputError, shortened
from softgrad_core.loss.logits import OutOfRange

MOST_DIGITS = 400
"""A longer whole number is outside float64 anyway; beyond 4,300 digits Python refuses it."""

EXCERPT = 24
"""How many characters of a text a message shows."""

_BLANK = re.compile(r"[ \t\n\r]*")
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_BETWEEN_TOKENS = re.compile(rf"({_STRING})|[ \t\n\r]+")
_CONSTANT = re.compile(rf"({_STRING})|(-?Infinity|NaN)")

# json edits what orjson has read, so it must read text that is nested as deeply.
ORJSON_NESTING = 1024
sys.setrecursionlimit(max(sys.getrecursionlimit(), 3 * ORJSON_NESTING))


def _parse_float(digits: str) -> float | OutOfRange:
    value = float(digits)
    return value if math.isfinite(value) else OutOfRange(digits)


def _parse_int(digits: str) -> int | OutOfRange:
    return int(digits) if len(digits) <= MOST_DIGITS else OutOfRange(digits)


_DECODER = json.JSONDecoder(parse_float=_parse_float, parse_int=_parse_int)


def skip_blank(text: str, start: int) -> int:
    """Return the place of the first character from `start` on that is not white space."""
    blank = _BLANK.match(text, start)
    return blank.end() if blank else start


def decode(text: str, start: int) -> tuple[object, int]:
    """Return the value that starts at `start`, and where it ends.

    Python's bare NaN and Infinity are accepted. Raises json.JSONDecodeError, or InputError if
    the value is nested too deeply.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError:
        raise InputError("nested-too-deeply", "the record is nested too deeply to read") from None


def breaks_off(error: json.JSONDecodeError) -> bool:
    """Return whether the text ended too early, rather than being wrong before its end."""
    return error.pos >= len(error.doc.rstrip())


def is_final(error: json.JSONDecodeError) -> bool:
    """Return whether more text would change neither the error nor what a message shows of it."""
    if error.msg.startswith("Unterminated"):
        # A string goes on unless its line has ended.
        return "\n" in error.doc[error.pos :]
    following = error.doc[error.pos : error.pos + EXCERPT + 1]
    return not breaks_off(error) and ("\n" in following or len(following) > EXCERPT)


def as_input_error(error: json.JSONDecodeError, start: int, line: int) -> InputError:
    """Return the error of a record that starts at `start` of the text, on this line."""
    text, place = error.doc, min(error.pos, len(error.doc.rstrip()))
    line_start = text.rfind("\n", start, place) + 1 or start
    where = f"column {place - line_start + 1}"
    if line_start > start:
        where = f"line {line + text.count(chr(10), start, place)}, {where}"
    found = text[place : place + 1]
    if place == start and found not in ("{", "["):
        example = '{"logits": [2.0, 1.0, 0.1], "target": 0}'
        reason = f"expected an object such as {example}, got {excerpt(text[start:])}"
    elif error.msg.startswith("Unterminated string"):
        reason = f"the record breaks off in the string that begins at {where}"
    elif breaks_off(error):
        reason = f"the record breaks off at {where}"
    elif found == "'":
        reason = f"{where}: expected double quotes, got a single one"
    else:
        reason = f"{where}: {error.msg[:1].lower()}{error.msg[1:]}, got {excerpt(text[place:])}"
    return InputError("invalid-json", f"not valid JSON: {reason}")


def excerpt(text: str, limit: int = EXCERPT) -> str:
    """Return the beginning of the first line of `text`, as it can be shown in a message."""
    line = text[: limit + 1].partition("\n")[0].rstrip("\r")
    return printable(shortened(line, limit))


def as_one_line(text: str) -> bytes:
    """Return a JSON text on one line, as strict JSON in UTF-8: a bare NaN becomes a string."""
    if "\n" in text:
        text = _BETWEEN_TOKENS.sub(r"\1", text)
    return _CONSTANT.sub(lambda match: match[1] or f'"{match[2]}"', text).encode()


def members(text: str) -> Iterator[tuple[str, str]]:
    """Yield the key and the text of each member of an object, given as valid JSON."""
    place = skip_blank(text, text.index("{") + 1)
    while text[place] != "}":
        key, key_end = _DECODER.raw_decode(text, place)
        colon = skip_blank(text, key_end)
        _, end = _DECODER.raw_decode(text, skip_blank(text, colon + 1))
        yield key, text[place:end]
        place = skip_blank(text, end)
        if text[place] == ",":
            place = skip_blank(text, place + 1)


def without(text: str, keys: Container[str]) -> str:
    """Return the text of an object without its members of these keys."""
    return f"{{{','.join(member for key, member in members(text) if key not in keys)}}}"
