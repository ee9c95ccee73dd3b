"""The derivation of both gradients, step by step, with the numbers of one row in it, as data.

The order is that of a lecture: Hugo Larochelle, Neural networks, "Training neural networks -
output layer gradient". Every equation is evaluated on both sides by the terms that it shows
(`formulas`); where float64 would fail, a step shows what is done instead.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.comparison import LARGEST, SMALLEST_NORMAL, SMALLEST_SUBNORMAL
from softgrad_core.errors import InputError
from softgrad_core.evaluation import (
    Point,
    Value,
    context_of,
    evaluate,
    number,
    with_numbers,
    written_out,
)
from softgrad_core.formulas import (
    ONE,
    Column,
    Derivative,
    Difference,
    Entries,
    Equation,
    Exp,
    Formula,
    Gradient,
    Indicator,
    Jacobian,
    Largest,
    Log,
    Logit,
    Logits,
    Loss,
    Matrix,
    Name,
    Number,
    OneHot,
    Output,
    Outputs,
    Square,
    Sum,
    Terms,
    Words,
    equation,
    mentions,
    parts,
)
from softgrad_core.logits import FloatArray, as_rows
from softgrad_core.targets import as_labels, class_index

MOST_CLASSES = 10
"""The most classes of which vectors are written out in full."""

FIRST_CLASSES = 3
"""Of more classes the first ones, the last, the target and the other class are written out."""

MOST_TERMS = 4
"""The most terms of a sum that are written out."""

CANCELS_BELOW = Decimal("1e-3")
"""A difference that is smaller, relative to what is subtracted, has not the digits shown."""

SAME_WITHIN = Decimal("1e-15")
"""Up to this relative difference two numbers are one, but for rounding."""

# Letters of the formulas.
Y, C, K = "y", "c", "k"
A_C, A_Y = Logit(C), Logit(Y)
F_C, F_Y = Output(C), Output(Y)
EXP_C, EXP_Y = Exp(A_C), Exp(A_Y)
TOTAL = Sum(K, Exp(Logit(K)))
SAME = Indicator(Y, C)
OTHERS = Sum(K, Output(K), without=Y)
LOSS_BY_LOGIT = Derivative(Loss(), A_C)


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
        The values, as float64: numbers, or arrays of the classes that are written out. NaN where
        a side has no value.
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
        The same equation with numbers, for c = y and for another class where it has a c.
    """

    part: str
    title: str
    rule: Words
    formula: Equation
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Derivation:
    """The derivation for one row of logits.

    Attributes
    ----------
    target
        The true class y.
    other
        The class c that stands for those that are not the target.
    classes
        The classes of which vectors are written out, with None for each gap.
    steps
        The steps in their order.
    """

    target: int
    other: int
    classes: tuple[int | None, ...]
    steps: tuple[Step, ...]


def explain(logits: npt.ArrayLike, target: int, other: int | None = None) -> Derivation:
    """Derive both gradients of one row, each step with its rule, its formula and its numbers.

    Parameters
    ----------
    logits
        Pre-activations of shape (C,): finite, or -infinity for a masked class.
    target
        The index of the true class y, from 0.
    other
        The class c to show beside c = y. Default, also where this is the target: the most
        probable one of the others.

    Returns
    -------
    Derivation
        With both sides of each equation evaluated in decimals of enough digits, derivatives as
        differences, and rounded to float64.

    Raises
    ------
    InputError
        As `softmax_cross_entropy` does, and where `other` is no class, or there are several rows.

    Examples
    --------
    >>> derivation = explain([2.0, 1.0, 0.1], target=0)
    >>> step = derivation.steps[-3]
    >>> step.title
    'The vector'
    >>> step.evaluations[0].right.round(6)
    array([-0.340999,  0.242433,  0.098566])
    """
    rows = as_rows(logits)
    if len(rows.values) != 1:
        raise InputError(
            "logits-shape", f"expected one row of logits to explain, got {len(rows.values)}"
        )
    a = rows.values[0]
    y = int(as_labels([target], 1, len(a))[0])
    c = None if other is None else class_index(other, len(a), what="class")
    if c is None or c == y:
        c = int(np.where(np.arange(len(a)) == y, -np.inf, a).argmax())
        c = c if c != y else int(y == 0)
    classes = _classes_to_show(len(a), {y, c})
    with localcontext(context_of(_digits(a, y, classes))):
        steps = _Steps([Decimal(logit) for logit in a.tolist()], y, c, classes)
        _derive(steps)
    return Derivation(y, c, classes, tuple(steps.done))


