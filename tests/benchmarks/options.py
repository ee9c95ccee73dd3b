"""How long options of the loss take, beside a plain label of the same rows."""

from collections.abc import Iterator

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
    "label smoothing, soft cap, z-loss": {
        "label_smoothing": 0.1,
        "softcap": 30.0,
        "z_loss_scale": 1e-4,
    },
}


def measure() -> Iterator[Table]:
    """Yield a table of the time of each option by that of a plain label, on one thread."""
    rows = [["option", *(f"{count:,} × {classes:,}" for count, classes in SHAPES)]]
    for name, options in OPTIONS.items():
        cells = [name]
        for shape in SHAPES:
            rng = np.random.default_rng(0)
            logits = (rng.normal(size=shape) * 5).astype(np.float32)
            labels = rng.integers(shape[1] - 1, size=shape[0])
            given = dict(options)
            if "class_weights" in given:
                given["class_weights"] = rng.uniform(0.5, 2.0, shape[1])
            if "num_classes" in given:
                given["num_classes"] = shape[1] - 1
            fields = ["loss", "grad_logits"]
            plain_out = softmax_cross_entropy(logits, labels, fields=fields)
            out = softmax_cross_entropy(logits, labels, fields=fields, **given)

            def plain(logits=logits, labels=labels, out=plain_out, fields=fields):
                softmax_cross_entropy(logits, labels, fields=fields, out=out, threads=1)

            def other(logits=logits, labels=labels, out=out, fields=fields, given=given):
                softmax_cross_entropy(logits, labels, fields=fields, out=out, threads=1, **given)

            base, times = in_turns(RUNS, lambda f=plain: called(f), lambda f=other: called(f))
            cells.append(ratio(times, base))
        rows.append(cells)
    yield Table("Loss and dL/da of float32 with an option, by those of a plain label", rows)
