"""Steps of the z-loss: the square of the logarithm of the sum, which is added to the loss."""

from dataclasses import replace
from decimal import Decimal

from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.evaluation import number
from softgrad_core.derivation.steps import Steps
from softgrad_core.derivation.symbols import A_C, EXP_C, F_C, TOTAL


def add_penalty(steps: Steps, weight: Decimal, gradient: f.Formula) -> f.Formula:
    """Add the steps from the gradient without the z-loss to that with it, and return the latter.

    From here on the loss L has the z-loss in it.
    """
    zeta, shift = f.Constant("ζ", weight), steps.point.shift
    # Where the largest logit was subtracted, it is added again: the softmax does without it.
    log_sum = f.Log(TOTAL) if not shift else f.Constant("M", shift) + f.Log(TOTAL)
    value = steps.point.shift + steps.point.total.ln()
    name = f.Constant("l", value)
    steps.add(
        "The logarithm of the sum",
        "The z-loss keeps {l}, the logarithm of the sum of the exponentials, near 0. This is no "
        "function of the outputs: adding one number to all pre-activations changes {l}, but not "
        "{f(x)}. So the z-loss has no part in the gradient with respect to the output.",
        name,
        log_sum,
        l=name,
    )
    steps.add(
        "Its derivative",
        "The derivative of {log u} is {1/u}, and of the sum only one term contains {a_c}. What is "
        "left is the output.",
        f.Derivative(f.Log(TOTAL), A_C),
        EXP_C / TOTAL,
        F_C,
    )
    so_far = f.Constant("C", number(f.Loss(), steps.point))
    steps.point = replace(steps.point, penalty=weight)
    steps.add(
        "The whole loss",
        "From here on {L} is the whole loss: {C}, the loss so far, and the z-loss {ζ l²}. {ζ} is "
        "its weight, times the factor of the loss, and divided by the number of rows that a mean "
        "is over or by the denominator that is given.",
        f.Loss(),
        so_far + zeta * f.Square(name),
        **{"ζ": zeta, "ζ l²": zeta * f.Square(name), "C": so_far},
    )
    whole = gradient + (f.Number(Decimal(2), 1) * zeta * name) * f.Outputs()
    steps.add(
        "The gradient with the z-loss",
        "The derivative of a square is twice the number, times the derivative of the number. This "
        "is added to the gradient of the loss so far.",
        f.Gradient(f.Logits()),
        whole,
    )
    return whole
