"""A step of the derivation left out, or the result of another step returned."""

import numpy as np

from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import divided
from softgrad_core.verification.diagnosis.mistake import Form, Mistake

STEPS = (
    Mistake(
        "softmax-left-out",
        "no softmax was applied: the logits were used as log-probabilities",
        "apply log_softmax to the logits before the loss",
        Form("probs", "a", lambda c: (c.a,)),
        Form("loss", "-a_y", lambda c: (-c.kept(c.a),)),
        Form("grad_logits", "-e", lambda c: (-c.e,)),
        Form("grad_logits", "a - e", lambda c: (c.a, -c.e)),
        step="The softmax",
    ),
    Mistake(
        "gradient-of-the-output",
        "this is the gradient with respect to f(x), not with respect to the logits",
        "multiply it by the Jacobian of the softmax, which gives p - e",
        Form("grad_logits", "-e / p", lambda c: (-divided(c.e, c.p),)),
        step="The chain rule",
    ),
    Mistake(
        "gradient-of-the-output-negated",
        "this is the gradient with respect to f(x), not the logits, and its sign is wrong",
        "negate it and multiply it by the Jacobian of the softmax, which gives p - e",
        Form("grad_logits", "e / p", lambda c: (divided(c.e, c.p),)),
        step="The chain rule",
    ),
    Mistake(
        "gradient-of-the-logits",
        "this is the gradient with respect to the logits",
        "return it as grad_logits; copy a buffer before you reuse it",
        Form("probs grad_probs", "p - e", lambda c: (c.p, -c.e)),
    ),
    Mistake(
        "logarithm-not-taken",
        "the logarithm was left out",
        "take the logarithm of the probability",
        Form("log_probs", "p", lambda c: (c.p,)),
        Form("loss", "-p_y", lambda c: (-c.kept(c.p),)),
        Form("grad_probs", "-e", lambda c: (-c.e,)),
        Form("grad_logits", "p_y (p - e)", lambda c: (c.p_y * c.p, -c.p_y * c.e)),
        step="The loss",
    ),
    Mistake(
        "exponential-left-out",
        "the logits were divided by their sum, without exp",
        "take exp of the logits before they are divided by their sum",
        Form("probs", "a / Σ a", lambda c: (c.a / c.a.sum(axis=0),)),
        step="The exponentials",
    ),
    Mistake(
        "logits-negated",
        "the signs of the logits are wrong: this is the softmax of -a",
        "take exp of a, not of -a",
        Form(f.EVERY, "{} of -a", lambda c: f.from_log_p(c, f.log_softmax(-c.a))),
        step="The exponentials",
    ),
    Mistake(
        "derivative-of-the-output",
        "this is the derivative of the output f(x)_y: the loss's own, -1 / p_y, is missing",
        "multiply it by -1 / p_y, which gives p - e",
        Form("grad_logits", "p_y (e - p)", lambda c: (c.p_y * c.e, -c.p_y * c.p)),
        step="The chain rule",
    ),
    Mistake(
        "probability-of-the-target",
        "the probability of the target was returned",
        "take its negative logarithm",
        Form("loss", "p_y", lambda c: (c.kept(c.p),)),
        step="The loss",
    ),
    Mistake(
        "complement-of-the-target",
        "the probability of the other classes was returned",
        "take the negative logarithm of the target's own probability",
        Form("loss", "1 - p_y", lambda c: (c.kept(1.0 - c.p),)),
        step="The loss",
    ),
    Mistake(
        "logarithm-taken",
        "these are the logarithms of the probabilities",
        "take exp of them, or claim them as log_probs",
        Form("probs", "log p", lambda c: (c.d, -c.log_sum)),
    ),
    Mistake(
        "one-hot-returned",
        "the one-hot vector of the target was returned",
        "return the softmax of the logits",
        Form("probs", "e", lambda c: (c.e,)),
    ),
    Mistake(
        "not-normalised",
        "the exponentials were not divided by their sum",
        "divide them by their sum over the classes",
        Form(f.OF_P, "{} with exp(a - max(a)) for p", lambda c: f.from_log_p(c, c.d)),
        Form(f.OF_P, "{} with exp(a) for p", lambda c: f.from_log_p(c, c.a)),
        step="The softmax",
    ),
    Mistake(
        "indicator-forgotten",
        "every class has a derivative, not the target alone",
        "set the derivative to 0 for every class but the target",
        Form("grad_probs", "-1 / p in every class", lambda c: (-1.0 / c.p,)),
        Form(
            "grad_probs",
            "-1 / p_y in every class",
            lambda c: (np.broadcast_to(-1.0 / c.p_y, c.p.shape),),
        ),
        step="All outputs",
    ),
    Mistake(
        "one-subtracted-everywhere",
        "1 was subtracted at every class, not at the target alone",
        "subtract the one-hot vector",
        Form("grad_logits", "p - 1 in every class", lambda c: (c.p, -np.ones_like(c.p))),
        step="The vector",
    ),
    Mistake(
        "all-classes-in-the-loss",
        "the negative logarithms of all classes were added up, not that of the target alone",
        "take the target's term only",
        Form("loss", "-Σ log p", lambda c: ((c.log_sum - c.d).sum(axis=0, keepdims=True),)),
        step="The loss",
    ),
    Mistake(
        "jacobian-diagonal-only",
        "only the diagonal of the softmax's Jacobian was used",
        "use the whole Jacobian, diag(p) - p pᵀ: each output depends on every logit",
        Form("grad_logits", "-e (1 - p)", lambda c: (-c.e, c.e * c.p)),
        Form("grad_logits", "p (1 - p)", lambda c: (c.p, -(c.p**2))),
        step="The Jacobian",
    ),
    Mistake(
        "sigmoid-derivative-kept",
        "p - e was multiplied by the derivative of a sigmoid, p (1 - p)",
        "remove that factor: p - e is the whole gradient",
        Form(
            "grad_logits",
            "(p - e) p (1 - p)",
            lambda c: (c.p**2, -(c.p**3), -c.e * c.p, c.e * c.p**2),
        ),
        step="The cancellation",
    ),
)
