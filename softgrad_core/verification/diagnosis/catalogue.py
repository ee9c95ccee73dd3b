"""The catalogue of known mistakes: what each is called, what it gives, and what to do about it.

Each is one entry of one table, the simplest first. The formulas of few words are written here, in
the notation of forms.py; the others stand there.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.verification.diagnosis import forms
from softgrad_core.verification.diagnosis.case import CORRECT, Terms, divided, total
from softgrad_core.verification.diagnosis.forms import Form, every, scaled


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake that people make.

    Attributes
    ----------
    name
        A stable name for programs.
    explanation
        What was done, in one sentence.
    remedy
        What to do about it.
    gives
        For each quantity that it spoils, the formulas of what is returned.
    symbol
        What the formulas call their parameter, if they have one.
    is_whole
        Whether the parameter is a whole number.
    varies
        Whether the parameter may be another one in each record.
    is_general
        Whether many other mistakes are cases of it, so that it says little where one of these fits.
    keeps_digits
        False where the formula is right and digits were lost.
    of_batch
        Whether it shows only in several records together.
    """

    name: str
    explanation: str
    remedy: str
    gives: Mapping[str, tuple[Form, ...]] = field(repr=False)
    symbol: str = ""
    is_whole: bool = False
    varies: bool = False
    is_general: bool = False
    keeps_digits: bool = True
    of_batch: bool = False

    @property
    def generality(self) -> int:
        """0 for one certain mistake, 1 for a family of them, 2 where each record has its own."""
        return self.is_general + (self.is_general and self.varies)


def given(**formulas: tuple[str, Callable[..., Terms]]) -> dict[str, tuple[Form, ...]]:
    """Return one form for each quantity."""
    return {name: (Form(formula, terms),) for name, (formula, terms) in formulas.items()}


