"""The time of verifying claims of a float32 kernel, compared with computing the same records."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from timing import SOFTGRAD, Table, folder, in_turns, milliseconds, ratio, seconds

RECORDS = 100_000
CLASSES = 10
RUNS = 9


def measure() -> Iterator[Table]:
    """Yield the ratios of the times of whole processes, start-up included."""
    with folder() as place:
        bare, right, wrong = (Path(place, f"{name}.jsonl") for name in ("bare", "right", "wrong"))
        _write(bare, right, wrong)
        commands = {
            "computing": ([SOFTGRAD], bare),
            "verifying, all right": (_verify("--dtype float32"), right),
            "verifying as float64": (_verify("--rtol 1e-5 --atol 1e-5"), right),
            "verifying, all wrong": (_verify("--dtype float32"), wrong),
        }
        times = in_turns(RUNS, *(lambda one=one: seconds(*one) for one in commands.values()))
    table = [("records", "time", "of the speed of computing")]
    for name, taken in zip(commands, times, strict=True):
        table.append((name, milliseconds(taken), ratio(times[0], taken)))
    yield Table(
        f"{RECORDS:,} records of {CLASSES} classes with float32 gradients, from a pipe", table
    )


def _verify(options: str) -> list[str]:
    """Return the command without its summary; failed claims are no error here."""
    return ["sh", "-c", f"{SOFTGRAD} verify {options} 2> /dev/null || test $? = 1"]


def _write(bare: Path, right: Path, wrong: Path) -> None:
    """Write records without claims, with right claims, and with the mean over a batch of 32."""
    import orjson

    rng = np.random.default_rng(RECORDS)
    logits = (rng.normal(size=(RECORDS, CLASSES)) * 3).astype(np.float32)
    targets = rng.integers(CLASSES, size=RECORDS)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    gradients = e / e.sum(axis=1, keepdims=True) - np.eye(CLASSES, dtype=np.float32)[targets]
    with bare.open("wb") as one, right.open("wb") as two, wrong.open("wb") as three:
        for row, target, gradient in zip(logits.tolist(), targets.tolist(), gradients, strict=True):
            record = {"logits": row, "target": target}
            one.write(orjson.dumps(record) + b"\n")
            record["grad_logits"] = gradient.tolist()
            two.write(orjson.dumps(record) + b"\n")
            record["grad_logits"] = (gradient / np.float32(32)).tolist()
            three.write(orjson.dumps(record) + b"\n")
