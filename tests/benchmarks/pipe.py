"""JSON Lines through a pipe, beside a bare loop over the same JSON, and beside jq."""

import shutil
import subprocess
import sys
from pathlib import Path

from timing import SOFTGRAD, folder, in_turns, milliseconds, ratio, rows_file, seconds, show

RECORDS = 100_000
CLASSES = 10
RUNS = 9
JQ_RUNS = 3

# Parses the same lines and serialises the same results, of which it has the first thousand at
# hand; all it does beside that is to count.
BARE_LOOP = """
import sys, orjson
with open(sys.argv[1], "rb") as file:
    results = [orjson.loads(line) for line in file]
write = sys.stdout.buffer.write
for number, line in enumerate(sys.stdin.buffer):
    orjson.loads(line)
    write(orjson.dumps(results[number % len(results)]))
    write(b"\\n")
"""

JQ = """
.target as $y | (.logits | max) as $m | (.logits | map(. - $m | exp)) as $e | ($e | add) as $s
| ($e | map(. / $s)) as $p
| . + {
    probs: $p,
    loss: (($s | log) - (.logits[$y] - $m)),
    grad_probs: [range($e | length) | if . == $y then -1 / $p[$y] else 0 end],
    grad_logits: [range($e | length) | if . == $y then $p[.] - 1 else $p[.] end]
  }
"""


def measure() -> None:
    """Print the ratios of whole processes, start-up included."""
    with folder() as place:
        rows = rows_file(place, RECORDS, CLASSES)
        results = Path(place, "results.jsonl")
        with rows.open("rb") as file:
            head = b"".join(file.readline() for _ in range(1000))
        results.write_bytes(
            subprocess.run([SOFTGRAD], input=head, stdout=subprocess.PIPE, check=True).stdout
        )
        bare = [sys.executable, "-c", BARE_LOOP, str(results)]
        ours, loop = in_turns(RUNS, lambda: seconds([SOFTGRAD], rows), lambda: seconds(bare, rows))
        table = [
            ("command", "time", "softgrad takes"),
            ("softgrad", milliseconds(ours), ""),
            ("bare loop with orjson", milliseconds(loop), f"{ratio(ours, loop)} times as long"),
        ]
        if shutil.which("jq"):
            ours, jq = in_turns(
                JQ_RUNS, lambda: seconds([SOFTGRAD], rows), lambda: seconds(["jq", "-c", JQ], rows)
            )
            table.append(
                ("jq -c, the same formulas", milliseconds(jq), f"1 / {ratio(jq, ours)} of the time")
            )
        else:
            table.append(("jq", "not installed", ""))
    show(f"{RECORDS:,} records of {CLASSES} classes from a pipe, whole processes", table)
