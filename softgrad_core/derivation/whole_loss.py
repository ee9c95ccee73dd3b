"""The steps of the derivation for any target weights and a temperature.

The loss is -sum_k q_k log f(x)_k with f(x) = softmax(a / T). The derivative of an output is found
as in the lecture; the loss depends on every output here, so that the chain rule sums over them.
"""

from decimal import Decimal
from typing import NamedTuple

from softgrad_core.decimals import SMALLEST_NORMAL
from softgrad_core.derivation.formulas import (
    ONE,
    Column,
    Constant,
    Derivative,
    Formula,
    Gradient,
    Indicator,
    Known,
    KnownVector,
    Log,
    Logit,
    Logits,
    Loss,
    Name,
    Output,
    Outputs,
    Sum,
)
from softgrad_core.derivation.lecture import (
    Differentiated,
    by_jacobian,
    differentiate,
    softmax_steps,
    written_as_terms,
)
from softgrad_core.derivation.notation import A_C, F_C, F_I, LOSS_BY_LOGIT, TOTAL, words
from softgrad_core.derivation.steps import Steps
from softgrad_core.loss.objective import Objective

F_K, A_K = Output("k"), Logit("k")


class _Weights(NamedTuple):
    """The target weights of a row as formulas."""

    values: tuple[Decimal, ...]
    total: Constant

    @property
    def vector(self) -> KnownVector:
        """The vector q."""
        return KnownVector("q", self.values)

    def of(self, index: str | int) -> Known:
        """Return the weight of a class."""
        return Known("q", index, self.values)


def derive(steps: Steps, objective: Objective) -> None:
    """Add the steps for the loss of a row."""
    count = len(steps.point.logits)
    values = tuple(objective.weights(count, Decimal)[0].tolist())
    q = _Weights(values, Constant("s", sum(values, start=Decimal(0))))
    loss = -Sum("k", q.of("k") * Log(F_K))
    steps.weigh(values, loss)
    steps.part = "The target and its weights"
    _target_weights(steps, objective, q)
    steps.part = "The output and its loss"
    temperature = None
    if objective.temperature is not None:
        temperature = Constant("T", Decimal(float(objective.temperature[0])))
        _divide(steps, temperature)
    softmax = softmax_steps(steps)
    _loss(steps, q, loss)
    steps.part = "The gradient with respect to the output"
    partial = _by_output(steps, q, loss)
    steps.part = "The gradient with respect to the pre-activation"
    _chain_rule(steps, q, partial)
    of_output = Differentiated("i", Derivative(F_I, A_C), is_factor=False)
    found = differentiate(steps, softmax, of_output)
    _to_result(steps, q, found)
    steps.part = "The same by the Jacobian of the softmax"
    by_jacobian(steps, "The steps from the definition of the softmax to the common factor", "i")
    if temperature is not None:
        steps.part = "The temperature"
        _multiply_by_temperature(steps, q, temperature)


def _target_weights(steps: Steps, objective: Objective, q: _Weights) -> None:
    """Add the steps from the target to its weights, and their sum."""
    count = len(q.values)
    t = tuple(map(Decimal, objective.targets(count)[0].tolist()))
    if objective.counted is not None and not objective.counted[0]:
        said = (
            "This row is to be ignored: its weights {q} are 0, and so are its loss and gradients."
        )
        formula: Formula = Known("q", "c", q.values)
    else:
        formula, said = _weight_of(objective, t, count)
    formulas = {
        "q": q.vector,
        "q_c": q.of("c"),
        "t": KnownVector("t", t),
        "t_c": Known("t", "c", t),
        "ε": Name("ε"),
        "K": Name("K"),
        "w_c": Name("w_c"),
        "D": Name("D"),
        "s": q.total,
    }
    if formula != q.of("c"):
        steps.add("The weights of the target", words(said, **formulas), q.of("c"), formula)
        said = "The weights of all classes, one below the other."
    entries = tuple(None if c is None else q.of(c) for c in steps.classes)
    steps.add("The vector of the weights", words(said, **formulas), q.vector, Column(entries))
    total = Sum("k", q.of("k"))
    steps.add(
        "Their sum",
        words(
            "It is 1 for a distribution that is neither weighted nor averaged. For any other the "
            "gradient needs it.",
            **formulas,
        ),
        q.total,
        written_as_terms(total, q.of, count),
    )


