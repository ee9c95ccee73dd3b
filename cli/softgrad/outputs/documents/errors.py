"""Pictures of errors in HTML: the map of a batch, coloured by size, and a histogram."""

import math
from heapq import nlargest
from html import escape

from softgrad.outputs.page.blocks import ErrorMap, Histogram, MapCell

LEVELS = (0.5, 4.0, 64.0, 4096.0, math.inf)
"""The largest errors of each shade of a map, in ulp."""

MEANINGS = (
    "up to ½ ulp: rounded once",
    "up to 4: the last 2 bits",
    "up to 64: the last 6 bits",
    "up to 4,096: the last 12 bits",
    "more",
)
"""What it means to be off by so much."""

WORST_CELLS = 10
"""The cells of a map whose numbers are listed below it, at most."""

BAR, LONG, START, GAP = 18, 200, 48, 12
"""The pixels from one bar of a histogram to the next, the length of the longest, where they start,
and the room between those within the bound and those beyond."""


def map_picture(error_map: ErrorMap) -> str:
    """Return a map: its shade says how large the worst error of a cell is, its colour if it fails.

    A cell says its numbers when the mouse rests on it; for all who have no mouse the worst are
    listed below.
    """
    cells = error_map.cells
    rows, columns = len(cells), len(cells[0])
    drawn = "".join(
        f'<rect class="{_shade(cell, error_map)}" x="{x}" y="{y}" width="1" height="1">'
        f"<title>{escape(cell.said)}</title></rect>"
        for y, row in enumerate(cells)
        for x, cell in enumerate(row)
    )
    caption = escape(error_map.caption)
    # Cells are squares, unless they are so few that these would be huge.
    width = min(100.0, 100.0 * columns / 24)
    return (
        f'<figure class="map"><figcaption>{caption}</figcaption>\n'
        f'<svg viewBox="0 0 {columns} {rows}" width="{width:.3g}%" role="img" '
        f'aria-label="{caption}">{drawn}</svg>\n{_scale(error_map)}{_worst(error_map)}</figure>\n'
    )


def _shade(cell: MapCell, error_map: ErrorMap) -> str:
    if not cell.is_judged:
        return "unjudged"
    verdict = "wrong" if cell.is_wrong else "right"
    if not error_map.dtype:
        return verdict
    level = next(n for n, most in enumerate(LEVELS) if not cell.ulp > most)
    return f"{verdict} level{level}"


def _scale(error_map: ErrorMap) -> str:
    """Return what the shades and the colours mean."""
    if not error_map.dtype:
        return ""
    items = "".join(
        f'<li><svg viewBox="0 0 2 1" aria-hidden="true"><rect class="right level{n}" width="1" '
        f'height="1"/><rect class="wrong level{n}" x="1" width="1" height="1"/></svg>{meaning}</li>'
        for n, meaning in enumerate(MEANINGS)
    )
    return (
        f"<p>The largest error of each cell, in ulp of {error_map.dtype}: blue where all numbers "
        f'pass, red where some fail.</p>\n<ul class="scale">{items}</ul>\n'
    )


def _worst(error_map: ErrorMap) -> str:
    """Return the numbers of the worst cells, to open."""
    wrong = [cell for row in error_map.cells for cell in row if cell.is_wrong]
    worst = nlargest(WORST_CELLS, wrong, lambda cell: (math.isnan(cell.ulp), cell.ulp))
    items = "".join(f"<li>{escape(cell.said)}</li>" for cell in worst)
    said = f"the worst {len(worst)} of {len(wrong):,} cells in red"
    return f"<details><summary>{said}, in numbers</summary>\n<ul>{items}</ul></details>\n"


def histogram_picture(histogram: Histogram) -> str:
    """Return bars, as long as the logarithms of their counts, and a line where the bound is."""
    most = math.log1p(max(histogram.counts))
    bars = ""
    for n, (label, count) in enumerate(zip(histogram.labels, histogram.counts, strict=True)):
        is_right = n < histogram.within
        y = BAR * n + (0 if is_right else GAP)
        long = LONG * math.log1p(count) / most if most else 0.0
        kind = "right" if is_right else "wrong"
        bars += (
            f'<text class="label" x="{START - 6}" y="{y + 13}">{label}</text>'
            f'<rect class="{kind}" x="{START}" y="{y + 2}" width="{long:.1f}" height="{BAR - 4}"/>'
        )
        if count:
            bars += f'<text x="{START + long + 6:.1f}" y="{y + 13}">{count:,}</text>'
    edge = BAR * histogram.within + GAP / 2
    width, height = START + LONG + 80, BAR * len(histogram.labels) + GAP
    beyond = sum(histogram.counts[histogram.within :])
    said = f"{histogram.caption}; {beyond:,} are beyond the bound"
    return (
        f'<figure class="histogram"><figcaption>{escape(histogram.caption)}</figcaption>\n'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(said)}">'
        f'<line x1="0" x2="{width}" y1="{edge:g}" y2="{edge:g}"/>'
        f'<text class="bound" x="{width}" y="{edge - 5:g}">the bound</text>{bars}</svg>'
        "<p>How many numbers are off by up to so much. The bars are logarithms.</p></figure>\n"
    )
