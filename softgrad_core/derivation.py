"""The derivation of both gradients, step by step, with the numbers of one row in it, as data.

The order is that of a lecture: Hugo Larochelle, Neural networks, "Training neural networks -
output layer gradient". Where float64 would fail, a step shows what is done instead.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt

from softgrad_core.comparison import LARGEST, SMALLEST_NORMAL
from softgrad_core.errors import InputError
from softgrad_core.evaluation import context_of, number, with_numbers
from softgrad_core.formulas import (
    ONE,
    Column,
    Derivative,
    Entries,
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
    Name,
    OneHot,
    Output,
    Outputs,
    Square,
    Sum,
    Terms,
    Words,
    equation,
)
from softgrad_core.logits import FloatArray, as_rows
from softgrad_core.steps import CANCELS_BELOW, Step, Steps
from softgrad_core.targets import as_labels, class_index

MOST_CLASSES = 10
"""The most classes of which vectors are written out in full."""

FIRST_CLASSES = 3
"""Of more classes the first ones, the last, the target and the other class are written out."""

MOST_TERMS = 4
"""The most terms of a sum that are written out."""

MOST_DIGITS = 500
"""So far below 1 a number is measured by differences; with more digits that would take long."""

# Letters of the formulas.
A_C, A_Y = Logit("c"), Logit("y")
F_C, F_Y = Output("c"), Output("y")
EXP_C, EXP_Y = Exp(A_C), Exp(A_Y)
TOTAL = Sum("k", Exp(Logit("k")))
SAME = Indicator("y", "c")
OTHERS = Sum("k", Output("k"), without="y")
LOSS_BY_LOGIT = Derivative(Loss(), A_C)
F_I, A_J = Output("i"), Logit("j")

SYMBOLS: dict[str, Formula] = {
    **{letter: Name(letter) for letter in ("c", "g", "g'", "h", "h'", "i", "j", "k", "y")},
    "L": Loss(),
    "J": Jacobian(),
    "e(y)": OneHot(),
    "m": Largest(),
    "a": Logits(),
    "a_c": A_C,
    "a_j": A_J,
    "f(x)": Outputs(),
    "f(x)_y": F_Y,
    "f(x)_i": F_I,
    "1_(y=c)": SAME,
    "1 - f(x)_y": ONE - F_Y,
    "a - m": Logits() - Largest(),
    "c = y": equation(Name("c"), Name("y")),
}
"""What stands in braces in the words of a step."""


def words(text: str, **more: Formula) -> Words:
    """Return a text with formulas in the place of their names in braces."""
    pieces = re.split(r"\{(.*?)\}", text)
    formulas = {**SYMBOLS, **more}
    return tuple(
        formulas[piece] if place % 2 else piece for place, piece in enumerate(pieces) if piece
    )


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
        steps = Steps([Decimal(logit) for logit in a.tolist()], y, c, classes)
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
    return 61 + math.ceil(min(2 * half / math.log(10), MOST_DIGITS) + math.log10(1 + half))


def _derive(steps: Steps) -> None:
    """Add the steps of the lecture, in its order."""
    steps.part = "The output and its loss"
    total = number(TOTAL, steps.point)
    if not SMALLEST_NORMAL <= total <= LARGEST:
        _subtract_largest(steps, "too large" if total > 1 else "too small")
    softmax = _softmax(steps)
    _loss(steps)
    steps.part = "The gradient with respect to the output"
    partial = _by_output(steps)
    steps.part = "The gradient with respect to the pre-activation"
    _by_softmax(steps, softmax, partial)
    _to_result(steps, softmax)
    steps.part = "The same by the Jacobian of the softmax"
    _by_jacobian(steps)


def _subtract_largest(steps: Steps, what: str) -> None:
    """Add the step that keeps the exponentials within float64, and take it."""
    add_up = f"The exponentials of these pre-activations add up to a number that is {what}"
    steps.add(
        "Subtract the largest",
        words(
            f"{add_up} for float64. The softmax does not change if the same number is subtracted "
            "from every pre-activation: this divides numerator and denominator by the same "
            "exponential. Take the largest one, {largest}. From here on {a} means {a - m}; the "
            "gradient is the same.",
            largest=equation(Largest(), with_numbers(Largest(), steps.point)),
        ),
        EXP_C / TOTAL,
        Exp(A_C - Largest()) / Sum("k", Exp(Logit("k") - Largest())),
    )
    steps.subtract_largest(number(Largest(), steps.point))


def _softmax(steps: Steps) -> int:
    """Add the steps to the softmax; return the number of its definition."""
    count, shown = len(steps.point.logits), steps.classes
    steps.add(
        "The exponentials",
        words(
            "The exponential turns every pre-activation into a positive number; a larger "
            "pre-activation gives a larger number."
        ),
        Exp(Logits()),
        Column(tuple(None if c is None else Exp(Logit(c)) for c in shown)),
        numbers=Column(
            tuple(None if c is None else Exp(with_numbers(Logit(c), steps.point)) for c in shown)
        ),
    )
    few = range(count) if count <= MOST_TERMS else (0, 1, None, count - 1)
    steps.add(
        "Their sum",
        words("Divided by this sum the exponentials add up to 1, as probabilities must."),
        TOTAL,
        Terms(TOTAL, tuple(None if c is None else Exp(Logit(c)) for c in few)),
    )
    return steps.add(
        "The softmax",
        words("The output {f(x)} is the softmax of {a}: the share of each exponential in the sum."),
        F_C,
        EXP_C / TOTAL,
    )


def _loss(steps: Steps) -> None:
    """Add the steps to the loss."""
    f_y, others = number(F_Y, steps.point), number(OTHERS, steps.point)
    is_sure = 0 < others < CANCELS_BELOW
    if is_sure:
        steps.add(
            "What is left for the other classes",
            words(
                "{f(x)_y} is so near 1 that {1 - f(x)_y} loses digits: of the six that are shown "
                "here most or all, and as many of the 16 of float64. All outputs add up to 1, so "
                "the sum of the others is the same number, without the loss."
            ),
            ONE - F_Y,
            OTHERS,
        )
    loss = "The negative log-likelihood of the true class: 0 if {f(x)_y} is 1, and it grows as "
    loss += "{f(x)_y} gets smaller."
    if not f_y:
        loss += (
            " Here {f(x)_y} is 0, and the loss is infinite: the class is masked."
            if steps.point.logits[steps.point.index("y")].is_infinite()
            else " Here {f(x)_y} is too small for any arithmetic, and taken for 0."
        )
        loss += (
            " What divides by {f(x)_y} has no value then, and those steps are shown in symbols "
            "only. Their result has one again."
        )
    steps.add("The loss", words(loss), Loss(), -Log(F_Y))
    if is_sure:
        steps.add(
            "The loss by the other classes",
            words(
                "The logarithm of a number near 1 depends on its last digits, which float64 has "
                "lost. The sum of the others has them; in code, -log1p of minus that sum."
            ),
            -Log(F_Y),
            -Log(ONE - OTHERS),
        )
    if f_y < SMALLEST_NORMAL and steps.point.logits[steps.point.index("y")].is_finite():
        steps.add(
            "The loss by logarithms",
            words(
                "{f(x)_y} is too small for float64. The logarithm of a quotient is a difference of "
                "logarithms, and that of an exponential is its exponent: neither needs {f(x)_y} "
                "itself."
            ),
            -Log(F_Y) if f_y else Loss(),
            Log(TOTAL) - A_Y,
        )


def _by_output(steps: Steps) -> int:
    """Add the steps to the first gradient; return the number of its partial derivative."""
    partial = steps.add(
        "One output",
        words(
            "The derivative of {log u} is {1/u}. The loss has {f(x)_y} in it and no other output: "
            "where {c = y} the derivative is {-1/f(x)_y}, elsewhere 0. The indicator {1_(y=c)} "
            "writes both in one: it is 1 where {c = y}, else 0.",
            **{"log u": Log(Name("u")), "1/u": ONE / Name("u"), "-1/f(x)_y": -(ONE / F_Y)},
        ),
        Derivative(-Log(F_Y), F_C),
        -(SAME / F_Y),
    )
    indicators = Column(tuple(None if c is None else Indicator("y", c) for c in steps.classes))
    steps.add(
        "All outputs",
        words(
            f"Step {partial} for every {{c}}, one below the other. The indicators for all classes "
            "are the one-hot vector {e(y)}: 1 at the true class {y} and 0 elsewhere."
        ),
        Gradient(Outputs()),
        -((ONE / F_Y) * indicators),
        -(OneHot() / F_Y),
        numbers=with_numbers(-((ONE / F_Y) * OneHot()), steps.point),
    )
    return partial


def _by_softmax(steps: Steps, softmax: int, partial: int) -> None:
    """Add the steps that differentiate the softmax."""
    steps.add(
        "The chain rule",
        words(
            "The loss depends on {a_c} only through {f(x)_y}. So its derivative is a product: "
            f"that of the loss with respect to {{f(x)_y}}, step {partial} with {{c = y}}, times "
            "that of {f(x)_y} with respect to {a_c}. The value of the latter is measured here; "
            "the next steps find the formula for it."
        ),
        LOSS_BY_LOGIT,
        _times(Derivative(F_Y, A_C)),
    )
    steps.add(
        "The softmax by its definition",
        words(f"{{f(x)_y}} is replaced by its definition, step {softmax} with {{c = y}}."),
        LOSS_BY_LOGIT,
        _times(Derivative(EXP_Y / TOTAL, A_C)),
    )
    g, h = Name("g"), Name("h")
    quotient = steps.add(
        "The quotient rule",
        words(
            "For a quotient of {g} and {h}: {rule}, where {g'} and {h'} are their derivatives with "
            "respect to {a_c}. Here {g is} and {h is}.",
            **{
                "rule": equation(
                    Derivative(g / h, A_C), Name("g'") / h - (g * Name("h'")) / Square(h)
                ),
                "g is": equation(g, EXP_Y),
                "h is": equation(h, TOTAL),
            },
        ),
        LOSS_BY_LOGIT,
        _times(Derivative(EXP_Y, A_C) / TOTAL - (EXP_Y * Derivative(TOTAL, A_C)) / Square(TOTAL)),
    )
    numerator = steps.add(
        "The derivative of the numerator",
        words(
            "The exponential is its own derivative. But {g} depends on {a_c} only if {c = y}, "
            "otherwise its derivative is 0. The indicator says both."
        ),
        Derivative(EXP_Y, A_C),
        SAME * EXP_Y,
    )
    denominator = steps.add(
        "The derivative of the denominator",
        words(
            "Of the terms of {h} only the one with {k is c} has {a_c} in it. All others are "
            "constants, with derivative 0.",
            **{"k is c": equation(Name("k"), Name("c"))},
        ),
        Derivative(TOTAL, A_C),
        EXP_C,
    )
    steps.add(
        "Both put in",
        words(f"The results of steps {numerator} and {denominator} in the formula of {quotient}."),
        LOSS_BY_LOGIT,
        _times((SAME * EXP_Y) / TOTAL - (EXP_Y * EXP_C) / Square(TOTAL)),
    )


def _to_result(steps: Steps, softmax: int) -> None:
    """Add the steps that simplify the derivative to the second gradient."""
    steps.add(
        "The fraction split in two",
        words(
            "A square is a product of two: the second fraction is split into a product of two "
            "fractions."
        ),
        LOSS_BY_LOGIT,
        _times(SAME * (EXP_Y / TOTAL) - (EXP_Y / TOTAL) * (EXP_C / TOTAL)),
    )
    steps.add(
        "The softmax recognised",
        words(
            f"These fractions are outputs, by step {softmax}: {{one}} and {{other}}.",
            one=equation(EXP_Y / TOTAL, F_Y),
            other=equation(EXP_C / TOTAL, F_C),
        ),
        LOSS_BY_LOGIT,
        _times(SAME * F_Y - F_Y * F_C),
    )
    steps.add(
        "The common factor",
        words("Both terms have the factor {f(x)_y}, which is taken out of the parentheses."),
        LOSS_BY_LOGIT,
        -((ONE / F_Y) * (F_Y * (SAME - F_C))),
    )
    result = steps.add(
        "The cancellation",
        words(
            "{f(x)_y} divided by {f(x)_y} is 1. The result does not divide by {f(x)_y} any more, "
            "which may be very small: this is why programs compute softmax and loss together, and "
            "this gradient by this formula."
        ),
        LOSS_BY_LOGIT,
        -(SAME - F_C),
    )
    steps.add(
        "The vector",
        words(
            f"Step {result} for every {{c}}, one below the other: the output {{f(x)}}, with 1 "
            "subtracted at the true class."
        ),
        Gradient(Logits()),
        -(OneHot() - Outputs()),
    )


def _by_jacobian(steps: Steps) -> None:
    """Add the steps by which the whole Jacobian leads to the same gradient."""
    steps.add(
        "The Jacobian",
        words(
            "The steps from the chain rule to the common factor have found the derivative of "
            "{f(x)_y} too, {found}. It holds for every output {i} and every pre-activation {j}: "
            "all of them make a matrix {J}, with {f(x)_i} in row {i} and {a_j} in column {j}.",
            found=F_Y * (SAME - F_C),
        ),
        Entries(Derivative(F_I, A_J)),
        Entries(F_I * (Indicator("i", "j") - Output("j"))),
    )
    steps.add(
        "The chain rule for vectors",
        words(
            "Every {a_j} changes every {f(x)_i}, and the chain rule adds up over all {i}: this is "
            "the product with the transposed Jacobian, which here is the Jacobian itself, as it "
            "is symmetric."
        ),
        Gradient(Logits()),
        Jacobian(transposed=True) * Gradient(Outputs()),
    )


def _times(inner: Formula) -> Formula:
    """Return the derivative of the loss where this is the derivative of f(x)_y."""
    return -((ONE / F_Y) * inner)
