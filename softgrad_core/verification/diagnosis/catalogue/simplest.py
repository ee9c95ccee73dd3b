"""Lost digits, nothing at all, a wrong sign, and a target that is not subtracted."""

import numpy as np

from softgrad_core.verification.diagnosis import forms
from softgrad_core.verification.diagnosis.case import CORRECT, total
from softgrad_core.verification.diagnosis.catalogue.mistake import Mistake, given
from softgrad_core.verification.diagnosis.forms import Form, every, scaled


def to_decimals(decimals: int) -> Form:
    """Return the form of the right value as a person writes it."""
    return Form(
        f"{{}} rounded to {decimals} decimals",
        lambda c: ((c.safe_unit * total(c.right)).round(decimals) / c.safe_unit,),
        applies=lambda c: c.of_rows(
            np.asarray((np.abs(c.claimed - c.claimed.round(decimals)) < 1e-12).all(axis=0))
        ),
    )


SIMPLEST = (
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
        every(CORRECT, *map(to_decimals, range(1, 8))),
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
)
