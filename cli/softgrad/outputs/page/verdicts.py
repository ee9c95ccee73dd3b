"""What became of the claims of a record: each number beside the exact one, and the mistake."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from softgrad.outputs.page import (
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
from softgrad.outputs.page.numbers import Classes, choose_classes, short
from softgrad.work import Verified
from softgrad_core.verdicts import RANKED, Verdict
from softgrad_core.verification.summary import UNKNOWN

if TYPE_CHECKING:
    from softgrad_core.verification.diagnosis.verdict import VerifiedQuantity

DIGITS = 9
"""So many tell any two numbers of float32 apart."""


class Verdicts:
    """What is shown of one record of a batch."""

    def __init__(self, batch: Verified, row: int) -> None:
        examples = batch.examples
        self._classes = [Classes.of_row(examples, number) for number in examples.rows(row)]
        self._of_batch = examples.are_batches
        self._verification = batch.verification
        self._row = row

    def blocks(self, place: str) -> Iterator[Block]:
        """Yield what the record is, and what became of each claim."""
        tolerance = f"a claim passes where {self._verification.tolerance}"
        title = self._classes[0].title
        if self._of_batch:
            count, classes = len(self._classes), self._classes[0].count
            title = f"a batch of {count:,} rows, {classes:,} classes"
        yield Heading(f"{place}{title}", tolerance)
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
        comparison, record = quantity.comparison, self._row
        is_loss = name == "loss"
        columns = [
            Column((self._first_title(quantity, is_loss=is_loss),), is_number=False),
            *(Column((title,)) for title in ("expected", "got", "error", "ulp")),
            Column(("verdict",), is_number=False),
        ]
        shown = choose_classes(
            # The worst verdicts first, and the largest errors among these.
            np.lexsort(
                (-comparison.error_ulp[record], -comparison.component_ranks[record].astype(int))
            ),
            [] if is_loss or quantity.size > 1 else self._targets(),
        )
        rows = []
        for c in shown:
            expected, got = float(comparison.expected[record, c]), float(comparison.got[record, c])
            verdict = RANKED[comparison.component_ranks[record, c]]
            cells: list[str | Toned] = [
                self._label(quantity, c, is_loss=is_loss),
                short(expected, DIGITS),
                short(got, DIGITS) or "NaN",
                "0" if got == expected else f"{got - expected:+.2g}",
                short(comparison.error_ulp[record, c], 4),
                Toned(verdict, Tone(verdict)),
            ]
            row, class_ = quantity.place(c)
            is_target = not is_loss and class_ == self._classes[row].target
            rows.append(Row(cells, is_target=is_target))
        hidden = len(comparison.error_ulp[record]) - len(shown)
        if hidden:
            rows.append(Row([f"{hidden:,} more", "", "", "", "", ""], tone=Tone.DIM))
        return Table(columns, rows, are_classes=not is_loss)

    def _targets(self) -> list[int]:
        target = self._classes[0].target
        return [] if target is None else [target]

    def _first_title(self, quantity: "VerifiedQuantity", *, is_loss: bool) -> str:
        """Return what the first column of a table of components says."""
        if is_loss:
            return "row" if quantity.size > 1 else ""
        return "row, class" if self._of_batch else "class"

    def _label(self, quantity: "VerifiedQuantity", component: int, *, is_loss: bool) -> str:
        """Return what stands at the row of a component."""
        row, c = quantity.place(component)
        if is_loss:
            return f"{row}" if quantity.size > 1 else "loss"
        label = self._classes[row].label(c)
        return f"{row}, {label}" if self._of_batch else label


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
