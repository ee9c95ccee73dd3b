"""The worst rows of verified arrays -> text: a table, or a line of JSON for each."""

import math
from collections.abc import Iterator, Sequence
from heapq import nlargest
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from softgrad.outputs.members import writable
from softgrad.records.fields import LOSS

if TYPE_CHECKING:
    from softgrad_core.verification.verify import Verification

WORST_ROWS = 10
"""So many of the worst rows of each quantity are shown."""


class WorstRow(NamedTuple):
    """The worst component of a row of claims; the order is that of how bad it is."""

    rank: int
    error_ulp: float
    earlier: int
    """Minus the row: of two that are as bad the first comes first."""
    quantity: str
    component: int
    expected: float
    got: float
    verdict: str
    mistakes: tuple[str, ...]

    @property
    def row(self) -> int:
        """The number of the row, from 0."""
        return -self.earlier


def worst_rows(verification: "Verification", rows: npt.NDArray[np.intp]) -> Iterator[WorstRow]:
    """Yield the worst rows of each quantity."""
    for name, quantity in verification.quantities.items():
        comparison = quantity.comparison
        order = np.lexsort((-comparison.max_error_ulp, -comparison.ranks.astype(int)))
        for row in order[:WORST_ROWS].tolist():
            component = int(comparison.worst_class[row])
            yield WorstRow(
                int(comparison.ranks[row]),
                float(comparison.max_error_ulp[row]),
                -int(rows[row]),
                name,
                component,
                float(comparison.expected[row, component]),
                float(comparison.got[row, component]),
                str(quantity.verdict(row)),
                tuple(quantity.mistakes(row)),
            )


def worst_of(rows: Sequence[WorstRow]) -> list[WorstRow]:
    """Return the worst rows of each quantity, the worst first."""
    names = dict.fromkeys(row.quantity for row in rows)
    return [
        row
        for name in names
        for row in nlargest(WORST_ROWS, (row for row in rows if row.quantity == name))
    ]


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
