"""Where the numbers of a batch are wrong, and how far: a map, and a histogram beside the bound."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from softgrad.outputs.page.blocks import ErrorMap, Histogram, MapCell
from softgrad.outputs.page.numbers import short
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verdicts import Verdict
from softgrad_core.verification.allowance import allowed_ulp

if TYPE_CHECKING:
    from softgrad.outputs.arrays.worst import Band
    from softgrad_core.verification.comparison import Components
    from softgrad_core.verification.quantity import VerifiedQuantity

MAP_ROWS, MAP_COLUMNS = 16, 64
"""The cells of a map of errors, at most."""

DIGITS = 9
"""Enough to tell any two float32 numbers apart."""

LEAST, MOST = -6, 6
"""The powers of two, times what is allowed, that a histogram tells apart."""

MOST_NUMBERS = 1 << 20
"""The numbers of a file or of a batch that are looked at one by one, roughly."""


def map_of(
    quantity: "VerifiedQuantity", record: int | None, components: "Components", rows: IndexArray
) -> ErrorMap:
    """Return where the numbers of a record that is a batch are wrong; of all records without one.

    `components` has the numbers of these rows, one row after another.
    """
    count = len(quantity.records) if record is None else quantity.size
    first = 0 if record is None else int(quantity.records[record]) * quantity.claims.size
    classes = len(components.ranks) // len(rows)
    cell_of = _cells(components, rows, classes, is_typed=quantity.is_typed)
    across = _cuts(classes, MAP_COLUMNS)
    cells = [[cell_of(row, column) for column in across] for row in _cuts(len(rows), MAP_ROWS)]
    some = f"{len(rows):,} rows" if len(rows) == count else f"{len(rows):,} of {count:,} rows"
    caption = f"where numbers are wrong: {some} downwards, {classes:,} classes across"
    if quantity.is_typed:
        return ErrorMap(caption, cells)
    dtype = str(quantity.claims.tolerance.of(quantity.name).dtype)
    counts = counts_of(quantity, components, first + rows)
    return ErrorMap(caption, cells, dtype, _histogram(counts, dtype))


def cells_of_row(quantity: "VerifiedQuantity", record: int, row: int) -> list[MapCell]:
    """Return the cells of one row of a map; `row` is the number of the record that they name."""
    components = quantity.components(record)
    classes = len(components.ranks)
    cell_of = _cells(components, np.array([row]), classes, is_typed=quantity.is_typed)
    return [cell_of(slice(0, 1), across) for across in _cuts(classes, MAP_COLUMNS)]


def sampled(places: IndexArray, rows: int, classes: int) -> IndexArray:
    """Return which of these rows of a file are counted in the histogram: those at whole steps."""
    return np.flatnonzero(places % _step(rows, classes) == 0)


def _step(rows: int, classes: int) -> int:
    """Return the steps from one row of a file that is counted to the next."""
    return -(-rows * classes // MOST_NUMBERS)


def map_of_bands(
    bands: Mapping[int, "Band"], counts: IndexArray | None, rows: int, classes: int, dtype: str
) -> ErrorMap:
    """Return a map of all rows of a file, each line of which is the worst of some rows.

    `counts` are those of a histogram, if there is to be one.
    """
    lines = _cuts(rows, MAP_ROWS)
    cells = [
        _line_of_band(bands.get(number), line, min(classes, MAP_COLUMNS))
        for number, line in enumerate(lines)
    ]
    each = "" if len(lines) == rows else f", each line the worst of {-(-rows // len(lines)):,}"
    caption = f"where numbers are wrong: {rows:,} rows downwards{each}; {classes:,} classes across"
    if counts is None:
        return ErrorMap(caption, cells, dtype)
    step = _step(rows, classes)
    of = "" if step == 1 else f"; of one row in {step:,}"
    return ErrorMap(caption, cells, dtype, _histogram(counts, dtype, of))


def _line_of_band(band: "Band | None", rows: slice, columns: int) -> Sequence[MapCell]:
    """Return the cells of these rows of a file; no band means that none of them was judged."""
    if band is not None and band.cells:
        return band.cells
    last = rows.stop - 1
    where = f"row {last}" if rows.start == last else f"rows {rows.start} to {last}"
    if band is None:
        return [MapCell(math.nan, math.nan, f"{where}: not judged")] * columns
    return [MapCell(0.0, band.error_ulp, f"{where}: nothing is wrong")] * columns


def bands_of(places: IndexArray, rows: int) -> IndexArray:
    """Return the line of the map that each of these rows of a file is in."""
    starts = [line.start for line in _cuts(rows, MAP_ROWS)]
    return np.searchsorted(starts, places, side="right") - 1


def _cuts(length: int, most: int) -> list[slice]:
    """Return so many blocks of rows or classes, or as many as there are."""
    starts = np.unique(np.linspace(0, length, min(length, most), endpoint=False).astype(int))
    ends = [*starts[1:], length]
    return [slice(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def _cells(
    components: "Components", rows: IndexArray, classes: int, *, is_typed: bool
) -> Callable[[slice, slice], MapCell]:
    """Return what gives the cell for some rows and classes."""
    shape = (len(rows), classes)
    ranks, errors, expected, got = (
        values.reshape(shape)
        for values in (components.ranks, components.error_ulp, components.expected, components.got)
    )

    def cell(down: slice, across: slice) -> MapCell:
        wrong = ranks[down, across] == Verdict.FAIL.rank
        # Of a wrong number, however small its error.
        worst = np.lexsort((-errors[down, across].ravel(), ~wrong.ravel()))[0]
        row, c = np.unravel_index(worst, wrong.shape)
        place = (down.start + int(row), across.start + int(c))
        where = f"row {rows[place[0]]}, class {place[1]}"
        claimed = short(got[place], DIGITS) or "NaN"
        said = f"{where}: expected {short(expected[place], DIGITS)}, got {claimed}"
        if not is_typed:
            said += f", off by {short(errors[place], 3)} ulp"
        if wrong.size > 1:
            said = f"{wrong.sum():,} of {wrong.size:,} numbers are wrong; the worst, {said}"
        return MapCell(float(wrong.mean()), float(errors[place]), said)

    return cell


def counts_of(
    quantity: "VerifiedQuantity", components: "Components", rows: IndexArray
) -> IndexArray:
    """Return how many numbers of these rows of claims are off by how much of what is allowed."""
    allowed = allowed_ulp(quantity.claims, quantity.name, rows).reshape(-1)
    with np.errstate(all="ignore"):
        shares = components.error_ulp / allowed
    judged = components.ranks != Verdict.UNINFORMATIVE.rank
    shares = np.where(np.isnan(shares), 0.0, shares)[judged]
    failed = (components.ranks == Verdict.FAIL.rank)[judged]
    # What passes for another reason, such as a number that is rounded once, is within the bound.
    shares = np.where(failed, np.maximum(shares, np.nextafter(1.0, 2.0)), np.minimum(shares, 1.0))
    edges = [-1.0, *(2.0**power for power in range(LEAST, MOST + 1)), math.inf]
    counts, _ = np.histogram(np.nextafter(shares, -2.0), edges)
    return counts


def _histogram(counts: IndexArray, dtype: str, of: str = "") -> Histogram:
    caption = f"errors, as multiples of what rounding in {dtype} may explain{of}"
    return Histogram(caption, list(_labels()), counts.tolist(), 1 - LEAST)


def _labels() -> Iterator[str]:
    """Yield the largest multiple of each bar."""
    for power in range(LEAST, MOST + 1):
        yield f"1/{2**-power}" if power < 0 else str(2**power)
    yield "more"
