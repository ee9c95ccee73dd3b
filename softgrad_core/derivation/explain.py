"""Derive both gradients of one row step by step, with its own numbers in each step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Unpack

import numpy as np
import numpy.typing as npt

from softgrad_core.derivation.evaluation import Point, context_of
from softgrad_core.derivation.formulas import with_gaps
from softgrad_core.derivation.lecture import derive
from softgrad_core.derivation.steps import Step, Steps
from softgrad_core.errors import InputError
from softgrad_core.loss.from_options import objective_of
from softgrad_core.loss.logits import FloatArray, check_rows, given_rows
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.options import LossOptions
from softgrad_core.loss.targets import class_index

MOST_CLASSES = 10
"""The most classes for which vectors are shown in full."""

FIRST_CLASSES = 3
"""Of more classes vectors show this many, the last one, and those that c stands for."""

MOST_DIGITS = 500
"""The most digits that are added for small numbers and for close ones: more would take long."""


MOST_OF_CAP = 375.0
"""For a larger |a| / cap the derivative of a soft cap is 0 in float64."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Derivation:
    """The derivation for one row of logits.

    Attributes
    ----------
    target
        The true class y; None where the target is a distribution or the row is ignored.
    cases
        The classes that c stands for: the target, or its most probable class, and another one.
    classes
        The classes that vectors show, with None for each gap.
    steps
        The steps, in their order.
    is_plain
        Whether the loss is the lecture's: of a label, without options that give weights.
    logits, objective
        The logits without padding, and the loss of this row.
    """

    target: int | None
    cases: tuple[int, int]
    classes: tuple[int | None, ...]
    steps: tuple[Step, ...]
    is_plain: bool
    logits: FloatArray
    objective: Objective

    def __repr__(self) -> str:
        y, c = self.cases
        return f"<Derivation: {len(self.steps)} steps, for the classes {y} and {c}>"


def explain(
    logits: "npt.ArrayLike",
    target: "npt.ArrayLike",
    other: int | None = None,
    **options: Unpack[LossOptions],
) -> Derivation:
    """Derive both gradients of one row: steps with a rule, a formula and numbers.

    Parameters
    ----------
    logits
        Pre-activations of shape (C,): finite, or -infinity for a masked class.
    target
        The index of the true class y, from 0, or the probabilities of all classes.
    other
        The class c to show beside c = y. By default, and where this is the target, it is the
        most probable of the other classes.
    **options
        The options of the loss, see `LossOptions`.

    Returns
    -------
    Derivation
        Both sides of each equation are evaluated with as many digits as they need, derivatives
        by differences, and rounded to float64.

    Raises
    ------
    InputError
        Under the same conditions as `softmax_cross_entropy`, and where `other` is not a class
        or there are several rows.

    Examples
    --------
    >>> derivation = explain([2.0, 1.0, 0.1], target=0)
    >>> step = derivation.steps[-3]
    >>> step.title
    'The vector'
    >>> step.evaluations[0].right.round(6)
    array([-0.340999,  0.242433,  0.098566])
    """
    rows = given_rows(logits)
    if len(rows.values) != 1:
        raise InputError(
            "logits-shape", f"expected one row of logits to explain, got {len(rows.values)}"
        )
    objective = objective_of(target, rows.shape, **options)
    values = objective.masked(rows.values).astype(np.float64, copy=False)
    check_rows(values, single=True)
    return explain_row(values[0], objective, other)


def _classes_of(a: FloatArray, objective: Objective) -> FloatArray:
    """Return the logits without padding."""
    return a if objective.num_classes is None else a[: int(objective.num_classes[0])]


def explain_row(a: FloatArray, objective: Objective, other: int | None) -> Derivation:
    """Return the derivation for one row of valid logits, of which padding is left out."""
    a, objective = _classes_of(a, objective), objective.without_padding()
    y = int(objective.labels[0])
    c = None if other is None else class_index(other, len(a), what="class")
    if c is None or c == y:
        c = max((k for k in range(len(a)) if k != y), key=lambda k: float(a[k]))
    classes: tuple[int | None, ...] = tuple(range(len(a)))
    if len(a) > MOST_CLASSES:
        classes = with_gaps(classes, {*range(FIRST_CLASSES), y, c, len(a) - 1})
    with localcontext(context_of(_digits(a, objective, y, classes))):
        logits = [Decimal(logit) for logit in a.tolist()]
        steps = Steps(Point.at(logits, {"y": y, "i": y, "c": c}, classes))
        derive(steps, objective)
    counts = objective.counted is None or bool(objective.counted[0])
    is_label = objective.distribution is None and counts
    target = y if is_label else None
    plain = objective.is_plain
    return Derivation(target, (y, c), classes, tuple(steps.done), plain, a, objective)


def _digits(a: FloatArray, objective: Objective, y: int, classes: Sequence[int | None]) -> int:
    """Return the digits with which no difference cancels before a float64 would underflow."""
    t = 1.0 if objective.temperature is None else float(objective.temperature[0])
    flat = 0.0
    if objective.softcap is not None:
        # The derivative of a cap, 1 - tanh², is 4 exp(-2 |a| / cap) but for a little, and
        # as many digits cancel. Where a float64 has 0 for it, they are not needed.
        cap = float(objective.softcap[0])
        with np.errstate(over="ignore"):
            x = np.abs(a[np.isfinite(a)]) / cap
        flat = 2.0 * float(x.max(initial=0.0, where=x < MOST_OF_CAP)) / math.log(10.0)
        flat += max(0.0, -math.log10(min(1.0, cap)))
    largest = float(a.max())
    # 1 - f(x)_y is as small as the most probable of the other classes makes it.
    relevant = [*a[[c for c in classes if c is not None]].tolist(), float(np.delete(a, y).max())]
    # Halves, as the difference itself may overflow.
    half: float = max(largest / 2 - logit / 2 for logit in relevant if math.isfinite(logit))
    half = min(half / t, 1e300)
    # At a high temperature the outputs are nearly the same, and terms made of them cancel.
    near = min(2 * math.log10(max(t, 1.0)), MOST_DIGITS)
    small = min(2 * half / math.log(10), MOST_DIGITS)
    return 61 + math.ceil(near + small + flat + math.log10(1 + half))
