"""The curves of the loss: their points lie on it, and their slopes are its gradients."""

import math

import numpy as np
import pytest

from softgrad_core import explain, softmax_cross_entropy
from softgrad_core.derivation.slopes import slopes_of

CASES = {
    "label": ([2.0, 1.0, 0.1], 0, {}),
    "confident": ([40.0, 0.0, -3.0], 0, {}),
    "masked": ([1.0, -math.inf, 3.0], 2, {}),
    "masked under a cap": ([1.0, -math.inf, 3.0], 2, {"softcap": 2.0}),
    "all options": (
        [0.5, -2.0, 3.0, 1.0],
        [0.1, 0.2, 0.3, 0.4],
        {
            "temperature": 2.0,
            "softcap": 3.0,
            "label_smoothing": 0.1,
            "z_loss_scale": 0.05,
            "loss_scale": 3.0,
            "kl_divergence": True,
        },
    ),
    "class weights": ([0.5, -2.0, 3.0], 1, {"class_weights": [1.0, 2.0, 0.5]}),
}


def slopes(case):
    logits, target, options = CASES[case]
    derivation = explain(logits, target, **options)
    return slopes_of(derivation.logits, derivation.objective)


@pytest.mark.parametrize("case", CASES)
def test_curves_of_logits_go_through_losses_and_their_slopes_are_gradients(case):
    logits, target, options = CASES[case]
    here = softmax_cross_entropy(logits, target, **options)
    found = slopes(case)
    assert found.loss == pytest.approx(here.loss)
    assert [curve.index for curve in found.of_logits] == list(np.flatnonzero(np.isfinite(logits)))
    for curve in found.of_logits:
        assert curve.slope == pytest.approx(here.grad_logits[curve.index], abs=1e-12)
        parts = curve.factor * (curve.push - curve.pull)
        assert parts == pytest.approx(curve.slope, abs=1e-12)
        for x, loss in list(zip(curve.xs, curve.losses, strict=True))[::12]:
            moved = np.array(logits)
            moved[curve.index] = x
            assert loss == pytest.approx(softmax_cross_entropy(moved, target, **options).loss)


def test_a_slope_too_small_for_the_difference_of_its_parts_is_right():
    here = softmax_cross_entropy(*CASES["confident"][:2])
    [slope, *_] = slopes("confident").of_logits
    assert slope.slope == pytest.approx(here.grad_logits[0], rel=1e-12, abs=0)


def test_the_loss_of_a_masked_target_is_infinite_under_a_cap_too():
    derivation = explain([1.0, -math.inf], 1, softcap=2.0)
    assert slopes_of(derivation.logits, derivation.objective).loss == math.inf


@pytest.mark.parametrize("case", CASES)
def test_the_curve_of_the_output_has_the_slope_of_the_other_gradient(case):
    logits, target, options = CASES[case]
    label = int(np.argmax(target)) if isinstance(target, list) else target
    here = softmax_cross_entropy(logits, target, **options)
    curve = slopes(case).of_output
    assert curve.at == pytest.approx(here.probs[label])
    assert curve.slope == pytest.approx(here.grad_probs[label])
    assert np.all(np.diff(curve.losses) < 0)


def test_of_many_classes_the_steepest_are_drawn_and_the_target():
    logits = [float(number) for number in range(50)]
    derivation = explain(logits, 49)
    found = slopes_of(derivation.logits, derivation.objective)
    assert [curve.index for curve in found.of_logits] == [44, 45, 46, 47, 48, 49]


def test_a_soft_cap_is_seen_to_flatten_the_loss():
    derivation = explain([0.0, 0.0], 0, softcap=2.0)
    curve = slopes_of(derivation.logits, derivation.objective).of_logits[0]
    ends = np.abs(np.diff(curve.losses))
    assert max(ends[0], ends[-1]) < ends.max() / 20
