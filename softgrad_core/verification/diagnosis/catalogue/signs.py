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
