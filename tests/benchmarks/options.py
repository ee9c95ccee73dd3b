"""How long options of the loss take, beside a plain label of the same rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from timing import Table, called, in_turns, ratio

from softgrad_core import softmax_cross_entropy

SHAPES = ((200_000, 10), (20_000, 1_000), (600, 32_000))
RUNS = 7

OPTIONS = {
    "mean": {"reduction": "mean"},
    "class weights": {"class_weights": None},
    "loss scale": {"loss_scale": 1024.0},
    "denominator": {"denominator": 4390.0},
    "z-loss": {"z_loss_scale": 1e-4},
    "temperature": {"temperature": 2.0},
    "soft cap": {"softcap": 30.0},
    "soft cap, z-loss, mean": {"softcap": 30.0, "z_loss_scale": 1e-4, "reduction": "mean"},
    "padding": {"num_classes": None},
    "label smoothing": {"label_smoothing": 0.1},
    "temperature, label smoothing": {"temperature": 2.0, "label_smoothing": 0.1},
    "soft targets": {"targets": None},
    "temperature, label smoothing, soft targets": {
        "temperature": 2.0,
        "label_smoothing": 0.1,
        "targets": None,
    },
    "label smoothing, soft cap, z-loss": {
        "label_smoothing": 0.1,
        "softcap": 30.0,
        "z_loss_scale": 1e-4,
    },
}


def measure() -> Iterator[Table]:
    """Yield tables of the time of each option by that of a plain label, on one thread."""
    for dtype in ("float32", "float64"):
        rows = [["option", *(f"{count:,} × {classes:,}" for count, classes in SHAPES)]]
        rows += [
            [name, *(_measured(shape, dtype, options) for shape in SHAPES)]
            for name, options in OPTIONS.items()
        ]
        title = f"Loss and dL/da of {dtype} with an option, by those of a plain label"
        yield Table(title, rows)


def _measured(shape: tuple[int, int], dtype: str, options: dict[str, Any]) -> str:
    """Return the time with options by that of a plain label."""
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=shape) * 5).astype(dtype)
    labels = rng.integers(shape[1] - 1, size=shape[0])
    given, targets = dict(options), labels
    if "targets" in given:
        shares = rng.standard_exponential(shape)
        del given["targets"]
        targets = (shares / shares.sum(axis=1, keepdims=True)).astype(dtype)
    if "class_weights" in given:
        given["class_weights"] = rng.uniform(0.5, 2.0, shape[1])
    if "num_classes" in given:
        given["num_classes"] = shape[1] - 1
    fields = ["loss", "grad_logits"]
    plain_out = softmax_cross_entropy(logits, labels, fields=fields)
    out = softmax_cross_entropy(logits, targets, fields=fields, **given)

    def plain() -> None:
        softmax_cross_entropy(logits, labels, fields=fields, out=plain_out, threads=1)

    def other() -> None:
        softmax_cross_entropy(logits, targets, fields=fields, out=out, threads=1, **given)

    base, times = in_turns(RUNS, lambda: called(plain), lambda: called(other))
    return ratio(times, base)
