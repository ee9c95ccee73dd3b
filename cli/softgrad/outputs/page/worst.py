"""The page of a file of arrays that was verified: its worst rows, and where numbers are wrong."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from softgrad.outputs.arrays.worst import Found, WorstRow
from softgrad.outputs.page.blocks import Block, Column, Heading, Paragraph, Row, Table, Tone, Toned
from softgrad.outputs.page.errors import DIGITS, map_of_bands
from softgrad.outputs.page.numbers import short
from softgrad.records.fields import LOSSES

WORDS = "verdict", "mistake"
"""The columns that have words."""

BATCH = "batch"
"""What stands in the place of a row for the loss of all."""


def worst_of(
    source: str, found: Found, shape: tuple[int, int], lines: Sequence[str]
) -> Iterator[Block]:
    """Yield the blocks of a file whose logits have this shape; `lines` are its diagnosis."""
    yield Heading(f"{source}: the worst rows")
    if lines:
        yield Paragraph(tuple((line,) for line in lines))
    if not found.worst:
        yield Paragraph((("There are no rows to show.",),))
    for name, rows in groupby(_failed_first(found.worst), key=attrgetter("quantity")):
        yield Heading(name, level=2)
        yield _table(name, list(rows))
        bands = found.bands.get(name, {})
        if any(band.cells for band in bands.values()):
            yield map_of_bands(bands, found.counts.get(name), *shape, found.dtypes[name])


def _failed_first(rows: Sequence[WorstRow]) -> list[WorstRow]:
    """Return the rows of each quantity together, those of quantities that failed first."""
    rank = {row.quantity: row.rank for row in reversed(rows)}
    return sorted(rows, key=lambda row: (-rank[row.quantity], row.quantity))


def _table(name: str, worst: Sequence[WorstRow]) -> Table:
    """Return the table of a quantity: the worst number of each row, the worst row first."""
    of_class = ["class"] if name not in LOSSES else []
    numbers = ["row", *of_class, "expected", "yours", "ulp"]
    columns = [Column((title,), is_number=title in numbers) for title in (*numbers, *WORDS)]
    rows = [
        Row(
            [
                BATCH if one.row is None else str(one.row),
                *(str(one.component) for _ in of_class),
                short(one.expected, DIGITS),
                short(one.got, DIGITS) or "NaN",
                short(one.error_ulp, 4),
                Toned(one.verdict, Tone(one.verdict)),
                ", ".join(one.mistakes),
            ]
        )
        for one in worst
    ]
    return Table(columns, rows, are_classes=False)
