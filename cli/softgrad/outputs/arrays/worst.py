"""What is shown of verified arrays: the worst rows, and for a map the worst of each part."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from softgrad.outputs.file import Output
from softgrad.outputs.json.members import writable
from softgrad.records.fields import LOSSES
from softgrad.work import Batch, Verified
from softgrad_core.errors import InputError
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verdicts import RANKED, Verdict
from softgrad_core.verification.summary import Summary

if TYPE_CHECKING:
    from softgrad.outputs.page.blocks import MapCell
    from softgrad_core.verification.quantity import VerifiedQuantity
    from softgrad_core.verification.tolerances import Tolerance

WORST_ROWS = 10
"""How many of the worst rows of each quantity are shown."""


class WorstRow(NamedTuple):
    """The worst component of a row of claims. The order of the tuples is that of how bad it is."""

    rank: int
    error_ulp: float
    earlier: int
    """Minus the row: of two that are as bad the first comes first. 1 for the loss of a batch."""
    quantity: str
    component: int
    expected: float
    got: float
    mistakes: tuple[str, ...]

    @property
    def row(self) -> int | None:
        """The number of the row, from 0; None for the loss of a batch, which is of all rows."""
        return None if self.earlier > 0 else -self.earlier

    @property
    def verdict(self) -> str:
        """The verdict on the row."""
        return str(RANKED[self.rank])


class Band(NamedTuple):
    """The worst row of some that follow one another, in the order of `WorstRow`.

    It has the cells of a map, if it failed.
    """

    rank: int
    error_ulp: float
    earlier: int
    cells: Sequence["MapCell"] = ()


@dataclass(slots=True)
class Found:
    """What is shown of some rows of a file: the worst of each quantity, and those of the map."""

    worst: list[WorstRow] = field(default_factory=list)
    bands: dict[str, dict[int, Band]] = field(default_factory=dict)
    counts: dict[str, IndexArray] = field(default_factory=dict)
    """How many numbers of each quantity are off by how much: see `counts_of`."""
    dtypes: dict[str, str] = field(default_factory=dict)

    def join(self, other: "Found") -> None:
        """Add what is shown of the rows that follow."""
        by_quantity: dict[str, list[WorstRow]] = {}
        for row in [*self.worst, *other.worst]:
            by_quantity.setdefault(row.quantity, []).append(row)
        self.worst = [row for some in by_quantity.values() for row in nlargest(WORST_ROWS, some)]
        self.dtypes |= other.dtypes
        for name, counts in other.counts.items():
            self.counts[name] = counts + self.counts.get(name, 0)
        for name, bands in other.bands.items():
            own = self.bands.setdefault(name, {})
            for number, band in bands.items():
                own[number] = max(own.get(number, band), band, key=lambda one: one[:3])


@dataclass(frozen=True, slots=True)
class WorstRows:
    """Renders a block of verified rows as the worst of them.

    With `only_failures`, rows that did not fail are left out. `rows` is how many there are in the
    file, for a map of them; 0 for none. With `counts`, errors are counted by their size.
    """

    only_failures: bool
    rows: int
    counts: bool

    def __call__(
        self, block: Any, batches: Sequence[Batch], errors: Mapping[int, InputError]
    ) -> Found:
        """Return the worst rows of each quantity."""
        del errors  # they are on standard error
        found = Found()
        for batch in batches:
            if not isinstance(batch, Verified):
                continue
            places = block.start + np.array(batch.examples.indices)
            rows = _worst_rows(batch, places)
            found.worst += [
                row for row in rows if not self.only_failures or row.verdict == Verdict.FAIL
            ]
            for name, quantity in batch.verification.quantities.items():
                if self.rows and name not in LOSSES:
                    found.join(self._drawn(name, quantity, places))
        return found

    def _drawn(self, name: str, quantity: "VerifiedQuantity", places: IndexArray) -> Found:
        """Return what is drawn of the claims of rows that have these places in the file."""
        from softgrad.outputs.page.errors import counts_of, sampled

        counts = {}
        if self.counts:
            rows = sampled(places, self.rows, quantity.numbers)
            components = quantity.claims.components(name, quantity.records[rows]).flat()
            counts[name] = counts_of(quantity, components, quantity.records[rows])
        dtype = str(quantity.claims.tolerance.of(name).dtype)
        return Found([], {name: self._bands(quantity, places)}, counts, {name: dtype})

    def _bands(self, quantity: "VerifiedQuantity", places: IndexArray) -> dict[int, Band]:
        """Return the worst row of each part of the file; these rows have these places there."""
        from softgrad.outputs.page.errors import bands_of, cells_of_row

        comparison = quantity.comparison
        numbers = bands_of(places, self.rows)
        bands = {}
        for number in np.unique(numbers).tolist():
            rows = np.flatnonzero(numbers == number)
            ranks, errors = comparison.ranks[rows], comparison.max_error_ulp[rows]
            row = int(rows[np.lexsort((-errors, -ranks.astype(int)))[0]])
            place = int(places[row])
            cells = cells_of_row(quantity, row, place) if comparison.failed[row] else ()
            rank, error = int(comparison.ranks[row]), float(comparison.max_error_ulp[row])
            bands[number] = Band(rank, error, -place, cells)
        return bands


def _worst_rows(batch: Verified, places: IndexArray) -> Iterator[WorstRow]:
    for name, quantity in batch.verification.quantities.items():
        comparison = quantity.comparison
        order = np.lexsort((-comparison.max_error_ulp, -comparison.ranks.astype(int)))
        for row in order[:WORST_ROWS].tolist():
            component = int(comparison.worst[row])
            yield WorstRow(
                int(comparison.ranks[row]),
                float(comparison.max_error_ulp[row]),
                1 if batch.examples.are_batches else -int(places[row]),
                name,
                component,
                float(comparison.expected[row]),
                float(comparison.got[row]),
                tuple(quantity.mistakes(row)),
            )


class WorstRowsWriter:
    """Writes what is shown of one source to a file, when all its blocks are known."""

    def __init__(
        self, output: Output, required: "Tolerance", draw: Callable[[Found, Summary], bytes]
    ) -> None:
        self._output = output
        self._draw = draw
        self._found, self._summary = Found(), Summary(required)

    def write(self, found: Found, summary: Summary | None) -> None:
        """Take what is shown of the block that comes next."""
        self._found.join(found)
        if summary is not None:
            self._summary.join(summary)

    def close(self) -> None:
        """Write it, the worst rows first."""
        self._output.write(self._draw(self._found, self._summary))


def as_json_lines(source: str, found: Found) -> bytes:
    """Return the worst rows of a source, an object on each line."""
    return b"".join(orjson.dumps(dict(_members(source, row))) + b"\n" for row in found.worst)


def _members(source: str, row: WorstRow) -> Iterator[tuple[str, object]]:
    yield "source", source
    if row.row is not None:
        yield "row", row.row
    yield "quantity", row.quantity
    if row.quantity not in LOSSES:
        yield "class", row.component
    for name, number in (("expected", row.expected), ("got", row.got), ("ulp", row.error_ulp)):
        yield name, "NaN" if math.isnan(number) else writable(number)
    yield "verdict", row.verdict
    if row.mistakes:
        yield from (("mistake", row.mistakes[0]), ("candidates", row.mistakes))