def _classes_to_show(count: int, important: set[int]) -> tuple[int | None, ...]:
    """Return all classes, or of many the first, the last and the important, and the gaps."""
    if count <= MOST_CLASSES:
        return tuple(range(count))
    shown: list[int | None] = []
    last = -1
    for c in sorted({*range(FIRST_CLASSES), *important, count - 1}):
        shown += [None, c] if c > last + 1 else [c]
        last = c
    return tuple(shown)


def _digits(a: FloatArray, y: int, classes: Sequence[int | None]) -> int:
    """Return the digits in which no difference cancels before a float64 would underflow."""
    largest = float(a.max())
    # The best of the other classes tells how small 1 - f(x)_y is.
    relevant = [*a[[c for c in classes if c is not None]].tolist(), float(np.delete(a, y).max())]
    # Of halves, as the difference itself may overflow.
    half: float = max(largest / 2 - logit / 2 for logit in relevant if math.isfinite(logit))
    return 61 + math.ceil(min(2 * half / math.log(10), 330.0) + math.log10(1 + half))


class _Steps:
    """The steps so far, and where they are evaluated."""

    def __init__(
        self, a: Sequence[Decimal], y: int, c: int, classes: tuple[int | None, ...]
    ) -> None:
        self.done: list[Step] = []
        self.part = ""
        self.classes = classes
        self.point = Point.at(a, {Y: y, C: c}, classes)
        self._cases = (y, c)
        self._told: set[str] = set()

    def add(
        self, title: str, rule: str | Words, *members: Formula, numbers: Formula | None = None
    ) -> int:
        """Add a step that says that the members are equal; return its number.

        `numbers` is the last member with numbers in it, where that is not to be told from it.
        """
        formula = equation(*members)
        cases = self._cases if mentions(formula, C) else (None,)
        evaluations = tuple(self._evaluate(formula, c, numbers) for c in cases)
        words = (rule,) if isinstance(rule, str) else rule
        self.done.append(Step(self.part, title, words, formula, evaluations))
        return len(self.done)

    def subtract_largest(self, largest: Decimal) -> None:
        """Let a stand for the pre-activations without the largest from here on."""
        logits = [logit - largest for logit in self.point.logits]
        self.point = Point.at(logits, self.point.indices, self.classes)

    def _evaluate(self, formula: Equation, c: int | None, numbers: Formula | None) -> Evaluation:
        point = self.point if c is None else self.point.bound(c=c)
        first, *_, last = formula.members
        left, right = evaluate(first, point), evaluate(last, point)
        ends = [written_out(value, self.classes) for value in _shown(left, right)]
        numbers = numbers or with_numbers(last, point)
        drawn = [ends[0], numbers, ends[1]]
        if isinstance(numbers, Matrix):
            drawn = [Jacobian(), numbers]
        elif isinstance(first, Exp):
            drawn = [numbers, ends[1]]
        elif isinstance(numbers, Number):
            drawn = ends
        notes = tuple(self._notes(last, (left, right), point))
        return Evaluation(c, Equation(tuple(drawn)), _floats(left), _floats(right), notes)

    def _notes(self, formula: Formula, values: Sequence[Value], point: Point) -> Iterator[Words]:
        """Yield what float64 makes of the numbers of a formula, and what shown digits hide."""
        for quantity in _quantities(formula, self.classes):
            yield from self._note(number(quantity, point), quantity, " = ")
        for value in values:
            if isinstance(value, Decimal):
                yield from self._note(value)
        for part in parts(formula):
            if isinstance(part, Difference):
                hidden = _hidden(evaluate(part.left, point), evaluate(part.right, point))
                if hidden:
                    yield ("the two numbers differ behind the digits shown, by ", Number(hidden))
        if any(np.isnan(_floats(value)).any() for value in values):
            yield (F_Y, " = 0 here: what divides by it has no value")

    def _note(self, value: Decimal, *what: str | Formula) -> Iterator[Words]:
        """Yield what float64 makes of a number, the first time that it is seen."""
        said, key = _in_float64(value), f"{value:.5e}"
        if said and key not in self._told:
            self._told.add(key)
            yield (*what, Number(value), said)


