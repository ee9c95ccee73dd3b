"""Steps of the loss -sum_k q_k log f(x)_k, for any target weights q.

The derivative of an output is found as in the lecture. But here the loss depends on every output,
so the chain rule sums over them.
"""

from dataclasses import replace
from decimal import Decimal

from softgrad_core.decimals import SMALLEST_NORMAL
from softgrad_core.derivation import formulas as f
from softgrad_core.derivation.softmax import add_derivative
from softgrad_core.derivation.steps import Steps
from softgrad_core.derivation.symbols import A_C, A_K, F_C, F_I, F_K, LOSS_BY_LOGIT, TOTAL
from softgrad_core.loss.objective import Objective


class WeightedLoss:
    """The loss of one row by its target weights: its steps, and its gradient as a formula."""

    letter = "i"
    """The letter of the class whose output is differentiated."""

    def __init__(self, steps: Steps, objective: Objective) -> None:
        q = objective.weights(len(steps.point.logits), Decimal)[0].tolist()
        self._steps, self._objective = steps, objective
        self._q = f.KnownVector("q", tuple(q))
        self._total = f.Constant("s", sum(q, start=Decimal(0)))
        self._log_likelihood = f.Sum("k", self._q.entry("k") * f.Log(F_K))
        self.gradient = self._total * f.Outputs() - self._q
        self._weights = {c: weight for c, weight in enumerate(q) if weight}
        steps.point = replace(steps.point, loss=-self._log_likelihood, weights=self._weights)
        entropy = objective.neg_entropies(len(q), Decimal)
        self._constant = None if entropy is None else f.Constant("H", entropy[0])
        if self._constant is not None:
            steps.point = replace(steps.point, constant=self._constant.value)

    def add_weights(self) -> None:
        """Add the steps from the target to its weights, and to their sum."""
        steps, q, objective = self._steps, self._q, self._objective
        t = f.KnownVector("t", tuple(map(Decimal, objective.targets(len(q.values))[0].tolist())))
        symbols: dict[str, f.Formula] = {"q": q, "t": t, "t_c": t.entry("c"), "s": self._total}
        symbols |= {letter: f.Name(letter) for letter in ("ε", "K", "w_c", "D", "m")}
        if objective.counted is not None and not objective.counted[0]:
            rule = "This row is ignored: its weights {q} are 0, and so are its loss and gradients."
        else:
            formula, rule = self._weight(t)
            steps.add("The weights of the target", rule, q.entry("c"), formula, **symbols)
            rule = "The weights of all classes, one below the other."
        steps.add("The vector of the weights", rule, q, steps.column(q.entry("c")), **symbols)
        steps.add(
            "Their sum",
            "It is 1 for a distribution without class weights, without a factor of the loss, and "
            "without a mean over a batch. For any other the gradient needs it.",
            self._total,
            steps.terms(f.Sum("k", q.entry("k"))),
        )

    def _weight(self, t: f.KnownVector) -> tuple[f.Formula, str]:
        """Return the weight q_c by its definition, and the rule that explains it."""
        objective = self._objective
        formula: f.Formula = t.entry("c")
        if objective.distribution is None:
            rule = "The target {t} is the one-hot vector of the true class: {t_c} is 1 there and 0 "
            rule += "elsewhere."
        else:
            rule = "The target {t} gives each class {c} its share {t_c}."
        if objective.smoothing is not None:
            smoothing = f.Constant("ε", Decimal(float(objective.smoothing[0])))
            count = f.Constant("K", Decimal(len(t.values)))
            formula = (f.ONE - smoothing) * formula + smoothing / count
            rule += " Label smoothing takes the share {ε} of it away and spreads it evenly over "
            rule += "all {K} classes."
        if objective.class_weights is not None:
            weights = tuple(map(Decimal, objective.class_weights[0].tolist()))
            formula = f.Known("w", "c", weights) * formula
            rule += " Each class counts by its weight {w_c}."
        if objective.scale is not None:
            formula = f.Constant("m", Decimal(float(objective.scale[0]))) * formula
            rule += " The loss is multiplied by {m}, and so are the weights."
        if objective.divisor is not None:
            formula = formula / f.Constant("D", Decimal(float(objective.divisor[0])))
            rule += " The mean over the batch divides by {D}: the number of its rows, the sum of "
            rule += "the weights of the labels that count, or the denominator that is given. Here "
            rule += "the weights are divided by it, so that the mean is the sum of the losses of "
            rule += "the rows."
            if not objective.divisor[0]:
                rule += " As nothing counts, {D} is 0, and the weights are taken to be 0."
        return formula, rule

    def add_loss(self) -> None:
        """Add the steps to the loss."""
        steps, point = self._steps, self._steps.point
        finite = [c for c in self._weights if point.logits[c].is_finite()]
        rule = "The negative log-likelihood of each class, weighted by {q_k} and summed. For the "
        rule += "one-hot vector of a true class only the term of this class is left."
        if len(finite) < len(self._weights):
            rule += " Here a class with a weight is masked: its output is 0 and the loss infinite."
        terms, q_k = steps.terms(self._log_likelihood), self._q.entry("k")
        symbols: dict[str, f.Formula] = {"q_k": q_k}
        loss, numbers = point.loss, -terms
        if self._constant is not None:
            loss, numbers = self._constant - self._log_likelihood, self._constant - terms
            symbols |= {"H": self._constant, "q_k log q_k": q_k * f.Log(q_k)}
            rule += " The divergence adds the sum of {q_k log q_k}, which is {H} (with the weights "
            rule += "as they are before a factor or a mean). It does not depend on the outputs, so "
            rule += "the gradients are those of the cross-entropy."
        steps.add("The loss", rule, f.Loss(), loss, numbers=numbers, **symbols)
        if any(point.output(c) < SMALLEST_NORMAL for c in finite):
            steps.add(
                "The loss by logarithms",
                "An output is too small for float64. The logarithm of a quotient is a difference "
                "of logarithms, and that of an exponential is its exponent: neither needs the "
                "output itself.",
                f.Loss(),
                self._plus_constant(self._total * f.Log(TOTAL) - f.Sum("k", q_k * A_K)),
            )

    def _plus_constant(self, formula: f.Formula) -> f.Formula:
        return formula if self._constant is None else formula + self._constant

    def add_gradient_by_output(self) -> int:
        """Add the steps to dL/df(x), and return the number of the partial derivative."""
        quotient = self._q.entry("c") / F_C
        partial = self._steps.add(
            "One output",
            "The derivative of {log u} is {1/u}. Only the term of the sum with {k = c} contains "
            "{f(x)_c}. All others are constants, with derivative 0.",
            f.Derivative(self._steps.point.loss, F_C),
            -quotient,
        )
        self._steps.add(
            "All outputs",
            f"Step {partial} for every {{c}}, one below the other.",
            f.Gradient(f.Outputs()),
            -self._steps.column(quotient),
        )
        return partial

    def add_gradient_by_logits(self, partial: int, softmax: int) -> int:
        """Add the steps to dL/da; return the number of the one that has df(x)_i/da_c.

        `partial` and `softmax` are the numbers of the steps that gave dL/df(x)_c and f(x)_c.
        """
        by_logit = f.Derivative(F_I, A_C)
        self._add_sum(
            "The chain rule",
            "The loss depends on {a_c} through every output {f(x)_i}. So its derivative is a sum "
            "of products, one for each {i}: the derivative of the loss with respect to {f(x)_i}, "
            f"step {partial}, times that of {{f(x)_i}} with respect to {{a_c}}. The values of the "
            "latter are measured here; the next steps find the formula for them, with the numbers "
            "for {one i}.",
            (self._q.entry("i") / F_I) * by_logit,
        )
        found = add_derivative(self._steps, softmax, self.letter, lambda found: (by_logit, found))
        self._add_result(found)
        return found

    def _add_result(self, found: int) -> None:
        """Add the steps from the derivative of an output to the gradient."""
        steps, q = self._steps, self._q
        factor = f.Indicator("i", "c") - F_C
        self._add_sum(
            "Substitute the derivative",
            f"Put the result of step {found} into the chain rule.",
            (q.entry("i") / F_I) * (F_I * factor),
        )
        self._add_sum(
            "The cancellation",
            "{f(x)_i} divided by {f(x)_i} is 1. The result does not divide by any output any more, "
            "which may be very small: this is why programs compute softmax and loss together.",
            q.entry("i") * factor,
        )
        steps.add(
            "Split the sum",
            "{1_(i=c)} leaves one term only, the one with {i} equal to {c}. The others have the "
            "common factor {f(x)_c}: write it once, before their sum.",
            LOSS_BY_LOGIT,
            -(q.entry("c") - F_C * f.Sum("i", q.entry("i"))),
        )
        result = steps.add(
            "The result",
            "The sum of the weights is {s}. Multiply by the minus sign.",
            LOSS_BY_LOGIT,
            self._total * F_C - q.entry("c"),
            s=self._total,
        )
        steps.add(
            "The vector",
            f"Step {result} for every {{c}}, one below the other.",
            f.Gradient(f.Logits()),
            self.gradient,
        )

    def _add_sum(self, title: str, rule: str, term: f.Formula) -> None:
        """Add a step to dL/da_c as minus the sum of a term over all outputs i."""
        total = f.Sum("i", term)
        label = self._steps.point.index("i")
        i = f.Name("i")
        one = f.equation(i, f.Number(Decimal(label), digits=max(6, len(str(label))), of=i))
        self._steps.add(
            title, rule, LOSS_BY_LOGIT, -total, numbers=-self._steps.terms(total), **{"one i": one}
        )
