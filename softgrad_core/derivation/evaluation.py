"""What formulas evaluate to, and formulas with numbers in the place of their quantities.

A derivative is evaluated as what it is, a limit of differences, and not by a rule: so the rules of
a derivation are confirmed, rather than repeated, when both sides of it are evaluated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from softgrad_core.derivation.formulas import (
    Addition,
    Column,
    Constant,
    Derivative,
    Difference,
    Entries,
    Exp,
    Formula,
    Fraction,
    Gradient,
    Index,
    Indicator,
    Jacobian,
    Known,
    KnownVector,
    Largest,
    Log,
    Logit,
    Logits,
    Loss,
    Matrix,
    Negative,
    Number,
    OneHot,
    Output,
    Outputs,
    Product,
    Square,
    Sum,
    Terms,
)

Value = Decimal | npt.NDArray[np.object_]
"""What a formula evaluates to: a decimal, or an array of decimals for a vector or a matrix."""

LOGIT_DIGITS = 9
"""The digits of logits that are worth showing: those of large ones tell them apart."""

STEP = Decimal("1e-20")
"""By how much a logit, or an output relatively, is moved for a difference: its error is 1e-40."""


def context_of(digits: int) -> Context:
    """Return an arithmetic in which overflow is infinity, and what does not exist is NaN."""
    return Context(prec=digits, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])


@dataclass(frozen=True, slots=True)
class Point:
    """Where formulas are evaluated, in the arithmetic that is current.

    Attributes
    ----------
    logits
        The pre-activations.
    exps, total
        Their exponentials, and the sum of these.
    indices
        The classes that the letters stand for.
    classes
        The classes of which vectors are written out, with None for each gap.
    moved
        Outputs that are moved on their own, whatever the pre-activations are.
    loss
        The loss, as a formula of the outputs.
    weights
        The target weights q where they are not the one-hot vector of y.
    temperature
        What the pre-activations as they are given were divided by.
    """

    logits: Sequence[Decimal]
    exps: Sequence[Decimal]
    total: Decimal
    indices: Mapping[str, int]
    classes: Sequence[int | None]
    moved: Mapping[int, Decimal]
    loss: Formula = -Log(Output("y"))
    weights: Sequence[Decimal] | None = None
    temperature: Decimal = Decimal(1)

    @classmethod
    def at(
        cls,
        logits: Sequence[Decimal],
        indices: Mapping[str, int],
        classes: Sequence[int | None],
    ) -> Self:
        """Return the point of these pre-activations."""
        exps = [logit.exp() for logit in logits]
        return cls(logits, exps, sum(exps, start=Decimal(0)), indices, classes, {})

    def with_logits(self, logits: Sequence[Decimal]) -> "Point":
        """Return the same point with other pre-activations."""
        exps = [logit.exp() for logit in logits]
        return replace(self, logits=logits, exps=exps, total=sum(exps, start=Decimal(0)))

    def index(self, index: Index) -> int:
        """Return the class that an index stands for."""
        return index if isinstance(index, int) else self.indices[index]

    def output(self, index: Index) -> Decimal:
        """Return the output of a class: by its definition, unless it was moved on its own."""
        c = self.index(index)
        return self.moved.get(c, self.exps[c] / self.total)

    def bound(self, **indices: int) -> "Point":
        """Return the same point where letters stand for other classes."""
        return replace(self, indices={**self.indices, **indices})

    def with_moved(self, variable: Logit | Output, by: Decimal) -> "Point":
        """Return the point where one pre-activation, or one output alone, is larger."""
        c = self.index(variable.index)
        if isinstance(variable, Output):
            return replace(self, moved={c: self.output(c) + by})
        logit = self.logits[c] + (by / self.temperature if variable.letter == "a" else by)
        exp = logit.exp()
        return replace(
            self,
            logits=_Changed(self.logits, c, logit),
            exps=_Changed(self.exps, c, exp),
            total=self.total - self.exps[c] + exp,
        )


class _Changed(Sequence[Decimal]):
    """The same numbers but for one."""

    def __init__(self, numbers: Sequence[Decimal], place: int, number: Decimal) -> None:
        self._numbers, self._place, self._number = numbers, place, number

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: Any) -> Any:
        return self._number if place == self._place else self._numbers[place]


def evaluate(formula: Formula, point: Point) -> Value:
    """Return what a formula evaluates to: NaN where it has no value, such as 0 times infinity."""
    match formula:
        case Number(value):
            return value
        case Negative(of):
            return -evaluate(of, point)
        case Addition() | Difference() | Product() | Fraction():
            return _combine(formula, point)
        case Square(of):
            return evaluate(of, point) ** 2
        case Log(of):
            return _log(of, point)
        case Terms(whole):
            return _sum(whole, point)
        case Column(entries):
            return _vector([evaluate(entry, point) for entry in entries if entry])
        case _:
            return _evaluate_quantity(formula, point)


def _combine(formula: Addition | Difference | Product | Fraction, point: Point) -> Value:
    match formula:
        case Addition(left, right):
            return evaluate(left, point) + evaluate(right, point)
        case Difference(left, right):
            return evaluate(left, point) - evaluate(right, point)
        case Product(Jacobian(), Gradient(Outputs())) if point.weights is not None:
            return _through_jacobian(point)
        case Product(Known() | Fraction(Known()) as left, _) if _has_no_weight(left, point):
            return Decimal(0)
        case Product(left, right):
            return _product(evaluate(left, point), evaluate(right, point))
        case Fraction(Known() as numerator, _) if _has_no_weight(numerator, point):
            return Decimal(0)
        case Fraction(numerator, denominator):
            return evaluate(numerator, point) / evaluate(denominator, point)


def _has_no_weight(formula: Formula, point: Point) -> bool:
    """Return whether a weight, or a fraction of one, is 0: it has no part in any sum then."""
    weight = formula.numerator if isinstance(formula, Fraction) else formula
    return not number(weight, point)


def _evaluate_quantity(formula: Formula, point: Point) -> Value:
    match formula:
        case Constant(_, value):
            return value
        case Known(_, index, values):
            return values[point.index(index)]
        case Logit(index, letter):
            logit = point.logits[point.index(index)]
            return logit * point.temperature if letter == "a" else logit
        case Largest():
            return max(point.logits)
        case Output(index):
            return point.output(index)
        case Loss():
            # Not by its definition: this is what the definition is compared with.
            return _loss(point)
        case Indicator(first, second):
            return Decimal(point.index(first) == point.index(second))
        case _:
            return _evaluate_operator(formula, point)


def _evaluate_operator(formula: Formula, point: Point) -> Value:
    match formula:
        case Exp(Logit(index)):
            return point.exps[point.index(index)]
        case Sum(index, Exp(Logit(bound)), None) if bound == index:
            return point.total
        case Sum():
            return _sum(formula, point)
        case Derivative(Negative(Sum(index, term)), Output(moved) as variable):
            # The other terms of the sum do not change.
            return -_difference_quotient(term, variable, point.bound(**{index: point.index(moved)}))
        case Derivative(of, Logit() | Output() as variable):
            return _difference_quotient(of, variable, point)
        case _:
            return _evaluate_vector(formula, point)


def _evaluate_vector(formula: Formula, point: Point) -> Value:
    classes = [c for c in point.classes if c is not None]
    entries: Sequence[Formula]
    match formula:
        case KnownVector(letter, values):
            entries = [Known(letter, c, values) for c in classes]
        case Logits(letter):
            entries = [Logit(c, letter) for c in classes]
        case Outputs():
            entries = [Output(c) for c in classes]
        case Exp(Logits()):
            entries = [Exp(Logit(c)) for c in classes]
        case Exp(of):
            return number(of, point).exp()
        case OneHot():
            entries = [Indicator("y", c) for c in classes]
        case Gradient(Logits(letter)):
            entries = [Derivative(Loss(), Logit(c, letter)) for c in classes]
        case Gradient():
            entries = [Derivative(point.loss, Output(c)) for c in classes]
        case _:
            return _evaluate_matrix(formula, point, classes)
    return _vector([evaluate(entry, point) for entry in entries])


def _evaluate_matrix(formula: Formula, point: Point, classes: Sequence[int]) -> Value:
    match formula:
        case Jacobian(transposed):
            # As found before it is used: f(x)_i (1_(i=j) - f(x)_j).
            entry = Output("i") * (Indicator("i", "j") - Output("j"))
            matrix = evaluate(Entries(entry), point)
            return matrix.T if transposed and isinstance(matrix, np.ndarray) else matrix
        case Entries(entry):
            return np.array(
                [[evaluate(entry, point.bound(i=i, j=j)) for j in classes] for i in classes]
            )
        case _:
            raise TypeError(f"{formula} has no value")


def _log(of: Formula, point: Point) -> Decimal:
    value = number(of, point)
    # A probability of 0 that is not that of a masked class is one that decimals cannot hold.
    c = of.index if isinstance(of, Output) else "y"
    is_lost = not value and point.logits[point.index(c)].is_finite()
    return Decimal("NaN") if is_lost else value.ln()


def _loss(point: Point) -> Decimal:
    """Return the loss by logarithms: log sum_k exp(a_k) - a_y, or the mean of these by weights."""
    if point.weights is None:
        return point.total.ln() - point.logits[point.index("y")]
    log_total = point.total.ln()
    terms = (
        weight * (log_total - point.logits[k]) for k, weight in enumerate(point.weights) if weight
    )
    return sum(terms, start=Decimal(0))


def _sum(formula: Sum, point: Point) -> Decimal:
    """Return a sum, term by term."""
    skipped = None if formula.without is None else point.index(formula.without)
    classes = (k for k in range(len(point.logits)) if k != skipped)
    terms = (number(formula.term, point.bound(**{formula.index: k})) for k in classes)
    return sum(terms, start=Decimal(0))


def _difference_quotient(of: Formula, by: Logit | Output, point: Point) -> Decimal:
    """Return a derivative as the quotient of a difference in both directions."""
    value = number(by, point)
    step = STEP * value if isinstance(by, Output) and value else STEP
    if isinstance(by, Logit) and by.letter == "a":
        step *= point.temperature
    up, down = point.with_moved(by, step), point.with_moved(by, -step)
    return (number(of, up) - number(of, down)) / (2 * step)


def _product(left: Value, right: Value) -> Value:
    if isinstance(left, np.ndarray) and left.ndim == 2:
        matrix_product: Value = left @ np.asarray(right)
        return matrix_product
    return left * right


def number(formula: Formula, point: Point) -> Decimal:
    """Return what a formula of one number evaluates to."""
    value = evaluate(formula, point)
    if not isinstance(value, Decimal):
        raise TypeError(f"expected a number, got the vector {formula}")
    return value


def _through_jacobian(point: Point) -> Value:
    """Return the product of the transposed Jacobian and dL/df(x), over all classes."""
    gradient = [number(Derivative(point.loss, Output(i)), point) for i in range(len(point.logits))]
    entry = Output("i") * (Indicator("i", "j") - Output("j"))
    return _vector(
        [
            sum(
                (number(entry, point.bound(i=i, j=c)) * g for i, g in enumerate(gradient) if g),
                start=Decimal(0),
            )
            for c in point.classes
            if c is not None
        ]
    )


def _vector(entries: Sequence[Any]) -> npt.NDArray[np.object_]:
    return np.array(entries, dtype=object)


def with_numbers(formula: Formula, point: Point) -> Formula:
    """Return the same formula with a number in the place of each of its quantities."""
    match formula:
        case Negative(of) | Square(of) | Log(of):
            return type(formula)(with_numbers(of, point))
        case (
            Addition(left, right)
            | Difference(left, right)
            | Product(left, right)
            | Fraction(left, right)
        ):
            return type(formula)(with_numbers(left, point), with_numbers(right, point))
        case Terms(whole, terms):
            return Terms(whole, _each_with_numbers(terms, point))
        case Column(entries):
            return Column(_each_with_numbers(entries, point))
        case Number():
            return formula
        case Logit() | Largest():
            return Number(number(formula, point), LOGIT_DIGITS)
        case _:
            return written_out(evaluate(formula, point), point.classes)


def _each_with_numbers(
    formulas: Sequence[Formula | None], point: Point
) -> tuple[Formula | None, ...]:
    return tuple(formula and with_numbers(formula, point) for formula in formulas)


def written_out(value: Value, classes: Sequence[int | None]) -> Formula:
    """Return a value as the formula that is drawn for it, with the gaps of `classes`."""
    if isinstance(value, Decimal):
        return Number(value)
    entries = iter(value)
    drawn = tuple(None if c is None else written_out(next(entries), classes) for c in classes)
    return Column(drawn) if value.ndim == 1 else Matrix(drawn)
