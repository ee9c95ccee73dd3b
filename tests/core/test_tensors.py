"""Arrays of other libraries are taken as they are."""

import subprocess
import sys

import numpy as np
import pytest

from softgrad_core import InputError, check_gradients, explain, softmax_cross_entropy, verify
from softgrad_core.tensors import as_numpy

LOGITS = [[2.0, 1.0, 0.125], [0.5, -1.0, 3.0]]
TARGETS = [0, 2]


def gradient(reduction="mean"):
    return softmax_cross_entropy(LOGITS, TARGETS, reduction=reduction).grad_logits


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_tensors_of_a_training_step_are_verified_as_they_are(torch, dtype):
    logits = torch.tensor(LOGITS, dtype=getattr(torch, dtype), requires_grad=True)
    target = torch.tensor(TARGETS)
    loss = torch.nn.functional.cross_entropy(logits, target)
    loss.backward()
    result = verify(logits, target, loss=loss, grad_logits=logits.grad, reduction="mean")
    result.raise_if_failed()
    assert result.tolerance.dtype == dtype
    wrong = verify(logits, target, grad_logits=-logits.grad, reduction="mean")
    assert "wrong-sign" in str(wrong)


def test_each_claim_is_held_to_the_type_of_its_tensor(torch):
    logits = torch.tensor(LOGITS, dtype=torch.bfloat16)
    claim = torch.tensor(gradient()).to(torch.bfloat16)
    loss = torch.tensor(softmax_cross_entropy(LOGITS, TARGETS, reduction="mean").loss)
    result = verify(logits, TARGETS, loss=loss.float(), grad_logits=claim, reduction="mean")
    assert result.passed, str(result)
    types = [str(result.tolerance.of(name).dtype) for name in ("loss", "grad_logits")]
    assert types == ["float32", "bfloat16"]


def test_tensors_go_into_every_function(torch):
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    target = torch.tensor(TARGETS, dtype=torch.int32)
    result = softmax_cross_entropy(logits, target, class_weights=torch.ones(3))
    np.testing.assert_array_equal(result.probs, softmax_cross_entropy(LOGITS, TARGETS).probs)
    gradients = torch.tensor(result.grad_probs), torch.tensor(result.grad_logits)
    assert all(check.passed for check in check_gradients(logits, target, *gradients))
    assert explain(logits[0], target[0]).steps
    soft = torch.softmax(logits, dim=1)
    assert verify(logits, soft, probs=soft, dtype="float32").passed


def test_strides_and_views_do_not_matter(torch):
    logits = torch.tensor(LOGITS, dtype=torch.bfloat16).T.contiguous().T
    claim = torch.tensor(gradient(), dtype=torch.bfloat16).repeat(1, 2)[:, :3]
    assert verify(logits, TARGETS, grad_logits=claim, reduction="mean").passed


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_all_numbers_of_float8_become_float32_exactly(torch, name):
    tensor = torch.arange(256, dtype=torch.uint8).view(getattr(torch, name))
    np.testing.assert_array_equal(as_numpy(tensor), tensor.float().numpy())
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="JAX is not installed")
    array = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, name))
    np.testing.assert_array_equal(as_numpy(array), array.astype(np.float32))


def test_all_numbers_of_bfloat16_become_float32_exactly(torch):
    tensor = torch.arange(65536, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    np.testing.assert_array_equal(as_numpy(tensor), tensor.float().numpy())


def test_arrays_of_jax_are_verified_as_they_are():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    jnp = jax.numpy

    def loss(a):
        log_p = jax.nn.log_softmax(a, axis=1)
        return -log_p[jnp.arange(2), jnp.array(TARGETS)].mean()

    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        logits = jnp.array(LOGITS, dtype=dtype)
        value, claim = jax.value_and_grad(loss)(logits)
        targets = jnp.array(TARGETS)
        result = verify(logits, targets, loss=value, grad_logits=claim, reduction="mean")
        result.raise_if_failed()
        assert result.tolerance.dtype == jnp.dtype(dtype).name


def test_arrays_of_ml_dtypes_are_taken():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="JAX is not installed")
    logits = np.array(LOGITS, dtype=ml_dtypes.bfloat16)
    claim = gradient().astype(ml_dtypes.bfloat16)
    assert verify(logits, TARGETS, grad_logits=claim, reduction="mean").passed


class OnDevice:
    """What an array of CuPy offers: NumPy cannot read it, get() copies it."""

    __cuda_array_interface__ = {}  # noqa: RUF012 - as CuPy has it

    def __init__(self, array):
        self._array = np.asarray(array)
        self.dtype, self.shape, self.ndim = self._array.dtype, self._array.shape, self._array.ndim

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use .get()")

    def get(self):
        return self._array


class Eager:
    """What a tensor of TensorFlow offers."""

    def __init__(self, array):
        self._array = np.asarray(array)
        self.dtype, self.shape = self._array.dtype, self._array.shape

    def numpy(self):
        return self._array


@pytest.mark.parametrize("kind", [OnDevice, Eager])
def test_arrays_of_cupy_and_tensorflow_are_taken_by_what_they_offer(kind):
    claim = gradient().astype(np.float32)
    result = verify(kind(LOGITS), kind(TARGETS), grad_logits=kind(claim), reduction="mean")
    result.raise_if_failed()
    assert result.tolerance.dtype == "float32"


def test_what_cannot_be_read_is_named_with_what_to_do(torch):
    sparse = torch.tensor(LOGITS).to_sparse()
    with pytest.raises(InputError, match=r"torch\.Tensor cannot .* to_dense\(\) gives a plain one"):
        softmax_cross_entropy(sparse, TARGETS)
    with pytest.raises(ValueError, match=r"grad_logits .*torch\.Tensor cannot be read"):
        verify(LOGITS, TARGETS, grad_logits=sparse)


def test_a_sequence_of_tokens_is_a_row_for_each(torch):
    rng = np.random.default_rng(0)
    a, y = rng.normal(size=(2, 3, 5)).astype(np.float32), rng.integers(5, size=(2, 3))
    logits = torch.tensor(a, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 5), torch.tensor(y).reshape(-1))
    loss.backward()
    result = verify(logits, torch.tensor(y), loss=loss, grad_logits=logits.grad, reduction="mean")
    result.raise_if_failed()
    rows = torch.nn.functional.cross_entropy(
        logits.permute(0, 2, 1), torch.tensor(y), reduction="none"
    )
    verify(logits, torch.tensor(y), loss=rows).raise_if_failed()


def test_no_library_is_imported_for_arrays_of_numpy():
    code = (
        "import sys, numpy as np; from softgrad_core import verify; "
        "verify(np.ones((2, 3)), [0, 1], probs=np.ones((2, 3)) / 3); "
        "print(*[name for name in ('torch', 'jax', 'ml_dtypes', 'mlx', 'cupy', 'tensorflow') "
        "if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_results_and_verdicts_are_shown_in_one_line():
    assert repr(softmax_cross_entropy(LOGITS, TARGETS)) == (
        "<SoftmaxCrossEntropy of shape (2, 3): probs, loss, grad_probs, grad_logits>"
    )
    shown = repr(verify(LOGITS, TARGETS, grad_logits=gradient("sum"), reduction="sum"))
    assert shown.startswith("<Verification: 1 record: 1 passed (a claim passes where")
    assert "\n" not in shown
