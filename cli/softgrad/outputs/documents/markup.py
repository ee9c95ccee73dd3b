"""Pages -> text with marks in it: what the formats have in common that other programs draw."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from softgrad.messages import printable
from softgrad.outputs.page import (
    Block,
    Column,
    Heading,
    Math,
    NumberedStep,
    Paragraph,
    Piece,
    Prose,
    Table,
    Tone,
    Toned,
)
from softgrad.outputs.page.content import blocks_of
from softgrad.records.records import Records
from softgrad.work import Batch
from softgrad_core.derivation.formulas import (
    Formula,
    Gradient,
    Known,
    KnownVector,
    Log,
    Logits,
    Output,
    Outputs,
    Sum,
)
from softgrad_core.errors import InputError

NAMED: dict[str, Formula] = {
    "a": Logits(),
    "f(x)": Outputs(),
    "dL/df(x)": Gradient(Outputs()),
    "dL/da": Gradient(Logits()),
    "-log f(x)_y": -Log(Output("y")),
    "q": KnownVector("q", ()),
    "-sum_c q_c log f(x)_c": -Sum("c", Known("q", "c", ()) * Log(Output("c"))),
}
"""The formulas that pages call by their names."""


_NUMBER = re.compile(r"([+-]?)(\d+\.?\d*|inf)(?:e([+-]?\d+))?")


class Markup(ABC):
    """Renders pages by marks for what each thing is."""

    opening = closing = b""

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the pages of the records of the batch."""
        rows = range(len(batch.examples))
        return "".join(self.page(blocks_of(records, batch, row)) for row in rows).encode()

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return a paragraph that stands for the record."""
        line = printable(f"{records.place(index)}: rejected: {error.reason}")
        return self.page([Paragraph(((Toned(line, Tone.FAIL),),))]).encode()

    def page(self, blocks: Sequence[Block]) -> str:
        """Return the text of a page."""
        return "".join(map(self._block, blocks))

    def _block(self, block: Block) -> str:
        match block:
            case Heading():
                return self.heading(block)
            case Prose(words):
                return self.paragraph(Paragraph((words,)))
            case Paragraph():
                return self.paragraph(block)
            case Table():
                return self.table(block)
            case NumberedStep():
                return self.step(block)

    def pieces(self, pieces: Sequence[Piece]) -> str:
        """Return pieces of text in one line."""
        return "".join(map(self._piece, pieces))

    def _piece(self, piece: Piece) -> str:
        match piece:
            case Toned(said, tone):
                return self.toned(self._said(said), tone)
            case Math(name):
                return self.formula(NAMED[name])
            case str():
                return self.text(piece)
            case _:
                return self.formula(piece)

    def cell(self, cell: str | Toned, column: Column) -> str:
        """Return what stands in a cell of a table."""
        return self._said(cell) if column.is_number and isinstance(cell, str) else self._piece(cell)

    def _said(self, text: str) -> str:
        """Return a number as mathematics has it, and other text as it is."""
        match = _NUMBER.fullmatch(text)
        if match is None:
            return self.text(text)
        sign, mantissa, exponent = match.groups(default="")
        return self.number(sign, "∞" if mantissa == "inf" else mantissa, exponent)

    @abstractmethod
    def number(self, sign: str, mantissa: str, exponent: str) -> str:
        """Return a number of a table, with its power of ten where that is not empty."""

    @abstractmethod
    def text(self, text: str) -> str:
        """Return text as it is to be read, with nothing in it taken for a mark."""

    @abstractmethod
    def toned(self, text: str, tone: Tone) -> str:
        """Return marked text in a tone."""

    @abstractmethod
    def formula(self, formula: Formula) -> str:
        """Return a formula in a line of text."""

    @abstractmethod
    def heading(self, heading: Heading) -> str:
        """Return a heading."""

    @abstractmethod
    def paragraph(self, paragraph: Paragraph) -> str:
        """Return a paragraph."""

    @abstractmethod
    def table(self, table: Table) -> str:
        """Return a table."""

    @abstractmethod
    def step(self, numbered: NumberedStep) -> str:
        """Return a step of a derivation."""
