"""Loss functions of NumPy as people write them, right; they share no code with softgrad_core."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray


class Case(NamedTuple):
    """A function, what is told about it, and the mistake that it makes, if any."""

    name: str
    function: Callable[..., Any]
    told: dict[str, Any]
    mistake: str = ""


def softmax(a: Array) -> Array:
    e = np.exp(a - a.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax(a: Array) -> Array:
    d = a - a.max(axis=1, keepdims=True)
    return d - np.log(np.exp(d).sum(axis=1, keepdims=True))


def plain(a: Array, y: Array) -> tuple[Array, Array]:
    """Return the loss and the gradient of each row, right."""
    rows = np.arange(len(y))
    g = softmax(a)
    g[rows, y] -= 1
    return -log_softmax(a)[rows, y], g


def mean(a: Array, y: Array) -> tuple[Any, Array]:
    loss, g = plain(a, y)
    n = max(1, len(y))
    return loss.sum() / n, g / n


def ignoring(a: Array, y: Array, ignored: int = -100) -> tuple[Any, Array]:
    """Return the mean over the rows that count, right."""
    counts = y != ignored
    loss, g = plain(a, np.where(counts, y, 0))
    n = counts.sum()
    if not n:
        return np.float64(np.nan), np.zeros_like(g)
    return np.where(counts, loss, 0).sum() / n, np.where(counts[:, None], g, 0) / n


def by_blocks(a: Array, y: Array) -> tuple[Array, Array]:
    """Take the softmax in blocks of classes, as flash kernels do; right."""
    top, total = np.full(len(a), -np.inf), np.zeros(len(a))
    for start in range(0, a.shape[1], 64):
        block = a[:, start : start + 64]
        new = np.maximum(top, block.max(axis=1))
        safe = np.where(np.isfinite(new), new, 0)
        total = total * np.exp(np.where(np.isfinite(top), top, -np.inf) - safe)
        total = total + np.exp(block - safe[:, None]).sum(axis=1)
        top = new
    rows = np.arange(len(y))
    d = a - top[:, None]
    g = np.exp(d) / total[:, None]
    g[rows, y] -= 1
    return np.log(total) - d[rows, y], g


def smoothed(a: Array, y: Array) -> tuple[Array, Array]:
    """Smooth the labels by 0.1; right. A masked class makes the loss infinite."""
    p, log_p = softmax(a), log_softmax(a)
    q = np.full(a.shape, 0.1 / a.shape[1])
    q[np.arange(len(y)), y] += 0.9
    return -(q * log_p).sum(axis=1), p - q


def with_z_loss(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = plain(a, y)
    top = a.max(axis=1)
    lse = top + np.log(np.exp(a - top[:, None]).sum(axis=1))
    return loss + 0.01 * lse**2, g + 0.02 * lse[:, None] * softmax(a)


def capped(a: Array, y: Array) -> tuple[Array, Array]:
    x = a / 30
    z = np.where(np.isinf(a), a, 30 * np.tanh(x))
    loss, g = plain(z, y)
    slope = 4 * np.exp(-2 * np.abs(x)) / (1 + np.exp(-2 * np.abs(x))) ** 2
    return loss, np.where(np.isinf(a), 0, g * slope)


def at_temperature(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = plain(a / 2, y)
    return loss, g / 2


def weighted(a: Array, y: Array) -> tuple[Any, Array]:
    w = np.array([1.0, 2.0, 0.5])[y]
    loss, g = plain(a, y)
    return (w * loss).sum() / w.sum(), g * w[:, None] / w.sum()


def soft(a: Array, t: Array) -> tuple[Array, Array]:
    log_p = log_softmax(a)
    terms = np.where(t > 0, t * log_p, 0)
    return -terms.sum(axis=1), softmax(a) - t


def rows_with(a: Array, y: Array) -> Iterator[tuple[Array, Array]]:
    """Yield the parts of a batch one row at a time."""
    for row in range(len(y)):
        yield a[row : row + 1], y[row : row + 1]


def row_by_row(a: Array, y: Array) -> tuple[Array, Array]:
    """Take the rows one by one; right."""
    parts = [plain(*part) for part in rows_with(a, y)]
    if not parts:
        return np.zeros(0), np.zeros(a.shape)
    return np.concatenate([loss for loss, _ in parts]), np.concatenate([g for _, g in parts])


def in_mapping(a: Array, y: Array) -> dict[str, Array]:
    loss, g = plain(a, y)
    return {"loss": loss, "grad_logits": g, "probs": softmax(a), "log_probs": log_softmax(a)}


def _as_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(a: Array, y: Array) -> Any:
        loss, g = function(a.astype(np.float32), y)
        return loss, g.astype(np.float32)

    return call


IGNORING = {"reduction": "mean", "ignore_index": -100}
SMOOTHED = {"label_smoothing": 0.1}
WEIGHTED = {"class_weights": [1, 2, 0.5], "reduction": "mean"}

RIGHT = [
    Case("plain", plain, {}),
    Case("float32", plain, {"dtype": "float32"}),
    Case("mean", mean, {"reduction": "mean"}),
    Case("sum", lambda a, y: (plain(a, y)[0].sum(), plain(a, y)[1]), {"reduction": "sum"}),
    Case("ignoring", ignoring, IGNORING),
    Case("by blocks", by_blocks, {}),
    Case("by blocks, float32", by_blocks, {"dtype": "float32"}),
    Case("smoothed", smoothed, SMOOTHED),
    Case("z-loss", with_z_loss, {"z_loss_scale": 0.01}),
    Case("capped", capped, {"softcap": 30}),
    Case("at a temperature", at_temperature, {"temperature": 2}),
    Case("weighted", weighted, WEIGHTED),
    Case("soft targets", soft, {"soft_targets": True}),
    Case("row by row", row_by_row, {}),
    Case("a mapping", in_mapping, {}),
    Case("float16 in float32", _as_float32(plain), {"dtype": "float16", "arithmetic": "float32"}),
]
"""Functions that are right, on whatever a probe tries."""
