"""Whole commands, timed in turns, and tables of what they took."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

SOFTGRAD = str(Path(sys.executable).with_name("softgrad"))


def seconds(command: Sequence[str], stdin: Path | None = None) -> float:
    """Run a command, its input a pipe from a file and its output a pipe to nowhere."""
    feeder = subprocess.Popen(["cat", str(stdin or os.devnull)], stdout=subprocess.PIPE)
    started = time.perf_counter()
    process = subprocess.Popen(command, stdin=feeder.stdout, stdout=subprocess.PIPE)
    assert feeder.stdout is not None
    feeder.stdout.close()
    assert process.stdout is not None
    while process.stdout.read(1 << 20):
        pass
    status = process.wait()
    ended = time.perf_counter()
    feeder.wait()
    if status:
        raise RuntimeError(f"{command} ended with status {status}")
    return ended - started


def in_turns(runs: int, *timed: Callable[[], float]) -> list[list[float]]:
    """Time each function `runs` times, in turns, after one that is not counted."""
    for function in timed:
        function()
    columns = [[function() for function in timed] for _ in range(runs)]
    return [list(column) for column in zip(*columns, strict=True)]


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> str:
    """Return the median of the ratios, pair by pair, with their range."""
    ratios = [a / b for a, b in zip(numerators, denominators, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def milliseconds(times: Sequence[float]) -> str:
    """Return the median time."""
    return f"{statistics.median(times) * 1e3:,.0f} ms"


def show(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Print a table, its first row the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(f"\n{title}\n")
    for place, row in enumerate(rows):
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
        if place == 0:
            print("  ".join("-" * width for width in widths))
    sys.stdout.flush()


def rows_file(folder: str, records: int, classes: int = 10) -> Path:
    """Write random records as JSON Lines and return the path."""
    import numpy as np
    import orjson

    rng = np.random.default_rng(records)
    path = Path(folder, f"{records}x{classes}.jsonl")
    with path.open("wb") as file:
        for start in range(0, records, 10_000):
            count = min(10_000, records - start)
            logits = (rng.normal(size=(count, classes)) * 3).tolist()
            targets = rng.integers(classes, size=count).tolist()
            for place, (row, target) in enumerate(zip(logits, targets, strict=True)):
                record = {"id": start + place, "logits": row, "target": target}
                file.write(orjson.dumps(record) + b"\n")
    return path


def folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for files of a measurement, to be used as a context."""
    return tempfile.TemporaryDirectory(prefix="softgrad-benchmark-")
