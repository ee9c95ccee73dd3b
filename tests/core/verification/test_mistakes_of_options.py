"""Mistakes that need soft targets, weights, a temperature or a batch are recognised."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from softgrad_core import softmax_cross_entropy, verify

N, C = 16, 5
RNG = np.random.default_rng(7)
LOGITS = RNG.normal(size=(N, C)) * 2
LABELS = RNG.integers(C, size=N)
WEIGHTS = np.array([0.3, 2.0, 1.0, 0.7, 4.0])
ONE_HOT = np.eye(C)[LABELS]


def softmax(a, axis=1):
    """Return the softmax over an axis, written as anybody would."""
    e = np.exp(a - a.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def smoothed(epsilon, others=C):
    """Return targets with ε spread over all classes, or over the others than the target."""
    spread = np.where(ONE_HOT == 1.0, others == C, 1.0) / others
    return (1 - epsilon) * ONE_HOT + epsilon * spread


class Kernel(NamedTuple):
    """A wrong kernel: its mistake, the options that it should have used, and what it returns."""

    mistake: str
    options: dict[str, Any]
    loss: Any = None
    grad_logits: Any = None
    targets: Any = LABELS


P = softmax(LOGITS)
LOG_P = np.log(P)
NLL = -LOG_P[np.arange(N), LABELS]
W = WEIGHTS[LABELS]
KEPT = LABELS != 4
SHARES = RNG.dirichlet(np.ones(C), size=N) * RNG.uniform(0.5, 2.0, size=(N, 1))
MEAN = {"reduction": "mean"}
WEIGHTED = {"class_weights": WEIGHTS, **MEAN}
IGNORING = {"ignore_index": 4, **MEAN}
SMOOTH = {"label_smoothing": 0.2, **MEAN}
HOT = {"temperature": 2.5, **MEAN}

KERNELS = [
    Kernel("sum-for-mean", MEAN, NLL.sum(), P - ONE_HOT),
    Kernel("mean-over-batch", {"reduction": "sum"}, NLL.mean(), (P - ONE_HOT) / N),
    Kernel("mean-over-batch", {"reduction": "none"}, None, (P - ONE_HOT) / N),
    Kernel("sum-for-mean", WEIGHTED, (W * NLL).sum(), W[:, np.newaxis] * (P - ONE_HOT)),
    Kernel("wrong-denominator", WEIGHTED, (W * NLL).mean(), W[:, np.newaxis] * (P - ONE_HOT) / N),
    Kernel(
        "wrong-denominator",
        IGNORING,
        NLL[KEPT].sum() / N,
        KEPT[:, np.newaxis] * (P - ONE_HOT) / N,
    ),
    Kernel(
        "wrong-denominator",
        {**WEIGHTED, **IGNORING},
        (W * NLL)[KEPT].sum() / KEPT.sum(),
        (KEPT * W)[:, np.newaxis] * (P - ONE_HOT) / KEPT.sum(),
    ),
    Kernel("class-weights-ignored", WEIGHTED, NLL.mean(), (P - ONE_HOT) / N),
    Kernel("class-weights-ignored", WEIGHTED, NLL.sum() / W.sum(), (P - ONE_HOT) / W.sum()),
    Kernel("first-weight-for-all", WEIGHTED, None, W[0] * (P - ONE_HOT) / W.sum()),
    Kernel(
        "ignored-rows-counted",
        IGNORING,
        None,
        (P - KEPT[:, np.newaxis] * ONE_HOT) / KEPT.sum(),
    ),
    Kernel("label-smoothing-ignored", SMOOTH, NLL.mean(), (P - ONE_HOT) / N),
    Kernel(
        "label-smoothing-over-the-others",
        SMOOTH,
        -(smoothed(0.2, C - 1) * LOG_P).sum() / N,
        (P - smoothed(0.2, C - 1)) / N,
    ),
    Kernel(
        "label-smoothing-twice",
        SMOOTH,
        -(smoothed(0.36) * LOG_P).sum() / N,
        (P - smoothed(0.36)) / N,
    ),
    Kernel(
        "sum-of-weights-ignored",
        {"unnormalized_target": True, **MEAN},
        None,
        (P - SHARES) / N,
        SHARES,
    ),
    Kernel("temperature-factor-forgotten", HOT, None, (softmax(LOGITS / 2.5) - ONE_HOT) / N),
    Kernel("temperature-ignored", HOT, NLL.mean(), (P - ONE_HOT) / N),
    Kernel(
        "temperature-multiplied",
        HOT,
        -np.log(softmax(LOGITS * 2.5))[np.arange(N), LABELS].mean(),
        (softmax(LOGITS * 2.5) - ONE_HOT) * 2.5 / N,
    ),
    Kernel(
        "softmax-over-the-batch",
        MEAN,
        -np.log(softmax(LOGITS, 0))[np.arange(N), LABELS].mean(),
        (softmax(LOGITS, 0) - ONE_HOT) / N,
    ),
    # Mistakes of the plain loss are recognised with options too.
    Kernel("wrong-sign", SMOOTH, (smoothed(0.2) * LOG_P).sum() / N, (smoothed(0.2) - P) / N),
    Kernel("target-not-subtracted", MEAN, None, P / N),
    Kernel("logarithm-to-base-2", MEAN, NLL.mean() / np.log(2), (P - ONE_HOT) / N / np.log(2)),
    Kernel(
        "label-off-by-one",
        SMOOTH,
        -(np.roll(smoothed(0.2), 1, axis=1) * LOG_P).sum() / N,
        (P - np.roll(smoothed(0.2), 1, axis=1)) / N,
    ),
]


@pytest.mark.parametrize(
    ("kernel", "quantity"),
    [
        pytest.param(kernel, quantity, id=f"{kernel.mistake}, {quantity}")
        for kernel in KERNELS
        for quantity in ("loss", "grad_logits")
        if getattr(kernel, quantity) is not None
    ],
)
def test_a_mistake_of_a_batch_is_named(kernel, quantity):
    claim = getattr(kernel, quantity)
    result = verify(LOGITS, kernel.targets, **{quantity: claim}, **kernel.options)
    if kernel.options["reduction"] == "none":
        assert kernel.mistake in str(result)
        return
    names = result.quantities[quantity].mistakes(0)
    assert kernel.mistake in names, names
    if quantity == "grad_logits":
        assert names[0] == kernel.mistake


@pytest.mark.parametrize(
    "options",
    [MEAN, WEIGHTED, IGNORING, SMOOTH, HOT, {**WEIGHTED, **SMOOTH, **HOT, **IGNORING}],
    ids=["mean", "weighted", "ignoring", "smooth", "hot", "all"],
)
def test_right_claims_pass_and_noise_is_unknown(options):
    got = softmax_cross_entropy(LOGITS, LABELS, **options)
    claims = {name: getattr(got, name) for name in ("probs", "loss", "grad_probs", "grad_logits")}
    verify(LOGITS, LABELS, **claims, **options).raise_if_failed()
    noise = got.grad_logits + RNG.normal(size=(N, C)) * 1e-3
    result = verify(LOGITS, LABELS, grad_logits=noise, **options)
    assert result.quantities["grad_logits"].mistakes(0) == []
    assert len(result.failed) == 1


def test_one_wrong_row_of_a_batch_is_recognised():
    got = softmax_cross_entropy(LOGITS, LABELS, **MEAN).grad_logits.copy()
    got[3] = P[3] / N
    result = verify(LOGITS, LABELS, grad_logits=got, **MEAN)
    assert result.quantities["grad_logits"].mistakes(0)[0] == "target-not-subtracted"
    assert "at row 3, class" in str(result)
