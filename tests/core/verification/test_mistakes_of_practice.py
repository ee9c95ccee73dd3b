"""Mistakes with a soft cap, a z-loss or a divergence, written out independently, are named."""

import numpy as np
import pytest

from softgrad_core import softmax_cross_entropy, verify

N, K, CAP, ZETA, T = 24, 12, 4.0, 0.05, 1.6
RNG = np.random.default_rng(5)
LOGITS = RNG.normal(size=(N, K)) * 4
LABELS = RNG.integers(K, size=N)
ONE_HOT = np.eye(K)[LABELS]
TANH = np.tanh(LOGITS / CAP)
SLOPE = 1 - TANH**2


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def log_sum(z):
    return np.log(np.exp(z).sum(axis=1, keepdims=True))


Z = CAP * TANH
P, L = softmax(Z), log_sum(Z)
CAPPED = {"softcap": CAP}
PENALISED = {"z_loss_scale": ZETA}
BOTH = {"softcap": CAP, "z_loss_scale": ZETA}
RAW, RAW_SUM = softmax(LOGITS), log_sum(LOGITS)
TIMES = LOGITS * TANH
OTHER_ORDER = np.tanh(LOGITS / T / CAP)
NLL = -np.log(P[np.arange(N), LABELS])

GRADIENTS = [
    ("cap-derivative-missing", CAPPED, P - ONE_HOT),
    ("cap-left-out", CAPPED, RAW - ONE_HOT),
    (
        "cap-of-a-times-tanh",
        CAPPED,
        (softmax(TIMES) - ONE_HOT) * (TANH + LOGITS / CAP * SLOPE),
    ),
    (
        "cap-after-the-temperature",
        {**CAPPED, "temperature": T},
        (softmax(CAP * OTHER_ORDER) - ONE_HOT) * (1 - OTHER_ORDER**2) / T,
    ),
    ("z-loss-left-out", PENALISED, RAW - ONE_HOT),
    ("z-loss-without-its-2", PENALISED, RAW - ONE_HOT + ZETA * RAW_SUM * RAW),
    ("z-loss-weight-twice", PENALISED, RAW - ONE_HOT + 2 * ZETA**2 * RAW_SUM * RAW),
    (
        "z-loss-before-the-cap",
        BOTH,
        SLOPE * (P - ONE_HOT) + 2 * ZETA * RAW_SUM * RAW,
    ),
    ("z-loss-left-out", BOTH, SLOPE * (P - ONE_HOT)),
    ("wrong-sign", BOTH, -SLOPE * (P - ONE_HOT + 2 * ZETA * L * P)),
    ("soft-cap", {}, (softmax(10 * np.tanh(LOGITS / 10)) - ONE_HOT) / np.cosh(LOGITS / 10) ** 2),
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options", "gradient"), GRADIENTS)
def test_a_wrong_gradient_is_named(name, options, gradient, dtype):
    for more, factor in (({}, 1.0), ({"reduction": "mean"}, 1.0 / N)):
        claim = (gradient * factor).astype(dtype)
        result = verify(LOGITS, LABELS, grad_logits=claim, **options, **more)
        assert not result.passed
        assert f"  {name}: " in str(result), str(result)


@pytest.mark.parametrize(
    ("name", "options", "loss"),
    [
        ("cap-left-out", CAPPED, -np.log(RAW[np.arange(N), LABELS])),
        ("z-loss-left-out", BOTH, NLL),
        ("z-loss-weight-twice", BOTH, NLL + ZETA**2 * L[:, 0] ** 2),
        ("z-loss-before-the-cap", BOTH, NLL + ZETA * RAW_SUM[:, 0] ** 2),
        ("log-normaliser-penalty", CAPPED, NLL + ZETA * L[:, 0] ** 2),
    ],
)
def test_a_wrong_loss_is_named(name, options, loss):
    result = verify(LOGITS, LABELS, loss=loss, **options)
    assert f"  {name}: " in str(result), str(result)


def test_the_z_loss_of_ignored_rows_is_named():
    labels = LABELS.copy()
    labels[::4] = -1
    options = {"z_loss_scale": ZETA, "ignore_index": -1, "reduction": "mean"}
    wrong = softmax_cross_entropy(LOGITS, labels, **options).grad_logits
    n = np.count_nonzero(labels >= 0)
    wrong[::4] = (2 * ZETA * RAW_SUM * RAW / n)[::4]
    told = str(verify(LOGITS, labels, grad_logits=wrong, **options))
    assert "  z-loss-of-ignored-rows: " in told, told


def test_a_cross_entropy_in_place_of_a_divergence_is_named():
    targets = RNG.dirichlet(np.ones(K), size=N)
    loss = -(targets * np.log(RAW)).sum(axis=1)
    told = str(verify(LOGITS, targets, loss=loss, kl_divergence=True))
    assert "  entropy-left-out: " in told, told


def test_padding_in_the_sum_is_named():
    padded = np.concatenate([LOGITS, np.zeros((N, 4))], axis=1)
    options = {"num_classes": K}
    p = np.where(np.arange(K + 4) < K, softmax(padded), 0.0)
    claim = p - np.concatenate([ONE_HOT, np.zeros((N, 4))], axis=1)
    told = str(verify(padded, LABELS, grad_logits=claim, **options))
    assert "  padding-in-the-sum: " in told, told


def test_padding_that_is_not_masked_is_named():
    padded = np.concatenate([LOGITS, RNG.normal(size=(N, 4))], axis=1)
    claim = softmax(padded) - np.concatenate([ONE_HOT, np.zeros((N, 4))], axis=1)
    told = str(verify(padded, LABELS, grad_logits=claim, num_classes=K))
    assert "  padding-not-masked: " in told, told


def test_a_z_loss_that_is_summed_under_a_mean_is_named():
    options = {"z_loss_scale": ZETA, "reduction": "mean"}
    claim = (RAW - ONE_HOT) / N + 2 * ZETA * RAW_SUM * RAW
    told = str(verify(LOGITS, LABELS, grad_logits=claim, **options))
    assert "  z-loss-summed: " in told, told


def test_another_number_of_rows_than_the_denominator_is_no_matter_of_weights():
    right = softmax_cross_entropy(LOGITS, LABELS, denominator=100.0).grad_logits
    told = str(verify(LOGITS, LABELS, grad_logits=right * 100 / N, denominator=100.0))
    assert "  wrong-denominator: " in told, told
    assert "weights-ignored" not in told


@pytest.mark.parametrize("weight", [0.02, 0.5])
def test_another_weight_of_the_z_loss_is_named_with_it(weight):
    loss = -np.log(RAW[np.arange(N), LABELS]) + weight * RAW_SUM[:, 0] ** 2
    gradient = RAW - ONE_HOT + 2 * weight * RAW_SUM * RAW
    for claims in ({"loss": loss}, {"grad_logits": gradient}):
        told = str(verify(LOGITS, LABELS, **claims, **PENALISED))
        assert "  z-loss-of-another-weight: " in told, told
        assert f"w = {weight:g}" in told
        assert "epsilon" not in told
