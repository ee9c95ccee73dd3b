"""An input that shows a mistake -> a smaller one, with rounder numbers, that shows the same."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.probing.inputs import Input, Plan

MOST_TRIES = 150
"""How often a smaller input is tried."""

SMALLEST_PART = 16
"""Of many rows or columns no smaller part than this is cut out at once."""


def shrunk(
    given: Input, plan: Plan, shows_it: Callable[[Input], bool], is_over: Callable[[], bool]
) -> Input:
    """Return the smallest input found that shows what this one does.

    Parameters
    ----------
    given, plan
        The input, and what is known of the function.
    shows_it
        Whether an input shows the same mistake.
    is_over
        Whether there is no time left.
    """
    tries = 0
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for smaller in _smaller(given, plan):
            tries += 1
            if tries > MOST_TRIES or is_over():
                return given
            if shows_it(smaller):
                # What is tried next starts from this one.
                given, is_smaller = smaller, True
                break
    return given


def _smaller(given: Input, plan: Plan) -> Iterator[Input]:
    """Yield smaller inputs, those first that leave out most."""
    if not given.is_plain:
        yield given.plain()
    if given.options:
        yield replace(given, options={})
    if given.upstream is not None and given.upstream.ndim:
        yield replace(given, upstream=np.array(0.5))
    if not plan.shapes:
        yield from _with_fewer_rows(given)
    for logits in _rounder(given.logits):
        yield replace(given, logits=logits)
    if not plan.shapes:
        yield from _with_fewer_columns(given, plan)
    for logits in _simpler(given.logits):
        yield replace(given, logits=logits)


def _without_parts(count: int) -> Iterator[np.ndarray]:
    """Yield the places that are left when parts are cut out: halves, quarters, and so on."""
    size = count
    while size > max(1, count // SMALLEST_PART):
        size = (size + 1) // 2
        for start in range(0, count, size):
            left = np.r_[0:start, min(count, start + size) : count]
            if len(left):
                yield left


def _with_fewer_rows(given: Input) -> Iterator[Input]:
    for left in _without_parts(len(given.logits)):
        yield given.rows(left)


def _with_fewer_columns(given: Input, plan: Plan) -> Iterator[Input]:
    columns = given.logits.shape[1]
    if plan.columns(1) > 1 or not len(given.logits):
        return  # The number of classes was told.
    needed = np.flatnonzero(given.targets.any(axis=0)) if not given.has_labels else given.targets
    if plan.ignored is not None:
        needed = needed[needed != plan.ignored]
    for left in _without_parts(columns):
        kept = np.union1d(left, needed)
        if 2 <= len(kept) < columns and np.isfinite(given.logits[:, kept]).any(axis=1).all():
            yield given.columns(kept, plan.ignored)


def _rounder(logits: FloatArray) -> Iterator[FloatArray]:
    """Yield logits with rounder numbers, which every type has."""
    finite = np.isfinite(logits)
    for unit in (np.inf, 16.0, 4.0, 1.0, 0.25):
        with np.errstate(invalid="ignore"):
            rounded = np.zeros_like(logits) if np.isinf(unit) else np.rint(logits / unit) * unit
        logits_of_unit = np.where(finite, rounded + 0.0, logits)  # No -0.
        if not np.array_equal(logits_of_unit, logits):
            yield logits_of_unit


def _simpler(logits: FloatArray) -> Iterator[FloatArray]:
    """Yield logits of which one is 0 or a whole number, if they are few."""
    finite = np.isfinite(logits)
    if np.count_nonzero(finite & (logits != 0.0)) <= 32:
        for place in zip(*np.nonzero(finite & (logits != 0.0)), strict=True):
            for value in (0.0, np.rint(logits[place])):
                if value != logits[place]:
                    changed = logits.copy()
                    changed[place] = value
                    yield changed
