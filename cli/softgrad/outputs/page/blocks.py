"""The building blocks of a page: headings, paragraphs, tables, and steps of a derivation."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from softgrad_core.derivation.formulas import Formula, Words
    from softgrad_core.derivation.steps import Step


class Tone(StrEnum):
    """How a text stands out from others."""

    PLAIN = ""
    STRONG = "strong"
    DIM = "dim"
    PASS = "pass"
    FAIL = "fail"
    UNINFORMATIVE = "uninformative"


class Toned(NamedTuple):
    """Text in a tone."""

    text: str
    tone: Tone


class Math(NamedTuple):
    """The name of a formula: what a terminal shows, and other formats draw.

    A name, since formulas take time to import, and tables on a terminal do not need them.
    """

    text: str


Piece: TypeAlias = "str | Toned | Math | Formula"
Pieces: TypeAlias = tuple[Piece, ...]
Cell: TypeAlias = "str | Toned"


class Heading(NamedTuple):
    """A title, and a remark below it."""

    title: str
    below: str = ""
    level: int = 1


class Prose(NamedTuple):
    """A paragraph that may be broken into lines anywhere."""

    words: "Words"


class Paragraph(NamedTuple):
    """A paragraph with lines of its own."""

    lines: tuple[Pieces, ...]


class Bars(StrEnum):
    """What the bars beside the numbers of a column show."""

    SHARE = "share"
    """Numbers from 0 to 1."""
    SIGNED = "signed"
    """Numbers of both signs, as shares of the largest."""
    MINOR = "minor"
    """As SIGNED, but only in formats where bars take no room from the numbers."""


class Column(NamedTuple):
    """A column of a table. A column of numbers is aligned to the right."""

    title: Pieces
    is_number: bool = True
    bars: Bars | None = None
    footer: str = ""


class Row(NamedTuple):
    """A row of a table. `shares` has the lengths of its bars, from -1 to 1, by column."""

    cells: Sequence[Cell]
    is_target: bool = False
    shares: Mapping[int, float] = MappingProxyType({})
    tone: Tone = Tone.PLAIN


class Table(NamedTuple):
    """A table. Where its rows are classes, each starts with the index of one, and its name."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    are_classes: bool = True


class ErrorMap(NamedTuple):
    """Where the numbers of a batch are wrong: rows from top to bottom, classes from left to right.

    `shares` has the share of wrong numbers in each cell of the map, from 0 to 1; a cell may stand
    for several rows and classes.
    """

    caption: str
    shares: Sequence[Sequence[float]]

    @property
    def lines(self) -> list[str]:
        """The map in plain text: . where nothing is wrong, + where some is, # where all is."""
        marks = (
            "".join("." if not share else "#" if share == 1 else "+" for share in row)
            for row in self.shares
        )
        return [self.caption, *marks]


class NumberedStep(NamedTuple):
    """A step of a derivation.

    Attributes
    ----------
    number, step
        The step and its number, from 1.
    cases
        For each of its evaluations the class that it is for; empty where it is for all.
    classes
        The classes that vectors have entries for; None stands for those left out.
    important
        The entries of vectors that are shown even if there is no room for all.
    """

    number: int
    step: "Step"
    cases: "Sequence[Words]"
    classes: Sequence[int | None]
    important: Sequence[int]

    def classes_at(self, places: Sequence[int]) -> str:
        """Return which classes have these places in vectors, in words."""
        return listed([self.classes[place] for place in places])


def listed(classes: Sequence[int | None]) -> str:
    """Return classes as a list in words, without those left out."""
    *others, last = (str(c) for c in classes if c is not None)
    return f"classes {', '.join(others)} and {last}"


Block = Heading | Prose | Paragraph | Table | ErrorMap | NumberedStep
