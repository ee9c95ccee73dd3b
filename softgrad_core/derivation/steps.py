"""Steps of a derivation: equations, with the numbers of both sides put in."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from softgrad_core.decimals import LARGEST, SMALLEST_NORMAL, SMALLEST_SUBNORMAL
from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.evaluation import (
    Point,
    Scaling,
    Value,
    evaluate,
    number,
)
from softgrad_core.derivation.numbers import with_numbers, written_out
from softgrad_core.derivation.symbols import words
from softgrad_core.loss.logits import FloatArray

MOST_TERMS = 4
"""The most terms of a sum that are written out."""

CANCELS_BELOW = Decimal("1e-3")
"""A difference that is a smaller share of its first term than this loses digits that are shown."""

LOOKS_LIKE_1 = Decimal("5e-7")
"""A number this near 1 is shown as 1."""

SAME_WITHIN = Decimal("1e-15")
"""The relative difference that rounding may leave between the two sides of an equation."""

NOISE = Decimal("1e-35")
"""A derivative that is measured is off by about the square of the step, 1e-40."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Evaluation:
    """An equation with numbers put in.

    Attributes
    ----------
    index
        The class that c stands for; None where the equation has no c.
    numbers
        The value of the left side, the right side with numbers put in, and its value.
    left, right
        The values of both sides as float64: a number, or an array of the classes that are shown.
        The left one is NaN where it has no value, and 0 where it is too small to measure.
    notes
        Where float64 fails on these numbers, and what rounding to the digits shown hides.
    """

    index: int | None
    numbers: f.Equation
    left: float | FloatArray
    right: float | FloatArray
    notes: tuple[f.Words, ...]

    def __repr__(self) -> str:
        what = "all classes" if self.index is None else f"class {self.index}"
        return f"<Evaluation for {what}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Step:
    """One step of a derivation.

    Attributes
    ----------
    part
        The heading that the step belongs under.
    title
        What the step does.
    rule
        Why this is allowed.
    formula
        The equation in symbols.
    evaluations
        The equation with numbers: once, or for c = y and for another class where it has a c.
        Empty where the right side has no value.
    """

    part: str
    title: str
    rule: f.Words
    formula: f.Equation
    evaluations: tuple[Evaluation, ...]

    def __repr__(self) -> str:
        return f"<Step: {self.title}>"


