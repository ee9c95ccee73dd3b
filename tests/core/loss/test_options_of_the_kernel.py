"""The compiled kernel reads options as they are given, by row or once for all."""

import math

import numpy as np
import pytest
from support.oracle import exact, ulps

from softgrad_core import softmax_cross_entropy
from softgrad_core.loss import library
from softgrad_core.loss.cross_entropy import compute_rows
from softgrad_core.loss.from_options import objective_of
from softgrad_core.loss.kernels import direct
from softgrad_core.loss.logits import given_rows
from softgrad_core.loss.objective import joined
from softgrad_core.loss.sums import sum_of

OPTIONS = [
    {"temperature": 0.7, "loss_scale": 3.0},
    {"softcap": 5.0, "z_loss_scale": 0.1},
    {"label_smoothing": 0.1, "num_classes": 7},
    {"label_smoothing": 0.1, "class_weights": [1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 1.0, 0.0, 1.0]},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_rows_with_options_of_their_own_have_the_bits_of_rows_with_the_same(options):
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(70, 9)) * 5, rng.integers(7, size=70)
    wanted = softmax_cross_entropy(logits, labels, **options)
    rows = [objective_of([label], (1, 9), **options) for label in labels.tolist()]
    got = compute_rows(given_rows(logits), joined(rows))
    for name in wanted.fields:
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name), err_msg=name)


@pytest.mark.parametrize("classes", [3, 70, 2100])
@pytest.mark.parametrize("options", [{"label_smoothing": 0.1}, {"softcap": 3.0}])
def test_padding_may_hold_anything_and_has_no_part_of_the_result(classes, options):
    logits = np.random.default_rng(2).normal(size=(5, classes))
    alone = softmax_cross_entropy(logits, np.arange(5) % 3, **options)
    padded = np.concatenate([logits, np.full((5, 2), np.nan)], axis=1)
    got = softmax_cross_entropy(padded, np.arange(5) % 3, num_classes=classes, **options)
    for name in ("probs", "grad_logits", "grad_probs"):
        values = getattr(got, name)
        np.testing.assert_allclose(values[:, :classes], getattr(alone, name), rtol=1e-14, atol=0)
        assert not values[:, classes:].any()
    np.testing.assert_allclose(got.loss, alone.loss, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("softcap", [0.5, 30.0, 900.0])
def test_a_cap_in_the_kernel_is_that_of_the_exact_formula(dtype, softcap):
    rng = np.random.default_rng(3)
    logits = (rng.normal(size=(20, 12)) * rng.choice([0.01, 5.0, 60.0], size=(20, 1))).astype(dtype)
    got = softmax_cross_entropy(logits, np.arange(20) % 12, softcap=softcap)
    unit, tiny = np.finfo(dtype).eps, np.finfo(dtype).tiny
    for row in range(20):
        wanted = exact(logits[row].astype(float).tolist(), row % 12, softcap=softcap)
        for name in ("probs", "grad_logits"):
            values = np.array([float(x) for x in getattr(wanted, name)])
            np.testing.assert_allclose(getattr(got, name)[row], values, rtol=4 * unit, atol=tiny)


def test_a_temperature_far_below_1_shows_no_error_of_the_cap():
    logits = [-0.06882821791076707, 0.23684866074898042, 0.2408865598734505, 0.7259818963057051]
    options = {"temperature": 0.00368, "softcap": 4.349}
    got, wanted = softmax_cross_entropy(logits, 3, **options), exact(logits, 3, **options)
    assert max(map(ulps, got.probs.tolist(), wanted.probs)) < 4
    assert ulps(float(got.loss), wanted.loss) < 4


def test_float32_targets_are_those_of_float64():
    rng = np.random.default_rng(4)
    targets = rng.dirichlet(np.ones(12), size=20).astype(np.float32)
    logits = rng.normal(size=(20, 12))
    narrow = softmax_cross_entropy(logits, targets)
    wide = softmax_cross_entropy(logits, targets.astype(np.float64))
    for name in narrow.fields:
        np.testing.assert_array_equal(getattr(narrow, name), getattr(wide, name))


def test_a_row_computed_again_does_not_see_what_an_earlier_one_left():
    rng = np.random.default_rng(6)
    classes = 2048
    logits = np.empty((2, classes), np.float32)
    logits[0] = 250.0 + 3.1e-5 * (np.arange(classes) % 2)
    logits[1] = rng.normal(size=classes) * 1e-7
    logits[1, 0] = -300.0
    powers = np.exp(logits[0].astype(float) - 250.0)
    targets = np.full(logits.shape, 1.0 / (classes - 1))
    targets[0], targets[1, 0] = powers / powers.sum(), 0.0
    both = softmax_cross_entropy(logits, targets, threads=1)
    alone = softmax_cross_entropy(logits[1:], targets[1:])
    np.testing.assert_array_equal(both.grad_logits[1:], alone.grad_logits)


@pytest.mark.parametrize("count", [1_001, 70_000, 200_001])
def test_a_sum_of_losses_is_rounded_once_with_and_without_the_library(count, monkeypatch):
    numbers = 10.0 ** np.random.default_rng(count).uniform(-20, 5, count)
    wanted = math.fsum(numbers)
    assert sum_of(numbers) == wanted
    monkeypatch.setattr(library, "LIBRARY", None)
    assert sum_of(numbers) == wanted
    assert sum_of([*numbers, math.inf]) == math.inf


def test_the_kernel_leaves_no_row_of_usual_options():
    if not direct.KERNELS:
        pytest.skip("there is no compiled kernel")
    logits = np.random.default_rng(5).normal(size=(40, 9))
    for options in OPTIONS:
        objective = objective_of(np.arange(40) % 7, logits.shape, **options)
        out = softmax_cross_entropy(logits, np.arange(40) % 7, **options)
        assert direct.compute_direct(logits, objective, out).size == 0
