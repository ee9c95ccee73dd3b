"""Mistakes of kernels for large models: each is named, in loss and gradient, in every type.

Each kind has a fixed example, rebuilt from what was reported, and seeded draws of its relatives.
They are written in NumPy and share no code with softgrad_core.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from support.planted import rounder
from support.sweeps import in_sweeps

from softgrad_core import verify

IGNORED = -100


@dataclass
class Batch:
    """A batch of rows, with the pieces that losses are made of."""

    rng: np.random.Generator
    rows: int = 24
    classes: int = 96
    scale: float = 2.0
    epsilon: float = 0.0
    ignored: int = 0
    dtype: str = "float32"

    def __post_init__(self):
        shape = self.rows, self.classes
        self.a = rounder(self.dtype)(self.rng.normal(size=shape) * self.scale)
        self.y = self.rng.integers(self.classes, size=self.rows)
        self.labels = self.y.copy()
        self.labels[: self.ignored] = IGNORED
        self.counts = (self.labels != IGNORED)[:, None]
        self.d = float(self.counts.sum())
        self.e = np.eye(self.classes)[self.y]

    @cached_property
    def s(self):
        return np.exp(self.a).sum(axis=1, keepdims=True)

    @cached_property
    def p(self):
        return np.exp(self.a) / self.s

    @property
    def p_y(self):
        return self.p[np.arange(self.rows), self.y][:, None]

    @property
    def q(self):
        return (1 - self.epsilon) * self.e + self.epsilon / self.classes

    @property
    def right(self):
        return (self.p - self.q) * self.counts / self.d

    def softmax(self, z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def named(self, grad_logits, *, options=()):
        """Return the first mistake that the summary names for this gradient of a mean."""
        given = dict(options)
        if self.epsilon:
            given["label_smoothing"] = self.epsilon
        if self.ignored:
            given["ignore_index"] = IGNORED
        claim = rounder(self.dtype)(grad_logits)
        result = verify(
            self.a, self.labels, grad_logits=claim, reduction="mean", dtype=self.dtype, **given
        )
        assert not result.passed
        return first_name(result)


def first_name(result):
    lines = [line for line in str(result).splitlines()[1:] if "assert_close" not in line]
    return lines[0].split(":")[0].strip()


def sums_over_own_parts(b, parts):
    width = b.classes // parts
    e = np.exp(b.a).reshape(b.rows, parts, width)
    return (e / e.sum(axis=2, keepdims=True)).reshape(b.rows, b.classes)


def sum_over_own_part(b, rng):
    return (sums_over_own_parts(b, int(rng.choice([2, 3, 4, 8]))) - b.e) / b.d


def only_the_targets_part(b, rng):
    parts = int(rng.choice([2, 4, 6]))
    width = b.classes // parts
    own = np.arange(b.classes) // width == (b.y // width)[:, None]
    return b.right * own


def padding_in_the_sum(b, rng):
    return (np.exp(b.a) / (b.s + rng.integers(200, 400)) - b.e) / b.d


def constant_padding_in_the_sum(b, rng):
    return (np.exp(b.a) / (b.s + 40 * np.exp(rng.uniform(1, 3))) - b.e) / b.d


def last_classes_left_out(b, rng):
    claim = b.right.copy()
    claim[:, b.classes - rng.integers(1, b.classes // 2) :] = 0
    return claim


def last_probabilities_left_out(b, rng):
    n = b.classes - rng.integers(1, b.classes // 2)
    return (b.p * (np.arange(b.classes) < n) - b.e) / b.d


def soft_cap(b, rng):
    cap = float(f"{rng.uniform(2, 8):.2g}")
    z = cap * np.tanh(b.a / cap)
    return (b.softmax(z) - b.e) * (1 - np.tanh(b.a / cap) ** 2) / b.d


def soft_cap_without_its_derivative(b, rng):
    cap = float(f"{rng.uniform(2, 8):.2g}")
    return (b.softmax(cap * np.tanh(b.a / cap)) - b.e) / b.d


def logits_times_tanh(b, rng):
    cap = float(f"{rng.uniform(2, 8):.2g}")
    return (b.softmax(b.a * np.tanh(b.a / cap)) - b.e) / b.d


def log_normaliser_penalty(b, rng):
    zeta = rng.uniform(1e-2, 1e-1)
    return (b.p - b.e + 2 * zeta * np.log(b.s) * b.p) / b.d


def focal_loss(b, rng):
    gamma = rng.choice([0.5, 1, 2, 3, 5])
    slope = (1 - b.p_y) ** gamma
    slope = slope - gamma * b.p_y * np.log(b.p_y) * (1 - b.p_y) ** (gamma - 1)
    return slope * b.right


def denominator_of_other_rows(b, rng):
    return b.right * b.d / rng.choice([37, 91, 101])


def labels_of_all_rows(b, rng):
    del rng
    claim = b.p.copy()
    claim[:, b.y] -= 1
    return claim / b.d


def sum_not_rescaled(b, rng):
    size = int(rng.choice([1, 2, 3, 4]))
    tops = np.maximum.accumulate(b.a, axis=1)[:, np.minimum(ends(b.classes, size), b.classes - 1)]
    p = np.exp(b.a - b.a.max(axis=1, keepdims=True))
    p /= np.exp(b.a - tops).sum(axis=1, keepdims=True)
    return (p - b.e) / b.d


def ends(classes, size):
    """Return the last class of the block of each class."""
    return np.arange(classes) // size * size + size - 1


def second_label(b, rng):
    second = np.eye(b.classes)[(b.y + rng.integers(1, b.classes, b.rows)) % b.classes]
    return (b.p - b.e - second) / b.d


KINDS = {
    "sum-not-rescaled": sum_not_rescaled,
    "second-label": second_label,
    "labels-of-all-rows": labels_of_all_rows,
    "sum-over-own-part": sum_over_own_part,
    "only-the-targets-part": only_the_targets_part,
    "padding-in-the-sum": padding_in_the_sum,
    "padding-in-the-sum, constant": constant_padding_in_the_sum,
    "last-classes-left-out": last_classes_left_out,
    "last-classes-left-out, but for the target": last_probabilities_left_out,
    "soft-cap": soft_cap,
    "soft-cap-without-its-derivative": soft_cap_without_its_derivative,
    "logits-times-tanh": logits_times_tanh,
    "log-normaliser-penalty": log_normaliser_penalty,
    "focal-loss": focal_loss,
    "denominator-of-other-rows": denominator_of_other_rows,
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, *in_sweeps([1, 2])])
def test_a_kind_is_named(kind, dtype, seed):
    if kind in {"denominator-of-other-rows", "sum-not-rescaled"} and dtype == "bfloat16":
        return  # Three digits do not tell a whole number.
    rng = np.random.default_rng([seed, len(kind)])
    b = Batch(rng, dtype=dtype)
    assert b.named(KINDS[kind](b, rng)) == kind.split(",")[0]


def test_smoothing_that_counts_ignored_rows_is_named():
    b = Batch(np.random.default_rng(1), epsilon=0.1, ignored=5)
    claim = b.right + ~b.counts * 0.1 * (b.p - 1 / b.classes) / b.d
    assert b.named(claim) == "ignored-rows-smoothed"


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_smoothing_over_a_part_of_the_vocabulary_is_named(parts):
    b = Batch(np.random.default_rng(2), epsilon=0.1)
    q = (1 - b.epsilon) * b.e + b.epsilon * parts / b.classes
    assert b.named((b.p - q) / b.d) == "smoothing-over-own-part"
    assert b.named((b.p * q.sum(axis=1, keepdims=True) - q) / b.d) == "smoothing-over-own-part"


@pytest.mark.parametrize("power", [2, -2])
def test_the_square_of_the_temperature_is_named(power):
    b = Batch(np.random.default_rng(3))
    t = 3.0
    claim = t**power * (b.softmax(b.a / t) - b.e) / t / b.d
    assert b.named(claim, options={"temperature": t}) == "temperature-squared"


def test_log_of_p_plus_epsilon_is_named_in_the_gradient():
    b = Batch(np.random.default_rng(4), dtype="float64")
    claim = b.right * b.p_y / (b.p_y + 1e-5)
    assert b.named(claim) == "epsilon-in-the-logarithm"


@pytest.mark.parametrize("narrow", ["bfloat16", "float16"])
def test_probabilities_rounded_before_the_subtraction_are_named(narrow):
    b = Batch(np.random.default_rng(5))
    assert b.named((rounder(narrow)(b.p) - b.e) / b.d) == "probabilities-in-low-precision"


def losses(b):
    return -np.log(b.p_y[:, 0])


LOSSES = {
    "padding-in-the-sum": lambda b: np.log(b.s[:, 0] + 7) - b.a[np.arange(b.rows), b.y],
    "sum-over-own-part": lambda b: -np.log(sums_over_own_parts(b, 4)[np.arange(b.rows), b.y]),
    "focal-loss": lambda b: (1 - b.p_y[:, 0]) ** 2 * losses(b),
    "soft-cap": lambda b: -np.log((b.softmax(5 * np.tanh(b.a / 5)) * b.e).sum(axis=1)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", LOSSES)
def test_a_kind_is_named_in_the_losses_of_rows(kind, dtype):
    b = Batch(np.random.default_rng(6), dtype=dtype)
    result = verify(b.a, b.y, loss=rounder(dtype)(LOSSES[kind](b)), dtype=dtype)
    assert first_name(result) == kind


def test_a_divergence_in_place_of_the_cross_entropy_is_named():
    rng = np.random.default_rng(7)
    a, q = rng.normal(size=(20, 8)), rng.dirichlet(np.ones(8), size=20)
    log_p = a - np.log(np.exp(a).sum(axis=1, keepdims=True))
    divergence = (q * (np.log(q) - log_p)).sum(axis=1)
    assert first_name(verify(a, q, loss=divergence)) == "divergence-for-cross-entropy"


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize(("classes", "size"), [(1_000, 1), (32_000, 3), *in_sweeps([(32_000, 1)])])
def test_padding_of_the_last_block_is_named_in_float32(classes, size, reduction):
    rng = np.random.default_rng(classes)
    a = (size * rng.normal(size=(16, classes))).astype(np.float32)
    y = rng.integers(classes, size=16)
    e = np.exp(a - a.max(axis=1, keepdims=True))
    added = -classes % 1024 * np.exp(-a.max(axis=1, keepdims=True))
    # One sum after another, as a kernel adds blocks up.
    sums = np.add.accumulate(e.reshape(16, -1, 200).sum(axis=2), axis=1, dtype=np.float32)[:, -1:]
    g = e / (sums + added.astype(np.float32))
    g[np.arange(16), y] -= 1
    g /= np.float32(16 if reduction == "mean" else 1)
    assert "padding-in-the-sum" in str(verify(a, y, grad_logits=g, reduction=reduction))


def test_a_last_block_of_zeros_is_not_taken_for_the_parts_of_other_devices():
    rng = np.random.default_rng(4)
    a, y = rng.normal(size=(8, 100)).astype(np.float32), rng.integers(96, size=8)
    e = np.exp(a - a.max(axis=1, keepdims=True))
    g = e / e.sum(axis=1, keepdims=True)
    g[np.arange(8), y] -= 1
    g[:, 96:] = 0
    text = str(verify(a, y, grad_logits=g))
    assert "last-classes-left-out" in text
    assert "only-the-targets-part" not in text
