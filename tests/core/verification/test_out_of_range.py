"""Numbers that left the range of their type, and guards against that: their mistakes are named."""

import numpy as np
import pytest

from softgrad_core import verify

FAR = np.array([[0.0, 1e4, 1.0], [1e4, 0.0, 1.0]])


def told(*arguments, **claims):
    return str(verify(*arguments, **claims))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_logarithm_of_a_probability_that_became_0(dtype):
    logits = FAR.astype(dtype)
    said = told(logits, [0, 0], loss=np.array([np.inf, 0], dtype=dtype))
    assert "  logarithm-of-underflow: it equals -log f(x)_y" in said
    log_probs = np.array([[-np.inf, 0, -np.inf]], dtype=dtype)
    assert "logarithm-of-underflow" in told(logits[:1], [0], log_probs=log_probs)


def test_an_infinite_loss_is_no_other_mistake():
    logits = np.float32([[0.5, 1.0, -1.0], [0.25, 0.5, 1.0]])
    for said in (
        told(logits, [0, 0], loss=np.float32([np.inf, np.inf])),
        told(logits, [0, 0], loss=np.float32(np.inf), reduction="mean"),
    ):
        assert "  overflow: " in said
        assert "  or " not in said


def test_a_mistake_that_explains_both_claims_comes_first():
    nan = np.full((1, 3), np.nan, dtype=np.float32)
    nan[0, 0] = -1.0
    nan[0, 2] = 0.0
    logits = np.float32([[0.0, 1e4, 1.0]])
    said = told(logits, [0], loss=np.float32([np.inf]), grad_logits=nan).splitlines()
    assert said[1].startswith("  no-shift-by-the-maximum")
    assert "  no-shift-by-the-maximum, as in loss" in said[-2]


@pytest.mark.parametrize("epsilon", [1e-8, 1e-10, 1e-12])
def test_a_small_guard_in_float64_is_no_matter_of_a_narrower_type(epsilon):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(8, 10)), rng.integers(10, size=8)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = told(logits, labels, loss=-np.log(p[np.arange(8), labels] + epsilon))
    assert f"epsilon-in-the-logarithm: all 8 equal -log (p_y + ε) with ε = {epsilon:.2g}" in said


def test_rows_with_a_factor_each_are_not_said_to_have_one_factor():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(4, 10)), rng.integers(10, size=4)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p[np.arange(4), labels] -= 1
    factors = np.array([[0.7], [1.3], [1.9], [0.4]])
    assert "factor-of-each-record" in told(logits, labels, grad_logits=factors * p)
    assert "constant-factor" in told(logits, labels, grad_logits=1.37 * p)


def test_a_z_loss_beyond_the_range_leaves_the_gradient_its_bound():
    logits = np.array([[3e200, 3e200, 0.0]])
    wanted = verify(logits, [2], grad_logits=[[0.0, 0.0, 0.0]], z_loss_scale=0.01)
    exact = np.array([[p * (1 + 0.02 * 3e200) for p in (0.5, 0.5, 0.0)]])
    exact[0, 2] = -1.0
    assert not wanted
    assert verify(logits, [2], grad_logits=np.nextafter(exact, 0), z_loss_scale=0.01)


def test_the_logarithm_of_a_probability_with_few_digits():
    logits = np.float32([[0.0, -99.0], [0.0, -96.0], [0.0, -1.0]])
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = told(logits, [1, 1, 1], loss=-np.log(p[:, 1]))
    assert "logarithm-of-underflow: all 2 equal -log f(x)_y" in said


@pytest.mark.parametrize("logits", [[208.0, 0.0, 944.0], [368.0, 0.0, 1088.0]])
def test_a_subnormal_probability_may_be_multiplied_after_it_was_rounded(logits):
    a, e = np.array([logits]), np.array([[0.0, 1.0, 0.0]])
    p = np.exp(a - a.max())
    gradient = p - e + 0.02 * a.max() * p
    assert verify(a, [1], grad_logits=gradient, z_loss_scale=0.01)
    assert verify(a, [1], grad_logits=(np.exp(a / 0.5 - 2 * a.max()) - e) / 0.5, temperature=0.5)
