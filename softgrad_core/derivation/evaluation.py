"""The value of a formula at a point, and the formula with numbers put in.

A derivative is evaluated as the limit of differences that it is, never by a rule of calculus. So
the two sides of a step are computed independently, and their agreement confirms its rule.
"""

import operator
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from softgrad_core.decimals import tanh
from softgrad_core.derivation import formulas as f

Value = Decimal | npt.NDArray[np.object_]
"""The value of a formula: a decimal, or an array of decimals for a vector or a matrix."""

LOGIT_DIGITS = 9
"""The digits that are shown of a logit: enough to tell large ones apart."""

STEP = Decimal("1e-20")
"""How far a logit is moved for a difference, an output relative to its size.

The error of a central difference is of the order of the squared step, 1e-40.
"""

JACOBIAN_ENTRY = f.Output("i") * (f.Indicator("i", "j") - f.Output("j"))


def context_of(digits: int) -> Context:
    """Return decimal arithmetic in which overflow is infinity and what has no value is NaN."""
    return Context(prec=digits, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])


@dataclass(frozen=True, slots=True)
class Scaling:
    """What the softmax takes: cap tanh(a / cap) / T, or a / T without a cap."""

    temperature: Decimal = Decimal(1)
    cap: Decimal | None = None

    @property
    def has_temperature(self) -> bool:
        """Whether the temperature changes anything."""
        return self.temperature != 1

    def __call__(self, logit: Decimal) -> Decimal:
        """Return what the softmax takes for a logit; a masked class stays masked."""
        if self.cap is None or not logit.is_finite():
            return logit / self.temperature
        return self.cap * tanh(logit / self.cap) / self.temperature

    @property
    def step(self) -> Decimal:
        """How far a logit is moved for a difference, in units of `STEP`."""
        return self.temperature if self.cap is None else min(self.temperature, self.cap)


@dataclass(frozen=True, slots=True)
class Point:
    """Where formulas are evaluated, in the decimal arithmetic that is current.

    Attributes
    ----------
    logits
        The logits that the softmax takes, by class.
    exps, total
        Their exponentials, and the sum of these.
    indices
        The classes that letters stand for.
    classes
        The classes that vectors show, with None for each gap.
    moved
        Outputs that are moved for a derivative, whatever the logits say.
    loss
        The loss, as a formula of the outputs.
    weights
        The target weights other than 0, by class; None for a label, whose weight is 1.
    given, scaling
        The logits as they are given, by class, and what the softmax takes for them.
    shift
        What was subtracted from all logits that the softmax takes.
    penalty
        The weight of the z-loss in the loss.
    constant
        What the loss has beside the logarithms of outputs: of a divergence, sum_c q_c log q_c.
    """

    logits: MutableMapping[int, Decimal]
    exps: MutableMapping[int, Decimal]
    total: Decimal
    indices: Mapping[str, int]
    classes: Sequence[int | None]
    moved: Mapping[int, Decimal]
    loss: f.Formula = -f.Log(f.Output("y"))
    weights: Mapping[int, Decimal] | None = None
    given: Mapping[int, Decimal] = field(default_factory=dict)
    scaling: Scaling = Scaling()
    shift: Decimal = Decimal(0)
    penalty: Decimal = Decimal(0)
    constant: Decimal = Decimal(0)

    @classmethod
    def at(
        cls, logits: Sequence[Decimal], indices: Mapping[str, int], classes: Sequence[int | None]
    ) -> Self:
        """Return the point of these logits."""
        return cls({}, {}, Decimal(0), indices, classes, {}).with_logits(logits)

    def with_logits(self, logits: Sequence[Decimal]) -> Self:
        """Return the same point with other logits."""
        by_class = dict(enumerate(logits))
        exps = {c: logit.exp() for c, logit in by_class.items()}
        return replace(self, logits=by_class, exps=exps, total=sum(exps.values(), start=Decimal(0)))

    def bound(self, **indices: int) -> Self:
        """Return the same point where letters stand for other classes."""
        return replace(self, indices={**self.indices, **indices})

    def with_moved(self, variable: f.Logit | f.Output, by: Decimal) -> Self:
        """Return the point where one logit, or one output on its own, is larger."""
        c = self.index(variable.index)
        if isinstance(variable, f.Output):
            return replace(self, moved={c: self.output(c) + by})
        logit = self.logits[c] + by
        if variable.letter == "a":
            logit = self.scaling(self.given[c] + by) - self.shift
        exp = logit.exp()
        return replace(
            self,
            logits=ChainMap({c: logit}, self.logits),
            exps=ChainMap({c: exp}, self.exps),
            total=self.total - self.exps[c] + exp,
        )

    def index(self, index: f.Index) -> int:
        """Return the class that an index stands for."""
        return index if isinstance(index, int) else self.indices[index]

    def output(self, index: f.Index) -> Decimal:
        """Return the output of a class: as it was moved, or else by its definition."""
        c = self.index(index)
        return self.moved[c] if c in self.moved else self.exps[c] / self.total

    @property
    def shown(self) -> list[int]:
        """The classes that vectors show, without the gaps."""
        return [c for c in self.classes if c is not None]


