"""verify: arrays of claims, and the types that they are held to."""

import ml_dtypes
import numpy as np
import pytest
from support.oracle import exact

from softgrad_core import InputError, Verdict, softmax_cross_entropy, verify

ROW = [2.0, 1.0, 0.1]
GRADIENT = [float(value) for value in exact(ROW, 0).grad_logits]


def test_another_byte_order_is_the_same_type():
    claims = np.array(GRADIENT, dtype=">f4")
    assert verify(ROW, 0, grad_logits=claims).tolerance.dtype == "float32"
    with pytest.raises(ValueError, match="expected grad_logits as an array of numbers, got"):
        verify(ROW, 0, grad_logits=np.array(GRADIENT, dtype=np.longdouble))


def test_an_array_that_numpy_cannot_read_is_refused_by_name():
    class Tensor:
        def __array__(self, *_args, **_options):
            raise RuntimeError("call detach() first")

    with pytest.raises(ValueError, match=r"expected loss as an array .*call detach"):
        verify(ROW, 0, loss=Tensor())
    with pytest.raises(InputError, match=r": .*call detach\(\) first"):
        verify(Tensor(), 0, loss=0.4)


def test_the_type_is_that_of_the_claims():
    claims = np.array(GRADIENT, dtype=np.float32)
    assert verify(ROW, 0, grad_logits=claims).passed
    assert verify(ROW, 0, grad_logits=claims).tolerance.dtype == "float32"
    assert verify(ROW, 0, grad_logits=GRADIENT).tolerance.dtype == "float64"
    assert not verify(ROW, 0, grad_logits=claims, dtype="float64", ulp=4).passed


def test_each_claim_is_held_to_its_own_type():
    narrow = np.array(GRADIENT, dtype=np.float16)
    loss = softmax_cross_entropy(ROW, 0).loss
    assert verify(ROW, 0, grad_logits=narrow, loss=np.float32(loss)).passed
    off = verify(ROW, 0, grad_logits=narrow, loss=np.float32(loss * (1 + 1e-4)))
    assert off.quantities["loss"].verdict(0) is Verdict.FAIL
    assert off.quantities["grad_logits"].verdict(0) is Verdict.PASS
    assert "ulp of float32" in str(off)
    assert "worst 0.2" in str(off).splitlines()[-2]
    assert "a claim passes where rounding in its type explains its error" in str(off)


def test_a_number_of_python_is_held_to_the_type_of_the_array_beside_it():
    narrow = np.array(GRADIENT, dtype=np.float16)
    loss = float(np.float16(softmax_cross_entropy(ROW, 0).loss))
    assert verify(ROW, 0, grad_logits=narrow, loss=loss).passed
    assert not verify(ROW, 0, loss=loss).passed


def test_a_number_of_python_that_bfloat16_has_not_is_held_to_float32():
    logits, targets = np.random.default_rng(0).normal(size=(8, 50)), np.arange(8)
    logits = logits.astype(ml_dtypes.bfloat16)
    right = softmax_cross_entropy(logits.astype(np.float64), targets, reduction="mean")
    claims = {"grad_logits": right.grad_logits.astype(ml_dtypes.bfloat16), "reduction": "mean"}
    for loss, passes in (
        (float(np.float32(right.loss)), True),
        (float(np.float32(right.loss)) * 1.001, False),
        (float(ml_dtypes.bfloat16(right.loss)), True),
    ):
        assert verify(logits, targets, loss=loss, **claims).passed is passes


@pytest.mark.parametrize("bits", ["logits", "loss"])
def test_the_bits_of_bfloat16_are_not_taken_for_integers(bits):
    arrays = {"logits": np.array([[1.0, 2.0]]), "loss": np.array([0.3125])}
    arrays[bits] = (arrays[bits].astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    what = f"expected {bits} as numbers, got uint16, which may be the bits of bfloat16"
    with pytest.raises(ValueError, match=what):
        verify(arrays["logits"], [1], loss=arrays["loss"], dtype="bfloat16")
