"""What is shown of a record to people, in any format: headings, paragraphs, tables, steps.

This is what stands on a page, and in which order. How it looks is for the formats.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from softgrad_core.derivation.formulas import Formula, Words
    from softgrad_core.derivation.steps import Step


class Tone(StrEnum):
    """What a text is like beside others."""

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
    """A formula by its name: what it is in a line of text.

    Formulas as such take time to import, which tables on a screen do not need.
    """

    text: str


Piece: TypeAlias = "str | Toned | Math | Formula"
Pieces: TypeAlias = tuple[Piece, ...]


class Heading(NamedTuple):
    """The title of what follows, and what stands below it."""

    title: str
    below: str = ""
    level: int = 1


class Prose(NamedTuple):
    """Text that may be broken into lines anywhere."""

    words: "Words"


class Paragraph(NamedTuple):
    """Lines of text."""

    lines: tuple[Pieces, ...]


class Bars(StrEnum):
    """What the bars of a column show of its numbers, as shares of the largest possible one."""

    SHARE = "share"
    SIGNED = "signed"
    SINGLE = "single"
    """As SIGNED, where one number alone is not 0: drawn where bars take no room of their own."""


class Column(NamedTuple):
    """A column of a table."""

    title: Pieces
    is_number: bool = True
    bars: Bars | None = None
    footer: str = ""


class Row(NamedTuple):
    """A row of a table: a cell for each column, and the shares that its bars show, by column."""

    cells: Sequence[str | Toned]
    is_target: bool = False
    shares: Mapping[int, float] = MappingProxyType({})
    tone: Tone = Tone.PLAIN


class Table(NamedTuple):
    """A table; where its rows are classes, the first cell is the index, and the name if any."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    are_classes: bool = True


class NumberedStep(NamedTuple):
    """A step of a derivation, and what each of its evaluations is for, if not for all classes.

    `classes` are those that vectors have an entry for, with None for gaps. `important` are the
    places in vectors that are shown even where there is no room for all.
    """

    number: int
    step: "Step"
    cases: "Sequence[Words]"
    classes: Sequence[int | None]
    important: Sequence[int]

    def of_classes(self, places: Sequence[int]) -> str:
        """Return which classes stand at these places."""
        return listed([c for place in places if (c := self.classes[place]) is not None])


def listed(classes: Sequence[int]) -> str:
    """Return which classes these are, for a reader."""
    *others, last = map(str, classes)
    return f"of the classes {', '.join(others)} and {last}"


Block = Heading | Prose | Paragraph | Table | NumberedStep
