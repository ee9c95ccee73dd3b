"""Formulas as blocks of text for a terminal, with fractions and vectors over several lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from softgrad.outputs.mathematics.line import ASCII
from softgrad.outputs.mathematics.notation import Notation

# The upper, middle and lower part of a parenthesis or bracket of several lines.
_TALL = {"(": "⎛⎜⎝", ")": "⎞⎟⎠", "[": "⎡⎢⎣", "]": "⎤⎥⎦"}
_TALL_ASCII = {"(": "/|\\", ")": "\\|/", "[": "[[[", "]": "]]]"}


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of equal width; line number `level` is on a level with what stands beside it."""

    lines: tuple[str, ...]
    level: int = 0

    def __len__(self) -> int:
        """Return the width."""
        return len(self.lines[0])


class Blocks(Notation[Block]):
    """Draws a formula as a block, with plain fractions inside of fractions.

    With `writes_powers`, a block is as wide as the formula is in LaTeX or MathML, roughly.
    """

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

    def text(self, text: str) -> Block:
        return Block((text if self._has_signs else text.translate(ASCII),))

    def number(self, mantissa: str, exponent: str) -> Block:
        if exponent and self.writes_powers:
            return self.text(f"{mantissa} × 10{exponent}")
        return super().number(mantissa, exponent)

    def negative(self, inner: Block) -> Block:
        return self.row(self.text("-" if len(inner.lines) == 1 else "- "), inner)

    def parentheses(self, inner: Block) -> Block:
        return self._enclosed("(", inner, ")")

    def fraction(self, numerator: Block, denominator: Block) -> Block:
        if not self.stacked:
            return super().fraction(numerator, denominator)
        width = max(len(numerator), len(denominator))
        above = [line.center(width) for line in numerator.lines]
        below = [line.center(width) for line in denominator.lines]
        return Block((*above, *self.text("─" * width).lines, *below), len(above))

    def array(self, rows: Sequence[Sequence[Block]]) -> Block:
        cells = [[cell.lines[0] for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = tuple(
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in cells
        )
        return self._enclosed("[", Block(lines, (len(lines) - 1) // 2), "]")

    def _enclosed(self, left: str, inner: Block, right: str) -> Block:
        """Return a block between a pair of parentheses or brackets that are as tall as it is."""
        height = len(inner.lines)
        if height == 1:
            return self.row(self.text(left), inner, self.text(right))
        tall = _TALL if self._has_signs else _TALL_ASCII
        opening, closing = (
            Block((side[0], *[side[1]] * (height - 2), side[2]), inner.level)
            for side in (tall[left], tall[right])
        )
        return self.row(opening, inner, closing)


def _padded(block: Block, above: int, below: int) -> list[str]:
    """Return the lines of a block, with empty ones up to so many above and below its level."""
    empty = " " * len(block)
    return [
        *[empty] * (above - block.level),
        *block.lines,
        *[empty] * (below - len(block.lines) + block.level),
    ]
