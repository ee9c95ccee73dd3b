"""Pages -> text for a terminal: aligned tables, formulas as blocks, bold and colours."""

import io
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from softgrad.messages import printable
from softgrad.outputs.page import page_of
from softgrad.outputs.page.blocks import (
    Block,
    ErrorMap,
    Heading,
    NumberedStep,
    Paragraph,
    Plots,
    Prose,
    Table,
    flat,
)
from softgrad.outputs.terminal.tables import Tables, styled
from softgrad.records.records import Records
from softgrad.work import Batch
from softgrad_core.errors import InputError

if TYPE_CHECKING:
    from softgrad_core.derivation.formulas import Equation, Words

WIDER_THAN_ANY = 10_000

NARROWEST = 40
"""Lines of text are at least this long, even on a narrower terminal."""

INDENT = "    "


class Terminal:
    """Renders pages as text of a width, in an encoding."""

    opening = closing = b""

    def __init__(self, width: int, encoding: str, *, colour: bool) -> None:
        self._text_width = max(width, NARROWEST)
        self._encoding = encoding
        self._has_signs = _is_encodable("█▌▐→…", encoding)
        self._tables = Tables(width, has_signs=self._has_signs)
        self._colour = colour

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the pages of the records of the batch."""
        return b"".join(
            self.page(page_of(records, batch, record)) for record in range(len(batch.examples))
        )

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return a line that says why the record was rejected."""
        line = f"{records.place(index)}: rejected: {error.reason}"
        return f"{printable(line)}\n\n".encode(self._encoding, "replace")

    def page(self, blocks: Iterable[Block]) -> bytes:
        """Return the blocks of a page, one below another."""
        page = _Page(self._encoding)
        console = Console(
            file=page,
            # Tables are made to fit. What cannot fit overflows, so that no number is broken.
            width=WIDER_THAN_ANY,
            force_terminal=self._colour,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        for block in flat(blocks):
            self._draw(block, console)
            console.print()
        lines = (line.rstrip() for line in page.getvalue().split("\n"))
        return "\n".join(lines).encode(self._encoding, "replace")

    def _draw(self, block: Block, console: Console) -> None:
        match block:
            case Paragraph() | ErrorMap():
                for line in block.lines:
                    console.print(styled((line,) if isinstance(line, str) else line))
            case Table():
                console.print(self._tables.drawn(block))
            case _:
                for drawn in self._lines(block):
                    console.print(drawn)

    def _lines(self, block: Block) -> Iterator[Text]:
        """Yield the lines of a block of text."""
        match block:
            case Heading(title, below):
                yield Text(title, "bold")
                for text in self._wrapped(below):
                    yield Text(text, "dim")
            case Prose(words):
                yield from map(Text, self._wrapped(self._in_line(words)))
            case NumberedStep():
                yield from self._step(block)
            case Plots():
                from softgrad.outputs.page.braille import lines_of

                yield from map(Text, lines_of(block, self._text_width, has_signs=self._has_signs))

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

    def _equation(self, equation: "Equation", numbered: NumberedStep) -> Iterator[Text]:
        """Yield the lines of an equation, and which classes it shows if not all fit."""
        from softgrad.outputs.mathematics.drawing import draw
        from softgrad.outputs.mathematics.fitting import fitted
        from softgrad.outputs.mathematics.screen import Blocks

        notation = Blocks(has_signs=self._has_signs)
        width = self._text_width - len(INDENT)
        lines, places = fitted(equation, notation, width, numbered.important)
        for number, line in enumerate(lines):
            drawn = draw(line, notation)
            if number:
                drawn = notation.row(notation.between("="), drawn)
                if len(drawn.lines) > 1:
                    yield Text(INDENT)
            for text in drawn.lines:
                yield Text(INDENT + text)
        if places is not None:
            yield Text(f"{INDENT}({numbered.classes_at(places)})", "dim")

    def _in_line(self, words: "Words") -> str:
        """Return text with its formulas in one line."""
        from softgrad.outputs.mathematics.drawing import draw_words
        from softgrad.outputs.mathematics.line import Line

        return draw_words(words, Line(has_signs=self._has_signs))

    def _wrapped(self, text: str, indent: str = "") -> list[str]:
        """Return text in lines that fit."""
        return textwrap.wrap(
            text, self._text_width, initial_indent=indent, subsequent_indent=indent
        )


class _Page(io.StringIO):
    """Text in memory. Rich chooses the lines of tables by its encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def _is_encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
