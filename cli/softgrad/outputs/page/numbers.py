"""How a page shows numbers and classes: with which digits, under which names, and how many."""

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
    """The classes of a row: their number, the target among them, and their names.

    The target is None where the row has probabilities as its target, or is ignored; `instead`
    says which.
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
            instead = "ignored"
        target = None if instead else int(objective.labels[row])
        return cls(examples.logits.shape[1], target, names, instead)

    @property
    def title(self) -> str:
        """The heading of the row."""
        if self.target is None:
            return f"{self.count:,} classes, {self.instead}"
        name = f" ({printable(self.names[self.target])})" if self.names else ""
        return f"{self.count:,} classes, target {self.target}{name}"

    def label(self, c: int) -> str:
        """Return the first cell of the row of a class: its index and its name."""
        return f"{c} {printable(self.names[c])}" if self.names else str(c)


def batch_title(examples: Examples) -> str:
    """Return the heading of a record that is a batch."""
    rows = "1 row" if examples.size == 1 else f"{examples.size:,} rows"
    return f"a batch of {rows}, {examples.logits.shape[1]:,} classes"


def choose_classes(by_importance: npt.NDArray[np.intp], also: Sequence[int | None]) -> list[int]:
    """Return the classes to show: all, or of many some others, and the most important."""
    if len(by_importance) <= MOST_CLASSES_IN_FULL:
        return list(range(len(by_importance)))
    chosen = [*also, *by_importance[:CLASSES_SHOWN_OF_MORE].tolist()]
    return list(dict.fromkeys(c for c in chosen if c is not None))


def short(number: float, digits: int = DIGITS, *, sign: str = "-") -> str:
    """Return a number with so many digits; nothing for NaN. The sign "+" shows both signs."""
    return "" if math.isnan(number) else f"{number + 0.0:{sign}.{digits}g}"


def shown_sum(numbers: FloatArray, right_digits: int = 12) -> str:
    """Return a sum as a reader would check it: 0 where only rounding errors are left.

    The numbers are right to so many digits, and shown with those that others have.
    """
    if not np.isfinite(numbers).all():
        return ""
    # Terms near the largest float64 are scaled, exactly: their sum may overflow on the way.
    scale = 2.0**-60 if np.abs(numbers).max() > 2.0**960 else 1.0
    total, size = math.fsum(numbers * scale), math.fsum(np.abs(numbers) * scale)
    digits = min(DIGITS, right_digits)
    return f"{total / scale:.{digits}g}" if abs(total) > 10.0**-right_digits * size else "0"
