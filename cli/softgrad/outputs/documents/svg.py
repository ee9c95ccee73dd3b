"""Pictures as SVG: the loss as curves. The colours are those of the style sheet around them."""

from html import escape
from pathlib import Path

from softgrad.outputs.mathematics.drawing import draw
from softgrad.outputs.mathematics.line import Line as InLine
from softgrad.outputs.page.blocks import Line, Plot, Plots
from softgrad.outputs.page.plots import TALL, UNITS

UNIT = 24
"""The pixels of a unit."""

WIDTH, HEIGHT, SIDE = UNITS * UNIT, TALL * UNIT, 5
"""The size of a picture, and the room at either side for a point at its edge."""

BESIDE, ACROSS, DOWN = 3, 264, 260
"""The pictures side by side in a file, and the pixels from one to the next."""


def picture(plot: Plot, says: str, more: str = "") -> str:
    """Return a picture; `says` is read to who does not see it, and `more` are its attributes."""
    lines = "".join(
        f'<path class="{name}" d="{_path(line)}"/>' for name, line in plot.lines.items()
    )
    x, y = _at(plot.point)
    left, right = (escape(end.replace("-", "\N{MINUS SIGN}")) for end in plot.ends)
    return (
        f'<svg{more} viewBox="{-SIDE} -6 {WIDTH + 2 * SIDE:g} {HEIGHT + 24:g}" role="img" '
        f'aria-label="{escape(says)}">{lines}<circle cx="{x}" cy="{y}" r="4"/>'
        f'<text x="2" y="{HEIGHT + 15:g}">{left}</text>'
        f'<text x="{WIDTH - 2:g}" y="{HEIGHT + 15:g}" text-anchor="end">{right}</text></svg>'
    )


def standalone(plots: Plots) -> str:
    """Return all pictures as one file, with their titles and slopes."""
    drawn = "".join(_placed(plot, *divmod(n, BESIDE)) for n, plot in enumerate(plots.plots))
    rows = -(-len(plots.plots) // BESIDE)
    width, height = BESIDE * ACROSS, rows * DOWN
    style = Path(__file__).with_name("svg.css").read_text("utf-8")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}"><style>{style}</style>{drawn}</svg>\n'
    )


def _placed(plot: Plot, row: int, column: int) -> str:
    """Return a picture at its place, with its title above and its slope below."""
    x, y = column * ACROSS + 10, row * DOWN
    name = f" {plot.name}" if plot.name else ""
    title = escape(f"loss by {in_line(plot)}{name}")
    where = f' x="{x}" y="{y + 30}" width="{WIDTH:g}" height="{HEIGHT + 24:g}"'
    slope = escape(slope_of(plot).replace("-", "\N{MINUS SIGN}"))
    parts, equals, value = slope.rpartition("= ")
    return (
        f'<text x="{x}" y="{y + 20}">{title}</text>{picture(plot, slope, where)}'
        f'<text x="{x}" y="{y + DOWN - 32}">{parts}</text>'
        f'<text x="{x}" y="{y + DOWN - 14}">{equals}{value}</text>'
    )


def in_line(plot: Plot) -> str:
    """Return what is moved, in a line of text."""
    return draw(plot.variable, InLine(has_signs=True))


def slope_of(plot: Plot) -> str:
    """Return the slope in words: what it is made of, and its value."""
    return f"slope {plot.parts} = {plot.said[-1]}"


def _path(line: Line) -> str:
    return "M" + "L".join(" ".join(_at(point)) for point in line) if line else ""


def _at(point: tuple[float, float]) -> tuple[str, str]:
    """Return a place in the picture, which has y downwards."""
    across, up = point
    return f"{across * UNIT:.2f}", f"{HEIGHT - up * UNIT:.2f}"
