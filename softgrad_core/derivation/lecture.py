"""The steps of the derivation for a label: those of the loss -log f(x)_y, and what words they have.

The order is that of a lecture: Hugo Larochelle, Neural networks, "Training neural networks -
output layer gradient". Where float64 would fail, a step shows what is done instead.
"""

from collections.abc import Callable
from typing import NamedTuple

from softgrad_core.decimals import LARGEST, SMALLEST_NORMAL
from softgrad_core.derivation.evaluation import number, with_numbers
from softgrad_core.derivation.formulas import (
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
    equation,
)
from softgrad_core.derivation.notation import (
    A_C,
    A_J,
    A_Y,
    EXP_C,
    F_C,
    F_I,
    F_Y,
    LOSS_BY_LOGIT,
    OTHERS,
    SAME,
    TOTAL,
    words,
)
from softgrad_core.derivation.steps import CANCELS_BELOW, Steps

MOST_TERMS = 4
"""The most terms of a sum that are written out."""


class Differentiated(NamedTuple):
    """An output that is differentiated with respect to a_c, and in which equation."""

    letter: str
    left: Formula
    """What the equations are of: the derivative of this output, or of a loss that depends on it."""
    is_factor: bool
    """Whether it is a factor of what the equations are of, with -1 / f(x)_y before it."""

    @property
    def output(self) -> Formula:
        """The output."""
        return Output(self.letter)

    @property
    def exp(self) -> Formula:
        """The exponential of its pre-activation."""
        return Exp(Logit(self.letter))

    @property
    def same(self) -> Formula:
        """1 where it is that of class c, else 0."""
        return Indicator(self.letter, "c")

    def right(self, derivative: Formula) -> Formula:
        """Return the right side, where this is the derivative of the output."""
        return _times(derivative) if self.is_factor else derivative


def derive(steps: Steps) -> None:
    """Add the steps of the lecture, in its order."""
    steps.part = "The output and its loss"
    softmax = softmax_steps(steps)
    _loss(steps)
    steps.part = "The gradient with respect to the output"
    partial = _by_output(steps)
    steps.part = "The gradient with respect to the pre-activation"
    _chain_rule(steps, partial)
    differentiate(steps, softmax, Differentiated("y", LOSS_BY_LOGIT, is_factor=True))
    _to_result(steps)
    steps.part = "The same by the Jacobian of the softmax"
    by_jacobian(steps, "The steps from the chain rule to the common factor", "y")


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


def softmax_steps(steps: Steps) -> int:
    """Add the steps to the softmax; return the number of its definition."""
    total = number(TOTAL, steps.point)
    if not SMALLEST_NORMAL <= total <= LARGEST:
        _subtract_largest(steps, "too large" if total > 1 else "too small")
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
    steps.add(
        "Their sum",
        words("Divided by this sum the exponentials add up to 1, as probabilities must."),
        TOTAL,
        written_as_terms(TOTAL, lambda c: Exp(Logit(c)), count),
    )
    return steps.add(
        "The softmax",
        words("The output {f(x)} is the softmax of {a}: the share of each exponential in the sum."),
        F_C,
        EXP_C / TOTAL,
    )


def written_as_terms(total: Sum, term: Callable[[int], Formula], count: int) -> Terms:
    """Return a sum over the classes with its terms, or a few of them."""
    few = range(count) if count <= MOST_TERMS else (0, 1, None, count - 1)
    return Terms(total, tuple(None if c is None else term(c) for c in few))


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


def _chain_rule(steps: Steps, partial: int) -> None:
    """Add the step from the output to the pre-activation."""
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


def differentiate(steps: Steps, softmax: int, of: Differentiated) -> int:
    """Add the steps that differentiate one output of the softmax; return the last one's number."""
    y = of.letter
    steps.add(
        "The softmax by its definition",
        words(f"{{f(x)_{y}}} is replaced by its definition, step {softmax} with {{c = {y}}}."),
        of.left,
        of.right(Derivative(of.exp / TOTAL, A_C)),
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
                "g is": equation(g, of.exp),
                "h is": equation(h, TOTAL),
            },
        ),
        of.left,
        of.right(
            Derivative(of.exp, A_C) / TOTAL - (of.exp * Derivative(TOTAL, A_C)) / Square(TOTAL)
        ),
    )
    numerator = steps.add(
        "The derivative of the numerator",
        words(
            f"The exponential is its own derivative. But {{g}} depends on {{a_c}} only if "
            f"{{c = {y}}}, otherwise its derivative is 0. The indicator says both."
        ),
        Derivative(of.exp, A_C),
        of.same * of.exp,
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
        of.left,
        of.right((of.same * of.exp) / TOTAL - (of.exp * EXP_C) / Square(TOTAL)),
    )
    return _simplify(steps, softmax, of)


def _simplify(steps: Steps, softmax: int, of: Differentiated) -> int:
    """Add the steps that simplify the derivative of an output."""
    y = of.letter
    steps.add(
        "The fraction split in two",
        words(
            "A square is a product of two: the second fraction is split into a product of two "
            "fractions."
        ),
        of.left,
        of.right(of.same * (of.exp / TOTAL) - (of.exp / TOTAL) * (EXP_C / TOTAL)),
    )
    steps.add(
        "The softmax recognised",
        words(
            f"These fractions are outputs, by step {softmax}: {{one}} and {{other}}.",
            one=equation(of.exp / TOTAL, of.output),
            other=equation(EXP_C / TOTAL, F_C),
        ),
        of.left,
        of.right(of.same * of.output - of.output * F_C),
    )
    factored = of.output * (of.same - F_C)
    return steps.add(
        "The common factor",
        words(f"Both terms have the factor {{f(x)_{y}}}, which is taken out of the parentheses."),
        of.left,
        of.right(factored),
    )


def _to_result(steps: Steps) -> None:
    """Add the steps from there to the second gradient."""
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


def by_jacobian(steps: Steps, which: str, y: str) -> None:
    """Add the steps by which the whole Jacobian leads to the same gradient.

    `which` are those that have found the derivative of the output y.
    """
    steps.add(
        "The Jacobian",
        words(
            f"{which} have found the derivative of {{f(x)_{y}}} too, "
            "{found}. It holds for every output {i} and every pre-activation {j}: "
            "all of them make a matrix {J}, with {f(x)_i} in row {i} and {a_j} in column {j}.",
            found=Output(y) * (Indicator(y, "c") - F_C),
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
