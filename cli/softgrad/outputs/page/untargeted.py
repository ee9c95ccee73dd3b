"""The page of logits without a target: the softmax, and the loss that each class would have."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad.outputs.page.blocks import Bars, Block, Heading, Math
from softgrad.outputs.page.numbers import LOGIT_DIGITS, Classes, choose_classes
from softgrad.outputs.page.results import PROBS, Numbers, table_of

Array = npt.NDArray[Any]


def blocks_without_target(
    logits: Array, probs: Array, losses: Array, names: Sequence[str] | None
) -> Iterator[Block]:
    """Yield the numbers of each class; `losses` has the loss with each class as the target."""
    classes = Classes(len(logits), None, names)
    columns = [
        Numbers(("logit ", Math("a")), logits, digits=LOGIT_DIGITS),
        Numbers((PROBS,), probs, adds_up=True, bars=Bars.SHARE),
        Numbers(("loss, if it is the target",), losses),
    ]
    hint = "give --target for the gradients"
    yield Heading(f"{classes.count:,} classes, no target", hint)
    yield table_of(columns, classes, choose_classes(np.argsort(-probs, kind="stable"), []))
