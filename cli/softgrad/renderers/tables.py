"""Results -> tables for people: numbers, sums to check, and bars for the eye."""

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from softgrad.messages import printable
from softgrad.pipeline import Batch
from softgrad.records import Records
from softgrad_core.errors import InputError
from softgrad_core.logits import FloatArray

if TYPE_CHECKING:
    from softgrad_core.comparison import Comparison, Component
    from softgrad_core.numerical import GradientCheck

MOST_CLASSES_IN_FULL = 20
CLASSES_SHOWN_OF_MORE = 10

DIGITS = 6
LOGIT_DIGITS = 9
LONGEST_NAME = 16
LONGEST_BAR = 12
SHORTEST_BAR = 4
WIDER_THAN_ANY = 10_000

# rich's SIMPLE_HEAD in ASCII: a line of dashes under the head and no other.
ASCII_HEAD = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)

_TARGET_STYLE = "bold yellow"
_VERDICT_STYLES = {"pass": "green", "fail": "bold red", "uninformative": "dim"}


class Tables:
    """Renders tables as wide as what they are shown on."""

    def __init__(self, width: int, encoding: str, *, colour: bool) -> None:
        self._width = width
        self._encoding = encoding
        self._colour = colour
        self._blocks = _is_encodable("█▌▐→…", encoding)

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the tables of each record of the batch."""
        return b"".join(
            self._encode(_RecordTables(records, batch, row, self._blocks, self._width))
            for row in range(len(batch))
        )

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return a line that stands for the record."""
        line = f"{records.place(index)}: rejected: {error.reason}"
        return f"{printable(line)}\n\n".encode(self._encoding, "replace")

    def _encode(self, tables: "_RecordTables") -> bytes:
        page = _Page(self._encoding)
        console = Console(
            file=page,
            # Tables are made to fit; what does not fit overflows, and no number is broken.
            width=WIDER_THAN_ANY,
            force_terminal=self._colour,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        tables.draw(console)
        lines = (line.rstrip() for line in page.getvalue().split("\n"))
        return "\n".join(lines).encode(self._encoding, "replace")


class _Page(io.StringIO):
    """Text in memory for a screen of a given encoding, which rich draws boxes for."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


class _RecordTables:
    """The tables of one record."""

    def __init__(self, records: Records, batch: Batch, row: int, blocks: bool, width: int) -> None:
        examples, result = batch.examples, batch.result
        index = examples.indices[row]
        self._place = "" if records.lines[index] is None else f"{printable(records.place(index))}: "
        self._logits: FloatArray = examples.logits[row]
        self._target = int(examples.labels[row])
        self._names = examples.names[row]
        self._probs: FloatArray = result.probs[row]
        self._loss = float(result.loss[row])
        self._grad_probs: FloatArray = result.grad_probs[row]
        self._grad_logits: FloatArray = result.grad_logits[row]
        self._check = batch.checks[row] if batch.checks else None
        self._blocks = blocks
        self._width = width
        self._shown = self._choose_classes()

    def draw(self, console: Console) -> None:
        """Print the record: what it is, its numbers, its loss, and its check."""
        target = f"target {self._target}"
        if self._names:
            target += f" ({printable(self._names[self._target])})"
        head = f"{self._place}{len(self._logits):,} classes, {target}"
        if len(self._shown) < len(self._logits):
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
        count = len(self._logits)
        if count <= MOST_CLASSES_IN_FULL:
            return range(count)
        by_probability = np.argsort(-self._probs, kind="stable")
        chosen = dict.fromkeys(by_probability[:CLASSES_SHOWN_OF_MORE].tolist())
        chosen[self._target] = None
        if self._check is not None:
            for comparison in (self._check.grad_probs, self._check.grad_logits):
                if comparison.worst_class is not None:
                    chosen[comparison.worst_class] = None
        return list(chosen)

    def _numbers(self) -> Table:
        rows = [
            [
                self._label(c),
                _short(self._logits[c], LOGIT_DIGITS),
                _short(self._probs[c]),
                _short(self._grad_probs[c]),
                _short(self._grad_logits[c]),
            ]
            for c in self._shown
        ]
        hidden = np.ones(len(self._logits), dtype=bool)
        hidden[self._shown] = False
        more = [
            f"{hidden.sum():,} more",
            "",
            _short(self._probs[hidden].sum()),
            "0",
            _short(self._grad_logits[hidden].sum()),
        ]
        sums = ["sum", "", _sum(self._probs), "", _sum(self._grad_logits)]
        titles = ["class", "logit a", "f(x)", "dL/df(x)", "dL/da"]
        columns = zip(titles, more, sums, *rows, strict=True)
        widths = [max(map(cell_len, column)) for column in columns]
        # Between the seven columns are two blanks each, and one before and after them.
        bar = min(LONGEST_BAR, (self._width - sum(widths) - 2 * 7) // 2)

        table = self._table(show_footer=True)
        table.add_column(titles[0], footer=sums[0], no_wrap=True)
        for place, (title, total) in enumerate(zip(titles[1:], sums[1:], strict=True)):
            table.add_column(title, footer=total, justify="right")
            if bar >= SHORTEST_BAR and place in (1, 3):
                table.add_column("", width=bar, no_wrap=True)
        largest = float(np.abs(self._grad_logits).max())
        for c, cells in zip(self._shown, rows, strict=True):
            if bar >= SHORTEST_BAR:
                cells.insert(3, _bar(float(self._probs[c]), bar, self._blocks))
                share = float(self._grad_logits[c]) / largest if largest else 0.0
                cells.append(_signed_bar(share, bar, self._blocks))
            table.add_row(*map(Text, cells), style=_TARGET_STYLE if c == self._target else "")
        if hidden.any():
            if bar >= SHORTEST_BAR:
                more.insert(3, "")
                more.append("")
            table.add_row(*map(Text, more), style="dim")
        return table

    def _draw_check(self, console: Console, check: "GradientCheck") -> None:
        console.print(Text(f"numerical check: {check.method}", "bold"))
        for title, values, comparison in (
            ("dL/df(x)", self._grad_probs, check.grad_probs),
            ("dL/da", self._grad_logits, check.grad_logits),
        ):
            table = self._table()
            table.add_column("class", no_wrap=True)
            for name in (title, "numerical", "relative error"):
                table.add_column(name, justify="right")
            table.add_column("verdict")
            for c in self._shown:
                component = comparison.components[c]
                style = _TARGET_STYLE if c == self._target else ""
                table.add_row(
                    Text(self._label(c), style),
                    Text(_short(values[c]), style),
                    Text(_short(component.expected), style),
                    Text(_error(component), style),
                    Text(component.verdict, _VERDICT_STYLES[component.verdict]),
                )
            console.print()
            console.print(table)
            console.print()
            console.print(Text(f"{title}: {_summary(comparison)}"))
        console.print()

    def _table(self, *, show_footer: bool = False) -> Table:
        return Table(
            box=box.SIMPLE_HEAD if self._blocks else ASCII_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
            show_footer=show_footer,
        )

    def _label(self, c: int) -> str:
        arrow = "→" if self._blocks else ">"
        mark = f"{arrow} " if c == self._target else "  "
        if not self._names:
            return f"{mark}{c}"
        name = printable(self._names[c])
        if cell_len(name) > LONGEST_NAME:
            name = set_cell_size(name, LONGEST_NAME - 3).rstrip() + "..."
        return f"{mark}{c} {name}"


def _short(number: float, digits: int = DIGITS) -> str:
    """Return a number with as many digits as a table has room for."""
    return "" if math.isnan(number) else f"{number + 0.0:.{digits}g}"


def _sum(numbers: FloatArray) -> str:
    """Return a sum as a reader would check it, 0 where only rounding errors are left."""
    total = math.fsum(numbers)
    return f"{total:.12g}" if abs(total) > 1e-12 * math.fsum(np.abs(numbers)) else "0"


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


def _bar(share: float, width: int, blocks: bool) -> str:
    """Return a bar that fills this share of `width`, to an eighth of a cell where it can."""
    if not blocks:
        return "#" * round(share * width)
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _signed_bar(share: float, width: int, blocks: bool) -> str:
    """Return a bar from the middle of `width`, to the left for a share below 0."""
    half = width // 2
    if share >= 0:
        return " " * half + _bar(share, half, blocks)
    halves = round(-share * half * 2)
    left = ("▐" * (halves % 2) + "█" * (halves // 2)) if blocks else "#" * (halves // 2)
    return left.rjust(half)


def _is_encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
