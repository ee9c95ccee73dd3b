"""Arrays of random logits and labels, and the arrays in a file of results."""

import numpy as np


def make(count=500, classes=12, dtype="float64", seed=0):
    """Return random logits and labels."""
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(count, classes)) * 4).astype(dtype)
    return logits, rng.integers(classes, size=count)


def results_of(path):
    """Return the arrays in a .npz file by name."""
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}