def _shown(left: Value, right: Value) -> tuple[Value, Value]:
    """Return both values as they are shown: as float64 has them where they are not the same.

    Far below what float64 can hold, a difference has no digits left.
    """
    if isinstance(left, Decimal) and isinstance(right, Decimal):
        are_same = abs(left - right) <= SAME_WITHIN * abs(right)
        return (left, right) if are_same else (Decimal(float(left)), Decimal(float(right)))
    pairs = [_shown(*pair) for pair in zip(np.asarray(left), np.asarray(right), strict=True)]
    both = np.array(pairs, dtype=object)
    return both[:, 0], both[:, 1]


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


def _derive(steps: _Steps) -> None:
    """Add the steps of the lecture, in its order."""
    steps.part = "The output and its loss"
    total = number(TOTAL, steps.point)
    if not SMALLEST_NORMAL <= total <= LARGEST:
        _subtract_largest(steps, "large" if total > 1 else "small")
    softmax = _softmax(steps)
    _loss(steps)
    steps.part = "The gradient with respect to the output f(x)"
    partial = _by_output(steps)
    steps.part = "The gradient with respect to the pre-activation a"
    chain = _by_softmax(steps, softmax, partial)
    _to_result(steps, softmax)
    steps.part = "The same by the Jacobian of the softmax"
    _by_jacobian(steps, chain)


def _subtract_largest(steps: _Steps, what: str) -> None:
    """Add the step that keeps the exponentials within float64, and take it."""
    m = number(Largest(), steps.point)
    shifted = Exp(A_C - Largest()) / Sum(K, Exp(Logit(K) - Largest()))
    steps.add(
        "Subtract the largest",
        (
            f"These exponentials are too {what} for float64. The softmax stays the same if one "
            "number is subtracted from every pre-activation, as numerator and denominator are "
            "both divided by the exponential of it. Take the largest, ",
            equation(Largest(), with_numbers(Largest(), steps.point)),
            ". From here on ",
            Logits(),
            " stands for what is left.",
        ),
        EXP_C / TOTAL,
        shifted,
    )
    steps.subtract_largest(m)


def _softmax(steps: _Steps) -> int:
    """Add the steps to the softmax; return the number of its definition."""
    count, shown = len(steps.point.logits), steps.classes
    steps.add(
        "The exponentials",
        "The exponential makes every pre-activation positive and keeps their order.",
        Exp(Logits()),
        Column(tuple(None if c is None else Exp(Logit(c)) for c in shown)),
        numbers=Column(
            tuple(None if c is None else Exp(with_numbers(Logit(c), steps.point)) for c in shown)
        ),
    )
    few = range(count) if count <= MOST_TERMS else (0, 1, None, count - 1)
    steps.add(
        "Their sum",
        "Divided by their sum they will add up to 1, as probabilities do.",
        TOTAL,
        Terms(TOTAL, tuple(None if c is None else Exp(Logit(c)) for c in few)),
    )
    return steps.add(
        "The softmax",
        (
            "The output ",
            Outputs(),
            " is the softmax of ",
            Logits(),
            ": the share of each exponential in the sum.",
        ),
        F_C,
        EXP_C / TOTAL,
    )


