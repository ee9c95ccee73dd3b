"""PyTorch's own kernels are right, whatever the options: no false alarm on the CPU."""

import numpy as np
import pytest

from softgrad_core import verify

torch = pytest.importorskip("torch")

TYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def drawn(rng):
    """Return logits, targets and options, PyTorch's and ours, drawn at random."""
    dtype = str(rng.choice(list(TYPES)))
    classes = int(rng.choice([2, 3, 10, 100, 1000, 4096, 32_000]))
    rows = int(rng.integers(1, max(2, min(48, 100_000 // classes))))
    scale = float(rng.choice([0.01, 0.3, 1.0, 3.0, 10.0, 30.0]))
    logits = rng.normal(size=(rows, classes)) * scale + rng.choice([0.0, 0.0, 5.0, -50.0, 100.0])
    targets = rng.integers(classes, size=rows)
    if rng.random() < 0.3:
        logits[np.arange(rows), targets] += 3.0 * scale
    theirs = {"reduction": str(rng.choice(["mean", "sum"]))}
    ours = {**theirs}
    if rng.random() < 0.4:
        ours["label_smoothing"] = theirs["label_smoothing"] = float(rng.choice([0.01, 0.1, 0.5]))
    if rng.random() < 0.3:
        theirs["weight"] = torch.tensor(rng.uniform(0.1, 3.0, size=classes)).to(TYPES[dtype])
        ours["class_weights"] = theirs["weight"].to(torch.float64).numpy()
    if rng.random() < 0.3 and rows > 1:
        targets[0] = ours["ignore_index"] = -100
    if rng.random() < 0.2:
        ours["temperature"] = float(rng.choice([0.5, 2.0, 3.7]))
    return dtype, torch.tensor(logits).to(TYPES[dtype]), targets, theirs, ours


def as_float64(tensor):
    return tensor.detach().to(torch.float64).numpy()


@pytest.mark.parametrize("seed", range(4))
def test_pytorch_on_the_cpu_is_right_in_every_type(seed):
    rng = np.random.default_rng(seed)
    for _ in range(15):
        dtype, logits, targets, theirs, ours = drawn(rng)
        logits.requires_grad_()
        scaled = logits / ours["temperature"] if "temperature" in ours else logits
        loss = torch.nn.functional.cross_entropy(scaled, torch.tensor(targets), **theirs)
        loss.backward()
        given = as_float64(logits), targets
        gradient = verify(*given, grad_logits=as_float64(logits.grad), dtype=dtype, **ours)
        assert not gradient.failed, f"{dtype} {tuple(logits.shape)} {ours}\n{gradient}"
        if torch.isfinite(loss):
            total = verify(*given, loss=float(loss.detach()), dtype=dtype, **ours)
            assert not total.failed, f"{dtype} {tuple(logits.shape)} {ours}\n{total}"
        claims = {
            "probs": as_float64(torch.softmax(scaled, 1)),
            "log_probs": as_float64(torch.log_softmax(scaled, 1)),
        }
        temperature = {name: ours[name] for name in ("temperature",) if name in ours}
        softmax = verify(given[0], targets.clip(0), dtype=dtype, **claims, **temperature)
        assert not softmax.failed, f"{dtype} {tuple(logits.shape)} {temperature}\n{softmax}"
