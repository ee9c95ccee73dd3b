"""Soft targets, options of the loss and batches are as accurate as a single label."""

import math
from itertools import islice

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from support.objectives import problems
from support.oracle import exact, ulps
from support.rows import adversarial_rows, faint_rows, random_rows, sampled, wide_rows

from softgrad_core import (
    InputError,
    softmax_cross_entropy,
    verify,
)
from softgrad_core.loss.kernels import direct

LIMIT = 8.0
QUANTITIES = ("probs", "loss", "grad_probs", "grad_logits")
SMALL, MEAN = [1.3e-318, 1e-318, 1.7e-318], {"reduction": "mean"}


def ulps_of_size(got, expected, size):
    """Return the distance in units of the last place of `size`."""
    if not math.isfinite(got):
        return ulps(got, expected)
    with mpmath.workprec(300):
        unit = math.ulp(min(float(abs(size)), 1.7976931348623157e308))
        return float(abs(mpf(got) - expected) / mpf(unit))


def distances(got, expected):
    """Return the largest distance of each quantity, for grad_logits by its larger term."""
    by_terms = map(ulps_of_size, got.grad_logits.tolist(), expected.grad_logits, expected.terms)
    return {
        "probs": max(map(ulps, got.probs.tolist(), expected.probs)),
        "loss": ulps_of_size(float(got.loss), expected.loss, expected.loss_size),
        "grad_probs": max(map(ulps, got.grad_probs.tolist(), expected.grad_probs)),
        "grad_logits": max(by_terms),
    }


@pytest.mark.parametrize(
    "rows",
    [
        *sampled("random", lambda count: random_rows(count, seed=21), 1_200),
        *sampled("adversarial", lambda count: adversarial_rows(count, seed=22), 1_800),
        *sampled("wide", lambda count: islice(wide_rows(seed=23), count), 8),
        *sampled("faint", lambda count: islice(faint_rows(), count), 112),
    ],
)
def test_every_number_is_within_eight_ulp_whatever_the_options(rows, monkeypatch):
    compiled = direct.KERNELS
    for problem in problems((row for row in rows if len(row[0]) <= 1_000), seed=24):
        logits, target, options = problem
        expected = problem.exact()
        for kernels in (compiled, {}):
            monkeypatch.setattr(direct, "KERNELS", kernels)
            got = softmax_cross_entropy(logits, target, **options)
            for name, distance in distances(got, expected).items():
                what = f"{name} is {distance} ulp off: {problem}"
                assert distance <= LIMIT, f"{what}, {'with' if kernels else 'without'} the kernel"


@pytest.mark.parametrize(
    ("logits", "target", "options"),
    [
        # Factors that underflow or overflow although their product does not.
        ([0.0, -740.0], 0, {"temperature": 0.01}),
        ([0.0, -7.4, -7.3], 1, {"temperature": 0.01, "class_weights": [1e3, 1e5, 1.0]}),
        ([0.0, -1450.0], [0.5, 0.5], {}),
        ([0.0, -1450.0], [1.0, 5e-324], {}),
        ([1.7e308, -1.7e308], [0.9, 0.1], {}),
        ([1.7e308, -1.7e308, 0.0], [0.0, 0.1, 0.9], {"temperature": 1e306}),
        ([1.0, 2.0], [5e-324, 1.0], {"class_weights": [3.0, 1.0]}),
        ([1.0, 2.0, 0.0], 1, {"class_weights": [0.0, 1e-310, 1.0], "reduction": "mean"}),
        ([3.0, 1.0, 0.0], [1e200, 1e250, 0.0], {"unnormalized_target": True}),
        ([40.0, 0.0], 0, {"label_smoothing": 1e-300}),
        ([0.0, -1.0, -7.3], [0.5, 0.5, 0.0], {"temperature": 0.01}),
        ([0.0, -1.0, -7.2], 0, {"temperature": 0.01}),
        ([0.0, 1.0, -1.0], 1, {"class_weights": SMALL, "label_smoothing": 0.1, **MEAN}),
        ([0.0, 1.0, -1.0], 0, {"class_weights": [1e-305] * 3, "label_smoothing": 1e-10}),
        ([0.0, -300.0, -1.0], [0.5, 1e-320, 0.5], {"class_weights": [1.0, 1e-10, 1.0]}),
        ([0.0, -300.0, -1.0], 0, {"label_smoothing": 5e-324}),
        # The kernel takes exp(-985) for the exponential of all below.
        ([-180.0, -180.5, -2000.0], 0, {"class_weights": [1e30, 1.0, 1.0]}),
        ([-220.0, -220.5, -1000.0], 0, {"class_weights": [1e20, 1.0, 1.0]}),
        ([-180.0, -180.5, -2000.0], [0.5, 0.5, 0.0], {"class_weights": [1e30, 1.0, 1.0]}),
    ],
)
def test_no_digit_is_lost_on_the_way_to_a_result(logits, target, options):
    got = softmax_cross_entropy(logits, target, **options)
    names = {"label_smoothing", "class_weights", "temperature"}
    divisor = options["class_weights"][target] if "reduction" in options else 1.0
    expected = exact(
        logits,
        target,
        divisor=divisor,
        **{name: value for name, value in options.items() if name in names},
    )
    assert max(distances(got, expected).values()) <= LIMIT


