"""What a verification answers in Python: its truth, its words, and the type that it judges by."""

import math

import numpy as np
import pytest

from softgrad_core import softmax_cross_entropy, verify


def test_a_verification_is_true_only_if_it_passed():
    assert verify([2.0, 1.0], 0, loss=math.log1p(math.exp(-1.0)))
    assert not verify([2.0, 1.0], 0, loss=9.0)


def test_a_mistake_in_some_rows_of_a_batch_says_in_which():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(64, 10)), rng.integers(10, size=64)
    labels[5:9] = -1
    options = {"reduction": "mean", "ignore_index": -1}
    right = softmax_cross_entropy(logits, labels, **options).grad_logits
    wrong = right.copy()
    wrong[20] *= -1.0
    told = str(verify(logits, labels, grad_logits=wrong, **options))
    assert "wrong-sign" in told
    assert "only row 20 of 64 is wrong" in told
    assert "only" not in str(verify(logits, labels, grad_logits=-right, **options))


def test_a_keyword_that_there_is_not_is_answered_with_the_one_that_is_meant():
    for given, meant in (("grad", "grad_logits"), ("weight", "class_weights")):
        with pytest.raises(TypeError, match=f"got '{given}'; did you mean {meant}\\?"):
            verify([2.0, 1.0], 0, loss=1.0, **{given: [1.0, 2.0]})
    assert verify([2.0, 1.0], 0, loss=math.log1p(math.exp(-1.0)), reduction=None)


def test_numbers_of_item_are_held_to_the_type_of_the_logits():
    logits = np.array([[2.0, 1.0, 0.1], [0.3, 0.2, 0.7]], dtype=np.float32)
    loss = softmax_cross_entropy(logits, [0, 1]).loss[0].item()
    assert verify(logits[0], 0, loss=loss)
    assert not verify(logits[0], 0, loss=loss * 1.001)
    assert not verify(logits[0].astype(float), 0, loss=loss)


@pytest.mark.parametrize(("factor", "mistake"), [(1 / 3, "left-out"), (3, "twice")])
def test_a_loss_scale_that_is_missing_or_there_twice_is_named(factor, mistake):
    right = softmax_cross_entropy([2.0, 1.0, 0.1], 0, loss_scale=3.0)
    told = str(verify([2.0, 1.0, 0.1], 0, loss=right.loss * factor, loss_scale=3.0))
    assert f"loss-scale-{mistake}" in told