def evaluate(formula: f.Formula, point: Point) -> Value:
    """Return the value of a formula; NaN where it has none, such as 0 times infinity."""
    match formula:
        case f.Product(left, _) | f.Fraction(left, _) if _is_zero_weight(left, point):
            return Decimal(0)
        case f.Product(f.Jacobian(), f.Gradient(f.Outputs())):
            return _through_jacobian(point)
        case f.Binary(left, right):
            value: Value = _ARITHMETIC[type(formula)](evaluate(left, point), evaluate(right, point))
            return value
        case f.Negative(of):
            return -evaluate(of, point)
        case f.Square(of):
            return evaluate(of, point) ** 2
        case f.Tanh(of):
            value = number(of, point)
            return tanh(value) if value.is_finite() else Decimal(1).copy_sign(value)
        case f.Log(of):
            return _log(of, point)
        case f.Terms(whole):
            return _sum(whole, point)
        case f.Column(entries):
            return np.array([evaluate(entry, point) for entry in entries if entry])
        case _:
            return _evaluate_quantity(formula, point)


_ARITHMETIC: dict[type[f.Formula], Callable[[Any, Any], Any]] = {
    f.Addition: operator.add,
    f.Difference: operator.sub,
    f.Product: operator.mul,
    f.Fraction: operator.truediv,
}


def _is_zero_weight(formula: f.Formula, point: Point) -> bool:
    """Return whether this is a weight of 0, which takes a class out of a sum even at infinity."""
    weight = formula.left if isinstance(formula, f.Fraction) else formula
    return isinstance(weight, f.Known) and not number(weight, point)


def _evaluate_quantity(formula: f.Formula, point: Point) -> Value:
    match formula:
        case f.Number(value) | f.Constant(_, value):
            return value
        case f.Known(_, index, values):
            return values[point.index(index)]
        case f.Logit(index, letter):
            return (point.given if letter == "a" else point.logits)[point.index(index)]
        case f.Largest():
            return max(point.logits.values())
        case f.Output(index):
            return point.output(index)
        case f.Loss():
            return _loss(point)
        case f.Indicator(first, second):
            return Decimal(point.index(first) == point.index(second))
        case _:
            return _evaluate_operator(formula, point)


def _evaluate_operator(formula: f.Formula, point: Point) -> Value:
    match formula:
        case f.Exp(f.Logit(index)):
            return point.exps[point.index(index)]
        case f.Exp(of):
            value = evaluate(of, point)
            return value.exp() if isinstance(value, Decimal) else np.array([v.exp() for v in value])
        case f.Sum(index, f.Exp(f.Logit(bound)), None) if bound == index:
            return point.total
        case f.Sum():
            return _sum(formula, point)
        case f.Derivative(f.Negative(f.Sum(index, term)), f.Output(c) as output):
            # Moving one output changes no term of the sum but its own.
            return -_difference_quotient(term, output, point.bound(**{index: point.index(c)}))
        case f.Derivative(of, f.Logit() | f.Output() as variable):
            return _difference_quotient(of, variable, point)
        case _:
            return _evaluate_vector(formula, point)


