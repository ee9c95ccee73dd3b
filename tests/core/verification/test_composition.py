"""What is said of an error that no known mistake gives."""

import numpy as np
import pytest

from softgrad_core import softmax_cross_entropy, verify


def gradient(rows=12, classes=20, seed=0, **options):
    rng = np.random.default_rng(seed)
    logits, targets = rng.normal(size=(rows, classes)), rng.integers(classes, size=rows)
    right = softmax_cross_entropy(logits, targets, **options)
    return logits, targets, right.probs.copy(), right.grad_logits.copy()


def said(logits, targets, claim, dtype="float32", **options):
    claim = claim.astype(dtype)
    result = verify(logits, targets, grad_logits=claim, **options)
    assert not result.passed
    return str(result)


@pytest.mark.parametrize("options", [{}, {"reduction": "mean"}])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_rows_that_hold_the_results_of_other_rows_are_named(options, dtype):
    logits, targets, _, claim = gradient(**options)
    claim[[4, 5]] = claim[[0, 1]]
    assert "rows 4 and 5 hold the results of rows 0 and 1" in said(
        logits, targets, claim, dtype, **options
    )


def test_rows_that_all_hold_the_results_of_one_shift_are_named():
    logits, targets, _, claim = gradient(reduction="mean")
    text = said(logits, targets, np.roll(claim, 3, axis=0), reduction="mean")
    assert "row 0 that of row 9, row 1 that of row 10" in text


def test_rows_in_another_order_are_named():
    logits, targets, _, claim = gradient(reduction="mean")
    order = np.random.default_rng(1).permutation(12)
    text = said(logits, targets, claim[order], reduction="mean")
    assert "these rows hold the results of other rows" in text


def test_a_block_that_is_0_is_named():
    logits, targets, _, claim = gradient(rows=50, reduction="mean")
    claim[10:30, 5:9] = 0
    text = said(logits, targets, claim, reduction="mean")
    assert "only rows 10 to 29 of 50 are wrong, in classes 5 to 8" in text
    assert "all of these numbers are 0" in text


def test_multiples_of_p_and_e_are_named():
    logits, targets, p, _ = gradient()
    e = np.eye(20)[targets]
    assert "it is 0.5 p - 0.8 e" in said(logits, targets, 0.5 * p - 0.8 * e)
    assert "it is 0.5 p - 0.8 e +0.003 in every class" in said(
        logits, targets, 0.5 * p - 0.8 * e + 0.003
    )


def test_a_factor_of_p_in_each_row_is_named():
    logits, targets, p, _ = gradient()
    e, factors = np.eye(20)[targets], np.linspace(0.62, 0.97, 12)[:, np.newaxis]
    assert "factor-of-p: all 12 equal (p - e) with r p for p" in said(
        logits, targets, factors * p - e
    )
    mean = said(logits, targets, (factors * p - e) / 12, reduction="mean")
    assert "factor-of-p" in mean or "p is 0.62 to 0.97 times what it should be" in mean


def test_noise_is_called_nothing_but_unknown():
    logits, targets, _, claim = gradient(reduction="mean")
    wrong = claim * np.random.default_rng(2).uniform(1.2, 2.0, size=claim.shape)
    text = said(logits, targets, wrong, reduction="mean")
    assert "unknown: no known mistake gives these numbers\n" in text


def test_a_mistake_that_loss_and_gradient_share_is_explained_once():
    rng = np.random.default_rng(3)
    logits, targets = rng.normal(size=(12, 20)), rng.integers(20, size=12)
    right = softmax_cross_entropy(logits, targets)
    text = str(verify(logits, targets, loss=-right.loss, grad_logits=-right.grad_logits))
    assert text.count("the sign is wrong") == 1
    assert "wrong-sign, as in loss: all 12 equal -1 × (p - e)" in text


def test_a_part_of_the_records_is_explained_by_its_own_rows_alone():
    logits, targets, _, claim = gradient()
    claim[3] *= -1
    claim[[7, 8]] = claim[[8, 7]]
    result = verify(logits, targets, grad_logits=claim)
    assert "rows 7 and 8 hold the results of rows 8 and 7" in str(result.part([7, 8]))
    assert "unknown" not in str(result.part([3]))


def test_a_verdict_alone_does_not_look_for_what_errors_are_made_of(monkeypatch):
    logits, targets, _, claim = gradient(reduction="mean")
    claim = claim * np.random.default_rng(2).uniform(1.2, 2.0, size=claim.shape)
    result = verify(logits, targets, grad_logits=claim, reduction="mean")
    monkeypatch.setattr("softgrad_core.verification.quantity.composition", None)
    assert not result.passed
    assert "1 failed" in repr(result)


def test_only_the_rows_that_are_wrong_are_counted_beside_ignored_ones():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(64, 100)) * 3, rng.integers(100, size=64)
    targets[::9] = -100
    options = {"reduction": "mean", "ignore_index": -100, "label_smoothing": 0.1}
    wrong = softmax_cross_entropy(logits, targets, **options).grad_logits
    wrong[3] = np.roll(wrong[3], 1)
    assert "only row 3 of 64 is wrong" in str(verify(logits, targets, grad_logits=wrong, **options))
