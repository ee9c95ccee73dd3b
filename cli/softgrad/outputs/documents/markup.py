"""What the documents have in common: each is text with marks that say what is what."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from softgrad.messages import printable
from softgrad.outputs.page import page_of
from softgrad.outputs.page.blocks import (
    Block,
    Cell,
    Column,
    ErrorMap,
    Heading,
    Math,
    Moving,
    NumberedStep,
    Paragraph,
    Piece,
    Plots,
    Prose,
    Table,
    Tone,
    Toned,
)
from softgrad.records.records import Records
from softgrad.work import Batch
from softgrad_core.derivation import formulas as f
from softgrad_core.errors import InputError

_Q_C = f.Known("q", "c", ())
_LIKELIHOOD = f.Sum("c", _Q_C * f.Log(f.Output("c")))

NAMED: dict[str, f.Formula] = {
    "a": f.Logits(),
    "f(x)": f.Outputs(),
    "dL/df(x)": f.Gradient(f.Outputs()),
    "dL/da": f.Gradient(f.Logits()),
    "-log f(x)_y": -f.Log(f.Output("y")),
    "q": f.KnownVector("q", ()),
    "-sum_c q_c log f(x)_c": -_LIKELIHOOD,
    "sum_c q_c log q_c - sum_c q_c log f(x)_c": f.Sum("c", _Q_C * f.Log(_Q_C)) - _LIKELIHOOD,
}
"""The formulas that pages refer to by name."""

_NUMBER = re.compile(r"([+-]?)(\d+\.?\d*|inf)(?:e([+-]?\d+))?")


class Markup(ABC):
    """Renders pages block by block. A format says what each kind of block looks like."""

    opening = closing = b""

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the pages of the records of the batch."""
        pages = (page_of(records, batch, record) for record in range(len(batch.examples)))
        return b"".join(map(self.page, pages))

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return a paragraph that says why the record was rejected."""
        line = printable(f"{records.place(index)}: rejected: {error.reason}")
        return self.page([Paragraph(((Toned(line, Tone.FAIL),),))])

    def page(self, blocks: Iterable[Block]) -> bytes:
        """Return the blocks of a page, one after another."""
        return "".join(map(self._block, blocks)).encode()

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
            case ErrorMap():
                return self.error_map(block)
            case NumberedStep():
                return self.step(block)
            case Plots():
                return self.plots(block)
            case Moving():
                return self.moving(block)

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

    def cell(self, cell: Cell, column: Column) -> str:
        """Return the content of a cell of a table."""
        return self._said(cell) if column.is_number and isinstance(cell, str) else self._piece(cell)

    def _said(self, text: str) -> str:
        """Return a number as mathematics writes it, and other text as it is."""
        match = _NUMBER.fullmatch(text)
        if match is None:
            return self.text(text)
        sign, mantissa, exponent = match.groups(default="")
        return self.number(sign, "∞" if mantissa == "inf" else mantissa, exponent)

    @abstractmethod
    def text(self, text: str) -> str:
        """Return plain text, with everything escaped that would be a mark."""

    @abstractmethod
    def number(self, sign: str, mantissa: str, exponent: str) -> str:
        """Return a number; its power of ten may be empty."""

    @abstractmethod
    def toned(self, text: str, tone: Tone) -> str:
        """Return marked text in a tone."""

    @abstractmethod
    def formula(self, formula: f.Formula) -> str:
        """Return a formula in a line of text."""

    @abstractmethod
    def heading(self, heading: Heading) -> str:
        """Return a heading and the remark below it."""

    @abstractmethod
    def paragraph(self, paragraph: Paragraph) -> str:
        """Return a paragraph with its line breaks."""

    @abstractmethod
    def table(self, table: Table) -> str:
        """Return a table."""

    @abstractmethod
    def error_map(self, error_map: ErrorMap) -> str:
        """Return where the numbers of a batch are wrong."""

    @abstractmethod
    def plots(self, plots: Plots) -> str:
        """Return the loss as curves with their tangents."""

    def moving(self, moving: Moving) -> str:
        """Return the blocks of a row; in most formats nothing moves."""
        return "".join(map(self._block, moving.blocks))

    @abstractmethod
    def step(self, numbered: NumberedStep) -> str:
        """Return a step of a derivation: its rule, its formula, and its numbers."""
