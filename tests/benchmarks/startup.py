"""Start-up: the shortest use beside only importing the libraries that it stands on."""

import sys
from collections.abc import Iterator

from timing import SOFTGRAD, Table, in_turns, milliseconds, ratio, seconds

RUNS = 21


def measure() -> Iterator[Table]:
    """Yield the ratio of whole processes."""
    imports = [sys.executable, "-c", "import typer, numpy, rich.table"]
    ours, theirs = in_turns(
        RUNS,
        lambda: seconds([SOFTGRAD, "2.0", "1.0", "0.1", "-t", "0"]),
        lambda: seconds(imports),
    )
    yield Table(
        "Start-up, whole processes",
        [
            ("command", "time", "ratio"),
            ("softgrad 2.0 1.0 0.1 -t 0", milliseconds(ours), ratio(ours, theirs)),
            ('python -c "import typer, numpy, rich.table"', milliseconds(theirs), "1"),
        ],
    )
