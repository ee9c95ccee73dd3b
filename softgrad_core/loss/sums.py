"""Exact sums of losses and weights, rounded once."""

import math
from collections.abc import Sequence

import numpy as np

from softgrad_core.loss.library import sum_in_parts
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Batches

FEW = 1000
"""Up to so many numbers are summed exactly at once."""

LOST = 2.0**-80
"""More than what the parts of a sum have lost, by the sum: 2**-106 times the square of the numbers
that are added to one another, of which a block has 2**12."""


def reduced(batches: Batches, losses: FloatArray) -> FloatArray:
    """Return the loss of each batch: the sum over its rows, whose losses include 1/D.

    The mean of a batch without counted rows is NaN.
    """
    by_batch = losses.reshape(len(batches.denominators), batches.size)
    sums = np.array([sum_of(batch) for batch in by_batch])
    return np.where(batches.denominators == 0.0, np.nan, sums)


def sum_of(numbers: Sequence[float] | FloatArray) -> float:
    """Return the sum of nonnegative numbers, rounded once, or infinity if it overflows."""
    values = np.ascontiguousarray(numbers, dtype=np.float64)
    if len(values) > FEW and values.min() >= 0.0:
        parts = sum_in_parts(values)
        lost = sum(parts) * LOST
        if math.isfinite(lost):
            # What the parts have lost rarely decides how their sum is rounded.
            rounded = math.fsum([*parts, lost])
            if rounded == math.fsum([*parts, -lost]):
                return rounded
    try:
        return math.fsum(values.data)
    except OverflowError:
        return math.inf
