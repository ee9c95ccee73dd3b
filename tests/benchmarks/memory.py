"""Memory: the peak of a run over ten times as many records."""

from collections.abc import Iterator

from timing import SOFTGRAD, Table, folder, rows_file, seconds_and_mebibytes

SIZES = (100_000, 1_000_000)


def measure() -> Iterator[Table]:
    """Yield the peaks and their ratio."""
    with folder() as place:
        runs = [seconds_and_mebibytes([SOFTGRAD], rows_file(place, size)) for size in SIZES]
    table = [("records of 10 classes", "peak", "ratio")]
    for size, (_, peak) in zip(SIZES, runs, strict=True):
        table.append((f"{size:,}", f"{peak:.1f} MiB", f"{peak / runs[0][1]:.3f}"))
    yield Table("Memory of a stream", table)
