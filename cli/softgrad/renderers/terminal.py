"""Pages -> text for a screen of letters: tables in columns, bars of blocks, formulas in lines."""

import io
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from softgrad.messages import printable
from softgrad.pipeline import Batch
from softgrad.records import Records
from softgrad.renderers.page import (
    Bars,
    Block,
    Column,
    Heading,
    Math,
    NumberedStep,
    Paragraph,
    Prose,
    Row,
    Table,
    Tone,
    Toned,
)
from softgrad.renderers.page.content import blocks_of
from softgrad_core.errors import InputError

if TYPE_CHECKING:
    from softgrad_core.formulas import Equation, Words

WIDER_THAN_ANY = 10_000

NARROWEST = 40
"""Text is broken into lines of this many letters at least."""

INDENT = "    "

LONGEST_NAME = 16
LONGEST_BAR = 12
SHORTEST_BAR = 4

# rich's SIMPLE_HEAD in ASCII: a line of dashes under the head and no other.
ASCII_HEAD = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)

TARGET_STYLE = "bold yellow"
STYLES = {
    Tone.PLAIN: "",
    Tone.STRONG: "bold",
    Tone.DIM: "dim",
    Tone.PASS: "green",
    Tone.FAIL: "bold red",
    Tone.UNINFORMATIVE: "dim",
}


