"""What is known of a mistake: its name, its formulas, and what to do about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from softgrad_core.verification.diagnosis.case import Terms
from softgrad_core.verification.diagnosis.forms import Form


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake that people make.

    Attributes
    ----------
    name
        A stable name for programs.
    explanation
        What was done, in one sentence.
    remedy
        What to do about it.
    gives
        For each quantity that it spoils, the formulas of what is returned.
    symbol
        What the formulas call their parameter, if they have one.
    is_whole
        Whether the parameter is a whole number.
    varies
        Whether the parameter may be another one in each record.
    is_general
        Whether many other mistakes are cases of it, so that it says little where one of these fits.
    keeps_digits
        False where the formula is right and digits were lost.
    of_batch
        Whether it shows only in several records together.
    """

    name: str
    explanation: str
    remedy: str
    gives: Mapping[str, tuple[Form, ...]] = field(repr=False)
    symbol: str = ""
    is_whole: bool = False
    varies: bool = False
    is_general: bool = False
    keeps_digits: bool = True
    of_batch: bool = False

    @property
    def generality(self) -> int:
        """0 for one certain mistake, 1 for a family of them, 2 where each record has its own."""
        return self.is_general + (self.is_general and self.varies)


def given(**formulas: tuple[str, Callable[..., Terms]]) -> dict[str, tuple[Form, ...]]:
    """Return one form for each quantity."""
    return {name: (Form(formula, terms),) for name, (formula, terms) in formulas.items()}