def _evaluate_vector(formula: f.Formula, point: Point) -> Value:
    entry: f.Formula
    match formula:
        case f.KnownVector():
            entry = formula.entry("c")
        case f.Logits(letter):
            entry = f.Logit("c", letter)
        case f.Outputs():
            entry = f.Output("c")
        case f.OneHot():
            entry = f.Indicator("y", "c")
        case f.Gradient(f.Logits(letter)):
            entry = f.Derivative(f.Loss(), f.Logit("c", letter))
        case f.Gradient():
            entry = f.Derivative(point.loss, f.Output("c"))
        case f.Jacobian(transposed):
            matrix = _matrix(JACOBIAN_ENTRY, point)
            return matrix.T if transposed else matrix
        case f.Entries(of):
            return _matrix(of, point)
        case _:
            raise TypeError(f"{formula} has no value")
    return np.array([evaluate(entry, point.bound(c=c)) for c in point.shown])


def _matrix(entry: f.Formula, point: Point) -> npt.NDArray[np.object_]:
    return np.array(
        [[evaluate(entry, point.bound(i=i, j=j)) for j in point.shown] for i in point.shown]
    )


def _log(of: f.Formula, point: Point) -> Decimal:
    value = number(of, point)
    # Only a masked class has probability 0: any other 0 is too small for a decimal.
    c = of.index if isinstance(of, f.Output) else "y"
    is_lost = not value and point.logits[point.index(c)].is_finite()
    return Decimal("NaN") if is_lost else value.ln()


def _loss(point: Point) -> Decimal:
    """Return the loss by logarithms of sums, sum_c q_c (log sum_k exp(a_k) - a_c).

    Not by its definition, -sum_c q_c log f(x)_c, which the derivation compares with this.
    """
    log_total = point.total.ln()
    if point.weights is None:
        return log_total - point.logits[point.index("y")]
    terms = (weight * (log_total - point.logits[c]) for c, weight in point.weights.items())
    penalty = point.penalty and point.penalty * (point.shift + log_total) ** 2
    return sum(terms, start=point.constant + penalty)


def _sum(formula: f.Sum, point: Point) -> Decimal:
    without = None if formula.without is None else point.index(formula.without)
    classes = (k for k in range(len(point.logits)) if k != without)
    terms = (number(formula.term, point.bound(**{formula.index: k})) for k in classes)
    return sum(terms, start=Decimal(0))


def _difference_quotient(of: f.Formula, by: f.Logit | f.Output, point: Point) -> Decimal:
    """Return a derivative as the quotient of central differences."""
    value = number(by, point)
    step = STEP * value if isinstance(by, f.Output) and value else STEP
    if isinstance(by, f.Logit) and by.letter == "a":
        step *= point.scaling.step
    up, down = point.with_moved(by, step), point.with_moved(by, -step)
    return (number(of, up) - number(of, down)) / (2 * step)


def _through_jacobian(point: Point) -> Value:
    """Return the transposed Jacobian times dL/df(x), with the classes that are not shown."""
    if point.weights is None:
        # For a label dL/df(x) is 0 but for y, which is shown.
        gradient = np.asarray(evaluate(f.Gradient(f.Outputs()), point))
        product: Value = _matrix(JACOBIAN_ENTRY, point).T @ gradient
        return product
    slopes = [(i, number(f.Derivative(point.loss, f.Output(i)), point)) for i in point.weights]
    columns = (
        [number(JACOBIAN_ENTRY, point.bound(i=i, j=c)) * slope for i, slope in slopes]
        for c in point.shown
    )
    return np.array([sum(column, start=Decimal(0)) for column in columns])


def number(formula: f.Formula, point: Point) -> Decimal:
    """Return the value of a formula that is a number."""
    value = evaluate(formula, point)
    if not isinstance(value, Decimal):
        raise TypeError(f"expected a number, got the vector {formula}")
    return value
