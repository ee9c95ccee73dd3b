"""Guards that change numbers are named: bounds of logits and probabilities, capped masks."""

import numpy as np
import pytest
from support.losses import plain, softmax

from softgrad_core import verify

N, K = 6, 7
LABELS = np.arange(N)
ONE_HOT = np.eye(K)[LABELS]


def logits(scale, seed=0):
    return scale * np.random.default_rng(seed).normal(size=(N, K))


def named(a, gradient, **options):
    result = verify(a, LABELS, grad_logits=gradient, **options)
    assert not result.passed
    return result.summary().mistakes()["grad_logits"][0].name


@pytest.mark.parametrize("bound", [5, 10, 20, 30, 50, 88])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_clamped_logits_are_named(bound, dtype):
    a = logits(2.0 * bound).astype(dtype)
    clamped = np.clip(a.astype(float), -bound, bound)
    claim = softmax(clamped) - ONE_HOT
    for gradient in (claim, claim * (np.abs(a) <= bound)):
        for options, d in (({}, 1), ({"reduction": "mean"}, N)):
            assert named(a, (gradient / d).astype(dtype), **options) == "clamped-logits"


def test_clamped_logits_are_named_in_the_loss():
    a = logits(50.0)
    loss, _ = plain(np.clip(a, -20, 20), LABELS)
    result = verify(a, LABELS, loss=loss)
    assert "clamped-logits: " in str(result)
    assert "of a within ±20" in str(result)


def test_logits_within_the_bounds_are_right():
    a = logits(2.0)
    assert verify(a, LABELS, grad_logits=plain(np.clip(a, -20, 20), LABELS)[1]).passed


@pytest.mark.parametrize("with_slope", [True, False])
def test_masks_that_the_cap_made_finite_are_named(with_slope):
    a = logits(3.0)
    a[:, 6] = -np.inf
    tanh = np.tanh(a / 10)
    gradient = softmax(10 * tanh) - ONE_HOT
    if with_slope:
        gradient *= 1 - tanh**2
    assert named(a, gradient, softcap=10.0) == "mask-became-a-logit"


@pytest.mark.parametrize("epsilon", [1e-3, 1e-7])
def test_probabilities_within_bounds_are_named(epsilon):
    a = logits(12.0)
    p = np.clip(softmax(a), epsilon, 1 - epsilon)
    assert named(a, p - ONE_HOT) == "epsilon-in-the-logarithm"
    result = verify(a, LABELS, probs=p)
    assert "epsilon-in-the-logarithm" in str(result)


@pytest.mark.parametrize("label", [0, K - 1])
@pytest.mark.parametrize("counts", [True, False])
def test_ignored_rows_with_the_gradient_of_a_class_are_named(label, counts):
    a, labels = logits(2.0), LABELS.copy()
    labels[[1, 4]] = -100
    e = np.eye(K)[np.where(labels == -100, label, labels)]
    gradient = (softmax(a) - e) / (N if counts else N - 2)
    options = {"ignore_index": -100, "reduction": "mean"}
    result = verify(a, labels, grad_logits=gradient, **options)
    assert result.summary().mistakes()["grad_logits"][0].name == "ignored-rows-counted"
