"""The building blocks of a page: headings, paragraphs, tables, and steps of a derivation."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from softgrad_core.derivation.explain import Derivation
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
    """A paragraph with lines of its own; `key` names what it shows, for a script."""

    lines: tuple[Pieces, ...]
    key: str = ""


class Bars(StrEnum):
    """What the bars beside the numbers of a column show."""

    SHARE = "share"
    """Numbers from 0 to 1."""
    SIGNED = "signed"
    """Numbers of both signs, as shares of the largest."""
    MINOR = "minor"
    """As SIGNED, but only in formats where bars take no room from the numbers."""


class Column(NamedTuple):
    """A column of a table. A column of numbers is aligned to the right.

    `key` names the numbers, for a script.
    """

    title: Pieces
    is_number: bool = True
    bars: Bars | None = None
    footer: str = ""
    key: str = ""


class Row(NamedTuple):
    """A row of a table.

    `shares` has the lengths of its bars, from -1 to 1, by column, and `of_class` the class that
    it is of, if it is of one.
    """

    cells: Sequence[Cell]
    is_target: bool = False
    shares: Mapping[int, float] = MappingProxyType({})
    tone: Tone = Tone.PLAIN
    of_class: int | None = None


class Table(NamedTuple):
    """A table. Where its rows are classes, each starts with the index of one, and its name."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    are_classes: bool = True


class MapCell(NamedTuple):
    """A cell of a map: the share of wrong numbers in it, from 0 to 1; its worst error; in words.

    The share is NaN where no number was judged.
    """

    share: float
    ulp: float
    said: str

    @property
    def is_judged(self) -> bool:
        """Whether some number of the cell was judged."""
        return not math.isnan(self.share)

    @property
    def is_wrong(self) -> bool:
        """Whether some number of the cell is wrong."""
        return self.share > 0.0

    @property
    def mark(self) -> str:
        """The cell in plain text."""
        if not self.is_judged:
            return "?"
        return "." if not self.is_wrong else "#" if self.share == 1.0 else "+"


class Histogram(NamedTuple):
    """How many numbers there are of each size; the first `within` bars are those that may be."""

    caption: str
    labels: Sequence[str]
    counts: Sequence[int]
    within: int


class ErrorMap(NamedTuple):
    """Where the numbers of a batch are wrong: rows from top to bottom, classes from left to right.

    A cell may stand for several rows and classes. The errors are in ulp of `dtype`; for numbers
    that are held to their digits there is none, and no histogram.
    """

    caption: str
    cells: Sequence[Sequence[MapCell]]
    dtype: str = ""
    histogram: Histogram | None = None

    @property
    def lines(self) -> list[str]:
        """The map in plain text: . where nothing is wrong, + where some is, # where all is.

        A ? is where nothing was judged.
        """
        return [self.caption, *("".join(cell.mark for cell in row) for row in self.cells)]


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


Line = list[tuple[float, float]]
"""The points of a line in a picture: across from the left, and up from the bottom."""


class Plot(NamedTuple):
    """A picture of the loss as a function of one number.

    Attributes
    ----------
    variable
        What is moved, as a formula: a logit, or the output f(x)_y.
    of_class, name
        The class whose logit it is, None for f(x)_y; and the name of the class.
    lines
        "curve" and "tangent"; "zero", a loss of 0; and for a logit "level", "pull" and "push", the
        two parts of the slope one unit to the right of the point. All are inside of the picture.
    point
        Where we are.
    said
        The numbers of the slope: for a logit the push, the pull, and the slope, which is
        push - pull, times the factor if there is one; for f(x)_y the weight of the class, f(x)_y,
        and the slope.
    ends
        The numbers at the left and at the right.
    factor
        The number that the difference of the two parts is multiplied by, if it may not be 1.
    """

    variable: "Formula"
    of_class: int | None
    name: str
    lines: Mapping[str, Line]
    point: tuple[float, float]
    said: tuple[str, str, str]
    ends: tuple[str, str]
    factor: str = ""

    @property
    def parts(self) -> str:
        """What the slope is made of, in a line of text."""
        one, two, _ = self.said
        if self.of_class is None:
            return f"-{one} / {two}"
        return f"{self.factor} ({one} - {two})" if self.factor else f"{one} - {two}"


class Plots(NamedTuple):
    """Pictures beside each other."""

    plots: Sequence[Plot]


class Moving(NamedTuple):
    """The blocks of one row, whose numbers a script can move.

    `names` are those of the classes.
    """

    blocks: "Sequence[Block]"
    derivation: "Derivation"
    names: Sequence[str] | None


def listed(classes: Sequence[int | None]) -> str:
    """Return classes as a list in words, without those left out."""
    *others, last = (str(c) for c in classes if c is not None)
    return f"classes {', '.join(others)} and {last}"


Block = Heading | Prose | Paragraph | Table | ErrorMap | NumberedStep | Plots | Moving


def flat(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks of a page without grouping them, for a format in which nothing moves."""
    for block in blocks:
        if isinstance(block, Moving):
            yield from flat(block.blocks)
        else:
            yield block
