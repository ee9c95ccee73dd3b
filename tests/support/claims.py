"""Records with claims, right and wrong, and the command that verifies them."""

import numpy as np
from support.command import lines_of, run
from support.oracle import exact

ROW = {"logits": [2.0, 1.0, 0.1], "target": 0}
EXACT = exact(ROW["logits"], 0)
GRADIENT = [float(value) for value in EXACT.grad_logits]
RIGHT = {**ROW, "grad_logits": GRADIENT}
WRONG = {**ROW, "grad_logits": [-value for value in GRADIENT]}


def verify(*records, options=(), **kwargs):
    """Run `softgrad verify` on records."""
    return run("verify", *options, stdin=lines_of(*records), **kwargs)


def kernel(count, classes=10, seed=0):
    """Return random logits, labels, and the probabilities and gradients of a float32 kernel."""
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(count, classes)) * 3).astype(np.float32)
    targets = rng.integers(classes, size=count)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    probs = e / e.sum(axis=1, keepdims=True)
    return logits, targets, probs, probs - np.eye(classes, dtype=np.float32)[targets]


def records_of(logits, targets, **claims):
    """Return one record for each row, with its claims."""
    columns = {"logits": logits, "target": targets, **claims}
    return [
        {name: column[row].tolist() for name, column in columns.items()}
        for row in range(len(logits))
    ]