def _weight_of(objective: Objective, t: tuple[Decimal, ...], count: int) -> tuple[Formula, str]:
    """Return the weight q_c by its definition, and why it is that."""
    formula: Formula = Known("t", "c", t)
    if objective.distribution is None:
        said = "The target {t} is the one-hot vector of the true class: {t_c} is 1 there, else 0."
    else:
        said = "The target {t} gives each class {c} its share {t_c}."
    if objective.smoothing is not None:
        smoothing = Constant("ε", Decimal(float(objective.smoothing[0])))
        classes = Constant("K", Decimal(count))
        formula = (ONE - smoothing) * formula + smoothing / classes
        said += " Label smoothing takes the part {ε} of it away, and spreads that evenly over all "
        said += "{K} classes."
    if objective.class_weights is not None:
        weights = tuple(map(Decimal, objective.class_weights[0].tolist()))
        formula = Known("w", "c", weights) * formula
        said += " Each class counts by its weight {w_c}."
    if objective.divisor is not None:
        formula = formula / Constant("D", Decimal(float(objective.divisor[0])))
        said += " The mean over the batch divides by {D}, the number of its rows or the sum of the "
        said += "weights of the labels that count; it is divided here, so that the mean is the sum "
        said += "of the losses of the rows."
        if not objective.divisor[0]:
            said += " Here nothing counts, {D} is 0, and the weights are taken to be 0."
    return formula, said


def _divide(steps: Steps, temperature: Constant) -> None:
    """Add the step to z = a / T, and take it."""
    steps.divide(temperature.value)
    entries = tuple(None if c is None else Logit(c, "a") / temperature for c in steps.classes)
    steps.add(
        "The temperature",
        words(
            "The softmax is taken of {z}, the pre-activations divided by the temperature {T}: the "
            "higher it is, the more alike are the outputs.",
            z=Logits("z"),
            T=temperature,
        ),
        Logits("z"),
        Column(entries),
    )


def _loss(steps: Steps, q: _Weights, loss: Formula) -> None:
    """Add the steps to the loss."""
    point, count = steps.point, len(q.values)
    total = Sum("k", q.of("k") * Log(F_K))
    said = "The negative log-likelihood of each class, weighted by {q_k}, and summed. For the "
    said += "one-hot vector of a true class only that of this class is left."
    if any(weight and point.logits[k].is_infinite() for k, weight in enumerate(q.values)):
        said += " Here a class with a weight is masked: its output is 0, and the loss is infinite."
    terms = -written_as_terms(total, lambda c: q.of(c) * Log(Output(c)), count)
    steps.add("The loss", words(said, q_k=q.of("k")), Loss(), loss, terms=terms)
    tiny = any(
        weight and point.logits[k].is_finite() and point.output(k) < SMALLEST_NORMAL
        for k, weight in enumerate(q.values)
    )
    if tiny:
        steps.add(
            "The loss by logarithms",
            words(
                "An output is too small for float64. The logarithm of a quotient is a difference "
                "of logarithms, and that of an exponential is its exponent: neither needs the "
                "output itself."
            ),
            Loss(),
            q.total * Log(TOTAL) - Sum("k", q.of("k") * A_K),
        )


