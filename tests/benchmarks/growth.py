"""How time and memory grow with the records, and with the classes."""

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from typing import NamedTuple

from timing import SOFTGRAD, Table, folder, rows_file, seconds_and_mebibytes

RECORDS = (1_000, 10_000, 100_000, 1_000_000)
CLASSES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
LOGITS = 1_000_000
"""What the rows of the second curve have together, at least one record."""


class Point(NamedTuple):
    """A run over so many records of so many classes."""

    records: int
    classes: int
    seconds: float
    mebibytes: float


def measured() -> list[Point]:
    """Return the runs: more and more records of 10 classes, then more and more classes."""
    sizes = [(records, 10) for records in RECORDS]
    sizes += [(max(1, LOGITS // classes), classes) for classes in CLASSES]
    with folder() as place:
        return [_run(rows_file(place, *size), *size) for size in sizes]


def _run(path: Path, records: int, classes: int) -> Point:
    taken, peak = seconds_and_mebibytes([SOFTGRAD, "-j", "1"], path)
    path.unlink()
    return Point(records, classes, taken, peak)


def measure() -> Iterator[Table]:
    """Yield time and memory."""
    rows = [("records", "classes", "time", "a logit", "peak memory")]
    for records, classes, taken, peak in measured():
        each = taken / records / classes * 1e9
        rows.append(
            (f"{records:,}", f"{classes:,}", f"{taken:.2f} s", f"{each:,.0f} ns", f"{peak:.0f} MiB")
        )
    yield Table("JSON Lines, one process, start-up included", rows)


def plotted(points: Sequence[Point]) -> str:
    """Return the curves as SVG."""
    of_records, of_classes = points[: len(RECORDS)], points[len(RECORDS) :]
    curves = [
        Curve("Time by records, 10 classes", "records", "s", of_records),
        Curve("Peak memory by records", "records", "MiB", of_records),
        Curve(f"Time by classes, {LOGITS:,} logits", "classes", "s", of_classes),
        Curve("Peak memory by classes", "classes", "MiB", of_classes),
    ]
    drawn = [
        curve.drawn(left=70 + 430 * (place % 2), top=50 + 310 * (place // 2))
        for place, curve in enumerate(curves)
    ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 640" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">'
        "<title>How the time and memory of softgrad grow with records and classes</title>"
        "<style>:root{color:#1f2328}.line{stroke:#0969da}.dot{fill:#0969da}"
        "@media(prefers-color-scheme:dark){:root{color:#e6edf3}.line{stroke:#58a6ff}"
        ".dot{fill:#58a6ff}}text{fill:currentColor}.grid{stroke:currentColor;opacity:.18}</style>"
        + "".join(drawn)
        + "</svg>\n"
    )


WIDTH, HEIGHT = 340, 210


class Curve(NamedTuple):
    """How a figure grows with another."""

    title: str
    across: str
    unit: str
    points: Sequence[Point]

    def drawn(self, left: int, top: int) -> str:
        """Return the curve with its axes, both logarithmic."""
        title, across, unit = self.title, self.across, self.unit
        xs = [log10(getattr(point, across)) for point in self.points]
        of_unit = "seconds" if unit == "s" else "mebibytes"
        ys = [log10(getattr(point, of_unit)) for point in self.points]
        low_x, high_x = floor(min(xs)), ceil(max(xs))
        low_y, high_y = floor(min(ys)), max(ceil(max(ys)), floor(min(ys)) + 1)

        def x_of(x: float) -> float:
            return left + WIDTH * (x - low_x) / (high_x - low_x)

        def y_of(y: float) -> float:
            return top + HEIGHT * (high_y - y) / (high_y - low_y)

        parts = [f'<text x="{left}" y="{top - 16}" font-weight="600">{escape(title)}</text>']
        for power in range(low_x, high_x + 1):
            x = x_of(power)
            parts.append(f'<path class="grid" d="M{x:.1f} {top}v{HEIGHT}"/>')
            label = f"{10**power:,}"
            parts.append(
                f'<text x="{x:.1f}" y="{top + HEIGHT + 18}" text-anchor="middle">{label}</text>'
            )
        for power in range(low_y, high_y + 1):
            y = y_of(power)
            parts.append(f'<path class="grid" d="M{left} {y:.1f}h{WIDTH}"/>')
            label = f"{10.0**power:g} {unit}"
            parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
        places = [(x_of(x), y_of(y)) for x, y in zip(xs, ys, strict=True)]
        line = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path class="line" d="M{line}" fill="none" stroke-width="2"/>')
        parts += [f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in places]
        middle, below = left + WIDTH / 2, top + HEIGHT + 38
        parts.append(f'<text x="{middle}" y="{below}" text-anchor="middle">{escape(across)}</text>')
        return "".join(parts)
