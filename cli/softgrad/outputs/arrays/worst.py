"""The worst rows of verified arrays -> text: a table, or a line of JSON for each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from typing import Any, NamedTuple

import numpy as np
import orjson

from softgrad.outputs.file import Output
from softgrad.outputs.formats import Format
from softgrad.outputs.json.members import writable
from softgrad.records.fields import LOSSES
from softgrad.work import Batch, Verified
from softgrad_core.errors import InputError
from softgrad_core.verdicts import RANKED, Verdict

WORST_ROWS = 10
"""How many of the worst rows of each quantity are shown."""

HEAD = ("quantity", "row", "class", "expected", "got", "error in ulp", "verdict", "mistake")
LEFT = {"quantity", "verdict", "mistake"}


class WorstRow(NamedTuple):
    """The worst component of a row of claims. The order of the tuples is that of how bad it is."""

    rank: int
    error_ulp: float
    earlier: int
    """Minus the row: of two that are as bad the first comes first."""
    quantity: str
    component: int
    expected: float
    got: float
    mistakes: tuple[str, ...]

    @property
    def row(self) -> int:
        """The number of the row, from 0."""
        return -self.earlier

    @property
    def verdict(self) -> str:
        """The verdict on the row."""
        return str(RANKED[self.rank])


@dataclass(frozen=True, slots=True)
class WorstRows:
    """Renders a block of verified rows as the worst of them.

    With `only_failures`, rows that did not fail are left out.
    """

    only_failures: bool

    def __call__(
        self, block: Any, batches: Sequence[Batch], errors: Mapping[int, InputError]
    ) -> list[WorstRow]:
        """Return the worst rows of each quantity."""
        del errors  # they are on standard error
        return [
            row
            for batch in batches
            if isinstance(batch, Verified) and not batch.examples.are_batches
            for row in _worst_rows(batch, block.start)
            if not self.only_failures or row.verdict == Verdict.FAIL
        ]


def _worst_rows(batch: Verified, start: int) -> Iterator[WorstRow]:
    for name, quantity in batch.verification.quantities.items():
        comparison = quantity.comparison
        order = np.lexsort((-comparison.max_error_ulp, -comparison.ranks.astype(int)))
        for row in order[:WORST_ROWS].tolist():
            component = int(comparison.worst[row])
            yield WorstRow(
                int(comparison.ranks[row]),
                float(comparison.max_error_ulp[row]),
                -(start + batch.examples.indices[row]),
                name,
                component,
                float(comparison.expected[row]),
                float(comparison.got[row]),
                tuple(quantity.mistakes(row)),
            )


class WorstRowsWriter:
    """Writes the worst rows of one source to a file, when all its blocks are known."""

    def __init__(self, output: Output, source: str, shown: Format) -> None:
        self._output = output
        self._source = source
        self._draw = _as_json_lines if shown is Format.JSONL else _as_table
        self._worst: list[WorstRow] = []

    def write(self, rows: Sequence[WorstRow]) -> None:
        """Take the worst rows of the block that comes next."""
        by_quantity: dict[str, list[WorstRow]] = {}
        for row in [*self._worst, *rows]:
            by_quantity.setdefault(row.quantity, []).append(row)
        self._worst = [row for some in by_quantity.values() for row in nlargest(WORST_ROWS, some)]

    def close(self) -> None:
        """Write the rows, the worst first."""
        self._output.write(self._draw(self._source, self._worst).encode())


def _as_table(source: str, worst: Sequence[WorstRow]) -> str:
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


def _as_json_lines(source: str, worst: Sequence[WorstRow]) -> str:
    """Return the worst rows of a source, an object on each line."""
    return "".join(f"{orjson.dumps(dict(_members(source, row))).decode()}\n" for row in worst)


def _cells(row: WorstRow) -> tuple[str, ...]:
    return (
        row.quantity,
        str(row.row),
        "" if row.quantity in LOSSES else str(row.component),
        f"{row.expected:.9g}",
        f"{row.got:.9g}",
        f"{row.error_ulp:.4g}",
        row.verdict,
        ", ".join(row.mistakes),
    )


def _members(source: str, row: WorstRow) -> Iterator[tuple[str, object]]:
    yield from (("source", source), ("row", row.row), ("quantity", row.quantity))
    if row.quantity not in LOSSES:
        yield "class", row.component
    for name, number in (("expected", row.expected), ("got", row.got), ("ulp", row.error_ulp)):
        yield name, "NaN" if math.isnan(number) else writable(number)
    yield "verdict", row.verdict
    if row.mistakes:
        yield from (("mistake", row.mistakes[0]), ("candidates", row.mistakes))