def _by_output(steps: Steps, q: _Weights, loss: Formula) -> int:
    """Add the steps to the first gradient; return the number of its partial derivative."""
    partial = steps.add(
        "One output",
        words(
            "The derivative of {log u} is {1/u}. Of the terms of the sum only that with {k} equal "
            "to {c} has {f(x)_c} in it. All others are constants, with derivative 0.",
            **{"log u": Log(Name("u")), "1/u": ONE / Name("u")},
        ),
        Derivative(loss, F_C),
        -(q.of("c") / F_C),
    )
    steps.add(
        "All outputs",
        words(f"Step {partial} for every {{c}}, one below the other."),
        Gradient(Outputs()),
        -Column(tuple(None if c is None else q.of(c) / Output(c) for c in steps.classes)),
    )
    return partial


def _chain_rule(steps: Steps, q: _Weights, partial: int) -> None:
    """Add the step from the outputs to the pre-activation."""
    total = Sum("i", (q.of("i") / F_I) * Derivative(F_I, A_C))
    steps.add(
        "The chain rule",
        words(
            "The loss depends on {a_c} through every output {f(x)_i}. So its derivative is a sum "
            "of products, one for each {i}: that of the loss with respect to {f(x)_i}, step "
            f"{partial}, times that of {{f(x)_i}} with respect to {{a_c}}. The values of the "
            "latter are measured here; the next steps find the formula for them, with the numbers "
            "of {one i}.",
            **{"one i": Output(steps.point.index("i"))},
        ),
        LOSS_BY_LOGIT,
        -total,
        terms=-written_as_terms(
            total, lambda i: (q.of(i) / Output(i)) * Derivative(Output(i), A_C), len(q.values)
        ),
    )


def _to_result(steps: Steps, q: _Weights, found: int) -> None:
    """Add the steps from the derivative of an output to the second gradient."""
    count = len(q.values)
    factor = Indicator("i", "c") - F_C
    total = Sum("i", (q.of("i") / F_I) * (F_I * factor))
    steps.add(
        "Put in",
        words(f"The result of step {found} in the chain rule."),
        LOSS_BY_LOGIT,
        -total,
        terms=-written_as_terms(
            total,
            lambda i: (q.of(i) / Output(i)) * (Output(i) * (Indicator(i, "c") - F_C)),
            count,
        ),
    )
    total = Sum("i", q.of("i") * factor)
    steps.add(
        "The cancellation",
        words(
            "{f(x)_i} divided by {f(x)_i} is 1. The result does not divide by any output any more, "
            "which may be very small: this is why programs compute softmax and loss together."
        ),
        LOSS_BY_LOGIT,
        -total,
        terms=-written_as_terms(total, lambda i: q.of(i) * (Indicator(i, "c") - F_C), count),
    )
    steps.add(
        "The sum split in two",
        words(
            "With {1_(i=c)} only one term is left, that with {i} equal to {c}. In the others "
            "{f(x)_c} is a common factor, which is taken out of the sum."
        ),
        LOSS_BY_LOGIT,
        -(q.of("c") - F_C * Sum("i", q.of("i"))),
    )
    result = steps.add(
        "The result",
        words("The sum of the weights is {s}; the minus is put into the parentheses.", s=q.total),
        LOSS_BY_LOGIT,
        q.total * F_C - q.of("c"),
    )
    steps.add(
        "The vector",
        words(f"Step {result} for every {{c}}, one below the other."),
        Gradient(Logits()),
        q.total * Outputs() - q.vector,
    )


def _multiply_by_temperature(steps: Steps, q: _Weights, temperature: Constant) -> None:
    """Add the steps from z back to the pre-activations as they were given."""
    a_c, z_c = Logit("c", "a"), Logit("c", "z")
    steps.add(
        "The chain rule for the temperature",
        words(
            "{z_c} is {a_c} divided by {T}, and its derivative is {1/T}.",
            **{"z_c": z_c, "a_c": a_c, "T": temperature, "1/T": ONE / temperature},
        ),
        Derivative(Loss(), a_c),
        (ONE / temperature) * Derivative(Loss(), z_c),
    )
    steps.add(
        "The vector with the temperature",
        words("The same for all classes, with the result of the steps before."),
        Gradient(Logits("a")),
        (ONE / temperature) * (q.total * Outputs() - q.vector),
    )
