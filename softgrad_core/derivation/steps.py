"""Steps of a derivation: equations evaluated on both sides, by the terms that they show."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from softgrad_core.decimals import LARGEST, SMALLEST_NORMAL, SMALLEST_SUBNORMAL
from softgrad_core.derivation.evaluation import (
    Point,
    Value,
    evaluate,
    number,
    with_numbers,
    written_out,
)
from softgrad_core.derivation.formulas import (
    Difference,
    Equation,
    Exp,
    Formula,
    Jacobian,
    KnownVector,
    Log,
    Logit,
    Matrix,
    Number,
    Output,
    Outputs,
    Sum,
    Words,
    equation,
    lettered,
    mentions,
    parts,
)
from softgrad_core.loss.logits import FloatArray

CANCELS_BELOW = Decimal("1e-3")
"""A difference that is smaller, relative to what is subtracted, has not the digits shown."""

LOOKS_LIKE_1 = Decimal("5e-7")
"""A number that is so near 1 is shown as 1."""

SAME_WITHIN = Decimal("1e-15")
"""Up to this relative difference two numbers are one, but for rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """An equation with numbers in it.

    Attributes
    ----------
    index
        The class that c stands for; None where the equation has no c.
    numbers
        The left side's value, the right side with numbers in it, and the right side's value.
    left, right
        The values, as float64: numbers, or arrays of the classes that are written out. The left
        one is NaN where it has no value, and 0 where it is too small to be measured.
    notes
        What float64 makes of these numbers where it fails, and what the shown digits hide.
    """

    index: int | None
    numbers: Equation
    left: float | FloatArray
    right: float | FloatArray
    notes: tuple[Words, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of the derivation.

    Attributes
    ----------
    part
        The heading that it stands under.
    title
        What it does.
    rule
        Why it may be done.
    formula
        The equation in symbols.
    evaluations
        The same equation with numbers, for c = y and for another class where it has a c; none
        where the right side has no value.
    """

    part: str
    title: str
    rule: Words
    formula: Equation
    evaluations: tuple[Evaluation, ...]


class Steps:
    """The steps so far, and where they are evaluated."""

    def __init__(
        self, a: Sequence[Decimal], y: int, c: int, classes: tuple[int | None, ...]
    ) -> None:
        self.done: list[Step] = []
        self.part = ""
        self.classes = classes
        self.point = Point.at(a, {"y": y, "i": y, "c": c}, classes)
        self._letter = ""
        self._cases = (y, c)
        self._told: set[str] = set()

    def add(
        self,
        title: str,
        rule: Words,
        *members: Formula,
        numbers: Formula | None = None,
        terms: Formula | None = None,
    ) -> int:
        """Add a step that says that the members are equal; return its number.

        `numbers` is the last member with numbers in it, where that is not to be told from it;
        `terms` is it with its sums written out, where the numbers are to be those of their terms.
        """
        formula: Equation = equation(*members)
        if self._letter:
            formula = equation(*(lettered(member, self._letter) for member in members))
            rule = tuple(
                word if isinstance(word, str) else lettered(word, self._letter) for word in rule
            )
        cases = self._cases if mentions(formula, "c") else (None,)
        evaluations = (self._evaluate(formula, c, numbers, terms) for c in cases)
        self.done.append(Step(self.part, title, rule, formula, tuple(filter(None, evaluations))))
        return len(self.done)

    def subtract_largest(self, largest: Decimal) -> None:
        """Let a stand for the pre-activations without the largest from here on."""
        self.point = self.point.with_logits([logit - largest for logit in self.point.logits])

    def weigh(self, q: Sequence[Decimal], loss: Formula) -> None:
        """Let the loss be this formula, of outputs with these target weights."""
        self.point = replace(self.point, weights=q, loss=loss)

    def divide(self, temperature: Decimal) -> None:
        """Let the softmax be of z = a / T from here on."""
        logits = [logit / temperature for logit in self.point.logits]
        self.point = replace(self.point.with_logits(logits), temperature=temperature)
        self._letter = "z"

    def _evaluate(
        self, formula: Equation, c: int | None, numbers: Formula | None, terms: Formula | None
    ) -> Evaluation | None:
        """Return an equation with its numbers, or None where the right side has no value."""
        point = self.point if c is None else self.point.bound(c=c)
        first, *_, last = formula.members
        left, right = evaluate(first, point), evaluate(last, point)
        if _is_undefined(right):
            return None
        notes = list(self._notes(last, right, point))
        result = written_out(right, self.classes)
        numbers = numbers or with_numbers(terms or last, point)
        drawn = [written_out(left, self.classes), numbers, result]
        if isinstance(drawn[1], Matrix):
            drawn = [Jacobian(), result]
        elif isinstance(first, KnownVector):
            drawn = [first, result]
        elif isinstance(first, Exp) or not _are_same(left, right):
            drawn = drawn[1:]
            if not _is_undefined(left) and not isinstance(first, Exp):
                notes.append(("the left side is too small to be measured",))
        elif isinstance(drawn[1], Number):
            drawn = [drawn[0], result]
        return Evaluation(c, Equation(tuple(drawn)), _floats(left), _floats(right), tuple(notes))

    def _notes(self, formula: Formula, value: Value, point: Point) -> Iterator[Words]:
        """Yield what float64 makes of the numbers of a formula, and what shown digits hide."""
        for quantity in _quantities(formula, self.classes):
            yield from self._note(number(quantity, point), quantity, " = ")
        if isinstance(value, Decimal):
            yield from self._note(value)
        for part in parts(formula):
            match part:
                case Difference(left, right):
                    hidden = _hidden(evaluate(left, point), evaluate(right, point))
                    if hidden:
                        yield (
                            "what is subtracted looks the same, rounded to the digits shown; "
                            "the difference is ",
                            Number(hidden),
                        )
                case Log(of) if 0 < abs(number(of, point) - 1) < LOOKS_LIKE_1:
                    yield (of, " is 1 only in the digits shown")

    def _note(self, value: Decimal, *what: str | Formula) -> Iterator[Words]:
        """Yield what float64 makes of a number, the first time that it is seen."""
        said, key = _in_float64(value), f"{value:.5e}"
        if said and key not in self._told:
            self._told.add(key)
            yield (*what, Number(value), said)


def _is_undefined(value: Value) -> bool:
    return bool(np.isnan(_floats(value)).any())


def _are_same(left: Value, right: Value) -> bool:
    """Return whether two values are one, but for rounding."""
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        return left == right or abs(left - right) <= SAME_WITHIN * abs(right)
    return all(map(_are_same, np.asarray(left), np.asarray(right)))


def _floats(value: Value) -> float | FloatArray:
    return float(value) if isinstance(value, Decimal) else np.array([_floats(v) for v in value])


def _in_float64(value: Decimal) -> str:
    """Return what float64 makes of a number, where that is not the number but for rounding."""
    size = abs(value)
    if not size.is_finite() or not size:
        return ""
    if size > LARGEST:
        return " is beyond the range of float64, which has infinity in its place"
    if size < SMALLEST_SUBNORMAL / 2:
        return " is smaller than any float64, which has 0 in its place"
    if size < SMALLEST_NORMAL:
        return " is so small that a float64 has only some of its digits"
    return ""


def _hidden(left: Any, right: Any) -> Decimal | None:
    """Return a difference of which the digits shown say nothing, the first of a vector."""
    pairs = [(left, right)] if isinstance(left, Decimal) else zip(left, right, strict=True)
    for one, other in pairs:
        difference: Decimal = one - other
        if difference and abs(difference) < CANCELS_BELOW * abs(one):
            return difference
    return None


def _quantities(formula: Formula, classes: Sequence[int | None]) -> Iterator[Formula]:
    """Yield the outputs, exponentials and sums of a formula, those of its vectors one by one."""
    shown = [c for c in classes if c is not None]
    for part in parts(formula):
        match part:
            case Output() | Exp(Logit()) | Sum():
                yield part
            case Outputs():
                yield from map(Output, shown)
            case _:
                pass
