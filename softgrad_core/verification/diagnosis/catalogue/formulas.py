"""Another formula: a step of the derivation left out, or another result of it."""

import numpy as np

from softgrad_core.verification.diagnosis import forms
from softgrad_core.verification.diagnosis.case import divided
from softgrad_core.verification.diagnosis.catalogue.mistake import Mistake, given
from softgrad_core.verification.diagnosis.forms import Form, every

FORMULAS = (
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
)
