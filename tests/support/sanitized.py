"""Call what is compiled with arrays of every shape, layout and type, and at random.

This program runs with libraries that a sanitizer has instrumented; see tests/core/test_memory.py.
"""

import sys
import threading
from itertools import product
from typing import Any

import numpy as np

import softgrad_core
from softgrad_core.loss.kernels import direct
from softgrad_core.loss.results import FIELDS
from softgrad_core.verification import passes

COUNTS = (0, 1, 2, 7, 256, 257)
CLASSES = (2, 3, 5, 8, 9, 16, 17, 33, 65, 129, 1000, 2048, 2049, 4097)
TYPES = ("<f8", "<f4", "<f2", ">f4", "i4")


def of_order(order: Any) -> Any:
    return lambda rows: np.array(rows, order=order)


def every_second(rows):
    """Return rows that are every second number of an array."""
    whole = np.zeros((rows.shape[0], 2 * rows.shape[1] + 1), rows.dtype)
    whole[:, 1::2] = rows
    return whole[:, 1::2]


def backwards(rows):
    return np.array(rows[::-1, ::-1])[::-1, ::-1]


def unaligned(rows):
    """Return rows that begin at an odd address."""
    space = np.zeros(rows.nbytes + 1, np.uint8)
    space[1:] = np.frombuffer(rows.tobytes(), np.uint8)
    return space[1:].view(rows.dtype).reshape(rows.shape)


def inside(rows):
    """Return rows in the middle of a larger array."""
    whole = np.zeros((rows.shape[0] + 2, rows.shape[1] + 2), rows.dtype)
    whole[1:-1, 1:-1] = rows
    return whole[1:-1, 1:-1]


def read_only(rows):
    rows = np.array(rows)
    rows.flags.writeable = False
    return rows


LAYOUTS = (of_order("C"), of_order("F"), every_second, backwards, unaligned, inside, read_only)


def options_for(rng, count, classes):
    """Return some options of the loss, most often none."""
    possible = {
        "label_smoothing": float(rng.choice([0.0, 0.1, 1.0])),
        "temperature": float(rng.choice([0.5, 3.0])),
        "softcap": float(rng.choice([5.0, 30.0])),
        "z_loss_scale": 1e-3,
        "class_weights": rng.uniform(0.0, 2.0, classes),
        "reduction": str(rng.choice(["mean", "sum"])) if count else "sum",
        "num_classes": int(rng.integers(2, classes + 1)),
        "loss_scale": 3.0,
        "ignore_index": -100,
    }
    names = [name for name in possible if rng.random() < 0.15]
    return {name: possible[name] for name in names}


def targets_for(rng, count, classes, options):
    """Return labels, most often, or probabilities."""
    classes_that_count = options.get("num_classes", classes)
    labels = rng.integers(classes_that_count, size=count)
    if "ignore_index" in options:
        labels[rng.random(count) < 0.3] = -100
    elif rng.random() < 0.2 and classes <= 256:
        return rng.dirichlet(np.ones(classes_that_count), count)
    if labels.min(initial=0) < 0:
        return labels
    return labels.astype(rng.choice(["i8", "i4", "u1" if classes < 256 else "u2"]))


def call(rng, count, classes, dtype, layout) -> None:
    """Compute the results of random rows, once more into the same arrays, and verify some."""
    scale = 10.0 ** rng.uniform(-1, 2.5)
    with np.errstate(all="ignore"):
        rows = (rng.normal(size=(count, classes)) * scale).astype(dtype)
    if rows.dtype.kind == "f" and rng.random() < 0.2:
        rows[rng.random(rows.shape) < 0.3] = -np.inf
        rows[:, 0] = 1.0
    options = options_for(rng, count, classes)
    target = targets_for(rng, count, classes, options)
    fields = [name for name in FIELDS if rng.random() < 0.7 and name != "z_loss"] or ["loss"]
    given: dict[str, Any] = {"fields": fields, "threads": int(rng.integers(1, 4)), **options}
    result = softgrad_core.softmax_cross_entropy(layout(rows), target, **given)
    softgrad_core.softmax_cross_entropy(layout(rows), target, out=result, **given)
    if count and result.grad_logits is not None and rng.random() < 0.3:
        factors = rng.choice([1.0, 1.0 + 1e-6, 2.0], size=rows.shape)
        claim = (result.grad_logits * factors).astype(result.grad_logits.dtype)
        softgrad_core.verify(layout(rows), target, grad_logits=layout(claim), **options)


def main(calls: int, threads: int) -> None:
    """Call the kernel so often at random, from so many threads, after every layout once."""
    kernels = direct.all_kernels()
    assert kernels, "there is no compiled kernel"
    assert passes.PASSES, "there are no compiled passes"
    done = []

    def at_random(seed):
        rng = np.random.default_rng(seed)
        for _ in range(calls):
            count, classes = int(rng.integers(0, 40)), int(2 ** rng.uniform(1, 11))
            call(rng, count, classes, rng.choice(TYPES), LAYOUTS[rng.integers(len(LAYOUTS))])
            done.append(1)

    rng = np.random.default_rng(0)
    for direct.KERNELS, count, classes, dtype in product(kernels, COUNTS, CLASSES, TYPES):
        if count * classes < 1 << 14:
            call(rng, count, classes, dtype, LAYOUTS[len(done) % len(LAYOUTS)])
            done.append(1)
    direct.KERNELS = kernels[0]
    workers = [threading.Thread(target=at_random, args=(seed,)) for seed in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(len(done), "calls")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
