"""How tables look: the frame, the numbers, the labels of the classes, the bars."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich import box
from rich.cells import cell_len, set_cell_size
from rich.table import Table

from softgrad.messages import printable
from softgrad_core.logits import FloatArray

DIGITS = 6
LOGIT_DIGITS = 9
LONGEST_NAME = 16

MOST_CLASSES_IN_FULL = 20
CLASSES_SHOWN_OF_MORE = 10

# rich's SIMPLE_HEAD in ASCII: a line of dashes under the head and no other.
ASCII_HEAD = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)

TARGET_STYLE = "bold yellow"
VERDICT_STYLES = {"pass": "green", "fail": "bold red", "uninformative": "dim"}


@dataclass(frozen=True, slots=True)
class Screen:
    """What the tables are shown on: its width, and whether it has more signs than ASCII."""

    width: int
    has_blocks: bool

    def table(self, *, show_footer: bool = False) -> Table:
        """Return an empty table."""
        return Table(
            box=box.SIMPLE_HEAD if self.has_blocks else ASCII_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
            show_footer=show_footer,
        )

    def bar(self, share: float, width: int) -> str:
        """Return a bar that fills this share of `width`, to an eighth of a cell where it can."""
        if not self.has_blocks:
            return "#" * round(share * width)
        eighths = round(share * width * 8)
        return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()

    def signed_bar(self, share: float, width: int) -> str:
        """Return a bar from the middle of `width`, to the left for a share below 0."""
        half = width // 2
        if share >= 0:
            return " " * half + self.bar(share, half)
        halves = round(-share * half * 2)
        block = "▐" * (halves % 2) + "█" * (halves // 2)
        return (block if self.has_blocks else "#" * (halves // 2)).rjust(half)


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a record: how many, which is the target, and what they are called."""

    count: int
    target: int
    names: Sequence[str] | None

    def title(self, place: str) -> str:
        """Return what the record is."""
        target = f"target {self.target}"
        if self.names:
            target += f" ({printable(self.names[self.target])})"
        return f"{place}{self.count:,} classes, {target}"

    def label(self, c: int, screen: Screen) -> str:
        """Return what stands at the row of a class."""
        arrow = "→" if screen.has_blocks else ">"
        mark = f"{arrow} " if c == self.target else "  "
        if not self.names:
            return f"{mark}{c}"
        name = printable(self.names[c])
        if cell_len(name) > LONGEST_NAME:
            name = set_cell_size(name, LONGEST_NAME - 3).rstrip() + "..."
        return f"{mark}{c} {name}"

    def style(self, c: int) -> str:
        """Return the style of the row of a class."""
        return TARGET_STYLE if c == self.target else ""


def choose_classes(by_importance: npt.NDArray[np.intp], others: Sequence[int]) -> Sequence[int]:
    """Return the classes to show: all, or the most important of many, and the others named."""
    count = len(by_importance)
    if count <= MOST_CLASSES_IN_FULL:
        return range(count)
    return list(dict.fromkeys([*by_importance[:CLASSES_SHOWN_OF_MORE].tolist(), *others]))


def short(number: float, digits: int = DIGITS) -> str:
    """Return a number with as many digits as a table has room for."""
    return "" if math.isnan(number) else f"{number + 0.0:.{digits}g}"


def shown_sum(numbers: FloatArray) -> str:
    """Return a sum as a reader would check it, 0 where only rounding errors are left."""
    total = math.fsum(numbers)
    return f"{total:.12g}" if abs(total) > 1e-12 * math.fsum(np.abs(numbers)) else "0"
