"""What became of the claims of a record: each number beside the exact one, and the mistake."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from softgrad.pipeline import Verified
from softgrad.renderers.page import (
    Block,
    Column,
    Heading,
    Paragraph,
    Pieces,
    Row,
    Table,
    Tone,
    Toned,
)
from softgrad.renderers.page.numbers import Classes, choose_classes, short
from softgrad_core.comparison import RANKED, Verdict
from softgrad_core.summary import UNKNOWN

if TYPE_CHECKING:
    from softgrad_core.diagnosis import VerifiedQuantity

DIGITS = 9
"""So many tell any two numbers of float32 apart."""


class Verdicts:
    """What is shown of one record of a batch."""

    def __init__(self, batch: Verified, row: int) -> None:
        examples = batch.examples
        self._classes = Classes(
            examples.logits.shape[1], int(examples.labels[row]), examples.names[row]
        )
        self._verification = batch.verification
        self._row = row

    def blocks(self, place: str) -> Iterator[Block]:
        """Yield what the record is, and what became of each claim."""
        tolerance = f"a claim passes where {self._verification.tolerance}"
        yield Heading(self._classes.title(place), tolerance)
        for name, quantity in self._verification.quantities.items():
            yield Paragraph((self._verdict(name, quantity),))
            yield self._table(name, quantity)
            if quantity.comparison.failed[self._row]:
                yield Paragraph(tuple((line,) for line in _diagnosis(quantity, self._row)))

    def _verdict(self, name: str, quantity: "VerifiedQuantity") -> Pieces:
        """Return what became of a claim, in one line."""
        comparison, row = quantity.comparison, self._row
        verdict = RANKED[comparison.ranks[row]]
        more = ""
        if verdict is not Verdict.UNINFORMATIVE:
            dtype = self._verification.tolerance.dtype
            more += f", worst {short(comparison.max_error_ulp[row], 4)} ulp of {dtype}"
        if comparison.uninformative[row] and name != "loss":
            more += f", {comparison.uninformative[row]:,} uninformative"
        return (Toned(name, Tone.STRONG), ": ", Toned(verdict, Tone(verdict)), more)

    def _table(self, name: str, quantity: "VerifiedQuantity") -> Table:
        comparison, row = quantity.comparison, self._row
        is_loss = name == "loss"
        columns = [
            Column(("" if is_loss else "class",), is_number=False),
            *(Column((title,)) for title in ("expected", "got", "error", "ulp")),
            Column(("verdict",), is_number=False),
        ]
        shown = choose_classes(
            # The worst verdicts first, and the largest errors among these.
            np.lexsort((-comparison.error_ulp[row], -comparison.component_ranks[row].astype(int))),
            [] if is_loss else [self._classes.target],
        )
        rows = []
        for c in shown:
            expected, got = comparison.expected[row, c], comparison.got[row, c]
            verdict = RANKED[comparison.component_ranks[row, c]]
            cells: list[str | Toned] = [
                "loss" if is_loss else self._classes.label(c),
                short(expected, DIGITS),
                short(got, DIGITS) or "NaN",
                "0" if got == expected else f"{got - expected:+.2g}",
                short(comparison.error_ulp[row, c], 4),
                Toned(verdict, Tone(verdict)),
            ]
            rows.append(Row(cells, is_target=not is_loss and c == self._classes.target))
        hidden = len(comparison.error_ulp[row]) - len(shown)
        if hidden:
            rows.append(Row([f"{hidden:,} more", "", "", "", "", ""], tone=Tone.DIM))
        return Table(columns, rows, are_classes=not is_loss)


def _diagnosis(quantity: "VerifiedQuantity", row: int) -> list[str]:
    """Return which mistakes give the numbers, and what to do."""
    if not quantity.fits_by_row[row]:
        return [UNKNOWN]
    first, *others = quantity.fits_by_row[row]
    lines = [
        f"{first.mistake.name}: it equals {quantity.formulas[row]}",
        f"  {first.mistake.explanation}",
        f"  to do: {first.mistake.remedy}",
    ]
    if others:
        lines.append(f"  or: {', '.join(fit.mistake.name for fit in others)}")
    return lines
