"""How many cores this process may use, and work that is done on several of them."""

import os
from collections.abc import Callable, Sequence
from typing import Any

MOST_THREADS = 8
"""More threads than this take longer, as each waits for the Python of the others."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def mapped(work: Callable[[Any], Any], parts: Sequence[Any], threads: int) -> list[Any]:
    """Return what some work gives for each part, done on several threads."""
    if threads == 1 or len(parts) == 1:
        return list(map(work, parts))
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(threads, MOST_THREADS)) as pool:
        return list(pool.map(work, parts))
