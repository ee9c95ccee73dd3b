"""Mistakes of kernels that compute in float32 and write bfloat16, and mistakes beside options."""

import ml_dtypes
import numpy as np
import pytest

from softgrad_core import verify

RNG = np.random.default_rng(0)
LOGITS = (RNG.normal(size=(64, 300)) * 3).astype(ml_dtypes.bfloat16).astype(np.float64)
TARGETS = RNG.integers(300, size=64)


def gradient(smoothing=0.0, z_scale=0.0, more=0.0, spread=300, targets=TARGETS):
    """Return the gradient of a sum, with `more` in the sum of exponentials."""
    exps = np.exp(LOGITS)
    total = exps.sum(axis=1, keepdims=True) + more
    target = np.eye(300)[targets]
    q = (1 - smoothing) * target + smoothing / spread
    if spread == 299:
        q = np.where(target == 1.0, 1 - smoothing, smoothing / spread)
    return exps / total * (1 + 2 * z_scale * np.log(total)) - q


@pytest.mark.parametrize("factor", [1.0005, 1.002, 1.01])
def test_a_factor_near_1_is_no_rounding_error_of_a_kernel_that_computes_in_float32(factor):
    claim = (gradient() * factor).astype(ml_dtypes.bfloat16)
    result = verify(LOGITS, TARGETS, grad_logits=claim, reduction="sum", arithmetic="float32")
    assert result.quantities["grad_logits"].mistakes(0)[0] == "constant-factor"
    assert f"with r = {factor:g}" in str(result)


def test_another_smoothing_is_named_in_bfloat16():
    claim = gradient(0.1, spread=299).astype(ml_dtypes.bfloat16)
    options = {"reduction": "sum", "label_smoothing": 0.1, "arithmetic": "float32"}
    [name, *_] = (
        verify(LOGITS, TARGETS, grad_logits=claim, **options).quantities["grad_logits"].mistakes(0)
    )
    assert name == "label-smoothing-over-the-others"


BESIDE = {
    "label-off-by-one": {"targets": (TARGETS + 1) % 300},
    "label-smoothing-of-another-weight": {"smoothing": 0.2},
    "label-smoothing-over-the-others": {"spread": 299},
}


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("z_scale", [None, 1e-4])
def test_a_mistake_is_named_beside_label_smoothing_and_a_z_loss(name, z_scale):
    claim = gradient(**{"smoothing": 0.1, "z_scale": z_scale or 0.0, **BESIDE[name]})
    options = {"reduction": "sum", "label_smoothing": 0.1, "z_loss_scale": z_scale}
    result = verify(LOGITS, TARGETS, grad_logits=claim.astype(np.float32), **options)
    assert result.quantities["grad_logits"].mistakes(0)[0] == name


def test_padding_in_the_sum_is_named_beside_label_smoothing():
    claim = gradient(0.1, more=24.0).astype(np.float32)
    options = {"reduction": "sum", "label_smoothing": 0.1}
    result = verify(LOGITS, TARGETS, grad_logits=claim, **options)
    assert result.quantities["grad_logits"].mistakes(0) == ["padding-in-the-sum"]


def test_claims_that_pass_in_a_narrow_type_are_said_to_be_held_to_it():
    claim = (gradient() * 1.002).astype(ml_dtypes.bfloat16)
    result = verify(LOGITS, TARGETS, grad_logits=claim, reduction="sum")
    assert result.passed
    assert "held to bfloat16: --arithmetic float32 is stricter" in str(result)


def test_a_row_of_numbers_that_are_all_too_small_is_no_cause_of_a_warning(recwarn):
    logits = np.array([[0.0, 1.0, 2.0], [0.0, 0.0, 90.0]])
    claim = np.array([[0.1, 0.2, -0.3], [1e-30, 1e-30, -1e-30]], dtype=np.float16)
    options = {"reduction": "sum", "arithmetic": "float32"}
    assert not verify(logits, [2, 2], grad_logits=claim, **options).passed
    assert not recwarn.list
