"""The time of verifying claims, compared with computing: records from a pipe, and arrays."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from timing import SOFTGRAD, Table, called, folder, in_turns, milliseconds, ratio, seconds

from softgrad_core import softmax_cross_entropy, verify

Array = npt.NDArray[np.floating]

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


def measure_arrays() -> Iterator[Table]:
    """Yield how many times as long verifying dL/da of arrays takes as computing it."""
    table = [("rows", "classes", "type", "right", "1.25 times", "noise")]
    rng = np.random.default_rng(0)
    for rows, classes in ((20_000, 100), (20_000, 1000), (600, 32_000)):
        for dtype in (np.float32, np.float64):
            logits = (rng.normal(size=(rows, classes)) * 3).astype(dtype)
            targets = rng.integers(classes, size=rows)

            def compute(logits: Array = logits, targets: Array = targets) -> Array:
                result = softmax_cross_entropy(
                    logits, targets, reduction="mean", fields=["grad_logits"]
                )
                return np.asarray(result.grad_logits)

            right = compute()
            noise = (right * rng.uniform(1.2, 1.5, size=classes)).astype(dtype)
            calls = [
                compute,
                *(
                    lambda claim=claim, logits=logits, targets=targets: str(
                        verify(logits, targets, grad_logits=claim, reduction="mean")
                    )
                    for claim in (right, (right * 1.25).astype(dtype), noise)
                ),
            ]
            base, *others = in_turns(3, *(lambda call=call: called(call) for call in calls))
            times = (f"{min(other) / min(base):.3g}" for other in others)
            table.append((f"{rows:,}", f"{classes:,}", np.dtype(dtype).name, *times))
    yield Table("dL/da of a mean over arrays: how many times as long as computing it", table)


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
