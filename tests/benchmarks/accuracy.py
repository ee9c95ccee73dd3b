"""Accuracy: the largest distance from the exact value, here and in other libraries."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from timing import Table

sys.path.insert(0, str(Path(__file__).parent.parent))
from support.oracle import exact, ulps
from support.rows import Row, adversarial_rows, random_rows, wide_rows

from softgrad_core import softmax_cross_entropy

Numbers = tuple[list[float], float, list[float]]
"""Probabilities, loss, and gradient with respect to the logits."""


def by_softgrad(logits: list[float], target: int) -> Numbers:
    result = softmax_cross_entropy(logits, target)
    return result.probs.tolist(), float(result.loss), result.grad_logits.tolist()


def by_scipy(logits: list[float], target: int) -> Numbers:
    from scipy.special import log_softmax, softmax

    probs = softmax(logits)
    gradient = probs.copy()
    gradient[target] -= 1
    return probs.tolist(), -float(log_softmax(logits)[target]), gradient.tolist()


def by_torch(logits: list[float], target: int) -> Numbers:
    import torch

    a = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(a[None], torch.tensor([target]))
    loss.backward()
    return torch.softmax(a.detach(), 0).tolist(), loss.item(), a.grad.tolist()


LIBRARIES: dict[str, tuple[str, Callable[[list[float], int], Numbers]]] = {
    "softgrad": ("softgrad_core", by_softgrad),
    "SciPy softmax, log_softmax": ("scipy", by_scipy),
    "PyTorch cross_entropy": ("torch", by_torch),
}

COUNT = 20_000


def rows(kind: str) -> Iterator[Row]:
    """Yield rows of usual size, or the whole range: every scale, and what is known to hurt."""
    if kind == "usual":
        rng = np.random.default_rng(3)
        for _ in range(COUNT // 4):
            yield (rng.normal(size=10) * 3).tolist(), int(rng.integers(10))
    else:
        half = COUNT // 2
        yield from chain(random_rows(half, 1), adversarial_rows(half, 2), wide_rows(3))


def measure() -> Iterator[Table]:
    """Yield the largest distances in ulps."""
    for kind, title in (
        ("usual", f"{COUNT // 4:,} rows of 10 logits, normal with deviation 3"),
        ("all", f"{COUNT:,} rows of 2 to 10,000 logits of scales 1e-3 to 1e300, with hard ones"),
    ):
        worst = {name: [0.0] * 3 for name in LIBRARIES}
        installed = [n for n, (module, _) in LIBRARIES.items() if importlib.util.find_spec(module)]
        with np.errstate(all="ignore"):
            for logits, target in rows(kind):
                expected = exact(logits, target)
                wanted = (expected.probs, [expected.loss], expected.grad_logits)
                for name in installed:
                    probs, loss, gradient = LIBRARIES[name][1](logits, target)
                    for place, got in enumerate((probs, [loss], gradient)):
                        distance = max(map(ulps, got, wanted[place]))
                        worst[name][place] = max(worst[name][place], distance)
        table = [("library", "probabilities", "loss", "gradient of the logits")]
        table += [
            (name, *(f"{value:.3g} ulp" if name in installed else "-" for value in worst[name]))
            for name in LIBRARIES
        ]
        table += [
            (f"({name}: not installed)", "", "", "") for name in LIBRARIES if name not in installed
        ]
        yield Table(f"Largest error, {title}", table)
