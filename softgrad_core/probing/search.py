"""Random inputs, and random changes of those on which errors were largest."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.probing.inputs import Input
from softgrad_core.probing.trials import Draw, Entry

KEPT = 8
"""How many of the inputs with the largest errors are kept, to be changed."""

SEARCHED = {"values", "masks", "labels", "ignored", "upstream", "layout", "state", "options"}
"""The families of trials whose changes random inputs may have."""


class Search:
    """Draws random inputs, the same for the same seed and the same errors.

    `entries` are the changes that they may have.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._worst: list[tuple[float, Input]] = []

    def next(self, draw: Draw) -> Input:
        """Return an input: a new one, or one with large errors, changed."""
        rng = draw.rng
        if self._worst and rng.random() < 0.5:
            _, given = self._worst[int(rng.integers(len(self._worst)))]
            return replace(given, logits=draw.rounded(_changed(draw, given.logits)))
        rows, classes = (int(2.0 ** rng.uniform(0.0, most)) for most in (4.0, 8.0))
        drawn = draw.input(rows, max(2, classes), size=10.0 ** rng.uniform(-3.0, 2.0))
        for _ in range(int(rng.integers(3))):
            entry = self._entries[int(rng.integers(len(self._entries)))]
            drawn = entry.change(draw, drawn) or drawn
        return drawn

    def add(self, given: Input, error: float) -> None:
        """Keep an input that passed, if its error is among the largest."""
        if np.isfinite(error):
            self._worst.append((error, given))
            self._worst.sort(key=lambda kept: -kept[0])
            del self._worst[KEPT:]


def _changed(draw: Draw, logits: FloatArray) -> FloatArray:
    """Return logits with one random change."""
    offsets = draw.rng.standard_normal((len(logits), 1))
    changes: tuple[Callable[[], FloatArray], ...] = (
        lambda: logits * 2.0 ** draw.rng.integers(-3, 4),
        lambda: logits + offsets * 10.0 ** draw.rng.uniform(0.0, 3.0),
        lambda: np.where(draw.rng.random(logits.shape) < 0.1, 0.0, logits),
        lambda: logits + draw.rng.standard_normal(logits.shape),
    )
    return changes[int(draw.rng.integers(len(changes)))]()
