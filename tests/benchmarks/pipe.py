"""JSON Lines through a pipe, beside a bare loop over the same JSON, and beside jq and Miller."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from timing import SOFTGRAD, Table, folder, in_turns, milliseconds, ratio, rows_file, seconds

SIZES = ((100_000, 10), (2_000, 1_000))
RUNS = 9
SLOW_RUNS = 3
JOBS_RECORDS = 1_000_000

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

MILLER = """
m = sort($logits, "nr")[1];
e = apply($logits, func(a) {return exp(a - m)});
s = fold(e, func(sum, x) {return sum + x}, 0.0);
p = apply(e, func(x) {return x / s});
y = $target + 1;
g = apply(p, func(x) {return 0});
g[y] = -1 / p[y];
d = p;
d[y] = p[y] - 1;
$probs = p;
$loss = log(s) - ($logits[y] - m);
$grad_probs = g;
$grad_logits = d;
"""

OTHERS = {
    "jq -c": ("jq", ["jq", "-c", JQ]),
    "Miller": ("mlr", ["mlr", "--ijsonl", "--ojsonl", "put", MILLER]),
}


def measure() -> Iterator[Table]:
    """Yield the ratios of whole processes, start-up included."""
    for records, classes in SIZES:
        with folder() as place:
            rows = rows_file(place, records, classes)
            table = [("command", "time", "in times of softgrad's"), *_beside(place, rows)]
        title = f"{records:,} records of {classes:,} classes from a pipe, whole processes"
        yield Table(title, table, "jq and Miller with the textbook's formulas, in one process.")


def _beside(place: str, rows: Path) -> Iterator[tuple[str, str, str]]:
    results = Path(place, "results.jsonl")
    with rows.open("rb") as file:
        head = b"".join(file.readline() for _ in range(1000))
    results.write_bytes(
        subprocess.run([SOFTGRAD], input=head, stdout=subprocess.PIPE, check=True).stdout
    )
    one = [SOFTGRAD, "-j", "1"]
    bare = [sys.executable, "-c", BARE_LOOP, str(results)]
    ours, loop = in_turns(RUNS, lambda: seconds(one, rows), lambda: seconds(bare, rows))
    yield "softgrad -j 1", milliseconds(ours), "1"
    yield "bare loop with orjson", milliseconds(loop), ratio(loop, ours)
    for name, (program, command) in OTHERS.items():
        if not shutil.which(program):
            yield name, "not installed", ""
            continue
        ours, theirs = in_turns(
            SLOW_RUNS,
            lambda: seconds(one, rows),
            lambda command=command: seconds(command, rows),
        )
        yield name, milliseconds(theirs), ratio(theirs, ours)


def measure_jobs() -> Iterator[Table]:
    """Yield how much two processes save."""
    with folder() as place:
        rows = str(rows_file(place, JOBS_RECORDS))
        to_file = ["-o", str(Path(place, "results.jsonl"))]
        one, two, to_one, to_two = in_turns(
            SLOW_RUNS,
            *(
                lambda options=options: seconds([SOFTGRAD, rows, *options])
                for options in (
                    ["-j", "1"],
                    ["-j", "2"],
                    ["-j", "1", *to_file],
                    ["-j", "2", *to_file],
                )
            ),
        )
    table = [
        ("command", "one process", "two processes", "times as fast"),
        ("to a pipe", milliseconds(one), milliseconds(two), ratio(one, two)),
        ("to a file, with -o", milliseconds(to_one), milliseconds(to_two), ratio(to_one, to_two)),
    ]
    yield Table(f"{JOBS_RECORDS:,} records of 10 classes from a file, whole processes", table)
