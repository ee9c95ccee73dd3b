"""The page of a file of arrays that was verified: its worst rows, and where numbers are wrong."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from softgrad.outputs.arrays.worst import Found, WorstRow
from softgrad.outputs.page.blocks import Block, Column, Heading, Paragraph, Row, Table, Tone, Toned
from softgrad.outputs.page.errors import DIGITS, map_of_bands
from softgrad.outputs.page.numbers import short
from softgrad.records.fields import LOSSES

COLUMNS = (
    Column(("row",)),
    *(Column((title,)) for title in ("class", "expected", "yours", "ulp")),
    Column(("verdict",), is_number=False),
    Column(("mistake",), is_number=False),
)


def worst_of(
    source: str, found: Found, shape: tuple[int, int], lines: Sequence[str]
) -> Iterator[Block]:
    """Yield the blocks of a file whose logits have this shape; `lines` are its diagnosis."""
    yield Heading(f"{source}: the worst rows")
    if lines:
        yield Paragraph(tuple((line,) for line in lines))
    if not found.worst:
        yield Paragraph((("There are no rows to show.",),))
    for name, rows in groupby(found.worst, key=attrgetter("quantity")):
        yield Heading(name, level=2)
        yield Table(COLUMNS, list(map(_row, rows)), are_classes=False)
        bands = found.bands.get(name, {})
        if any(band.cells for band in bands.values()):
            yield map_of_bands(bands, *shape, found.dtypes[name])


def _row(worst: WorstRow) -> Row:
    return Row(
        [
            str(worst.row),
            "" if worst.quantity in LOSSES else str(worst.component),
            short(worst.expected, DIGITS),
            short(worst.got, DIGITS) or "NaN",
            short(worst.error_ulp, 4),
            Toned(worst.verdict, Tone(worst.verdict)),
            ", ".join(worst.mistakes),
        ]
    )
