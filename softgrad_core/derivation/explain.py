"""The derivation of both gradients, step by step, with the numbers of one row in it, as data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Unpack

import numpy as np
import numpy.typing as npt

from softgrad_core.derivation import lecture, whole_loss
from softgrad_core.derivation.evaluation import context_of
from softgrad_core.derivation.steps import Step, Steps
from softgrad_core.errors import InputError
from softgrad_core.loss.logits import FloatArray, as_rows
from softgrad_core.loss.objective import Objective, objective_of
from softgrad_core.loss.options import LossOptions
from softgrad_core.loss.targets import class_index

MOST_CLASSES = 10
"""The most classes of which vectors are written out in full."""

FIRST_CLASSES = 3
"""Of more classes the first ones, the last, and the two of the cases are written out."""

MOST_DIGITS = 500
"""So far below 1 a number is measured by differences; with more digits that would take long."""


@dataclass(frozen=True, slots=True, eq=False)
class Derivation:
    """The derivation for one row of logits.

    Attributes
    ----------
    target
        The true class y; None where the target is a distribution, or the row does not count.
    cases
        The classes that c stands for: the target, or what it gives most weight, and another.
    classes
        The classes of which vectors are written out, with None for each gap.
    steps
        The steps in their order.
    """

    target: int | None
    cases: tuple[int, int]
    classes: tuple[int | None, ...]
    steps: tuple[Step, ...]


def explain(
    logits: npt.ArrayLike,
    target: npt.ArrayLike,
    other: int | None = None,
    **options: Unpack[LossOptions],
) -> Derivation:
    """Derive both gradients of one row, each step with its rule, its formula and its numbers.

    Parameters
    ----------
    logits
        Pre-activations of shape (C,): finite, or -infinity for a masked class.
    target
        The index of the true class y, from 0, or the probabilities of all classes.
    other
        The class c to show beside c = y. Default, also where this is the target: the most
        probable one of the others.
    **options
        The options of the loss, see `LossOptions`.

    Returns
    -------
    Derivation
        With both sides of each equation evaluated in decimals of enough digits, derivatives as
        differences, and rounded to float64.

    Raises
    ------
    InputError
        As `softmax_cross_entropy` does, and where `other` is no class, or there are several rows.

    Examples
    --------
    >>> derivation = explain([2.0, 1.0, 0.1], target=0)
    >>> step = derivation.steps[-3]
    >>> step.title
    'The vector'
    >>> step.evaluations[0].right.round(6)
    array([-0.340999,  0.242433,  0.098566])
    """
    rows = as_rows(logits)
    if len(rows.values) != 1:
        raise InputError(
            "logits-shape", f"expected one row of logits to explain, got {len(rows.values)}"
        )
    shape = rows.values.shape[1:] if rows.single else rows.values.shape
    objective = objective_of(target, shape, **options)
    return explain_row(rows.values[0], objective, other)


def explain_row(a: FloatArray, objective: Objective, other: int | None) -> Derivation:
    """Return the derivation for one checked row."""
    y = int(objective.labels[0])
    c = None if other is None else class_index(other, len(a), what="class")
    if c is None or c == y:
        c = int(np.where(np.arange(len(a)) == y, -np.inf, a).argmax())
        c = c if c != y else int(y == 0)
    classes = _classes_to_show(len(a), {y, c})
    t = 1.0 if objective.temperature is None else float(objective.temperature[0])
    with localcontext(context_of(_digits(a, t, y, classes))):
        steps = Steps([Decimal(logit) for logit in a.tolist()], y, c, classes)
        if objective.is_plain:
            lecture.derive(steps)
        else:
            whole_loss.derive(steps, objective)
    counts = objective.counted is None or bool(objective.counted[0])
    is_label = objective.distribution is None and counts
    return Derivation(y if is_label else None, (y, c), classes, tuple(steps.done))


def _classes_to_show(count: int, important: set[int]) -> tuple[int | None, ...]:
    """Return all classes, or of many the first, the last and the important, and the gaps."""
    if count <= MOST_CLASSES:
        return tuple(range(count))
    shown: list[int | None] = []
    last = -1
    for c in sorted({*range(FIRST_CLASSES), *important, count - 1}):
        shown += [None, c] if c > last + 1 else [c]
        last = c
    return tuple(shown)


def _digits(a: FloatArray, t: float, y: int, classes: Sequence[int | None]) -> int:
    """Return the digits in which no difference cancels before a float64 would underflow."""
    largest = float(a.max())
    # The best of the other classes tells how small 1 - f(x)_y is.
    relevant = [*a[[c for c in classes if c is not None]].tolist(), float(np.delete(a, y).max())]
    # Of halves, as the difference itself may overflow.
    half: float = max(largest / 2 - logit / 2 for logit in relevant if math.isfinite(logit))
    half = min(half / t, 1e300)
    # At high temperatures the outputs, and with them terms that cancel, are nearly the same.
    near = min(2 * math.log10(max(t, 1.0)), MOST_DIGITS)
    small = min(2 * half / math.log(10), MOST_DIGITS)
    return 61 + math.ceil(near + small + math.log10(1 + half))
