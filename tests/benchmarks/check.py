"""The numerical check: its time per row, and how that grows with the classes."""

import statistics
import time
from collections.abc import Iterator

import numpy as np
from timing import Table

from softgrad_core import check_gradients, softmax_cross_entropy

SIZES = (10, 100, 1_000, 10_000)
SCALES = (1.0, 30.0, 300.0)


def milliseconds_a_row(classes: int, scale: float) -> float:
    """Return the median time of checking one row."""
    rows = max(3, 300 // classes)
    logits = np.random.default_rng(classes).normal(size=(rows, classes)) * scale
    targets = np.zeros(rows, dtype=int)
    result = softmax_cross_entropy(logits, targets)
    times = []
    for row in range(rows):
        started = time.perf_counter()
        check_gradients(logits[row], 0, result.grad_probs[row], result.grad_logits[row])
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def measure() -> Iterator[Table]:
    """Yield the times."""
    table = [("classes", *(f"logits of scale {scale:g}" for scale in SCALES))]
    for classes in SIZES:
        times = [milliseconds_a_row(classes, scale) for scale in SCALES]
        table.append((f"{classes:,}", *(f"{value:.2f} ms" for value in times)))
    yield Table("The check, time a row", table)
