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


FLAT = """
    -4256 -3616 -7040 -14784 688 46848 -15424 -2000 -330 -11968 -5568 17024
    -17920 -12416 33280 -37632 8000 6112 2688 -15744 13952 6560 9408 25088
    2192 2880 -9280 1624 -5600 -33792 -41984 27136 24320 -17024 10432 -30976
    -227 23552 29440 -43520 -10624 2040 13120 -26752 -8448 -19968 33280 -12928
    -12800 -11904 -6560 1456 16384 5376 -612 -18560 3568 41728 41984 -520
    4480 6112 -18432 -8384 -18560 -24064 5696 2512 19840 13696
"""
"""Logits of a row on which PyTorch's eager kernel rounds far, times 2**22."""


@pytest.mark.parametrize("rows", [1, 3])
def test_flat_rows_pass_where_the_sum_and_its_logarithm_are_rounded(rows: int) -> None:
    # In bfloat16 the sum 69.22 becomes 69, and its logarithm 4.234 becomes 4.219.
    a = np.tile(np.array(FLAT.split(), dtype=float) / 2.0**22, (rows, 1))
    labels, to_type = np.full(rows, 64), Dtype.BFLOAT16.round
    d = a - a.max()
    total = to_type(np.exp(d).sum(axis=1, keepdims=True))
    log_p = to_type(d - to_type(np.log(total)))
    grad = to_type((np.exp(log_p) - np.eye(a.shape[1])[labels]) * to_type(np.array([1.0 / rows])))
    told = {"dtype": "bfloat16", "reduction": "mean"}
    verify(a, labels, grad_logits=grad, **told).raise_if_failed()


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
