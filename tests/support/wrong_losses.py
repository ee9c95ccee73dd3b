"""Wrong loss functions of NumPy, as people write them, each with the name of its mistake."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from support import planted
from support.losses import (
    IGNORING,
    SMOOTHED,
    WEIGHTED,
    Array,
    Case,
    ignoring,
    log_softmax,
    mean,
    plain,
    smoothed,
    softmax,
    with_z_loss,
)


def of_planted(place: int) -> Callable[..., Any]:
    """Return a function that makes the mistake at this place of `planted.gradients`."""

    def call(a: Array, y: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            made = planted.gradients(planted.Batch(a, y, "float64"))
            *_, wrong = next(islice(made, place, None))
        return plain(a, y)[0], wrong

    return call


def _planted() -> Iterator[Case]:
    batch = planted.Batch(np.random.default_rng(0).standard_normal((4, 5)), np.arange(4), "float64")
    for place, (kind, name, _) in enumerate(planted.gradients(batch)):
        # These two are of a batch of 32 rows, whatever the batch is.
        if kind not in {"12a", "13"}:
            yield Case(f"kind {kind}", of_planted(place), {}, name)


def divided_by_rows(power: int) -> Callable[..., Any]:
    """Return a function whose gradient is divided by a power of the number of rows."""

    def call(a: Array, y: Array) -> tuple[Array, Array]:
        loss, g = plain(a, y)
        return loss, g / max(1, len(y)) ** power

    return call


def no_shift(a: Array, y: Array) -> tuple[Array, Array]:
    rows = np.arange(len(y))
    p = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
    g = p.copy()
    g[rows, y] -= 1
    return -np.log(p[rows, y]), g


def shift_of_all(a: Array, y: Array) -> tuple[Array, Array]:
    rows = np.arange(len(y))
    d = a - (a.max() if a.size else 0)
    total = np.exp(d).sum(axis=1)
    g = np.exp(d) / total[:, None]
    g[rows, y] -= 1
    return np.log(total) - d[rows, y], g


def last_block_left_out(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = plain(a, y)
    whole = a.shape[1] // 128 * 128
    if whole:
        g[:, whole:] = 0
    return loss, g


def index_that_wraps(a: Array, y: Array) -> tuple[Array, Array]:
    """Have an offset in 8 bits: rows from 256 on hold the results of others."""
    loss, g = plain(a, y)
    rows = np.arange(len(y)) % 256
    return loss[rows], g[rows]


def mean_over_all_rows(a: Array, y: Array) -> tuple[Any, Array]:
    counts = y != -100
    loss, g = plain(a, np.where(counts, y, 0))
    return np.where(counts, loss, 0).sum() / len(y), np.where(counts[:, None], g, 0) / len(y)


def ignored_rows_counted(a: Array, y: Array) -> tuple[Any, Array]:
    loss, g = ignoring(a, y)
    counts = y != -100
    if counts.any():
        g[~counts] = softmax(a)[~counts] / counts.sum()
    return loss, g


def ignored_rows_smoothed(a: Array, y: Array) -> tuple[Any, Array]:
    counts = y != -100
    n = max(1, counts.sum())
    loss, g = smoothed(a, np.where(counts, y, 0))
    rest = 0.1 * (softmax(a) - 1 / a.shape[1])
    loss = np.where(counts, loss, 0).sum() / n if counts.any() else np.nan
    return loss, np.where(counts[:, None], g, rest) / n


def focal(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = plain(a, y)
    with np.errstate(all="ignore"):
        p = np.exp(-loss)
        factor = (1 - p) ** 2 + 2 * p * loss * (1 - p)
        factor = np.where(np.isfinite(factor), factor, 1)
    return (1 - p) ** 2 * loss, g * factor[:, None]


def z_loss_without_its_2(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = with_z_loss(a, y)
    return loss, (g + plain(a, y)[1]) / 2


def cap_without_derivative(a: Array, y: Array) -> tuple[Array, Array]:
    z = np.where(np.isinf(a), a, 30 * np.tanh(a / 30))
    return plain(z, y)


def smoothed_over_the_others(a: Array, y: Array) -> tuple[Array, Array]:
    k = a.shape[1]
    q = np.full(a.shape, 0.1 / max(1, k - 1))
    q[np.arange(len(y)), y] = 0.9 if k > 1 else 1.0
    return -(q * log_softmax(a)).sum(axis=1), softmax(a) - q


def padding_counted(a: Array, y: Array) -> tuple[Array, Array]:
    return plain(a, y)


def summed_for_mean(a: Array, y: Array) -> tuple[Any, Array]:
    loss, g = plain(a, y)
    return loss.sum(), g


def epsilon_in_the_logarithm(a: Array, y: Array) -> tuple[Array, Array]:
    p = softmax(a)
    rows = np.arange(len(y))
    return -np.log(p[rows, y] + 1e-8), plain(a, y)[1]


def sum_not_rescaled(a: Array, y: Array) -> tuple[Array, Array]:
    """Take the softmax in blocks of 4 classes, but keep earlier sums when the maximum grows."""
    starts = range(0, a.shape[1], 4)
    tops = [a[:, : start + 4].max(axis=1, keepdims=True) for start in starts]
    shifted = [a[:, start : start + 4] - top for start, top in zip(starts, tops, strict=True)]
    total = sum(np.exp(block).sum(axis=1) for block in shifted)
    rows = np.arange(len(y))
    d = a - a.max(axis=1, keepdims=True)
    g = np.exp(d) / total[:, None]
    g[rows, y] -= 1
    return np.log(total) - d[rows, y], g


def next_label_as_well(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = plain(a, y)
    g[np.arange(len(y)), (y + 1) % a.shape[1]] -= 1
    return loss, g


def rows_of_the_first_block(a: Array, y: Array) -> tuple[Array, Array]:
    """Return for all rows after the first three the results of these."""
    loss, g = plain(a, y)
    places = np.arange(len(y)) % 3
    return loss[places], g[places]


def normaliser_of_own_half(a: Array, y: Array) -> tuple[Array, Array]:
    """Have a vocabulary in two parts, each with the sum over its own."""
    loss, g = plain(a, y)
    half = a.shape[1] // 2
    if half:
        g = np.concatenate([softmax(a[:, :half]), softmax(a[:, half:])], axis=1)
        g[np.arange(len(y)), y] -= 1
    return loss, g


def in_place(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = plain(a, y)
    a[...] = g
    return loss, a


def cached() -> Callable[..., Any]:
    """Return a function that keeps the results of the first call of a shape."""
    kept: dict[Any, Any] = {}

    def call(a: Array, y: Array) -> tuple[Array, Array]:
        return kept.setdefault(a.shape, plain(a, y))

    return call


def adding_up() -> Callable[..., Any]:
    """Return a function that adds its gradient to that of the call before, of the same shape."""
    buffers: dict[Any, Array] = {}

    def call(a: Array, y: Array) -> tuple[Array, Array]:
        loss, g = plain(a, y)
        is_first = a.shape not in buffers
        buffers[a.shape] = g if is_first else buffers[a.shape] + g
        return loss, buffers[a.shape]

    return call


def as_if_contiguous(a: Array, y: Array) -> tuple[Array, Array]:
    """Read memory from the first number on, as a kernel without strides does."""
    base = a if a.base is None else a.base
    flat = base.reshape(-1)[: a.size] if a.size else a
    return plain(flat.reshape(a.shape), y)


def refusing_one_row(a: Array, y: Array) -> tuple[Array, Array]:
    if len(y) == 1:
        raise ValueError("too few rows")
    return plain(a, y)


def loss_as_a_column(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = plain(a, y)
    return loss[:, None], g


def nan_for_masks(a: Array, y: Array) -> tuple[Array, Array]:
    log_p, one_hot = log_softmax(a), np.eye(a.shape[1])[y]
    return -(one_hot * log_p).sum(axis=1), plain(a, y)[1]


def log_of_softmax(a: Array, y: Array) -> tuple[Array, Array]:
    p = softmax(a)
    return -np.log(p[np.arange(len(y)), y]), plain(a, y)[1]


def labels_from_one(a: Array, y: Array) -> tuple[Array, Array]:
    return plain(a, (y + 1) % a.shape[1])


def wrong_for_the_last_class(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = plain(a, y)
    g[y == a.shape[1] - 1] = 0
    return loss, g


def wrong_for_many_rows(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = plain(a, y)
    g[1024:] = 0
    return loss, g


def clamped(a: Array, y: Array) -> tuple[Array, Array]:
    return plain(np.clip(a, -20, 20), y)


def clamped_with_slope(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = plain(np.clip(a, -30, 30), y)
    return loss, g * (np.abs(a) <= 30)


def negatives_left_out(a: Array, y: Array) -> tuple[Array, Array]:
    return plain(np.maximum(a, 0), y)


def clipped_probabilities(a: Array, y: Array) -> tuple[Array, Array]:
    rows = np.arange(len(y))
    p = np.clip(softmax(a), 1e-7, 1 - 1e-7)
    g = p.copy()
    g[rows, y] -= 1
    return -np.log(p[rows, y]), g


def cap_of_masks(a: Array, y: Array) -> tuple[Array, Array]:
    capped = np.tanh(a / 30)
    loss, g = plain(30 * capped, y)
    return loss, g * (1 - capped**2)


def ignored_label_as_0(a: Array, y: Array) -> tuple[Any, Array]:
    counts = y != -100
    loss, g = plain(a, np.where(counts, y, 0))
    n = max(1, counts.sum())
    return (loss * counts).sum() / n, g / n


def ignored_label_as_the_last(a: Array, y: Array) -> tuple[Any, Array]:
    return mean(a, np.where(y == -100, a.shape[1] - 1, y))


def times_t_squared(a: Array, y: Array) -> tuple[Array, Array]:
    loss, g = plain(a / 2, y)
    return 4 * loss, 2 * g


def labels_in_one_byte(a: Array, y: Array) -> tuple[Array, Array]:
    return plain(a, y % 128)


def labels_of_all_rows(a: Array, y: Array) -> tuple[Array, Array]:
    g = softmax(a)
    g[:, y] -= 1
    return plain(a, y)[0], g


WRONG = [
    Case("p[:, y] -= 1", labels_of_all_rows, {}, "labels-of-all-rows"),
    *_planted(),
    Case("N", divided_by_rows(1), {}, "mean-over-batch"),
    Case("N²", divided_by_rows(2), {}, "mean-over-batch-twice"),
    Case("no shift", no_shift, {}, "no-shift-by-the-maximum"),
    Case("shift of all", shift_of_all, {}, "shift-by-the-maximum-of-all"),
    Case("last block", last_block_left_out, {}, "last-classes-left-out"),
    Case("index wraps", index_that_wraps, {}),
    Case(
        "N, not counted",
        mean_over_all_rows,
        IGNORING,
        "wrong-denominator",
    ),
    Case(
        "ignored rows",
        ignored_rows_counted,
        IGNORING,
        "ignored-rows-counted",
    ),
    Case(
        "ignored rows smoothed",
        ignored_rows_smoothed,
        IGNORING | SMOOTHED,
        "ignored-rows-smoothed",
    ),
    Case("focal", focal, {}, "focal-loss"),
    Case("z-loss without 2", z_loss_without_its_2, {"z_loss_scale": 0.01}, "z-loss-without-its-2"),
    Case("z-loss not asked for", with_z_loss, {}, "log-normaliser-penalty"),
    Case("z-loss left out", plain, {"z_loss_scale": 0.01}, "z-loss-left-out"),
    Case(
        "cap without derivative", cap_without_derivative, {"softcap": 30}, "cap-derivative-missing"
    ),
    Case("cap left out", plain, {"softcap": 30}, "cap-left-out"),
    Case(
        "smoothing over others",
        smoothed_over_the_others,
        SMOOTHED,
        "label-smoothing-over-the-others",
    ),
    Case("smoothing left out", plain, SMOOTHED, "label-smoothing-ignored"),
    Case("temperature left out", plain, {"temperature": 2}, "temperature-ignored"),
    Case(
        "weights left out",
        mean,
        WEIGHTED,
        "class-weights-ignored",
    ),
    Case("padding", padding_counted, {"num_classes": 5}, "padding-not-masked"),
    Case("sum for mean", summed_for_mean, {"reduction": "mean"}, "sum-for-mean"),
    Case("log(p + eps)", epsilon_in_the_logarithm, {}, "epsilon-in-the-logarithm"),
    Case("own half", normaliser_of_own_half, {}, "sum-over-own-part"),
    Case("not rescaled", sum_not_rescaled, {}, "sum-not-rescaled"),
    Case("two labels", next_label_as_well, {}, "second-label"),
    Case("first block's rows", rows_of_the_first_block, {}, "rows-of-others"),
    Case("in place", in_place, {}, "input-overwritten"),
    Case("cached", cached(), {}, "state-kept"),
    Case("adding up", adding_up(), {}, "state-kept"),
    Case("as if contiguous", as_if_contiguous, {}, "strides-ignored"),
    Case("one row refused", refusing_one_row, {}, "exception"),
    Case("a column", loss_as_a_column, {}, "wrong-shape"),
    Case("NaN for masks", nan_for_masks, {}, "not-a-number"),
    Case("log of softmax", log_of_softmax, {}, "logarithm-of-underflow"),
    Case("labels from 1", labels_from_one, {}, "label-off-by-one"),
    Case("last class", wrong_for_the_last_class, {}, "all-zero"),
    Case("many rows", wrong_for_many_rows, {}),
    Case("clamped", clamped, {}, "clamped-logits"),
    Case("clamped, with slope", clamped_with_slope, {}, "clamped-logits"),
    Case("negative logits", negatives_left_out, {}, "clamped-logits"),
    Case("clipped p", clipped_probabilities, {}, "epsilon-in-the-logarithm"),
    Case("cap of masks", cap_of_masks, {"softcap": 30}, "mask-became-a-logit"),
    Case("ignored as 0", ignored_label_as_0, IGNORING, "ignored-rows-counted"),
    Case("ignored as the last", ignored_label_as_the_last, IGNORING, "ignored-rows-counted"),
    Case("T²", times_t_squared, {"temperature": 2}, "temperature-squared"),
    Case("int8 labels", labels_in_one_byte, {}, "another-label"),
]
"""Functions that are wrong, and the name of the mistake where there is one."""
