"""Lines of numbers, and CSV with a header: each line is a record with logits, and a target if any.

A column "loss" is the claimed loss; --map says which columns are other claims.

Nothing is guessed: a line with two readings, and a column that may be no logit, are rejected with
what to say instead.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from softgrad.exits import UsageError
from softgrad.inputs.json.stream import LINES, BlockStream
from softgrad.inputs.numbers import NUMBER, is_number_list, parse_numbers, with_two_readings
from softgrad.records.fields import CLAIMS, CLASSES, LOGITS, LOSS, LOSSES, TARGET
from softgrad.records.records import Records, json_number
from softgrad_core.errors import InputError, shortened

TARGETS = ("target", "targets", "label", "labels", "class", "y")
"""The names by which the column of the target is known."""

NO_LOGITS = re.compile(
    r"|id|idx|index|row|name|weight|split|date|time|unnamed.*|probs?.*|p_?\d*|.*grad.*",
    re.IGNORECASE,
)
"""The names of columns that hardly hold logits."""

_DELIMITERS = "\t;,"
_PLAIN_DIGITS = re.compile(r"[+-]?(?:0|[1-9]\d*)(?:\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a CSV file: how cells are told apart, and which cell of a row is what."""

    delimiter: str
    count: int
    logits: Mapping[int, str]
    target: int | None
    claims: Mapping[str, Mapping[int, str]]


@dataclass(frozen=True, slots=True)
class TableLines:
    """A block of lines that are not read yet; the first one has number `first`."""

    source: str
    first: int
    text: bytes
    columns: Columns | None

    @property
    def size(self) -> int:
        """How many bytes were read for it."""
        return len(self.text)

    def records(self) -> Records:
        """Return the records of the lines."""
        records = Records(self.source)
        read = _read_numbers if self.columns is None else partial(_read_row, self.columns)
        for number, line in enumerate(self.text.split(b"\n"), self.first):
            if not (text := line.decode(errors="replace").strip()):
                continue
            try:
                value = read(text)
                logits = [json_number(logit) for logit in value[LOGITS]]
                record = orjson.dumps(value | {LOGITS: logits})
                if self.columns is not None and self.columns.claims:
                    record, value = _with_claims(record, value, self.columns, text)
            except (InputError, UsageError) as error:
                code = getattr(error, "code", "not-a-row")
                records.add_unreadable(number, InputError(code, str(error)))
                continue
            records.add(number, record, value)
        return records


def begins_table(first_line: bytes) -> bool:
    """Return whether a source has numbers, or names of columns, in its first line."""
    if first_line.lstrip()[:1] in {b"[", b"{", b""}:
        return False
    text = first_line.decode(errors="replace").strip()
    if not text or "\ufffd" in text:
        return False
    # A number alone is no row.
    return (is_number_list(text) and not NUMBER.fullmatch(text)) or _is_header(text)


def read_table(
    stream: BlockStream, source: str, names: Mapping[str, str]
) -> Iterator[TableLines | Records]:
    """Yield each block of lines; `names` are those of columns by what they hold."""
    header = stream.first_line().decode(errors="replace").strip()
    columns, first = None, 1
    if not is_number_list(header):
        try:
            columns = _columns(header, names)
        except InputError as error:
            records = Records(source)
            records.add_unreadable(1, error)
            yield records
            return
    has_rows = has_begun = columns is None
    while text := stream.take(LINES):
        if not has_begun:
            # The header, and blank lines before it, are no rows.
            has_begun = not text.isspace()
            above, _, text = text.partition(header.encode())
            first += above.count(b"\n")
        has_rows = has_rows or bool(text.strip())
        yield TableLines(source, first, text, columns)
        first += text.count(b"\n")
    if not has_rows:
        records = Records(source)
        reason = f'expected JSON, or a table with rows below its header, got "{shortened(header)}"'
        records.add_unreadable(1, InputError("no-rows", reason))
        yield records


def _is_header(text: str) -> bool:
    """Return whether a line has names of columns, and nothing that JSON has."""
    try:
        cells = _cells(text, _delimiter(text))
    except InputError:
        return False
    plain = not re.search(r"[{}:]|^\s*\[", text)
    return len(cells) > 1 and plain and not any(map(NUMBER.fullmatch, cells))


def _delimiter(text: str) -> str:
    return next((mark for mark in _DELIMITERS if mark in text), ",")


