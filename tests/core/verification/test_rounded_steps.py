"""Kernels that round a step to their narrow type: right, and what the verdict remarks."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from softgrad_core import verify
from softgrad_core.dtypes import Dtype

if TYPE_CHECKING:
    from collections.abc import Callable

Array = npt.NDArray[np.float64]
NARROW = ["bfloat16", "float16"]


class Kernel:
    """A kernel that computes in float64, and rounds to its type where a test says so."""

    def __init__(
        self,
        dtype: str,
        classes: int = 100,
        *,
        rows: int = 64,
        size: float = 3.0,
        offset: float = 0.0,
        is_sure: bool = False,
    ) -> None:
        rng = np.random.default_rng(rows + classes)
        self.round: Callable[[Array], Array] = Dtype(dtype).round
        self.dtype = dtype
        self.a = self.round(size * rng.standard_normal((rows, classes)) + offset)
        # One that is sure has the largest logit at the target: gradients near 0.
        self.labels = self.a.argmax(axis=1) if is_sure else rng.integers(classes, size=rows)
        self.e = np.eye(classes)[self.labels]
        top = self.a.max(axis=1, keepdims=True)
        self.log_sum = np.log(np.exp(self.a - top).sum(axis=1, keepdims=True)) + top
        self.log_p = self.a - self.log_sum

    def at_target(self, values: Array) -> Array:
        return values[np.arange(len(self.labels)), self.labels]

    def claims(self, log_p: Array) -> dict[str, Array]:
        """Return the loss and the gradient of these logarithms, rounded once."""
        loss, grad = -self.at_target(log_p), np.exp(log_p) - self.e
        return {"loss": self.round(loss), "grad_logits": self.round(grad)}

    def answer(self, **options: Any) -> tuple[bool, list[str]]:
        result = verify(self.a, self.labels, dtype=self.dtype, **options)
        return result.passed, result.summary().lines()


def remark(lines: list[str]) -> str:
    return " ".join(line for line in lines if "within rounding" in line)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("offset", [0.0, 20.0, 300.0])
def test_a_kernel_that_subtracts_a_rounded_log_sum_exp_passes(dtype: str, offset: float) -> None:
    kernel = Kernel(dtype, offset=offset)
    rounded = kernel.a - kernel.round(kernel.log_sum)
    passed, lines = kernel.answer(**kernel.claims(rounded))
    assert passed, lines
    if offset:
        assert "log-sum-exp-in-low-precision" in remark(lines)
        assert not kernel.answer(arithmetic="float32", **kernel.claims(rounded))[0]
    # And one that rounds every step.
    exp = kernel.round(np.exp(kernel.round(rounded)))
    loss = kernel.round(-kernel.at_target(rounded))
    passed, lines = kernel.answer(loss=loss, grad_logits=kernel.round(exp - kernel.e))
    assert passed, lines


@pytest.mark.parametrize("dtype", NARROW)
def test_the_mean_of_losses_of_a_rounded_log_sum_exp_passes(dtype: str) -> None:
    kernel = Kernel(dtype, rows=4, offset=300.0)
    loss = -kernel.at_target(kernel.a - kernel.round(kernel.log_sum)).mean()
    passed, lines = kernel.answer(loss=kernel.round(np.array([loss]))[0], reduction="mean")
    assert passed, lines


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_a_factor_of_all_probabilities_is_no_rounded_log_sum_exp(dtype: str, factor: float) -> None:
    kernel = Kernel(dtype)
    p = np.exp(kernel.log_p) * (factor + (1.0 - factor) * kernel.e)
    passed, _ = kernel.answer(grad_logits=kernel.round(p - kernel.e))
    assert not passed


@pytest.mark.parametrize("dtype", NARROW)
def test_a_log_softmax_kept_in_the_type_is_remarked(dtype: str) -> None:
    kernel = Kernel(dtype)
    claims = kernel.claims(kernel.round(kernel.log_p))
    passed, lines = kernel.answer(**claims)
    assert passed
    assert "log-softmax-in-low-precision" in remark(lines)
    passed, lines = kernel.answer(arithmetic="float32", **claims)
    assert not passed
    assert any("log-softmax-in-low-precision: " in line for line in lines)


@pytest.mark.parametrize("dtype", NARROW)
def test_pytorch_s_own_kernel_is_remarked(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    kernel = Kernel(dtype)
    logits = torch.tensor(kernel.a, dtype=getattr(torch, dtype), requires_grad=True)
    torch.nn.functional.cross_entropy(logits, torch.tensor(kernel.labels)).backward()
    result = verify(logits, kernel.labels, grad_logits=logits.grad, reduction="mean")
    assert result.passed
    assert "log-softmax-in-low-precision" in remark(result.summary().lines())


@pytest.mark.parametrize("dtype", [*NARROW, "float32"])
def test_p_rounded_before_1_is_subtracted_is_remarked(dtype: str) -> None:
    kernel = Kernel(dtype, classes=10, size=6.0, is_sure=True)
    grad = kernel.round(kernel.round(np.exp(kernel.log_p)) - kernel.e)
    passed, lines = kernel.answer(grad_logits=grad)
    assert passed
    assert "target-subtracted-in-low-precision" in remark(lines)


def test_a_gradient_that_cancelled_to_0_is_remarked() -> None:
    logits = np.array([[25.0, 0.0, -1.0], [30.0, 2.0, 1.0]])
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    grad = p.copy()
    grad[:, 0] = 0.0
    result = verify(logits, [0, 0], grad_logits=grad.astype(np.float32))
    assert result.passed
    assert "cancelled-to-zero" in remark(result.summary().lines())


@pytest.mark.parametrize("dtype", [*NARROW, "float32"])
def test_numbers_that_were_rounded_once_get_no_remark(dtype: str) -> None:
    kernel = Kernel(dtype)
    passed, lines = kernel.answer(**kernel.claims(kernel.log_p))
    assert passed
    assert not remark(lines)
