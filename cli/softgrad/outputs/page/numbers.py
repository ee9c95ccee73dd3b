"""How a page shows numbers and classes: digits, sums, which of many, what they are called."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from softgrad.messages import printable
from softgrad.records.records import Examples
from softgrad_core.loss.logits import FloatArray

DIGITS = 6
LOGIT_DIGITS = 9

MOST_CLASSES_IN_FULL = 20
CLASSES_SHOWN_OF_MORE = 10


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a row: how many, which is the target, and what they are called.

    There is none where the target is a distribution, or the row does not count; `instead` says so.
    """

    count: int
    target: int | None
    names: Sequence[str] | None
    instead: str = ""

    @classmethod
    def of_row(cls, examples: Examples, row: int) -> Self:
        """Return the classes of a row of the examples."""
        objective = examples.objective
        names = examples.names[row // examples.size]
        instead = ""
        if objective.distribution is not None:
            instead = "target probabilities"
        elif objective.counted is not None and not objective.counted[row]:
            instead = "an ignored row"
        target = None if instead else int(objective.labels[row])
        return cls(examples.logits.shape[1], target, names, instead)

    @property
    def title(self) -> str:
        """What the row is."""
        target = self.instead if self.target is None else f"target {self.called(self.target)}"
        return f"{self.count:,} classes, {target}"

    def called(self, c: int) -> str:
        """Return the index of a class, and its name in parentheses."""
        return f"{c} ({printable(self.names[c])})" if self.names else str(c)

    def label(self, c: int) -> str:
        """Return what stands at the row of a class."""
        return f"{c} {printable(self.names[c])}" if self.names else str(c)


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
    if not np.isfinite(numbers).all():
        return ""
    total = math.fsum(numbers)
    return f"{total:.12g}" if abs(total) > 1e-12 * math.fsum(np.abs(numbers)) else "0"
