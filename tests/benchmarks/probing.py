"""The probe: how many inputs it tries in a second, what of that is its own, and false alarms."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from timing import Table

from softgrad_core import probe

SECONDS = 10.0

SEEDS = 100
"""How many times each right function is probed."""


def timed(function: Callable[..., Any]) -> tuple[Callable[..., Any], list[float]]:
    """Return a function that adds the seconds of its calls to a list."""
    spent: list[float] = []

    def call(logits: Any, targets: Any) -> Any:
        started = time.perf_counter()
        returned = function(logits, targets)
        spent.append(time.perf_counter() - started)
        return returned

    return call, spent


def measure() -> Iterator[Table]:
    """Yield the speed, and what is found in right functions."""
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from support.losses import RIGHT, plain

    rows: list[tuple[str, ...]] = [("function", "inputs a second", "in the function itself")]
    for name, function, told in (("NumPy", plain, {}), *_of_torch()):
        call, spent = timed(function)
        started = time.perf_counter()
        result = probe(call, seconds=SECONDS, **told)
        elapsed = time.perf_counter() - started
        share = f"{sum(spent) / elapsed:.0%}"
        rows.append((name, f"{result.tried.total() / elapsed:,.0f}", share))
    yield Table(f"The probe, {SECONDS:g} s each", rows)

    found = [("right function", "probes", "inputs", "findings")]
    for case in RIGHT:
        results = [probe(case.function, seed=seed, seconds=0, **case.told) for seed in range(SEEDS)]
        inputs = sum(result.tried.total() for result in results)
        alarms = sum(len(result.findings) for result in results)
        found.append((case.name, f"{SEEDS}", f"{inputs:,}", f"{alarms}"))
    yield Table("False alarms, named trials with other seeds", found)


def _of_torch() -> Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]:
    try:
        from torch.nn.functional import cross_entropy
    except ImportError:
        return
    told = {"framework": "torch", "reduction": "mean"}
    yield "PyTorch", cross_entropy, told