@pytest.mark.parametrize(
    "rows",
    [
        *sampled("random", lambda count: random_rows(count, seed=25), 1_500),
        *sampled("adversarial", lambda count: adversarial_rows(count, seed=26), 1_200),
    ],
)
def test_labels_may_have_weights_of_any_size(rows):
    rng = np.random.default_rng(27)
    for logits, label in rows:
        size = rng.choice([rng.uniform(-3, 3), rng.uniform(-320, 300), rng.uniform(-32, 32)])
        weights = np.ones(len(logits))
        weights[label] = rng.choice(
            [10.0**size, 2.0 ** int(size), 1 / 3, 0.0], p=[0.5, 0.2, 0.2, 0.1]
        )
        got = softmax_cross_entropy(logits, label, class_weights=weights)
        expected = exact(logits, label, class_weights=weights.tolist())
        for name, distance in distances(got, expected).items():
            assert distance <= LIMIT, f"{name} is {distance} ulp off: {logits}, {label}, {weights}"
        for name in QUANTITIES:
            assert not np.signbit(getattr(got, name)[getattr(got, name) == 0.0]).any()


@pytest.mark.parametrize("logits", [[1.0, 2.0, 3.0], [0.0, 0.0, 1e-9], [5.0, 0.0, 5.0]])
def test_every_number_is_right_where_the_sum_of_the_weights_overflows(logits, monkeypatch):
    target, weights = [1.0, 1.0, 1.0], [1.7e308, 0.9e308, 1.0]
    options = {"class_weights": weights, "unnormalized_target": True}
    expected = exact(logits, target, class_weights=weights)
    for kernels in (direct.KERNELS, {}):
        monkeypatch.setattr(direct, "KERNELS", kernels)
        got = softmax_cross_entropy(logits, target, **options)
        assert max(distances(got, expected).values()) <= LIMIT


def test_a_weight_far_below_the_denominator_still_counts():
    logits, weights = [[0.0, -300.0, -1.0], [0.0, 1.0, 2.0]], [1e30, 1e-300, 1.0]
    got = softmax_cross_entropy(logits, [1, 0], class_weights=weights, reduction="mean")
    with mpmath.workprec(300):
        probability = exact(logits[0], 1).probs[1]
        expected = -mpf(1e-300) / (mpf(1e30) + mpf(1e-300)) / probability
    assert ulps(float(got.grad_probs[0, 1]), expected) <= LIMIT


def test_a_one_hot_distribution_means_the_same_as_its_label():
    logits = np.random.default_rng(1).normal(size=(50, 7)) * 10
    labels = np.arange(50) % 7
    by_label = softmax_cross_entropy(logits, labels)
    by_share = softmax_cross_entropy(logits, np.eye(7)[labels])
    for name in QUANTITIES:
        np.testing.assert_allclose(
            getattr(by_share, name), getattr(by_label, name), rtol=2e-15, atol=0
        )


def test_neutral_options_change_no_bit():
    logits = np.random.default_rng(2).normal(size=(20, 5)) * 30
    plain = softmax_cross_entropy(logits, np.arange(20) % 5)
    neutral = softmax_cross_entropy(
        logits, np.arange(20) % 5, label_smoothing=0.0, temperature=1.0, ignore_index=-100
    )
    for name in QUANTITIES:
        assert getattr(neutral, name).tobytes() == getattr(plain, name).tobytes()


# --- batches ------------------------------------------------------------------------------------


# Rows with weights of every size are computed with many digits, which takes long.
@pytest.mark.parametrize(("size", "rows"), [("alike", 20_000), ("equal", 20_000), ("any", 400)])
def test_the_denominator_of_labels_is_the_sum_of_their_weights_rounded_once(size, rows):
    rng = np.random.default_rng(3)
    labels = rng.integers(50, size=rows)
    weights = {
        "alike": rng.uniform(0, 2, 50),
        "equal": np.full(50, 0.1),
        "any": 10.0 ** rng.uniform(-320, 300, 50),
    }[size]
    result = softmax_cross_entropy(
        np.zeros((rows, 50)), labels, class_weights=weights, reduction="mean"
    )
    assert result.divisor == math.fsum(weights[labels])


