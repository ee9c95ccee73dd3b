"""The time and the memory of verifying one training step of a large model, of PyTorch's tensors."""

import gc
import importlib.util
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from timing import Table

from softgrad_core import verify

CLASSES = 32_000
ROWS = {"cuda": 15_625, "cpu": 2_064}
"""The rows by device: 500 million numbers on a GPU."""

ROWS_AT_ONCE = 128
RUNS = 3


def measure() -> Iterator[Table]:
    """Yield what verifying the gradient of a mean takes, in bfloat16 computed in float32."""
    if importlib.util.find_spec("torch") is None:
        yield Table("A training step", [("PyTorch is not installed",)])
        return
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    logits, target, loss, gradient = _step(torch, device)
    one_row = gradient.clone()
    one_row[3] *= 1.25
    claims = {"right": gradient, "one row 1.25 times": one_row}
    table = [("claim", "seconds", "MiB beyond the tensors")]
    for what, claim in claims.items():
        runs = [_taken(logits, target, loss, claim) for _ in range(RUNS)]
        times, peaks = zip(*runs, strict=True)
        table.append((what, f"{sorted(times)[RUNS // 2]:.2f}", f"{max(peaks):.0f}"))
    started = time.perf_counter()
    copies = logits.detach().cpu(), gradient.cpu()
    table.append((f"copying {len(copies)} tensors to the host", _since(started), ""))
    where = torch.cuda.get_device_name() if device == "cuda" else "the CPU"
    yield Table(f"{logits.numel():,} numbers of bfloat16 on {where}", table)


def _step(torch: Any, device: str) -> tuple[Any, ...]:
    """Return logits, targets, the mean loss and its gradient."""
    generator = torch.Generator(device=device).manual_seed(0)
    rows = ROWS[device]
    logits = torch.empty(rows, CLASSES, dtype=torch.bfloat16, device=device)
    gradient, loss = torch.empty_like(logits), torch.zeros((), device=device)
    target = torch.randint(CLASSES, (rows,), device=device, generator=generator)
    for start in range(0, rows, ROWS_AT_ONCE):
        some = slice(start, start + ROWS_AT_ONCE)
        logits[some].normal_(0.0, 3.0, generator=generator)
        a = logits[some].float().requires_grad_()
        part = torch.nn.functional.cross_entropy(a, target[some], reduction="sum") / rows
        part.backward()
        gradient[some], loss = a.grad, loss + part.detach()
    return logits.requires_grad_(), target, loss, gradient


def _taken(*step: Any) -> tuple[float, float]:
    """Return the seconds of a call, and the memory that it takes at most."""
    logits, target, loss, claim = step
    gc.collect()
    peaks, is_over = [_resident()], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.002):
            peaks.append(_resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    str(verify(logits, target, loss=loss, grad_logits=claim, reduction="mean"))
    seconds = time.perf_counter() - started
    is_over.set()
    watcher.join()
    return seconds, (max(peaks) - peaks[0]) / 2**20


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _since(started: float) -> str:
    return f"{time.perf_counter() - started:.2f}"
