"""Commands and functions, timed in turns, and tables of what they took."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

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


def seconds_and_mebibytes(command: Sequence[str], stdin: Path) -> tuple[float, float]:
    """Return how long a command takes, and the peak of its memory.

    A process begins with the memory of the one that starts it, which has to be a small one.
    """
    script = """
import os, resource, subprocess, sys, time
started = time.perf_counter()
with open(sys.argv[1], "rb") as file:
    subprocess.run(sys.argv[2:], stdin=file, stdout=subprocess.DEVNULL, check=True)
taken = time.perf_counter() - started
print(taken, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", script, str(stdin), *command],
        capture_output=True,
        text=True,
        check=True,
    )
    taken, peak = map(float, done.stdout.split())
    return taken, peak


def called(function: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


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


class Table(NamedTuple):
    """What was measured; the first of the rows is the head."""

    title: str
    rows: Sequence[Sequence[str]]
    note: str = ""

    def as_text(self) -> str:
        """Return the table for a terminal."""
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        head, *rows = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in self.rows
        )
        line = "  ".join("-" * width for width in widths)
        return "\n".join(["", self.title, "", head, line, *rows, *([self.note] * bool(self.note))])

    def as_markdown(self) -> str:
        """Return the table for the README."""
        head, *rows = (f"| {' | '.join(row)} |" for row in self.rows)
        line = "|" + "---|" * len(self.rows[0])
        note = ["", self.note] if self.note else []
        return "\n".join(["", f"**{self.title}**", "", head, line, *rows, *note])


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