CATALOGUE = (
    Mistake(
        "cancelled-to-zero",
        "a probability rounded to 1, and 1 - 1, or log 1, to 0: every digit was lost",
        "compute 1 - p as the sum of the other probabilities, and the loss by log1p",
        {
            "loss": (forms.cancelled("-log 1", lambda c: (np.zeros_like(c.claim),)),),
            "log_probs": (forms.cancelled("a - max(a) - log 1", lambda c: (c.d,)),),
            "grad_logits": (
                forms.cancelled("p - e with 1 for p_y", lambda c: ((1.0 - c.e) * c.p,)),
            ),
        },
        keeps_digits=False,
    ),
    Mistake(
        "rounded-to-decimals",
        "the numbers are right, and written with few decimals",
        "allow half of the last decimal: an atol of 5e-4 for three decimals, say",
        every(CORRECT, *map(forms.to_decimals, range(1, 8))),
        keeps_digits=False,
    ),
    Mistake(
        "all-zero",
        "nothing was computed: all is 0",
        "look whether the kernel ran, wrote to this buffer, and was not cut off from the graph",
        every(CORRECT, Form("0", lambda c: (np.zeros_like(c.claim),))),
    ),
    Mistake(
        "wrong-sign",
        "the sign is wrong",
        "negate it: the loss is -log p_y, and its gradient p - e",
        scaled("-1 × {}", lambda _: -1.0),
    ),
    Mistake(
        "factor-2",
        "it is twice what it should be: a squared-error habit, or added to itself",
        "leave the factor 2 out; set gradients to 0 before they are accumulated",
        scaled("2 × {}", lambda _: 2.0),
    ),
    Mistake(
        "wrong-sign-at-the-target",
        "the sign is wrong at the target only",
        "the derivative at the target is p_y - 1, which is below 0",
        given(grad_logits=("p, and 1 - p at the target", lambda c: (c.p, c.e, -2.0 * c.e * c.p))),
    ),
    Mistake(
        "target-not-subtracted",
        "the probabilities were returned; the one-hot vector was not subtracted",
        "subtract 1 at the target",
        given(grad_logits=("p", lambda c: (c.p,))),
    ),
    Mistake(
        "target-added",
        "the one-hot vector was added, not subtracted",
        "subtract 1 at the target",
        given(grad_logits=("p + e", lambda c: (c.p, c.e))),
    ),
    Mistake(
        "softmax-left-out",
        "the logits were taken as log-probabilities: there is no softmax in it",
        "apply log_softmax to the logits before the loss",
        given(
            probs=("a", lambda c: (c.a,)),
            loss=("-a_y", lambda c: (-c.kept(c.a),)),
            grad_logits=("-e", lambda c: (-c.e,)),
        ),
    ),
    Mistake(
        "gradient-of-the-output",
        "the gradient with respect to f(x) was returned in the place of that with respect to a",
        "multiply by the Jacobian of the softmax, which gives p - e",
        given(grad_logits=("-e / p", lambda c: (-divided(c.e, c.p),))),
    ),
    Mistake(
        "gradient-of-the-output-negated",
        "the gradient with respect to f(x) was returned, and with the wrong sign",
        "negate it and multiply by the Jacobian of the softmax, which gives p - e",
        given(grad_logits=("e / p", lambda c: (divided(c.e, c.p),))),
    ),
    Mistake(
        "gradient-of-the-logits",
        "the gradient with respect to the logits stands in the place of this",
        "return it under its own name, and copy a buffer before it is reused",
        given(
            probs=("p - e", lambda c: (c.p, -c.e)),
            grad_probs=("p - e", lambda c: (c.p, -c.e)),
        ),
    ),
    Mistake(
        "logarithm-not-taken",
        "the logarithm was forgotten",
        "take the logarithm of the probability",
        given(
            log_probs=("p", lambda c: (c.p,)),
            loss=("-p_y", lambda c: (-c.kept(c.p),)),
            grad_probs=("-e", lambda c: (-c.e,)),
            grad_logits=("p_y (p - e)", lambda c: (c.p_y * c.p, -c.p_y * c.e)),
        ),
    ),
    Mistake(
        "probability-of-the-target",
        "the probability of the target was returned",
        "take -log of it",
        given(loss=("p_y", lambda c: (c.kept(c.p),))),
    ),
    Mistake(
        "logarithm-taken",
        "the logarithms of the probabilities were returned",
        "take exp of them, or claim them as log_probs",
        given(probs=("log p", lambda c: (c.d, -c.log_sum))),
    ),
    Mistake(
        "one-hot-returned",
        "the one-hot vector of the target was returned",
        "return the softmax of the logits",
        given(probs=("e", lambda c: (c.e,))),
    ),
    Mistake(
        "not-normalised",
        "the exponentials were not divided by their sum",
        "divide them by their sum over the classes",
        every(
            ("probs", "log_probs", "grad_logits"),
            Form("{} with exp(a - max(a)) for p", lambda c: forms.from_log_p(c, c.d)),
            Form("{} with exp(a) for p", lambda c: forms.from_log_p(c, c.a)),
        ),
    ),
    Mistake(
        "indicator-forgotten",
        "the indicator of the target was forgotten: every class has a derivative",
        "all but the target's are 0",
        {
            "grad_probs": (
                Form("-1 / p in every class", lambda c: (-1.0 / c.p,)),
                Form(
                    "-1 / p_y in every class",
                    lambda c: (np.broadcast_to(-1.0 / c.p_y, c.p.shape),),
                ),
            )
        },
    ),
    Mistake(
        "jacobian-diagonal-only",
        "only the diagonal of the softmax's Jacobian was used",
        "each output depends on every logit: use diag(p) - p pᵀ, or p - e at once",
        given(grad_logits=("-e (1 - p)", lambda c: (-c.e, c.e * c.p))),
    ),
    Mistake(
        "sigmoid-derivative-kept",
        "p - e was multiplied by the derivative of a sigmoid, p (1 - p)",
        "leave the factor out: p - e is the whole gradient",
        given(
            grad_logits=(
                "(p - e) p (1 - p)",
                lambda c: (c.p**2, -(c.p**3), -c.e * c.p, c.e * c.p**2),
            )
        ),
    ),
    Mistake(
        "sigmoid-for-softmax",
        "a sigmoid was applied to each logit in the place of the softmax",
        "apply the softmax over the classes",
        every(
            CORRECT,
            Form("{} with σ(a) for p", lambda c: forms.from_log_p(c, -np.logaddexp(0.0, -c.a))),
        ),
    ),
    Mistake(
        "binary-cross-entropy",
        "the binary cross-entropy of each class was used on a softmax",
        "use the loss -log p_y, of which only the target has a term",
        given(
            loss=(
                "-log p_y - Σ log(1 - p_c)",
                lambda c: (*c.right, -(np.log(c.not_p) * (1.0 - c.e)).sum(axis=0, keepdims=True)),
            ),
            grad_probs=("-e / p + (1 - e) / (1 - p)", forms.binary_cross_entropy),
            grad_logits=("-e / p + (1 - e) / (1 - p)", forms.binary_cross_entropy),
        ),
    ),
    Mistake(
        "binary-cross-entropy-through-softmax",
        "the binary cross-entropy of each class was differentiated through a softmax",
        "use the loss -log p_y, of which only the target has a term",
        given(grad_logits=("J (-e / p + (1 - e) / (1 - p))", forms.binary_through_softmax)),
    ),
    Mistake(
        "squared-error",
        "the squared error was used in the place of the cross-entropy",
        "use the loss -log p_y, whose gradient is p - e without the Jacobian",
        {
            "loss": (
                Form("|p - e|²", lambda c: (forms.squared_error(c),)),
                Form("|p - e|² / 2", lambda c: (forms.squared_error(c) / 2.0,)),
                Form("|p - e|² / K", lambda c: (forms.squared_error(c) / c.classes,)),
            ),
            "grad_probs": (Form("2 (p - e)", lambda c: (2.0 * c.p, -2.0 * c.e)),),
            "grad_logits": (
                Form("J (p - e)", lambda c: forms.through_softmax(c.p, (c.p, -c.e))),
                Form("2 J (p - e)", lambda c: forms.through_softmax(c.p, (2 * c.p, -2 * c.e))),
            ),
        },
    ),
    Mistake(
        "softmax-twice",
        "the softmax was applied twice: a loss that applies it was given probabilities",
        "hand the loss the logits, or use a loss that takes probabilities",
        every(
            CORRECT, Form("{} with softmax(p) for p", lambda c: forms.from_p(c, forms.softmax(c.p)))
        ),
    ),
    Mistake(
        "softmax-twice-through-both",
        "the softmax was applied twice and differentiated twice",
        "hand the loss the logits, or use a loss that takes probabilities",
        given(
            grad_logits=(
                "J (softmax(p) - e)",
                lambda c: forms.through_softmax(c.p, (forms.softmax(c.p), -c.e)),
            )
        ),
    ),
    Mistake(
        "logits-ignored",
        "all classes are equally probable, whatever the logits",
        "look whether the kernel reads the logits, and from where",
        every(
            CORRECT,
            Form(
                "{} with 1 / K for p", lambda c: forms.from_p(c, np.full_like(c.p, 1 / c.classes))
            ),
        ),
    ),
    Mistake(
        "label-off-by-one",
        "the label is off by one: the classes were numbered from 1, or shifted",
        "number the classes from 0",
        {
            "loss": forms.moved_label("-log p_k with k = {}"),
            "grad_probs": forms.moved_label("-e({}) / p"),
            "grad_logits": forms.moved_label("p - e({})"),
        },
    ),
    Mistake(
        "logarithm-to-base-2",
        "the logarithm was taken to base 2",
        "take the natural logarithm, or multiply by ln 2",
        scaled("{} / ln 2", lambda _: 1.0 / math.log(2.0)),
    ),
    Mistake(
        "logarithm-to-base-10",
        "the logarithm was taken to base 10",
        "take the natural logarithm, or multiply by ln 10",
        scaled("{} / ln 10", lambda _: 1.0 / math.log(10.0)),
    ),
    Mistake(
        "sum-for-mean",
        "the sum over the batch was taken, not the mean",
        "divide by D: the number of rows, or the sum of the weights of those that count",
        forms.factor_of("D × {}", lambda c: c.divisor),
    ),
    Mistake(
        "wrong-denominator",
        "the mean was divided by a number of rows, not by the sum of the weights that count",
        "divide by the sum of the weights w_y of the labels that are not ignored",
        forms.combined(
            forms.factor_of("{} × D / N", lambda c: c.mean_over(c.size)),
            forms.factor_of(
                "{} × D / (rows that count)", lambda c: c.mean_over(forms.counted_rows(c))
            ),
        ),
    ),
    Mistake(
        "first-weight-for-all",
        "each row has the upstream gradient, or the weight, of the first one of its batch",
        "multiply each row by its own",
        forms.factor_of("{} × r_0 / r_n", lambda c: forms.first_of_batch(c, c.q_sum) / c.q_sum),
    ),
    Mistake(
        "class-weights-ignored",
        "the class weights were left out",
        "multiply the loss of each row, or each term of it, by the weight of the class",
        forms.combined(
            forms.other_targets("{} without w", lambda c: c.variant(class_weights=None)),
            forms.other_targets("{} without w, also in D", forms.without_weights),
        ),
    ),
    Mistake(
        "ignored-rows-counted",
        "rows that are to be ignored have a gradient",
        "set it to 0 where the label is ignore_index",
        {
            "grad_logits": (
                Form("p in ignored rows", lambda c: (c.p,), applies=forms.ignored, counts_all=True),
            ),
        },
    ),
    Mistake(
        "label-smoothing-ignored",
        "the labels were not smoothed",
        "the smoothed target is (1 - ε) e + ε / K",
        forms.other_targets("{} with ε = 0", forms.smoothed(lambda s, _: 0.0 * s)),
    ),
    Mistake(
        "label-smoothing-over-the-others",
        "ε was spread over the K - 1 other classes",
        "spread it over all K classes, or give an ε that is K / (K - 1) times as large",
        forms.other_targets(
            "{} with ε / (K - 1) at the others", forms.smoothed(lambda s, k: s * k / (k - 1))
        ),
    ),
    Mistake(
        "label-smoothing-twice",
        "the labels were smoothed twice",
        "smooth them in the data or in the loss, not in both",
        forms.other_targets("{} smoothed twice", forms.smoothed(lambda s, _: 1.0 - (1.0 - s) ** 2)),
    ),
    Mistake(
        "sum-of-weights-ignored",
        "the target weights do not sum to 1, and p was not multiplied by their sum",
        "the gradient of a target q is p Σq - q",
        {
            "grad_logits": (
                Form(
                    "p - q",
                    lambda c: (c.p / (c.q_sum * c.divisor), -c.e),
                    applies=lambda c: np.abs(c.q_sum * c.divisor - 1.0) > 1e-9,
                ),
            )
        },
    ),
    Mistake(
        "temperature-factor-forgotten",
        "the gradient lacks the factor 1 / T",
        "divide it by T: a / T is what the softmax is of",
        forms.factor_of("{} × T", lambda c: c.temperature, ("grad_logits",)),
    ),
    Mistake(
        "temperature-ignored",
        "the temperature T was left out",
        "take the softmax of a / T, and divide the gradient by T",
        every(
            CORRECT,
            forms.at_other_temperature("{} of a", lambda _: 1.0, 1.0),
            forms.at_other_temperature("{} of a, with the factor 1 / T", lambda _: 1.0, None),
        ),
    ),
    Mistake(
        "temperature-multiplied",
        "the logits were multiplied by T, not divided",
        "take the softmax of a / T",
        every(
            CORRECT,
            forms.at_other_temperature("{} of a T", lambda t: 1.0 / t, None),
            forms.at_other_temperature("{} of a T, with the factor T", lambda t: 1.0 / t, 1.0),
        ),
    ),
    Mistake(
        "softmax-over-the-batch",
        "the softmax was taken over the rows of the batch: each class sums to 1 over them",
        "sum over the classes of one row, the last axis",
        every(
            CORRECT,
            Form(
                "{} with exp(a) / Σ over rows for p",
                forms.over_rows,
                applies=lambda c: np.full(c.count, c.size > 1),
            ),
        ),
    ),
    Mistake(
        "mean-over-classes",
        "the mean over the classes was taken: it was divided by their number K",
        "sum over the classes, and divide at most by the number of records",
        scaled("{} / K", lambda c: 1.0 / c.classes),
    ),
    Mistake(
        "mean-over-batch",
        "the mean over a batch of N records was taken",
        "multiply by N, or have the loss summed; a whole batch is compared with its reduction",
        scaled("{} / N", lambda _, n: 1.0 / n, lambda c: forms.batch_size(1.0 / c.factor)),
        symbol="N",
        is_whole=True,
    ),
    Mistake(
        "mean-over-batch-twice",
        "the mean over a batch of N records was taken twice",
        "divide by N in one place only, and multiply by it to compare it here",
        scaled(
            "{} / N²", lambda _, n: 1.0 / n**2, lambda c: forms.batch_size(1.0 / np.sqrt(c.factor))
        ),
        symbol="N",
        is_whole=True,
    ),
    Mistake(
        "sum-over-batch",
        "it is N times what it should be: summed over a batch, or a loss scale of N",
        "divide by N",
        scaled("N × {}", lambda _, n: n, lambda c: forms.batch_size(c.factor)),
        symbol="N",
        is_whole=True,
    ),
    Mistake(
        "one-term-averaged",
        "only the one-hot vector was divided by the number N of records",
        "divide p and e alike",
        {
            "grad_logits": (
                Form(
                    "p - e / N",
                    lambda c, n: (c.p, -c.e / n),
                    forms.one_term,
                ),
            )
        },
        symbol="N",
        is_whole=True,
    ),
    Mistake(
        "label-smoothing",
        "the labels were smoothed",
        "turn label smoothing off to compare it here",
        {
            "loss": (
                Form(
                    "(1 - ε) (-log p_y) - ε / K Σ log p_c",
                    lambda c, s: (c.log_sum, -(1 - s) * c.at_target(c.d), -s * c.d.mean(axis=0)),
                    forms.smoothing_of_loss,
                ),
            ),
            "grad_logits": (
                Form(
                    "p - (1 - ε) e - ε / K",
                    lambda c, s: (c.p, -(1 - s) * c.e, -s / c.classes),
                    forms.smoothing,
                ),
            ),
        },
        symbol="ε",
    ),
    Mistake(
        "label-smoothing-of-another-sum",
        "the labels were smoothed so that they do not sum to 1",
        "the smoothed target is (1 - ε) e + ε / K",
        {
            "grad_logits": (
                Form(
                    "p - (1 - ε - ε / K) e - ε / K",
                    lambda c, s: (c.p, -(1 - s - s / c.classes) * c.e, -s / c.classes),
                    forms.smoothing,
                ),
                Form(
                    "p - (1 - ε / K) e - ε / K",
                    lambda c, s: (c.p, -(1 - s / c.classes) * c.e, -s / c.classes),
                    forms.smoothing,
                ),
                Form(
                    "p - (1 - ε) e - 1 / K",
                    lambda c, s: (c.p, -(1 - s) * c.e, np.full(c.count, -1 / c.classes)),
                    lambda c: forms.share(1 + 1 / c.classes - forms.kept_target(c)),
                ),
            )
        },
        symbol="ε",
    ),
    Mistake(
        "log-normaliser-penalty",
        "the square of log Σ exp(a), times a weight c, was added to the loss (z-loss)",
        "turn it off to compare it here",
        {
            "loss": (
                Form(
                    "(-log p_y) + c (log Σ exp(a))²",
                    lambda c, w: (*c.right, w * c.log_normaliser**2),
                    forms.penalty,
                ),
            ),
            "grad_logits": (
                Form(
                    "(p - e) + 2 c log Σ exp(a) p",
                    lambda c, w: (*c.right, 2.0 * w * c.log_normaliser * c.p),
                    forms.penalty,
                ),
            ),
        },
        symbol="c",
    ),
    Mistake(
        "temperature",
        "the logits were divided by a temperature T",
        "compare with logits that are divided by T, or leave it at 1",
        {
            **every(
                ("probs", "log_probs"), Form("{} of a / T", forms.at_temperature, forms.temperature)
            ),
            "grad_logits": (
                Form(
                    "(softmax(a / T) - e) / T",
                    lambda c, t: tuple(term / t for term in forms.at_temperature(c, t)),
                    forms.temperature,
                ),
            ),
        },
        symbol="T",
    ),
    Mistake(
        "temperature-without-its-factor",
        "the logits were divided by a temperature T, and the gradient lacks the factor 1 / T",
        "divide the gradient by T as well, or leave T at 1",
        {"grad_logits": (Form("softmax(a / T) - e", forms.at_temperature, forms.temperature),)},
        symbol="T",
    ),
    Mistake(
        "one-loss-for-all",
        "every record has the same loss: the mean, or the sum, over the batch",
        'have the loss of each record, reduction="none"',
        {"loss": (Form("one and the same number", lambda c: (forms.median(c.claim, axis=1),)),)},
        of_batch=True,
    ),
    Mistake(
        "another-record",
        "the numbers are those of the record before or after",
        "look for an index that is off by one, or for records in another order",
        every(
            CORRECT,
            Form("{} of the record before", lambda c: (c.beside[0],)),
            Form("{} of the record after", lambda c: (c.beside[1],)),
        ),
        of_batch=True,
    ),
    Mistake(
        "softmax-over-the-whole-array",
        "the softmax was taken over the whole array: all records together sum to 1",
        "sum over the classes of one record, the last axis",
        every(CORRECT, Form("{} with exp(a) / Σ over all for p", forms.over_all)),
        of_batch=True,
    ),
    Mistake(
        "softmax-over-the-wrong-axis",
        "the softmax was taken over the records: each class sums to 1 over the batch",
        "sum over the classes of one record, the last axis",
        every(
            ("probs", "log_probs", "grad_logits"),
            Form("{} with exp(a) / Σ over records for p", forms.over_records),
        ),
        of_batch=True,
    ),
    Mistake(
        "no-shift-by-the-maximum",
        "the maximum was not subtracted before exp, which left the range of the type",
        "subtract the largest logit of each record before exp",
        every(
            CORRECT,
            *(forms.out_of_range(dtype, lambda _: 0.0, "exp(a) / Σ exp(a)") for dtype in Dtype),
        ),
    ),
    Mistake(
        "shift-by-the-maximum-of-all",
        "the maximum of the whole array was subtracted before exp: low records are 0 / 0",
        "subtract the largest logit of each record before exp",
        every(
            CORRECT,
            *(
                forms.out_of_range(dtype, lambda c: c.highest, "exp(a - max over all) / Σ")
                for dtype in Dtype
            ),
        ),
        of_batch=True,
    ),
    Mistake(
        "epsilon-in-the-logarithm",
        "an ε that guards the logarithm changes small probabilities",
        "compute log_softmax from the logits, which needs no guard",
        {
            name: tuple(forms.guarded(formula, epsilon) for epsilon in forms.EPSILONS)
            + tuple(forms.clipped(formula, epsilon) for epsilon in forms.EPSILONS)
            for name, formula in (
                ("log_probs", "log {}"),
                ("loss", "-log {}"),
                ("grad_probs", "-e / {}"),
            )
        },
    ),
    Mistake(
        "target-subtracted-in-low-precision",
        "p_y was rounded before 1 was subtracted from it",
        "subtract in a wider type, or compute 1 - p_y as the sum of the others; round once",
        {"grad_logits": tuple(map(forms.rounded_before_subtraction, Dtype))},
        keeps_digits=False,
    ),
    Mistake(
        "logits-in-low-precision",
        "the logits were rounded before the softmax",
        "keep the logits in their own type, or give those that the kernel had",
        every(CORRECT, *map(forms.of_rounded_logits, Dtype.FLOAT32.narrower)),
        keeps_digits=False,
    ),
    Mistake(
        "rounding-errors",
        "the formula is right, and rounding errors have added up to more than is allowed",
        "accumulate in a wider type, or allow for them",
        every(CORRECT, *map(forms.in_own_digits, Dtype)),
        keeps_digits=False,
    ),
    Mistake(
        "clipped",
        "no number is larger than a bound c: the gradient was clipped",
        "compare before it is clipped",
        every(
            ("grad_probs", "grad_logits"),
            Form(
                "{} between -c and c",
                lambda c, bound: (
                    np.clip(c.safe_unit * total(c.right), -bound, bound) / c.safe_unit,
                ),
                forms.bound,
            ),
        ),
        symbol="c",
    ),
    Mistake(
        "constant-factor",
        "all is multiplied by one number",
        "look for a scale: a weight, an upstream gradient, a loss scale, a mean over other records "
        "than those that count",
        scaled("r × {}", lambda _, r: r, lambda c: c.factor),
        symbol="r",
        is_general=True,
    ),
    Mistake(
        "factor-of-each-record",
        "each record is multiplied by a number of its own",
        "look for an upstream gradient or a weight that should not be in it, or is that of "
        "another record",
        scaled("r × {}", lambda _, r: r, lambda c: c.factor, ("log_probs", "grad_logits")),
        symbol="r",
        varies=True,
        is_general=True,
    ),
    Mistake(
        "weighted-target",
        "only the one-hot vector was multiplied by a weight w",
        "multiply p and e alike; for a target q whose weights do not sum to 1, p Σq - q",
        {"grad_logits": (Form("p - w e", lambda c, w: (c.p, -w * c.e), forms.kept_target),)},
        symbol="w",
        varies=True,
        is_general=True,
    ),
    Mistake(
        "another-label",
        "it is right for another label",
        "look whether labels and logits are in the same order",
        every(
            ("grad_probs", "grad_logits"),
            Form("{} with e(k) for e", lambda c, k: forms.for_label(c, k.astype(int)), forms.label),
        ),
        symbol="k",
        varies=True,
        is_general=True,
    ),
    Mistake(
        "classes-in-another-order",
        "the numbers are right and stand at other classes",
        "look for a transposed, sorted or shuffled axis",
        every(
            ("probs", "log_probs", "grad_probs", "grad_logits"),
            Form("{} in another order", forms.reordered),
        ),
        is_general=True,
    ),
    Mistake(
        "digits-of-a-narrower-type",
        "the formula is right, but there are no more digits than a narrower type has",
        "name that type as the dtype, look for a conversion to it, or write logits with all digits",
        every(CORRECT, *map(forms.in_digits_of, Dtype.FLOAT64.narrower)),
        is_general=True,
        keeps_digits=False,
    ),
    Mistake(
        "not-a-number",
        "there is NaN in it: an overflow, 0 / 0, infinity - infinity or log of what is below 0",
        "look for exp of something large, and for logarithms of 0",
        every(
            CORRECT,
            Form("NaN", lambda c: (c.claim,), applies=forms.has_nan, gives_nan=True),
        ),
        is_general=True,
    ),
)
"""The known mistakes, the simplest first: where several fit, the first one is named."""
