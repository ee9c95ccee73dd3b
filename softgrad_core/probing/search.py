"""Random inputs, and random changes of those on which errors were largest."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.probing.inputs import Input, Plan
from softgrad_core.probing.trials import Draw, Entry

KEPT = 8
"""How many of the inputs with the largest errors are kept, to be changed."""

MOST_NUMBERS = 1 << 15
"""Up to this many logits are drawn, and judged, together."""

SEARCHED = {"values", "masks", "labels", "ignored", "upstream", "layout", "state", "options"}
"""The families of trials whose changes random inputs may have."""


class Search:
    """Draws random inputs, the same for the same seed and the same errors.

    `entries` are the changes that they may have.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._worst: list[tuple[float, Input]] = []

    def next(self, draw: Draw, most: int) -> list[Input]:
        """Return up to so many inputs of one shape: new ones, or one with large errors, changed."""
        rng = draw.rng
        if self._worst and rng.random() < 0.5:
            _, given = self._worst[int(rng.integers(len(self._worst)))]
            count = _count(most, given.logits.shape)
            drawn = given.rows(np.tile(np.arange(len(given.logits)), count))
            draw = replace(draw, rows=len(given.logits))
            drawn = replace(drawn, logits=draw.rounded(_changed(draw, drawn.logits)))
            return _parts(drawn, count, draw.plan)
        rows, classes = (int(2.0 ** rng.uniform(0.0, most)) for most in (4.0, 8.0))
        shape = draw.shape(rows, max(2, classes))
        count = _count(most, shape)
        draw = replace(draw, rows=shape[0])
        drawn = draw.input(shape, 10.0 ** rng.uniform(-3.0, 2.0, count))
        for _ in range(int(rng.integers(3))):
            entry = self._entries[int(rng.integers(len(self._entries)))]
            drawn = entry.change(draw, drawn) or drawn
        return _parts(drawn, count, draw.plan)

    def add(self, given: Input, error: float) -> None:
        """Keep an input that passed, if its error is among the largest."""
        is_among = len(self._worst) < KEPT or error > self._worst[-1][0]
        if is_among and math.isfinite(error):
            self._worst.append((error, given))
            self._worst.sort(key=lambda kept: -kept[0])
            del self._worst[KEPT:]


def _parts(drawn: Input, count: int, plan: Plan) -> list[Input]:
    """Return the inputs that were drawn together, without those that have no softmax."""
    have_softmax = plan.have_softmax(drawn).reshape(count, -1).all(axis=1)
    size = len(drawn.logits) // count
    return [
        drawn.rows(slice(place * size, (place + 1) * size))
        for place in np.flatnonzero(have_softmax)
    ]


def _count(most: int, shape: tuple[int, int]) -> int:
    """Return how many inputs of a shape are drawn together."""
    return max(1, min(most, MOST_NUMBERS // math.prod(shape)))


def _changed(draw: Draw, logits: FloatArray) -> FloatArray:
    """Return the logits of several inputs with one random change, of a size for each of them."""
    rng = draw.rng
    inputs = len(logits) // draw.rows

    def of_rows(of_inputs: Any) -> Any:
        return np.repeat(of_inputs, draw.rows)[:, np.newaxis]

    offsets = of_rows(10.0 ** rng.uniform(0.0, 3.0, inputs))
    changes: tuple[Callable[[], FloatArray], ...] = (
        lambda: logits * of_rows(2.0 ** rng.integers(-3, 4, inputs)),
        lambda: logits + offsets * rng.standard_normal(offsets.shape),
        lambda: np.where(rng.random(logits.shape) < 0.1, 0.0, logits),
        lambda: logits + rng.standard_normal(logits.shape),
    )
    return changes[int(rng.integers(len(changes)))]()
