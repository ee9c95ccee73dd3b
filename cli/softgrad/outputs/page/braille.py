"""Pictures as text: the loss as a curve, in Braille letters of 2 x 4 dots, or in ASCII."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from softgrad.outputs.page.blocks import Line, Plot, Plots
from softgrad.outputs.page.plots import TALL, UNITS

COLUMNS, ROWS = 24, 8
"""The letters of a picture, which are twice as high as wide."""

BETWEEN = "  "

# The bits of a Braille letter, by its rows of two dots.
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK = 0x2800
_DOTTED = {"zero": 4, "tangent": 2}
"""Of these lines every so manieth dot is drawn, so that they are told from the curve."""


def lines_of(plots: Plots, width: int, *, has_signs: bool) -> Iterator[str]:
    """Yield the lines of pictures, side by side as far as there is room."""
    drawn = [_picture(plot, has_signs=has_signs) for plot in plots.plots]
    column = max(len(line) for lines in drawn for line in lines)
    beside = max(1, (width + len(BETWEEN)) // (column + len(BETWEEN)))
    for first in range(0, len(drawn), beside):
        if first:
            yield ""
        for lines in zip(*drawn[first : first + beside], strict=True):
            # A row of letters in which nothing is drawn is left out.
            if any(map(str.strip, lines)):
                yield BETWEEN.join(line.ljust(column) for line in lines).rstrip()


def _picture(plot: Plot, *, has_signs: bool) -> Sequence[str]:
    """Return the lines of a picture: its title, the curve, its scale and its slope."""
    moved = "f(x)_y" if plot.of_class is None else f"a_{plot.of_class}"
    name = f" {plot.name}" if plot.name else ""
    left, right = plot.ends
    return [
        f"L by {moved}{name}"[:COLUMNS],
        *(_in_braille(plot) if has_signs else _in_ascii(plot)),
        left + right.rjust(COLUMNS - len(left)),
        f"slope {plot.parts}",
        f"    = {plot.said[-1]}",
    ]


def _in_braille(plot: Plot) -> list[str]:
    letters = [[_BLANK] * COLUMNS for _ in range(ROWS)]
    for name, line in plot.lines.items():
        if name not in {"zero", "tangent", "curve"}:
            continue
        for number, (x, y) in enumerate(_dots(line, 2 * COLUMNS, 4 * ROWS)):
            if number % _DOTTED.get(name, 1) == 0:
                letters[y // 4][x // 2] |= _BITS[y % 4][x % 2]
    rows = ["".join(map(chr, row)).replace(chr(_BLANK), " ") for row in letters]
    return _with_point(rows, plot, "●")


def _in_ascii(plot: Plot) -> list[str]:
    letters = [[" "] * COLUMNS for _ in range(ROWS)]
    for name, sign in (("tangent", "."), ("curve", "*")):
        for x, y in _dots(plot.lines[name], COLUMNS, ROWS):
            letters[y][x] = sign
    return _with_point(["".join(row) for row in letters], plot, "o")


def _with_point(rows: list[str], plot: Plot, sign: str) -> list[str]:
    """Return the rows of a picture with a sign for the point."""
    [(x, y)] = _dots([plot.point, plot.point], COLUMNS, ROWS)
    rows[y] = rows[y][:x] + sign + rows[y][x + 1 :]
    return rows


def _dots(line: Line, wide: int, high: int) -> list[tuple[int, int]]:
    """Return the dots of a line on a grid, from one end to the other, with y downwards."""
    dots: dict[tuple[int, int], None] = {}
    for one, two in pairwise(line):
        (x1, y1), (x2, y2) = (
            (across / UNITS * wide, (TALL - up) / TALL * high) for across, up in (one, two)
        )
        count = max(1, round(max(abs(x2 - x1), abs(y2 - y1))))
        for step in range(count + 1):
            x = x1 + (x2 - x1) * step / count
            y = y1 + (y2 - y1) * step / count
            dots[min(int(x), wide - 1), min(max(int(y), 0), high - 1)] = None
    return list(dots)