class Steps:
    """The steps so far, and the point at which the next ones are evaluated."""

    def __init__(self, point: Point) -> None:
        self.done: list[Step] = []
        self.part = ""
        self.point = point
        self._letter = ""
        self._told: set[str] = set()

    def add(
        self,
        title: str,
        rule: str,
        *members: f.Formula,
        numbers: f.Formula | None = None,
        **symbols: f.Formula,
    ) -> int:
        """Add a step that says that the members are equal, and return its number.

        The rule has names of formulas in braces: those of `SYMBOLS`, and others in `symbols`. Of
        the members the first and the last are evaluated. `numbers` is another form of the last
        one, for numbers to be put into.
        """
        formula = f.with_letter(f.Equation(members), self._letter)
        spoken = tuple(
            word if isinstance(word, str) else f.with_letter(word, self._letter)
            for word in words(rule, **symbols)
        )
        cases = map(self.point.index, "yc") if f.mentions(formula, "c") else (None,)
        evaluations = (self._evaluate(formula, c, numbers) for c in cases)
        done = tuple(evaluation for evaluation in evaluations if evaluation)
        self.done.append(Step(self.part, title, spoken, formula, done))
        return len(self.done)

    def scale(self, scaling: Scaling) -> None:
        """Cap the logits, or divide them by a temperature; from here on the softmax takes z."""
        given = dict(self.point.logits)
        scaled = self.point.with_logits(list(map(scaling, given.values())))
        self.point = replace(scaled, given=given, scaling=scaling)
        self._letter = "z"

    def values(self, entry: f.Formula) -> tuple[Decimal, ...]:
        """Return the values of an entry for each class; 0 for those that vectors do not show."""
        shown = set(self.point.shown)
        return tuple(
            number(entry, self.point.bound(c=c)) if c in shown else Decimal(0)
            for c in self.point.logits
        )

    def column(self, entry: f.Formula) -> f.Column:
        """Return the vector with this entry for each class c, with the gaps of the point."""
        classes = self.point.classes
        return f.Column(tuple(None if c is None else f.with_class(entry, "c", c) for c in classes))

    def terms(self, total: f.Sum) -> f.Terms:
        """Return a sum with its terms written out, or a few of many."""
        count = len(self.point.logits)
        few = range(count) if count <= MOST_TERMS else (0, 1, None, count - 1)
        terms = (None if c is None else f.with_class(total.term, total.index, c) for c in few)
        return f.Terms(total, tuple(terms))

    def _evaluate(
        self, formula: f.Equation, c: int | None, form: f.Formula | None
    ) -> Evaluation | None:
        """Return an equation with numbers, or None where the right side has no value."""
        point = self.point if c is None else self.point.bound(c=c)
        first, *_, last = formula.members
        left, right = evaluate(first, point), evaluate(last, point)
        if _is_undefined(right):
            return None
        notes = list(self._notes(last, right, point))
        numbers, result = with_numbers(form or last, point), written_out(right, last, point)
        sides: tuple[f.Formula, ...] = (numbers, result)
        if isinstance(numbers, f.Matrix):
            sides = (f.Jacobian(), result)
        elif isinstance(first, f.KnownVector):
            sides = (first, result)
        elif isinstance(first, f.Exp):
            pass  # The right side with numbers says all.
        elif _are_same(left, right):
            measured = written_out(left, first, point)
            sides = (measured, result) if isinstance(numbers, f.Number) else (measured, *sides)
        elif not _is_undefined(left):
            left = _without_noise(left, right)
            notes.append(("the left side is too small to be measured",))
        return Evaluation(c, f.Equation(sides), _floats(left), _floats(right), tuple(notes))

    def _notes(self, formula: f.Formula, value: Value, point: Point) -> Iterator[f.Words]:
        """Yield where float64 fails on the numbers of a formula, and what shown digits hide."""
        for quantity in _quantities(formula, point):
            yield from self._note(number(quantity, point), quantity, " = ")
        if isinstance(value, Decimal):
            yield from self._note(value)
        for part in f.parts(formula):
            match part:
                case f.Difference(left, right):
                    hidden = _hidden(evaluate(left, point), evaluate(right, point))
                    if hidden:
                        yield (
                            "what is subtracted looks the same, rounded to the digits shown; "
                            "the difference is ",
                            f.Number(hidden),
                        )
                case f.Log(of) if 0 < abs(number(of, point) - 1) < LOOKS_LIKE_1:
                    yield (of, " is 1 only in the digits shown")

    def _note(self, value: Decimal, *before: str | f.Formula) -> Iterator[f.Words]:
        """Yield what float64 makes of a number, the first time that it comes up."""
        said, key = _in_float64(value), f"{value:.5e}"
        if said and key not in self._told:
            self._told.add(key)
            yield (*before, f.Number(value), said)


def _is_undefined(value: Value) -> bool:
    return bool(np.isnan(_floats(value)).any())


def _are_same(left: Value, right: Value) -> bool:
    """Return whether two values are equal but for rounding."""
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        return left == right or abs(left - right) <= SAME_WITHIN * abs(right)
    return all(map(_are_same, np.asarray(left), np.asarray(right)))


def _without_noise(left: Value, right: Value) -> Value:
    """Return what was measured, with 0 for numbers that are nothing but the error of measuring."""
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        is_noise = left != right and abs(left - right) <= NOISE * max(Decimal(1), abs(right))
        return Decimal(0) if is_noise and not _are_same(left, right) else left
    return np.array(list(map(_without_noise, np.asarray(left), np.asarray(right))), dtype=object)


def _floats(value: Value) -> float | FloatArray:
    return float(value) if isinstance(value, Decimal) else np.array([_floats(v) for v in value])


def _in_float64(value: Decimal) -> str:
    """Return what float64 makes of a number that it cannot hold with all its digits."""
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
    """Return a difference that the digits shown do not tell, the first one of vectors."""
    pairs = [(left, right)] if isinstance(left, Decimal) else zip(left, right, strict=True)
    for one, other in pairs:
        difference: Decimal = one - other
        if difference and abs(difference) < CANCELS_BELOW * abs(one):
            return difference
    return None


def _quantities(formula: f.Formula, point: Point) -> Iterator[f.Formula]:
    """Yield the outputs, exponentials and sums of a formula, and the entries of its f(x)."""
    for part in f.parts(formula):
        match part:
            case f.Output() | f.Exp(f.Logit()) | f.Sum():
                yield part
            case f.Outputs():
                yield from map(f.Output, point.shown)
