"""Equations that are too wide: where to break them, and which classes of a matrix to keep."""

from collections.abc import Sequence
from typing import NamedTuple

from softgrad.outputs.mathematics.drawing import draw
from softgrad.outputs.mathematics.screen import Blocks
from softgrad_core.derivation import formulas as f

DOCUMENT = Blocks(has_signs=True, writes_powers=True)
"""Measures the width of a formula in a document, in letters, roughly."""

SHORTEST_LINE = 3
"""No line ends after so few letters: an equation is not broken after its first letter."""


class Fitted(NamedTuple):
    """An equation in lines; all but the first continue with an equals sign.

    `places` says which entries its vectors and matrices were narrowed to, None if to none.
    """

    lines: Sequence[f.Equation]
    places: Sequence[int] | None


def fitted(equation: f.Equation, notation: Blocks, width: int, important: Sequence[int]) -> Fitted:
    """Return an equation in lines of at most so many letters, if that can be.

    It is broken before equals signs. If that is not enough, sums lose the terms between the first
    and the last, then the last, and matrices lose classes: as few as necessary, the last ones
    first, and never the important ones.
    """
    lines, widest = _broken(equation, notation, width)
    for last in (slice(-1, None), slice(0, 0)):
        if widest > width:
            equation = f.with_short_sums(equation, last)
            lines, widest = _broken(equation, notation, width)
    matrices = (part for part in f.parts(equation) if isinstance(part, f.Matrix))
    count = max((len(matrix.rows) for matrix in matrices), default=0)
    others = [place for place in range(count) if place not in important]
    places = None
    while widest > width and others:
        others.pop()
        places = sorted([*important, *others])
        lines, widest = _broken(f.narrowed(equation, places), notation, width)
    return Fitted(lines, places)


def _broken(equation: f.Equation, notation: Blocks, width: int) -> tuple[list[f.Equation], int]:
    """Return the lines of an equation, and the width of the widest."""
    equals = len(notation.between("="))
    lines: list[list[f.Formula]] = []
    widths: list[int] = []
    for member in equation.members:
        added = len(draw(member, notation)) + (equals if lines else 0)
        if lines and (widths[-1] <= SHORTEST_LINE or widths[-1] + added <= width):
            lines[-1].append(member)
            widths[-1] += added
        else:
            lines.append([member])
            widths.append(added)
    return [f.Equation(tuple(line)) for line in lines], max(widths)
