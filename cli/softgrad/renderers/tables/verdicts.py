"""What became of the claims of a record: each number beside the exact one, and the mistake."""

from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from softgrad.pipeline import Verified
from softgrad.renderers.tables.style import VERDICT_STYLES, Classes, Screen, choose_classes, short
from softgrad_core.comparison import RANKED, Verdict
from softgrad_core.summary import UNKNOWN

if TYPE_CHECKING:
    from softgrad_core.diagnosis import VerifiedQuantity

DIGITS = 9
"""So many tell any two numbers of float32 apart."""


class VerdictTables:
    """The tables of one record of a batch."""

    def __init__(self, batch: Verified, row: int, screen: Screen) -> None:
        examples = batch.examples
        self._screen = screen
        self._classes = Classes(
            examples.logits.shape[1], int(examples.labels[row]), examples.names[row]
        )
        self._verification = batch.verification
        self._row = row

    def draw(self, console: Console, place: str) -> None:
        """Print the record: what it is, and what became of each claim."""
        console.print(Text(self._classes.title(place), "bold"))
        console.print(Text(f"a claim passes where {self._verification.tolerance}", "dim"))
        for name, quantity in self._verification.quantities.items():
            console.print()
            console.print(self._verdict(name, quantity))
            console.print()
            console.print(self._table(name, quantity))
            if quantity.comparison.failed[self._row]:
                console.print()
                for line in _diagnosis(quantity, self._row):
                    console.print(Text(line))
        console.print()

    def _verdict(self, name: str, quantity: "VerifiedQuantity") -> Text:
        """Return what became of a claim, in one line."""
        comparison, row = quantity.comparison, self._row
        verdict = RANKED[comparison.ranks[row]]
        said = Text.assemble((name, "bold"), ": ", (verdict, VERDICT_STYLES[verdict]))
        if verdict is not Verdict.UNINFORMATIVE:
            dtype = self._verification.tolerance.dtype
            said.append(f", worst {short(comparison.max_error_ulp[row], 4)} ulp of {dtype}")
        if comparison.uninformative[row] and name != "loss":
            said.append(f", {comparison.uninformative[row]:,} uninformative")
        return said

    def _table(self, name: str, quantity: "VerifiedQuantity") -> Table:
        comparison, row = quantity.comparison, self._row
        is_loss = name == "loss"
        table = self._screen.table()
        table.add_column("" if is_loss else "class", no_wrap=True)
        for title in ("expected", "got", "error", "ulp"):
            table.add_column(title, justify="right")
        table.add_column("verdict")
        shown = choose_classes(
            # The worst verdicts first, and the largest errors among these.
            np.lexsort((-comparison.error_ulp[row], -comparison.component_ranks[row].astype(int))),
            [] if is_loss else [self._classes.target],
        )
        for c in shown:
            expected, got = comparison.expected[row, c], comparison.got[row, c]
            verdict = RANKED[comparison.component_ranks[row, c]]
            style = "" if is_loss else self._classes.style(c)
            table.add_row(
                Text("loss" if is_loss else self._classes.label(c, self._screen), style),
                Text(short(expected, DIGITS), style),
                Text(short(got, DIGITS) or "NaN", style),
                Text("0" if got == expected else f"{got - expected:+.2g}", style),
                Text(short(comparison.error_ulp[row, c], 4), style),
                Text(verdict, VERDICT_STYLES[verdict]),
            )
        hidden = len(comparison.error_ulp[row]) - len(shown)
        if hidden:
            table.add_row(Text(f"{hidden:,} more"), "", "", "", "", "", style="dim")
        return table


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
