"""Results do not depend on what was in the memory that they are computed in."""

import numpy as np
import pytest

from softgrad_core import softmax_cross_entropy
from softgrad_core.loss.kernels import direct

empty, empty_like = np.empty, np.empty_like


@pytest.fixture(params=["compiled", "NumPy"])
def kernel(request, monkeypatch):
    if request.param == "NumPy":
        monkeypatch.setattr(direct, "KERNELS", {})


def filled(monkeypatch, number):
    """Let memory that was asked for have this number in it, where it holds such numbers."""

    def fill(array):
        with np.errstate(over="ignore"):
            array.fill(number if array.dtype.kind == "f" else 1)
        return array

    monkeypatch.setattr(np, "empty", lambda *args, **kwargs: fill(empty(*args, **kwargs)))
    monkeypatch.setattr(np, "empty_like", lambda *args, **kwargs: fill(empty_like(*args, **kwargs)))


def some_rows(rng, count, classes, dtype):
    logits = rng.normal(size=(count, classes)) * rng.choice([0.1, 3.0, 40.0, 300.0], (count, 1))
    logits[rng.random((count, classes)) < 0.1] = -np.inf
    logits[:, 0] = rng.normal(size=count)
    # Rows whose classes are alike have gradients whose terms cancel.
    logits[::3, 1:] = logits[::3, :1]
    logits[::3, -1] = -np.inf
    return logits.astype(dtype)


def some_options(rng, classes):
    options = {
        "z_loss_scale": float(rng.choice([1e-4, 0.3, 2.0])),
        "label_smoothing": 0.1,
        "class_weights": rng.random(classes),
        "temperature": float(rng.choice([0.5, 1.0, 2.0])),
        "softcap": 30.0,
        "num_classes": int(rng.integers(2, classes + 1)),
        "loss_scale": 3.0,
        "ignore_index": 1,
        "kl_divergence": True,
        "reduction": "mean",
    }
    chosen = {name: value for name, value in options.items() if rng.random() < 0.35}
    if "kl_divergence" in chosen:
        chosen.pop("class_weights", None)
    return chosen


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("has_labels", [True, False])
def test_what_was_in_memory_changes_no_result(monkeypatch, dtype, has_labels):
    rng = np.random.default_rng(31)
    for _ in range(40):
        classes = int(rng.choice([2, 3, 7, 8, 33, 70]))
        options = some_options(rng, classes)
        if not has_labels:
            options.pop("ignore_index", None)
        logits = some_rows(rng, int(rng.choice([1, 2, 5, 9])), classes, dtype)
        targets = np.zeros(len(logits), int)
        if not has_labels:
            targets = np.eye(classes)[targets]
        found = []
        for number in (0.0, 1e30, 1e300, np.nan):
            with monkeypatch.context() as patch:
                filled(patch, number)
                result = softmax_cross_entropy(logits, targets, **options)
            found.append([np.array(getattr(result, name)) for name in result.fields])
        for others in found[1:]:
            for one, other in zip(found[0], others, strict=True):
                np.testing.assert_array_equal(one, other, str(options))
