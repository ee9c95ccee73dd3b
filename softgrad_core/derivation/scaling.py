"""Steps of the soft cap and the temperature: they change the logits first, the gradient last."""

from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.evaluation import Scaling
from softgrad_core.derivation.steps import Steps

_A_C, _Z_C = f.Logit("c", "a"), f.Logit("c", "z")


def add_scaling(steps: Steps, scaling: Scaling) -> None:
    """Add the step to what the softmax takes, and take it."""
    steps.scale(scaling)
    t, cap = f.Constant("T", scaling.temperature), f.Constant("κ", scaling.cap or f.ONE.value)
    entry: f.Formula = _A_C
    if scaling.cap is None:
        title, rule = "The temperature", "The softmax takes {z}, the pre-activations divided by "
        rule += "the temperature {T}: the higher {T} is, the more alike the outputs are."
    else:
        title, rule = "The soft cap", "The softmax takes {z}: the hyperbolic tangent keeps every "
        rule += "pre-activation between {-κ} and {κ}. Small ones are hardly changed."
        entry = cap * f.Tanh(_A_C / cap)
    if scaling.has_temperature:
        entry = entry / t
        if scaling.cap is not None:
            rule += " Then they are divided by the temperature {T}."
    symbols: dict[str, f.Formula] = {"z": f.Logits("z"), "T": t, "κ": cap, "-κ": -cap}
    steps.add(title, rule, f.Logits("z"), steps.column(entry), **symbols)


def add_chain_rule(steps: Steps, scaling: Scaling, gradient: f.Formula) -> None:
    """Add the steps from dL/dz, which is this gradient, to dL/da."""
    t, cap = f.Constant("T", scaling.temperature), f.Constant("κ", scaling.cap or f.ONE.value)
    slope: f.Formula = f.ONE / t
    if scaling.cap is None:
        what, rule = "temperature", "{z_c} is {a_c} divided by {T}, so its derivative with respect "
        rule += "to {a_c} is {1/T}."
    else:
        what, rule = "soft cap", "The derivative of {tanh u} is {1 - tanh² u}. The factor {κ} and "
        rule += "the {1/κ} of the inner derivative cancel."
        slope = f.ONE - f.Square(f.Tanh(_A_C / cap))
        if scaling.has_temperature:
            slope = slope / t
            rule += " The division by {T} is a factor of the derivative as well."
    u = f.Name("u")
    symbols: dict[str, f.Formula] = {
        "z_c": _Z_C,
        "a_c": _A_C,
        "T": t,
        "κ": cap,
        "1/T": f.ONE / t,
        "1/κ": f.ONE / cap,
        "tanh u": f.Tanh(u),
        "1 - tanh² u": f.ONE - f.Square(f.Tanh(u)),
    }
    steps.add(
        f"The chain rule for the {what}",
        rule,
        f.Derivative(f.Loss(), _A_C),
        slope * f.Derivative(f.Loss(), _Z_C),
        **symbols,
    )
    vector = slope * gradient
    if scaling.cap is not None:
        entries = steps.values(f.Derivative(f.Loss(), _Z_C))
        vector = steps.column(slope * f.Known("g", "c", entries))
    steps.add(
        f"The vector with the {what}",
        "The same for all classes, with the result of the steps before."
        + (" {g} is that result, the gradient with respect to {z}." if scaling.cap else ""),
        f.Gradient(f.Logits("a")),
        vector,
        g=f.Name("g"),
        z=f.Logits("z"),
    )