def _loss(steps: _Steps) -> None:
    """Add the steps to the loss."""
    f_y = number(F_Y, steps.point)
    left_over = number(OTHERS, steps.point)
    is_sure = 0 < left_over < CANCELS_BELOW
    if is_sure:
        steps.add(
            "What is left for the other classes",
            (
                "The network is sure of the true class: ",
                F_Y,
                " is so near 1 that 1 - ",
                F_Y,
                " would lose its digits, here and in float64. The outputs add up to 1, and the "
                "sum of the others has all digits.",
            ),
            ONE - F_Y,
            OTHERS,
        )
    steps.add(
        "The loss",
        (
            "The negative log-likelihood of the true class ",
            Name(Y),
            ": 0 if all the probability is on it, and the larger the less there is.",
        ),
        Loss(),
        -Log(F_Y),
    )
    if is_sure:
        steps.add(
            "The loss by the other classes",
            "The logarithm of a number near 1 hangs on its last digits, so they are kept apart: "
            "in code this is log1p.",
            -Log(F_Y),
            -Log(ONE - OTHERS),
        )
    if f_y < SMALLEST_NORMAL:
        steps.add(
            "The loss by logarithms",
            (
                F_Y,
                " is too small for float64. The logarithm of a quotient is a difference of "
                "logarithms, and that of an exponential is its exponent: neither needs ",
                F_Y,
                " itself.",
            ),
            -Log(F_Y),
            Log(TOTAL) - A_Y,
        )


def _by_output(steps: _Steps) -> int:
    """Add the steps to the first gradient; return the number of its partial derivative."""
    partial = steps.add(
        "One output",
        (
            "The derivative of ",
            Log(Name("u")),
            " is ",
            ONE / Name("u"),
            ". The loss has ",
            F_Y,
            " in it and no other output: where ",
            equation(Name(C), Name(Y)),
            " the derivative is ",
            -(ONE / F_Y),
            ", elsewhere 0. The indicator ",
            SAME,
            " writes both in one: it is 1 where ",
            equation(Name(Y), Name(C)),
            ", else 0.",
        ),
        Derivative(-Log(F_Y), F_C),
        -(SAME / F_Y),
    )
    indicators = Column(tuple(None if c is None else Indicator(Y, c) for c in steps.classes))
    steps.add(
        "All outputs",
        (
            f"Step {partial} for every ",
            Name(C),
            ", one below the other. The indicators are the one-hot vector ",
            OneHot(),
            ".",
        ),
        Gradient(Outputs()),
        -((ONE / F_Y) * indicators),
        -(OneHot() / F_Y),
        numbers=with_numbers(-((ONE / F_Y) * OneHot()), steps.point),
    )
    return partial


def _by_softmax(steps: _Steps, softmax: int, partial: int) -> int:
    """Add the steps that differentiate the softmax; return the number of the chain rule."""
    chain = steps.add(
        "The chain rule",
        (
            "The loss depends on ",
            A_C,
            " through ",
            F_Y,
            f": its derivative with respect to that, from step {partial}, times that of ",
            F_Y,
            " with respect to ",
            A_C,
            ".",
        ),
        LOSS_BY_LOGIT,
        _times(Derivative(F_Y, A_C)),
    )
    steps.add(
        "The softmax by its definition",
        (F_Y, f" is written as what it is, step {softmax} with ", Name(Y), " for ", Name(C), "."),
        LOSS_BY_LOGIT,
        _times(Derivative(EXP_Y / TOTAL, A_C)),
    )
    g, h = Name("g"), Name("h")
    quotient = steps.add(
        "The quotient rule",
        (
            "For a quotient of ",
            g,
            " and ",
            h,
            ": ",
            equation(Derivative(g / h, Name("x")), Name("g'") / h - (g * Name("h'")) / Square(h)),
            ". Here ",
            equation(g, EXP_Y),
            " and ",
            equation(h, TOTAL),
            ".",
        ),
        LOSS_BY_LOGIT,
        _times(Derivative(EXP_Y, A_C) / TOTAL - (EXP_Y * Derivative(TOTAL, A_C)) / Square(TOTAL)),
    )
    steps.add(
        "The derivative of g",
        (
            "The exponential is its own derivative. But ",
            A_Y,
            " moves with ",
            A_C,
            " only if it is the same one: hence the indicator.",
        ),
        Derivative(EXP_Y, A_C),
        SAME * EXP_Y,
    )
    steps.add(
        "The derivative of h",
        (
            "Of all the terms of the sum only that of ",
            A_C,
            " moves with it: the others are constants.",
        ),
        Derivative(TOTAL, A_C),
        EXP_C,
    )
    steps.add(
        "Both put in",
        ("The derivatives of ", g, " and ", h, f" in the quotient of step {quotient}."),
        LOSS_BY_LOGIT,
        _times((SAME * EXP_Y) / TOTAL - (EXP_Y * EXP_C) / Square(TOTAL)),
    )
    return chain


