"""What was computed for a record: its numbers, its loss, and the check of its gradients."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from softgrad.pipeline import Computed
from softgrad.renderers.tables.style import (
    LOGIT_DIGITS,
    VERDICT_STYLES,
    Classes,
    Screen,
    choose_classes,
    short,
    shown_sum,
)

if TYPE_CHECKING:
    from softgrad_core.comparison import Comparison, Component
    from softgrad_core.logits import FloatArray
    from softgrad_core.numerical import GradientCheck

LONGEST_BAR = 12
SHORTEST_BAR = 4


class ResultTables:
    """The tables of one record of a batch."""

    def __init__(self, batch: Computed, row: int, screen: Screen) -> None:
        examples, result = batch.examples, batch.result
        self._screen = screen
        self._logits: FloatArray = examples.logits[row]
        self._classes = Classes(len(self._logits), int(examples.labels[row]), examples.names[row])
        self._probs: FloatArray = result.probs[row]
        self._loss = float(result.loss[row])
        self._grad_probs: FloatArray = result.grad_probs[row]
        self._grad_logits: FloatArray = result.grad_logits[row]
        self._check = batch.checks[row] if batch.checks else None
        self._shown = self._choose_classes()

    def draw(self, console: Console, place: str) -> None:
        """Print the record: what it is, its numbers, its loss, and its check."""
        head = self._classes.title(place)
        if len(self._shown) < self._classes.count:
            head += "; the most probable are shown, --json gives all"
        console.print(Text(head, "bold"))
        console.print()
        console.print(self._numbers())
        console.print()
        console.print(Text.assemble("loss -log f(x)_y = ", (repr(self._loss), "bold")))
        console.print()
        if self._check is not None:
            self._draw_check(console, self._check)

    def _choose_classes(self) -> Sequence[int]:
        """Return the classes to show: all, or the most probable, the target, and the worst."""
        others = [self._classes.target]
        if self._check is not None:
            worst = self._check.grad_probs.worst_class, self._check.grad_logits.worst_class
            others += [c for c in worst if c is not None]
        return choose_classes(np.argsort(-self._probs, kind="stable"), others)

    def _numbers(self) -> Table:
        """Return the table of the numbers, with bars where there is room for them."""
        titles = ["class", "logit a", "f(x)", "dL/df(x)", "dL/da"]
        sums = ["sum", "", shown_sum(self._probs), "", shown_sum(self._grad_logits)]
        rows = [self._cells(c) for c in self._shown]
        more = self._cells_of_hidden()
        widths = [
            max(map(cell_len, column)) for column in zip(titles, sums, more, *rows, strict=True)
        ]
        # Between the seven columns are two blanks each, and one before and after them.
        bar = min(LONGEST_BAR, (self._screen.width - sum(widths) - 2 * 7) // 2)
        bar = bar if bar >= SHORTEST_BAR else 0

        table = self._screen.table(show_footer=True)
        for place, (title, total) in enumerate(zip(titles, sums, strict=True)):
            table.add_column(
                title, footer=total, justify="right" if place else "left", no_wrap=not place
            )
            if bar and place in {2, 4}:
                table.add_column("", width=bar, no_wrap=True)
        for c, cells in zip(self._shown, rows, strict=True):
            bars = self._bars(c, bar) if bar else None
            table.add_row(*_with_bars(cells, bars), style=self._classes.style(c))
        if len(self._shown) < self._classes.count:
            table.add_row(*_with_bars(more, ("", "") if bar else None), style="dim")
        return table

    def _cells(self, c: int) -> list[str]:
        return [
            self._classes.label(c, self._screen),
            short(self._logits[c], LOGIT_DIGITS),
            short(self._probs[c]),
            short(self._grad_probs[c]),
            short(self._grad_logits[c]),
        ]

    def _cells_of_hidden(self) -> list[str]:
        """Return the sums over the classes that are not shown."""
        hidden = np.ones(self._classes.count, dtype=bool)
        hidden[self._shown] = False
        return [
            f"{hidden.sum():,} more",
            "",
            short(self._probs[hidden].sum()),
            "0",
            short(self._grad_logits[hidden].sum()),
        ]

    def _bars(self, c: int, width: int) -> tuple[str, str]:
        """Return the bars of the probability and of the gradient of a class."""
        largest = float(np.abs(self._grad_logits).max())
        share = float(self._grad_logits[c]) / largest if largest else 0.0
        return (
            self._screen.bar(float(self._probs[c]), width),
            self._screen.signed_bar(share, width),
        )

    def _draw_check(self, console: Console, check: "GradientCheck") -> None:
        console.print(Text(f"numerical check: {check.method}", "bold"))
        for title, values, comparison in (
            ("dL/df(x)", self._grad_probs, check.grad_probs),
            ("dL/da", self._grad_logits, check.grad_logits),
        ):
            table = self._screen.table()
            table.add_column("class", no_wrap=True)
            for name in (title, "numerical", "relative error"):
                table.add_column(name, justify="right")
            table.add_column("verdict")
            for c in self._shown:
                component = comparison.components[c]
                style = self._classes.style(c)
                table.add_row(
                    Text(self._classes.label(c, self._screen), style),
                    Text(short(values[c]), style),
                    Text(short(component.expected), style),
                    Text(_error(component), style),
                    Text(component.verdict, VERDICT_STYLES[component.verdict]),
                )
            console.print()
            console.print(table)
            console.print()
            console.print(Text(f"{title}: {_summary(comparison)}"))
        console.print()


def _with_bars(cells: Sequence[str], bars: tuple[str, str] | None) -> list[Text]:
    """Return the cells of a row, with a bar after each of those that have one."""
    label, logit, prob, grad_prob, grad_logit = cells
    if bars is None:
        return [Text(cell) for cell in cells]
    return [Text(cell) for cell in (label, logit, prob, bars[0], grad_prob, grad_logit, bars[1])]


def _error(component: "Component") -> str:
    judged = component.verdict != "uninformative"
    return f"{component.relative_error:.1e}" if judged else ""


def _summary(comparison: "Comparison") -> str:
    verdict = str(comparison.verdict)
    if comparison.max_relative_error is None:
        return f"{verdict}, no component could be judged"
    parts = [
        f"{verdict}, largest relative error {comparison.max_relative_error:.1e} "
        f"at class {comparison.worst_class}"
    ]
    if comparison.uninformative:
        parts.append(f"{comparison.uninformative:,} uninformative")
    return ", ".join(parts)