class Terminal:
    """Renders pages as wide as what they are shown on."""

    opening = closing = b""

    def __init__(self, width: int, encoding: str, *, colour: bool) -> None:
        self._width = width
        self._has_signs = _is_encodable("█▌▐→…", encoding)
        self._encoding = encoding
        self._colour = colour

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the pages of the records of the batch."""
        return b"".join(
            self._page(blocks_of(records, batch, row)) for row in range(len(batch.examples))
        )

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return a line that stands for the record."""
        line = f"{records.place(index)}: rejected: {error.reason}"
        return f"{printable(line)}\n\n".encode(self._encoding, "replace")

    def _page(self, blocks: Sequence[Block]) -> bytes:
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
        for block in blocks:
            self._draw(block, console)
            console.print()
        lines = (line.rstrip() for line in page.getvalue().split("\n"))
        return "\n".join(lines).encode(self._encoding, "replace")

    def _draw(self, block: Block, console: Console) -> None:
        match block:
            case Heading(title, below):
                console.print(Text(title, "bold"))
                for text in self._wrapped(below):
                    console.print(Text(text, "dim"))
            case Paragraph(lines):
                for line in lines:
                    console.print(_text(line))
            case Table():
                console.print(self._table(block))
            case Prose(words):
                for text in self._wrapped(self._in_line(words)):
                    console.print(Text(text))
            case NumberedStep():
                for drawn in self._step(block):
                    console.print(drawn)

    def _step(self, numbered: NumberedStep) -> Iterator[Text]:
        """Yield the lines of a step."""
        step = numbered.step
        yield Text(f"{numbered.number:>2}  {step.title}", "bold")
        yield from map(Text, self._wrapped(self._in_line(step.rule), INDENT))
        yield Text()
        yield from self._equation(step.formula, numbered)
        for case, evaluation in zip(numbered.cases, step.evaluations, strict=True):
            yield Text()
            if case:
                yield Text(f"{INDENT}{self._in_line(case)}:", "bold")
            yield from self._equation(evaluation.numbers, numbered)
            for note in evaluation.notes:
                for text in self._wrapped(f"({self._in_line(note)})", INDENT):
                    yield Text(text, "dim")

    def _equation(self, formula: "Equation", numbered: NumberedStep) -> Iterator[Text]:
        from softgrad.mathematics.screen import Blocks, fitted, stacked

        notation = Blocks(has_signs=self._has_signs)
        width = max(self._width, NARROWEST) - len(INDENT)
        lines, places = fitted(formula, notation, width, numbered.important)
        for text in stacked(lines, notation):
            yield Text(INDENT + text)
        if places is not None:
            yield Text(f"{INDENT}({numbered.of_classes(places)})", "dim")

    def _in_line(self, words: "Words") -> str:
        """Return text with its formulas in one line."""
        from softgrad.mathematics import in_words
        from softgrad.mathematics.line import Line

        return in_words(words, Line(has_signs=self._has_signs))

    def _wrapped(self, text: str, indent: str = "") -> list[str]:
        """Return text in lines that fit."""
        width = max(self._width, NARROWEST)
        return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)

    def _table(self, table: Table) -> RichTable:
        """Return a table, with bars where there is room for them."""
        drawn = RichTable(
            box=box.SIMPLE_HEAD if self._has_signs else ASCII_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
            show_footer=any(column.footer for column in table.columns),
        )
        rows = [[self._label(row, table), *row.cells[1:]] for row in table.rows]
        bar = self._bar_width(table.columns, rows)
        for column in table.columns:
            drawn.add_column(
                _text(column.title),
                footer=column.footer,
                justify="right" if column.is_number else "left",
                no_wrap=not column.is_number,
            )
            if bar and column.bars in _DRAWN:
                drawn.add_column("", width=bar, no_wrap=True)
        for row, cells in zip(table.rows, rows, strict=True):
            drawn.add_row(*self._cells(row, cells, table.columns, bar))
        return drawn

    def _cells(
        self, row: Row, cells: Sequence[str | Toned], columns: Sequence[Column], bar: int
    ) -> list[Text]:
        """Return the cells of a row, with bars after those that have some."""
        style = TARGET_STYLE if row.is_target else STYLES[row.tone]
        texts = []
        for place, (cell, column) in enumerate(zip(cells, columns, strict=True)):
            texts.append(_text((cell,), style))
            if bar and column.bars in _DRAWN:
                texts.append(Text(self._bar(column.bars, row.shares.get(place, 0.0), bar), style))
        return texts

    def _bar_width(self, columns: Sequence[Column], rows: Sequence[Sequence[str | Toned]]) -> int:
        """Return how wide bars may be; 0 where there is no room, or nothing to draw."""
        count = sum(column.bars in _DRAWN for column in columns)
        if not count:
            return 0
        texts = [
            [_text(column.title).plain for column in columns],
            [column.footer for column in columns],
            *([_text((cell,)).plain for cell in cells] for cells in rows),
        ]
        widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
        # Between two columns are two blanks, and there is one before and after all.
        bar = (self._width - sum(widths) - 2 * (len(widths) + count)) // count
        return min(LONGEST_BAR, bar) if bar >= SHORTEST_BAR else 0

    def _label(self, row: Row, table: Table) -> str:
        """Return what stands at a row: of a class with a mark if it is the target."""
        label = _text(row.cells[:1]).plain
        if not table.are_classes or row.tone is Tone.DIM:
            return label
        index, blank, name = label.partition(" ")
        if cell_len(name) > LONGEST_NAME:
            name = set_cell_size(name, LONGEST_NAME - 3).rstrip() + "..."
        arrow = "→" if self._has_signs else ">"
        return f"{arrow if row.is_target else ' '} {index}{blank}{name}"

    def _bar(self, bars: Bars | None, share: float, width: int) -> str:
        """Return a bar for this share: from the left, or from the middle for a sign."""
        if bars is Bars.SHARE:
            return self._blocks(share, width)
        half = width // 2
        if share >= 0:
            return " " * half + self._blocks(share, half)
        halves = round(-share * half * 2)
        blocks = "▐" * (halves % 2) + "█" * (halves // 2)
        return (blocks if self._has_signs else "#" * (halves // 2)).rjust(half)

    def _blocks(self, share: float, width: int) -> str:
        """Return this share of a width, to an eighth of a letter where it can be."""
        if not self._has_signs:
            return "#" * round(share * width)
        eighths = round(share * width * 8)
        return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


_DRAWN = {Bars.SHARE, Bars.SIGNED}
"""The bars that have a column of their own."""


class _Page(io.StringIO):
    """Text in memory for a screen of a given encoding, which rich draws boxes for."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def _text(pieces: Sequence[object], style: str = "") -> Text:
    """Return pieces of text in one line."""
    text = Text()
    for piece in pieces:
        match piece:
            case Toned(said, tone):
                text.append(said, STYLES[tone])
            case Math(said) | str(said):
                text.append(said, style)
    return text


def _is_encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
