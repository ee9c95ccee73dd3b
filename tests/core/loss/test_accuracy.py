"""Every number is within 4 ulp of the exact value."""

from itertools import islice

import numpy as np
import pytest
from support.oracle import Exact, exact, ulps
from support.rows import adversarial_rows, faint_rows, random_rows, sampled, wide_rows

from softgrad_core import softmax_cross_entropy
from softgrad_core.loss.kernels import direct

LIMIT = 4.0


def distances(logits: list[float], target: int, expected: Exact) -> dict[str, float]:
    """Return the largest distance in ulps for each of the four results."""
    got = softmax_cross_entropy(logits, target)
    return {
        "probs": max(map(ulps, got.probs.tolist(), expected.probs)),
        "loss": ulps(float(got.loss), expected.loss),
        "grad_probs": max(map(ulps, got.grad_probs.tolist(), expected.grad_probs)),
        "grad_logits": max(map(ulps, got.grad_logits.tolist(), expected.grad_logits)),
    }


@pytest.mark.parametrize(
    "rows",
    [
        *sampled("random", lambda count: random_rows(count, seed=1), 8_000),
        *sampled("adversarial", lambda count: adversarial_rows(count, seed=2), 6_000),
        *sampled("wide", lambda count: islice(wide_rows(seed=3), count), 15),
        *sampled("faint", lambda count: islice(faint_rows(), count), 112),
        # Found by search: errors that add up, and a result just below the largest number.
        pytest.param(
            [
                ([0.00912950492560782, *[-0.7340053056706796] * 30, -652.2777918548335], 31),
                ([0.4993100378262657, *[-0.2453215371213967] * 30, -652.2777918548335], 31),
                ([0.0, -1.0572343191950968, -709.4845247118133], 2),
            ],
            id="found",
        ),
    ],
)
def test_every_number_is_within_four_ulp_of_the_exact_value(rows, monkeypatch):
    compiled = direct.KERNELS
    for logits, target in rows:
        expected = exact(logits, target)
        for kernels in (compiled, {}):
            monkeypatch.setattr(direct, "KERNELS", kernels)
            for name, distance in distances(logits, target, expected).items():
                what = f"{name} is {distance} ulp off for {logits}, {target}"
                assert distance <= LIMIT, f"{what}, {'with' if kernels else 'without'} the kernel"


@pytest.mark.parametrize(
    ("logits", "target", "loss", "at_target"),
    [
        # exp(-40), which 1 - p loses; from mpmath.
        ([40.0, 0.0], 0, 4.248354255291589e-18, -4.248354255291589e-18),
        ([0.0, 0.0], 1, 0.6931471805599453, -0.5),
    ],
)
def test_confident_rows_keep_their_digits(logits, target, loss, at_target):
    result = softmax_cross_entropy(logits, target)
    assert float(result.loss) == pytest.approx(loss, rel=2**-51, abs=0.0)
    assert float(result.grad_logits[target]) == pytest.approx(at_target, rel=2**-51, abs=0.0)


def test_a_result_is_infinite_only_where_the_exact_value_overflows():
    # log(largest float64) is 709.7827...; with two classes 1 / p_y = 1 + exp(difference).
    below, above = 709.7827128933840, 709.7827128933841
    finite = softmax_cross_entropy([below, 0.0], 1).grad_probs[1]
    infinite = softmax_cross_entropy([above, 0.0], 1).grad_probs[1]
    assert np.isfinite(finite)
    assert infinite == -np.inf


def test_a_masked_class_has_probability_and_gradient_zero():
    result = softmax_cross_entropy([0.0, -np.inf, 0.0], 0)
    assert result.probs.tolist() == [0.5, 0.0, 0.5]
    assert result.grad_logits.tolist() == [-0.5, 0.0, 0.5]


def test_a_masked_target_has_infinite_loss_and_the_gradient_of_the_formula():
    result = softmax_cross_entropy([0.0, -np.inf, 0.0], 1)
    assert float(result.loss) == np.inf
    assert result.grad_probs.tolist() == [0.0, -np.inf, 0.0]
    assert result.grad_logits.tolist() == [0.5, -1.0, 0.5]


def test_no_result_is_negative_zero():
    result = softmax_cross_entropy([1000.0, 0.0], 0)
    assert not np.signbit(result.grad_logits).any()
    assert not np.signbit(result.loss)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_types_are_computed_in_float64_and_rounded_once(dtype):
    logits = np.random.default_rng(5).normal(size=(50, 7)).astype(dtype)
    small = softmax_cross_entropy(logits, np.arange(50) % 7)
    large = softmax_cross_entropy(logits.astype(np.float64), np.arange(50) % 7)
    for name in ("probs", "loss", "grad_probs", "grad_logits"):
        assert getattr(small, name).dtype == dtype
        assert np.array_equal(getattr(small, name), getattr(large, name).astype(dtype))


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]])
def test_results_do_not_depend_on_the_memory_layout(layout):
    logits = np.random.default_rng(4).normal(size=(300, 50))
    plain = softmax_cross_entropy(logits, np.zeros(300, dtype=int))
    other = softmax_cross_entropy(layout(logits), np.zeros(300, dtype=int))
    assert plain.grad_logits.tobytes() == other.grad_logits.tobytes()
