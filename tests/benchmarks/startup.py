"""Start-up: the shortest use, beside importing its libraries and a command that only prints."""

import sys
from collections.abc import Iterator

from timing import SOFTGRAD, Table, in_turns, milliseconds, ratio, seconds

RUNS = 21

TEN_LINES = """
import numpy, typer
from rich import box
from rich.console import Console
from rich.table import Table
def main(logits: list[float], target: int = 0) -> None:
    table = Table("class", "logit a", "f(x)", "", "dL/df(x)", "dL/da", "", box=box.SIMPLE_HEAD)
    for row in range(3):
        table.add_row(str(row), "2", "0.659001", "#######", "-1.51745", "-0.340999", "######")
    Console().print(table)
typer.run(main)
"""


def measure() -> Iterator[Table]:
    """Yield the ratio of whole processes."""
    imports = [sys.executable, "-c", "import typer, numpy, rich.table"]
    prints = [sys.executable, "-c", TEN_LINES, "2.0", "1.0", "0.1", "--target", "0"]
    ours, theirs, ten_lines = in_turns(
        RUNS,
        lambda: seconds([SOFTGRAD, "2.0", "1.0", "0.1", "-t", "0"]),
        lambda: seconds(imports),
        lambda: seconds(prints),
    )
    yield Table(
        "Start-up, whole processes",
        [
            ("command", "time", "ratio"),
            ("softgrad 2.0 1.0 0.1 -t 0", milliseconds(ours), ratio(ours, theirs)),
            (
                "ten lines that print such a table",
                milliseconds(ten_lines),
                ratio(ten_lines, theirs),
            ),
            ('python -c "import typer, numpy, rich.table"', milliseconds(theirs), "1"),
        ],
    )
