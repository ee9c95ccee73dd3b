"""The loss as curves, with tangents: where the lines of each picture are, for every format."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad.messages import printable
from softgrad.outputs.page.blocks import Block, Heading, Line, Plot, Plots, Prose
from softgrad.outputs.page.numbers import short
from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.explain import Derivation
from softgrad_core.derivation.slopes import Slope, Slopes, slopes_of
from softgrad_core.derivation.symbols import words

TITLE = "The slope"

UNITS, TALL = 10.0, 6.5
"""The size of a picture, in units: a logit that is moved by one unit may lift the loss by one."""

FLOOR, HEADROOM = 1.2, 4.0
"""The units below a loss of 0, and those below a loss that is high."""

BESIDE = 0.25
"""The units between the two parts of a slope, of which the second ends on the tangent."""


def plots_of(derivation: Derivation, names: Sequence[str] | None) -> Iterator[Block]:
    """Yield the pictures of a row: the loss by each logit, and by f(x)_y."""
    slopes = slopes_of(derivation.logits, derivation.objective)
    if not math.isfinite(slopes.loss):
        # A masked target: the loss is infinite wherever the others are.
        return
    bottom = max(-FLOOR, slopes.loss / slopes.rise - HEADROOM)
    label = int(derivation.objective.labels[0])
    options = derivation.objective
    has_factor = options.temperature is not None or options.softcap is not None
    plots = [
        _by_logit(slope, slopes, bottom, names, has_factor=has_factor) for slope in slopes.of_logits
    ]
    if math.isfinite(slopes.of_output.slope):
        plots.append(_by_output(slopes, label, names))
    if plots:
        yield Heading(TITLE, level=2)
        yield Plots(plots)
        yield Prose(_how_to_see(derivation))


def _how_to_see(derivation: Derivation) -> f.Words:
    """Return what the pictures show."""
    pull, push, more = "1 at the target and by 0 elsewhere", "{f(x)_c}", ""
    if not derivation.is_plain:
        pull = "the weight {q_c} that its class has in the target"
        push += " times the sum of all weights"
    if derivation.objective.z_scale is not None:
        push += ", to which the z-loss adds"
    if derivation.objective.temperature is not None:
        more = " The factor before the parts is 1 over the temperature."
    if derivation.objective.softcap is not None:
        more = " The factor before the parts is small where the soft cap flattens the logit."
    return words(
        "Each picture moves one number and holds the others. The curve is the loss {L}, the point "
        "is where you are, and the slope of the tangent is the derivative. It has two parts: "
        f"the target lowers the loss by {pull}, and the softmax lifts it again by {push}. Where "
        f"there are colours, they stand one unit to the right of the point, and end on the "
        f"tangent.{more}",
        q_c=f.Known("q", "c", ()),
    )


class _Frame(NamedTuple):
    """The numbers at the left and at the bottom of a picture, and those of a unit."""

    left: float
    run: float
    bottom: float
    rise: float

    def line(self, xs: npt.ArrayLike, losses: npt.ArrayLike) -> Line:
        """Return a line through points, as far as it is inside."""
        across = (np.asarray(xs) - self.left) / self.run
        up = np.asarray(losses) / self.rise - self.bottom
        return _clipped(list(zip(across.tolist(), up.tolist(), strict=True)))

    def tangent(self, at: float, loss: float, slope: float) -> Line:
        """Return the line through a point that has a slope, from edge to edge."""
        xs = np.array([self.left, self.left + UNITS * self.run])
        return self.line(xs, loss + slope * (xs - at))


def _clipped(line: Line) -> Line:
    """Return the part of a line that is inside of a picture."""
    inside: Line = []
    for one, two in pairwise(line):
        if not (math.isfinite(one[1]) and math.isfinite(two[1])):
            continue
        steep = two[1] - one[1]
        # The shares of the segment at which it enters and leaves.
        ends = sorted((edge - one[1]) / steep for edge in (0.0, TALL)) if steep else [0.0, 1.0]
        begin, end = max(0.0, ends[0]), min(1.0, ends[1])
        if begin > end or (not steep and not 0.0 <= one[1] <= TALL):
            continue
        for share in (begin, end):
            point = (one[0] + share * (two[0] - one[0]), one[1] + share * steep)
            if not inside or inside[-1] != point:
                inside.append(point)
    return inside


def _by_logit(
    slope: Slope, slopes: Slopes, bottom: float, names: Sequence[str] | None, *, has_factor: bool
) -> Plot:
    """Return the picture of a class."""
    c, run, loss = int(slope.index or 0), slopes.run, slopes.loss
    frame = _Frame(float(slope.xs[0]), run, bottom, slopes.rise)
    start, before, end = slope.at, slope.at + (1.0 - BESIDE) * run, slope.at + run
    lowest = loss - slope.pull * slope.factor * run
    lines = {
        "zero": frame.line([frame.left, frame.left + UNITS * run], [0.0, 0.0]),
        "level": frame.line([start, end], [loss, loss]),
        "tangent": frame.tangent(start, loss, slope.slope),
        "curve": frame.line(slope.xs, slope.losses),
        "pull": frame.line([before, before], [loss, lowest]),
        "push": frame.line([end, end], [lowest, loss + slope.slope * run]),
    }
    said = (short(slope.push), short(slope.pull), short(slope.slope))
    point = ((start - frame.left) / run, loss / slopes.rise - bottom)
    sides = frame.left, frame.left + UNITS * run
    # As many digits as tell the ends apart.
    digits = 3 + max(0, math.floor(math.log10(max(map(abs, sides)) / (UNITS * run))))
    ends = (short(sides[0], digits), short(sides[1], digits))
    factor = short(slope.factor) if has_factor else ""
    return Plot(f.Logit(c, "a"), c, _name(names, c), lines, point, said, ends, factor)


def _by_output(slopes: Slopes, label: int, names: Sequence[str] | None) -> Plot:
    """Return the picture of f(x)_y, whose scale is such that a high loss is inside."""
    slope, loss = slopes.of_output, slopes.loss
    rise = max(slopes.rise, loss / HEADROOM)
    frame = _Frame(0.0, 1.0 / UNITS, -FLOOR, rise)
    lines = {
        "zero": frame.line([0.0, 1.0], [0.0, 0.0]),
        "tangent": frame.tangent(slope.at, loss, slope.slope),
        "curve": frame.line(slope.xs, slope.losses),
    }
    said = (short(-slope.slope * slope.at), short(slope.at), short(slope.slope))
    point = (slope.at * UNITS, loss / rise + FLOOR)
    return Plot(f.Output("y"), None, _name(names, label), lines, point, said, ("0", "1"))


def _name(names: Sequence[str] | None, c: int) -> str:
    return printable(names[c]) if names else ""
