"""Formulas as blocks of text, with fractions over several lines, for a screen of letters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from softgrad.outputs.mathematics import TIMES, Notation, draw
from softgrad.outputs.mathematics.line import ASCII, POWERS
from softgrad_core.derivation.formulas import Equation, Formula, Matrix, narrowed, parts

# The upper, middle and lower part of what stands around several lines.
_AROUND = {"(": "⎛⎜⎝", ")": "⎞⎟⎠", "[": "⎡⎢⎣", "]": "⎤⎥⎦"}
_AROUND_ASCII = {"(": "/|\\", ")": "\\|/", "[": "[[[", "]": "]]]"}


SHORTEST_LINE = 3
"""A line as short as this is not worth breaking an equation after it."""


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of one width, and which of them is level with what stands beside them."""

    lines: tuple[str, ...]
    level: int = 0

    @property
    def width(self) -> int:
        """The number of letters in each line."""
        return len(self.lines[0])


class Blocks(Notation[Block]):
    """Draws a formula as a block; inside a fraction, others are written in one line."""

    def __init__(
        self, *, has_signs: bool, writes_powers: bool = False, stacked: bool = True
    ) -> None:
        self._has_signs = has_signs
        self.writes_powers = writes_powers
        self.stacked = stacked

    @property
    def in_fraction(self) -> Self:
        return type(self)(
            has_signs=self._has_signs, writes_powers=self.writes_powers, stacked=False
        )

    def row(self, *parts: Block) -> Block:
        above = max(part.level for part in parts)
        below = max(len(part.lines) - part.level for part in parts)
        columns = [_padded(part, above, below) for part in parts]
        return Block(tuple(map("".join, zip(*columns, strict=True))), above)

    def letter(self, letter: str) -> Block:
        return self._text(letter)

    def word(self, word: str) -> Block:
        return self._text(word)

    def number(self, mantissa: str, exponent: str) -> Block:
        power = f" × 10{exponent}" if self.writes_powers else f"e{exponent}"
        return self._text(mantissa + power if exponent else mantissa)

    def negative(self, inner: Block) -> Block:
        return self.row(self._text("-" if len(inner.lines) == 1 else "- "), inner)

    def sign(self, sign: str) -> Block:
        return self._text(sign)

    def between(self, sign: str) -> Block:
        return Block((" " if sign in {" ", TIMES} else f" {self._sign(sign)} ",))

    def subscript(self, base: Block, index: Block) -> Block:
        return self.row(base, self._text("_"), index)

    def superscript(self, base: Block, index: Block) -> Block:
        [exponent] = index.lines
        return self.row(base, self._text(POWERS.get(exponent, f"^{exponent}")))

    def parentheses(self, inner: Block) -> Block:
        return self._around("(", inner, ")")

    def fraction(self, numerator: Block, denominator: Block) -> Block:
        if not self.stacked:
            return self.row(numerator, self._text("/"), denominator)
        width = max(numerator.width, denominator.width)
        bar = self._sign("─") * width
        above = [line.center(width) for line in numerator.lines]
        below = [line.center(width) for line in denominator.lines]
        return Block((*above, bar, *below), len(above))

    def sum(self, index: Block, term: Block) -> Block:
        if len(index.lines[0]) > 1:
            index = self.parentheses(index)
        return self.row(self._text("Σ"), self._text("_"), index, self._text(" "), term)

    def array(self, rows: Sequence[Sequence[Block]]) -> Block:
        cells = [[cell.lines[0] for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = tuple(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in cells
        )
        return self._around("[", Block(lines, (len(lines) - 1) // 2), "]")

    def _text(self, text: str) -> Block:
        return Block((self._sign(text),))

    def _sign(self, sign: str) -> str:
        return sign if self._has_signs else ASCII.get(sign, sign)

    def _around(self, left: str, inner: Block, right: str) -> Block:
        height = len(inner.lines)
        if height == 1:
            return self.row(self._text(left), inner, self._text(right))
        signs = _AROUND if self._has_signs else _AROUND_ASCII
        sides = [
            Block((side[0], *[side[1]] * (height - 2), side[2]), inner.level)
            for side in (signs[left], signs[right])
        ]
        return self.row(sides[0], inner, sides[1])


def _padded(block: Block, above: int, below: int) -> list[str]:
    """Return the lines of a block, with empty ones for so many above and below its level."""
    empty = " " * block.width
    return [
        *[empty] * (above - block.level),
        *block.lines,
        *[empty] * (below - len(block.lines) + block.level),
    ]


class Fitted(NamedTuple):
    """An equation in lines, all but the first to begin with a sign of equality.

    `places` are the classes that its vectors and matrices were narrowed to, by their place there;
    None where they are as they were.
    """

    lines: Sequence[Equation]
    places: Sequence[int] | None


def fitted(formula: Equation, notation: Blocks, width: int, important: Sequence[int]) -> Fitted:
    """Return an equation in lines of so many letters, where it can be made to fit.

    It is broken before a sign of equality, and a matrix is narrowed to fewer classes, but the
    important ones, which come first where they do not all fit.
    """
    lines, widest = _broken(formula, notation, width)
    count = max((len(part.rows) for part in parts(formula) if isinstance(part, Matrix)), default=0)
    others = [place for place in range(count) if place not in important]
    places = None
    for fewer in range(len(others) - 1, -1, -1):
        if widest <= width:
            break
        places = sorted([*important, *others[:fewer]])
        lines, widest = _broken(narrowed(formula, places), notation, width)
    return Fitted(lines, places)


def _broken(formula: Equation, notation: Blocks, width: int) -> tuple[list[Equation], int]:
    """Return the lines of an equation, broken where it is too wide, and the widest."""
    equals = notation.between("=").width
    lines: list[list[Formula]] = []
    widths: list[int] = []
    for member in formula.members:
        added = draw(member, notation).width + (equals if lines else 0)
        if lines and (widths[-1] <= SHORTEST_LINE or widths[-1] + added <= width):
            lines[-1].append(member)
            widths[-1] += added
        else:
            lines.append([member])
            widths.append(added)
    return [Equation(tuple(line)) for line in lines], max(widths)


def stacked(lines: Sequence[Equation], notation: Blocks) -> Iterator[str]:
    """Yield the lines of text of an equation in several lines."""
    for place, line in enumerate(lines):
        drawn = draw(line, notation)
        if place:
            drawn = notation.row(notation.between("="), drawn)
            yield from [""] * (len(drawn.lines) > 1)
        yield from drawn.lines
