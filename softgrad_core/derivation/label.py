"""Steps of the loss of a label, -log f(x)_y, as the lecture has them."""

from decimal import Decimal

from softgrad_core.decimals import SMALLEST_NORMAL
from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.evaluation import number
from softgrad_core.derivation.softmax import Sides, add_derivative
from softgrad_core.derivation.steps import CANCELS_BELOW, Steps
from softgrad_core.derivation.symbols import A_C, A_Y, F_C, F_Y, LOSS_BY_LOGIT, SAME, TOTAL

LOSS = -f.Log(F_Y)
OTHERS = f.Sum("k", f.Output("k"), without="y")


class LabelLoss:
    """The loss of a label without any option: its steps, and its gradient as a formula."""

    letter = "y"
    """The letter of the class whose output is differentiated."""

    gradient: f.Formula = -(f.OneHot() - f.Outputs())

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def add_loss(self) -> None:
        """Add the steps to the loss."""
        steps, point = self._steps, self._steps.point
        f_y, others = number(F_Y, point), number(OTHERS, point)
        is_masked = number(A_Y, point).is_infinite()
        is_sure = 0 < others < CANCELS_BELOW
        if is_sure:
            steps.add(
                "What is left for the other classes",
                "{f(x)_y} is so near 1 that {1 - f(x)_y} loses most or all of the six digits shown "
                "here, and as many of the 16 of float64. All outputs add up to 1, so the sum of "
                "the others is the same number, and it loses none.",
                f.ONE - F_Y,
                OTHERS,
            )
        steps.add("The loss", _rule_of_loss(f_y, is_masked=is_masked), f.Loss(), LOSS)
        if is_sure:
            steps.add(
                "The loss by the other classes",
                "The logarithm of a number near 1 depends on its last digits, which float64 has "
                "lost. The sum of the other outputs has them; in code, this is -log1p(-sum).",
                LOSS,
                -f.Log(f.ONE - OTHERS),
            )
        if f_y < SMALLEST_NORMAL and not is_masked:
            steps.add(
                "The loss by logarithms",
                "{f(x)_y} is too small for float64. The logarithm of a quotient is a difference of "
                "logarithms, and that of an exponential is its exponent: neither needs {f(x)_y} "
                "itself.",
                LOSS if f_y else f.Loss(),
                f.Log(TOTAL) - A_Y,
            )

    def add_gradient_by_output(self) -> int:
        """Add the steps to dL/df(x), and return the number of the partial derivative."""
        partial = self._steps.add(
            "One output",
            "The derivative of {log u} is {1/u}. The loss depends on {f(x)_y} and on no other "
            "output: where {c = y} the derivative is {-1/f(x)_y}, elsewhere 0. The indicator "
            "{1_(y=c)} writes both as one: it is 1 where {c = y}, and 0 elsewhere.",
            f.Derivative(LOSS, F_C),
            -(SAME / F_Y),
        )
        self._steps.add(
            "All outputs",
            f"Step {partial} for every {{c}}, one below the other. The indicators of all classes "
            "are the one-hot vector {e(y)}: 1 at the true class {y} and 0 elsewhere.",
            f.Gradient(f.Outputs()),
            -((f.ONE / F_Y) * self._steps.column(SAME)),
            -(f.OneHot() / F_Y),
            numbers=-((f.ONE / F_Y) * f.OneHot()),
        )
        return partial

    def add_gradient_by_logits(self, partial: int, softmax: int) -> int:
        """Add the steps to dL/da; return the number of the one that has df(x)_y/da_c.

        `partial` and `softmax` are the numbers of the steps that gave dL/df(x)_c and f(x)_c.
        """
        steps = self._steps
        steps.add(
            "The chain rule",
            "The loss depends on {a_c} only through {f(x)_y}. So its derivative is a product: "
            f"that of the loss with respect to {{f(x)_y}}, step {partial} with {{c = y}}, times "
            "that of {f(x)_y} with respect to {a_c}. The next steps find the formula for "
            "the latter.",
            *_by_chain_rule(f.Derivative(F_Y, A_C)),
        )
        found = add_derivative(steps, softmax, self.letter, _by_chain_rule)
        result = steps.add(
            "The cancellation",
            "{f(x)_y} divided by {f(x)_y} is 1. The result does not divide by {f(x)_y} any more, "
            "which may be very small: this is why programs compute softmax and loss together, and "
            "this gradient by this formula.",
            LOSS_BY_LOGIT,
            -(SAME - F_C),
        )
        steps.add(
            "The vector",
            f"Step {result} for every {{c}}, one below the other: the output {{f(x)}}, with 1 "
            "subtracted at the true class.",
            f.Gradient(f.Logits()),
            self.gradient,
        )
        return found


def _by_chain_rule(derivative: f.Formula) -> Sides:
    """Return the sides of dL/da_c = -1 / f(x)_y times this derivative."""
    return LOSS_BY_LOGIT, -((f.ONE / F_Y) * derivative)


def _rule_of_loss(f_y: Decimal, *, is_masked: bool) -> str:
    rule = "The negative log-likelihood of the true class: 0 if {f(x)_y} is 1, and it grows as "
    rule += "{f(x)_y} gets smaller."
    if not f_y:
        what = "too small for any arithmetic, and taken for 0"
        if is_masked:
            what = "0, and the loss is infinite: the class is masked"
        rule += f" Here {{f(x)_y}} is {what}."
        rule += " Formulas that divide by {f(x)_y} then have no value, and their steps are shown "
        rule += "in symbols only. The result has a value again."
    return rule