def _cells(text: str, delimiter: str) -> list[str]:
    import csv  # Most sources are JSON.

    try:
        [cells] = csv.reader([text], delimiter=delimiter, skipinitialspace=True)
    except (csv.Error, ValueError) as error:
        raise InputError("not-a-row", f"expected a row of CSV: {error}") from None
    return [cell.strip() for cell in cells]


def _columns(header: str, names: Mapping[str, str]) -> Columns:
    """Return what the columns of a header hold, or raise InputError."""
    delimiter = _delimiter(header)
    cells = _cells(header, delimiter)

    def place(name: str) -> int:
        if name not in cells:
            raise InputError("column-missing", f'expected a column "{name}", got {header}')
        return cells.index(name)

    targets = [cell for cell in cells if cell.lower() in TARGETS]
    if TARGET in names:
        targets = [names[TARGET]]
    if len(targets) > 1:
        got = " and ".join(f'"{target}"' for target in targets)
        raise InputError("column-twice", f"expected one column for the target, got {got}")
    target = place(targets[0]) if targets else None
    claimed = {name: names[name] for name in CLAIMS if name in names}
    if LOSS in cells and LOGITS not in names:
        claimed.setdefault(LOSS, LOSS)
    claims = {
        name: {place(cell): cell for cell in text.split("+")} for name, text in claimed.items()
    }
    taken = {target}.union(*claims.values())
    if LOGITS in names:
        chosen = list(map(place, names[LOGITS].split("+")))
    else:
        chosen = [number for number in range(len(cells)) if number not in taken]
        for number in chosen:
            if NO_LOGITS.fullmatch(cells[number]):
                others = [cells[n] for n in chosen if not NO_LOGITS.fullmatch(cells[n])]
                hint = f"--map {LOGITS}={'+'.join(others) or 'A+B+C'}"
                got = f'got "{shortened(cells[number])}"; say which they are: {hint}'
                raise InputError("column-of-no-logits", f"expected columns of logits, {got}")
    logits = {number: cells[number] for number in chosen}
    return Columns(delimiter, len(cells), logits, target, claims)


def _read_row(columns: Columns, text: str) -> dict[str, Any]:
    """Return a row of CSV as a record, or raise InputError."""
    cells = _cells(text, columns.delimiter)
    if len(cells) != columns.count:
        raise InputError("row-count", f"expected {columns.count} cells, got {len(cells)}")
    words = _numbers_in(cells, columns.logits)
    record: dict[str, Any] = {LOGITS: parse_numbers(" ".join(words))}
    if columns.target is not None:
        label = cells[columns.target]
        # No class has a longer number, which would not fit into 64 bits.
        is_index = re.fullmatch(r"[+-]?\d{1,18}", label, re.ASCII) is not None
        record[TARGET] = int(label) if is_index else label
        if not is_index:
            record[CLASSES] = list(columns.logits.values())
    return record


def _numbers_in(cells: Sequence[str], chosen: Mapping[int, str]) -> list[str]:
    """Return the cells of some columns, or raise InputError if one is no number."""
    words = [cells[number] for number in chosen]
    for name, word in zip(chosen.values(), words, strict=True):
        if not NUMBER.fullmatch(word):
            got = f'"{shortened(word)}"' if word else "nothing"
            raise InputError("logit-not-a-number", f'column "{name}": expected a number, got {got}')
    return words


def _with_claims(
    record: bytes, value: dict[str, Any], columns: Columns, text: str
) -> tuple[bytes, dict[str, Any]]:
    """Return a record with the claims of a row, in its text with the digits that they have."""
    cells = _cells(text, columns.delimiter)
    for name, chosen in columns.claims.items():
        words = _numbers_in(cells, chosen)
        numbers = parse_numbers(" ".join(words))
        digits = [
            word.lstrip("+") if _PLAIN_DIGITS.fullmatch(word) else orjson.dumps(number).decode()
            for word, number in zip(words, map(json_number, numbers), strict=True)
        ]
        claim = digits[0] if name in LOSSES else f"[{','.join(digits)}]"
        record = record[:-1] + f',"{name}":{claim}}}'.encode()
        value[name] = numbers[0] if name in LOSSES else numbers
    return record, value


def _read_numbers(text: str) -> dict[str, Any]:
    """Return a line of numbers as a record, or raise InputError or UsageError."""
    if not is_number_list(text):
        raise InputError("not-a-row", f'expected numbers, got "{shortened(text)}"')
    words = [word for word in re.split(r"[;\s]+", text) if word]
    for word, readings in with_two_readings(words):
        raise InputError("two-readings", f'"{word}" {readings}')
    return {LOGITS: parse_numbers(text)}
