"""What the catalogue is made of: mistakes, and the formulas of the numbers that they give."""

from collections.abc import Callable
from typing import NamedTuple

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.diagnosis.case import Case, Terms


class Form(NamedTuple):
    """A formula that somebody may have computed in place of the right one.

    Its terms are kept apart: rounding errors are relative to them, also where they cancel.
    """

    quantities: str  # The names of the quantities that it replaces, separated by blanks.
    formula: str  # How it is written; {} stands for the right formula of the quantity.
    terms: Callable[..., Terms]  # Its terms, from a case and the parameter of each row, if any.
    parameter: Callable[[Case], FloatArray] | None = None  # Found in the claim; NaN if it has none.
    applies: Callable[[Case], BoolArray] | None = None  # The rows that may have it, if not all.
    dtype: Callable[[Case], Dtype] | None = None  # The type of its rounding errors, if special.
    gives_nan: bool = False  # Whether its NaN stands for a NaN in the claim, not for no value.
    counts_all: bool = False  # Whether rows that do not count have it too, rather than 0.


class Mistake:
    """A mistake that people make: an entry of the catalogue."""

    def __init__(  # noqa: PLR0913
        self,
        name: str,  # A stable name for programs.
        explanation: str,  # What was done wrong.
        remedy: str,  # What to do about it.
        *forms: Form,  # The formulas that it may lead to, the simplest first.
        symbol: str = "",  # The letter of the formulas' parameter, if they have one.
        is_whole: bool = False,  # Whether the parameter is a whole number.
        generality: int = 0,  # 0: certain; 1: covers many others; 2: and varies between records.
        keeps_digits: bool = True,  # False if the formula is right and only digits were lost.
        is_rounding: bool = False,  # Whether a type's own rounding may explain it: a remark then.
        of_batch: bool = False,  # Whether it shows only in several records together.
        step: str = "",  # The title of the step of the derivation in which it is made, if any.
    ) -> None:
        self.name, self.explanation, self.remedy, self.forms = name, explanation, remedy, forms
        self.symbol, self.is_whole, self.generality = symbol, is_whole, generality
        self.keeps_digits, self.is_rounding = keeps_digits, is_rounding
        self.of_batch, self.step = of_batch, step

    def with_parameter(self, formula: str, value: float | None) -> str:
        """Return a formula with the value of its parameter, if it has one."""
        if value is None:
            return formula
        if value.is_integer() and abs(value) < 1e10:
            shown = f"{value:,.0f}"
        else:
            # A factor that is nearly 1 must not be shown as 1.
            texts = (f"{value:.{digits}g}" for digits in range(4, 18))
            shown = next(text for text in texts if float(text) != 1.0)
        return f"{formula} with {self.symbol} = {shown}"
