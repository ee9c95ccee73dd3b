"""Mistakes seen at a glance: zeros, a sign, a factor of 2, the target not subtracted."""

import numpy as np

from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.mistake import Form, Mistake

ZEROS = (
    Mistake(
        "all-zero",
        "nothing was computed: every number is 0",
        "check that the kernel ran, that it wrote to this buffer, and that the graph is connected",
        Form(f.EVERY, "0", lambda c: (np.zeros_like(c.claim),)),
    ),
)

SIGNS = (
    Mistake(
        "wrong-sign",
        "the sign is wrong",
        "negate it: the loss is -log p_y, and its gradient p - e",
        f.scaled("-1 × {}", lambda _: -1.0),
        step="The loss",
    ),
    Mistake(
        "factor-2",
        "the numbers are twice what they should be: a squared error's factor, or added up twice",
        "remove the factor 2; set gradients to zero before each backward pass",
        f.scaled("2 × {}", lambda _: 2.0),
    ),
    Mistake(
        "wrong-sign-at-the-target",
        "the sign is wrong at the target only",
        "at the target the derivative is p_y - 1, which is negative",
        Form("grad_logits", "p, and 1 - p at the target", lambda c: (c.p, c.e, -2.0 * c.e * c.p)),
        step="The vector",
    ),
    Mistake(
        "wrong-sign-at-the-others",
        "the sign is wrong for every class but the target",
        "where c is not the target the derivative is p_c, which is positive",
        Form("grad_logits", "-p, and p - 1 at the target", lambda c: (-c.p, -c.e, 2.0 * c.e * c.p)),
        step="The vector",
    ),
    Mistake(
        "output-added",
        "the output was added to the one-hot vector, not subtracted from it",
        "-(e - p) is p - e",
        Form("grad_logits", "-(e + p)", lambda c: (-c.e, -c.p)),
        step="The vector",
    ),
    Mistake(
        "in-percent",
        "the probabilities are 100 times what they should be, as percentages are",
        "divide by 100, or write the percent sign",
        f.scaled("100 × {}", lambda _: 100.0, quantities="probs"),
    ),
    Mistake(
        "target-not-subtracted",
        "the probabilities were returned: 1 was not subtracted at the target",
        "subtract 1 at the target",
        Form("grad_logits", "p", lambda c: (c.p,)),
        step="The vector",
    ),
    Mistake(
        "target-added",
        "1 was added at the target, not subtracted",
        "subtract 1 at the target",
        Form("grad_logits", "p + e", lambda c: (c.p, c.e)),
        step="The vector",
    ),
)