def _to_result(steps: _Steps, softmax: int) -> None:
    """Add the steps that simplify the derivative to the second gradient."""
    steps.add(
        "The fraction split in two",
        "A product over a square is a product of two fractions, each with one of the factors.",
        LOSS_BY_LOGIT,
        _times(SAME * (EXP_Y / TOTAL) - (EXP_Y / TOTAL) * (EXP_C / TOTAL)),
    )
    steps.add(
        "The softmax recognised",
        (
            f"These fractions are outputs, by step {softmax}: ",
            equation(EXP_Y / TOTAL, F_Y),
            " and ",
            equation(EXP_C / TOTAL, F_C),
            ".",
        ),
        LOSS_BY_LOGIT,
        _times(SAME * F_Y - F_Y * F_C),
    )
    steps.add(
        "The common factor",
        ("Both terms have the factor ", F_Y, "."),
        LOSS_BY_LOGIT,
        -((ONE / F_Y) * (F_Y * (SAME - F_C))),
    )
    result = steps.add(
        "The cancellation",
        (
            F_Y,
            " over ",
            F_Y,
            " is 1, and the gradient no longer divides by a number that may be small. This is "
            "why it is computed with respect to ",
            Logits(),
            ".",
        ),
        LOSS_BY_LOGIT,
        -(SAME - F_C),
    )
    steps.add(
        "The vector",
        (
            f"Step {result} for every ",
            Name(C),
            ", one below the other: the output, with 1 subtracted at the true class.",
        ),
        Gradient(Logits()),
        -(OneHot() - Outputs()),
    )


def _by_jacobian(steps: _Steps, chain: int) -> None:
    """Add the steps by which the whole Jacobian leads to the same gradient."""
    f_i, f_j = Output("i"), Output("j")
    steps.add(
        "The Jacobian",
        (
            f"What the steps after {chain} did for ",
            F_Y,
            " holds for every output, with ",
            Name("i"),
            " for ",
            Name(Y),
            " and ",
            Name("j"),
            " for ",
            Name(C),
            ". All these derivatives make a matrix ",
            Jacobian(),
            ", with ",
            f_i,
            " in row ",
            Name("i"),
            " and ",
            Logit("j"),
            " in column ",
            Name("j"),
            ".",
        ),
        Entries(Derivative(f_i, Logit("j"))),
        Entries(f_i * (Indicator("i", "j") - f_j)),
    )
    steps.add(
        "The chain rule for vectors",
        "Each pre-activation moves every output: the chain rule adds up over all of them, which "
        "is the product with the transposed Jacobian.",
        Gradient(Logits()),
        Jacobian(transposed=True) * Gradient(Outputs()),
    )


def _times(inner: Formula) -> Formula:
    """Return the derivative of the loss where this is the derivative of f(x)_y."""
    return -((ONE / F_Y) * inner)
