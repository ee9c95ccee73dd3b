"""Steps of the temperature: the logits are divided before the softmax, the gradient after it."""

from decimal import Decimal

from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.steps import Steps


def add_division(steps: Steps, temperature: Decimal) -> None:
    """Add the step to z = a / T, and take it."""
    steps.divide(temperature)
    t = f.Constant("T", temperature)
    steps.add(
        "The temperature",
        "The softmax takes {z}, the pre-activations divided by the temperature {T}: the higher "
        "{T} is, the more alike the outputs are.",
        f.Logits("z"),
        steps.column(f.Logit("c", "a") / t),
        z=f.Logits("z"),
        T=t,
    )


def add_chain_rule(steps: Steps, gradient: f.Formula) -> None:
    """Add the steps from dL/dz, which is this gradient, to dL/da."""
    a_c, z_c, t = f.Logit("c", "a"), f.Logit("c", "z"), f.Constant("T", steps.point.temperature)
    steps.add(
        "The chain rule for the temperature",
        "{z_c} is {a_c} divided by {T}, so its derivative with respect to {a_c} is {1/T}.",
        f.Derivative(f.Loss(), a_c),
        (f.ONE / t) * f.Derivative(f.Loss(), z_c),
        **{"z_c": z_c, "a_c": a_c, "T": t, "1/T": f.ONE / t},
    )
    steps.add(
        "The vector with the temperature",
        "The same for all classes, with the result of the steps before.",
        f.Gradient(f.Logits("a")),
        (f.ONE / t) * gradient,
    )
