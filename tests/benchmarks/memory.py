"""Memory: the peak of a run over ten times as many records."""

import os
import subprocess
from collections.abc import Iterator

from timing import SOFTGRAD, Table, folder, rows_file

SIZES = (100_000, 1_000_000)


def peak_mebibytes(path: str) -> float:
    """Return the peak resident size of softgrad over a file that comes through a pipe."""
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as feeder:
        process = subprocess.Popen([SOFTGRAD], stdin=feeder.stdout, stdout=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_maxrss / 1024


def measure() -> Iterator[Table]:
    """Yield the peaks and their ratio."""
    with folder() as place:
        peaks = [peak_mebibytes(str(rows_file(place, size))) for size in SIZES]
    table = [("records of 10 classes", "peak", "ratio")]
    for size, peak in zip(SIZES, peaks, strict=True):
        table.append((f"{size:,}", f"{peak:.1f} MiB", f"{peak / peaks[0]:.3f}"))
    yield Table("Memory of a stream", table)
