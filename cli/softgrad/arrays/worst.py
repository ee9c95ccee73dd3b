"""The worst rows of verified arrays -> text: a table, or a line of JSON for each."""

import math
from collections.abc import Iterator, Sequence

import orjson

from softgrad.arrays.rows import WorstRow
from softgrad.records import LOSS, writable

HEAD = ("quantity", "row", "class", "expected", "got", "error in ulp", "verdict", "mistake")

LEFT = {"quantity", "verdict", "mistake"}


def as_table(source: str, worst: Sequence[WorstRow]) -> str:
    """Return a table of the worst rows of a source."""
    rows = [HEAD, *(_cells(row) for row in worst)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if name in LEFT else cell.rjust(width)
            for name, cell, width in zip(HEAD, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join([f"{source}: the worst rows", "", *lines, "", ""])


def as_json_lines(source: str, worst: Sequence[WorstRow]) -> str:
    """Return the worst rows of a source, an object on each line."""
    return "".join(f"{orjson.dumps(dict(_members(source, row))).decode()}\n" for row in worst)


def _cells(row: WorstRow) -> tuple[str, ...]:
    return (
        row.quantity,
        str(row.row),
        "" if row.quantity == LOSS else str(row.component),
        f"{row.expected:.9g}",
        f"{row.got:.9g}",
        f"{row.error_ulp:.4g}",
        row.verdict,
        ", ".join(row.mistakes),
    )


def _members(source: str, row: WorstRow) -> Iterator[tuple[str, object]]:
    yield from (("source", source), ("row", row.row), ("quantity", row.quantity))
    if row.quantity != LOSS:
        yield "class", row.component
    for name, number in (("expected", row.expected), ("got", row.got), ("ulp", row.error_ulp)):
        yield name, "NaN" if math.isnan(number) else writable(number)
    yield "verdict", row.verdict
    if row.mistakes:
        yield from (("mistake", row.mistakes[0]), ("candidates", row.mistakes))