LOGITS = [[2.0, 1.0, 0.1], [0.0, 0.0, 3.0], [-1.0, 5.0, 2.0]]
WEIGHTS = [2.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("targets", "options", "denominator"),
    [
        ([0, 2, 1], {}, 3.0),
        ([0, 2, 1], {"class_weights": WEIGHTS}, 3.5),
        ([0, -100, 1], {"ignore_index": -100}, 2.0),
        ([0, 2, 2], {"ignore_index": 2, "class_weights": WEIGHTS}, 2.0),
        ([0, 2, 1], {"class_weights": WEIGHTS, "label_smoothing": 0.2}, 3.5),
        ([[0.2, 0.3, 0.5]] * 3, {"class_weights": WEIGHTS}, 3.0),
        ([[0.2, 0.3, 0.5]] * 3, {"temperature": 3.0, "label_smoothing": 0.2}, 3.0),
    ],
)
def test_a_mean_divides_by_the_weights_of_the_labels_that_count(targets, options, denominator):
    rows = softmax_cross_entropy(LOGITS, targets, **options)
    total = softmax_cross_entropy(LOGITS, targets, reduction="sum", **options)
    mean = softmax_cross_entropy(LOGITS, targets, reduction="mean", **options)
    assert mean.divisor == denominator
    assert total.divisor is None
    assert float(total.loss) == pytest.approx(math.fsum(rows.loss), rel=1e-15)
    assert float(mean.loss) == pytest.approx(math.fsum(rows.loss) / denominator, rel=1e-15)
    for name in ("grad_probs", "grad_logits"):
        np.testing.assert_allclose(
            getattr(mean, name), getattr(rows, name) / denominator, rtol=1e-14, atol=1e-16
        )


def test_ignored_rows_have_no_loss_and_no_gradient():
    result = softmax_cross_entropy(LOGITS, [0, -1, 1], ignore_index=-1)
    assert result.loss[1] == 0.0
    assert not result.grad_probs[1].any()
    assert not result.grad_logits[1].any()
    assert result.probs[1].sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("targets", "options"),
    [
        ([7, 7, 7], {"ignore_index": 7}),
        ([0, 0, 0], {"class_weights": [0.0, 1.0, 1.0]}),
    ],
)
def test_the_mean_of_no_rows_is_nan_and_has_gradients_of_0(targets, options):
    mean = softmax_cross_entropy(LOGITS, targets, reduction="mean", **options)
    assert math.isnan(float(mean.loss))
    assert mean.divisor == 0.0
    assert not mean.grad_logits.any()
    total = softmax_cross_entropy(LOGITS, targets, reduction="sum", **options)
    assert float(total.loss) == 0.0


def test_a_batch_without_rows_has_a_sum_of_0_and_no_mean():
    empty = np.zeros((0, 3))
    mean = softmax_cross_entropy(empty, np.zeros(0, int), reduction="mean")
    assert math.isnan(float(mean.loss))
    assert mean.grad_logits.shape == (0, 3)
    assert float(softmax_cross_entropy(empty, empty, reduction="sum").loss) == 0.0
    with pytest.raises(InputError, match="expected rows of logits for the reduction, got none"):
        verify(empty, np.zeros(0, int), loss=0.0, reduction="sum")


def test_a_masked_class_counts_only_where_the_target_gives_it_weight():
    logits = [0.0, -math.inf, 0.0]
    without = softmax_cross_entropy(logits, [0.5, 0.0, 0.5])
    assert float(without.loss) == pytest.approx(math.log(2))
    assert without.grad_probs.tolist() == [-1.0, 0.0, -1.0]
    with_weight = softmax_cross_entropy(logits, [0.5, 0.5, 0.0])
    assert float(with_weight.loss) == math.inf
    assert with_weight.grad_probs.tolist() == [-1.0, -math.inf, 0.0]
    assert with_weight.grad_logits.tolist() == [0.0, -0.5, 0.5]


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        ([[0.5, 0.4]], {}, "row 0: expected target probabilities with the sum 1, got 0.9"),
        ([[0.5, math.nan]], {}, r"row 0: target\[1\]: expected a probability"),
        ([[0.5, 0.25, 0.25]], {}, r"expected target probabilities of shape \(1, 2\)"),
        ([0], {"temperature": -1.0}, "expected a temperature above 0, got -1.0"),
        ([0], {"label_smoothing": 2}, "expected a label_smoothing from 0 to 1, got 2"),
        ([0], {"label_smoothing": True}, "expected a label_smoothing from 0 to 1, got true"),
        ([0], {"class_weights": [1.0, math.nan]}, r"class_weights\[1\]: .* got NaN"),
        ([0], {"reduction": "average"}, "expected a reduction that is mean, sum or none"),
        ([0], {"ignore_index": 1.0}, "expected ignore_index to be a whole number"),
    ],
)
def test_bad_options_and_targets_are_refused_with_a_reason(targets, options, message):
    with pytest.raises(InputError, match=message):
        softmax_cross_entropy([[1.0, 2.0]], targets, **options)


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="smoothing"):
        softmax_cross_entropy([1.0, 2.0], 0, smoothing=0.1)
