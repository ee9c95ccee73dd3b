"""Arrays of other libraries are taken as they are, on a GPU too where there is one."""

import inspect
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
from support.devices import DEVICES

from softgrad_core import InputError, check_gradients, explain, softmax_cross_entropy, verify
from softgrad_core.tensors import as_numpy

LOGITS = [[2.0, 1.0, 0.125], [0.5, -1.0, 3.0]]
TARGETS = [0, 2]


def gradient(reduction="mean"):
    return softmax_cross_entropy(LOGITS, TARGETS, reduction=reduction).grad_logits


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_tensors_of_a_training_step_are_verified_as_they_are(torch, dtype, device):
    dtype_there = {"dtype": getattr(torch, dtype), "device": device}
    logits = torch.tensor(LOGITS, requires_grad=True, **dtype_there)
    target = torch.tensor(TARGETS, device=device)
    loss = torch.nn.functional.cross_entropy(logits, target)
    loss.backward()
    result = verify(logits, target, loss=loss, grad_logits=logits.grad, reduction="mean")
    result.raise_if_failed()
    assert result.tolerance.dtype == dtype
    wrong = verify(logits, target, grad_logits=-logits.grad, reduction="mean")
    assert "wrong-sign" in str(wrong)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_claims_in_float8_are_held_to_its_digits(torch, name, device):
    rng = np.random.default_rng(3)
    logits = torch.tensor(rng.normal(size=(64, 10)), dtype=torch.bfloat16, device=device)
    target = torch.tensor(rng.integers(10, size=64), device=device)
    for dtype in (torch.float32, torch.bfloat16):
        a = logits.to(dtype).requires_grad_()
        torch.nn.functional.cross_entropy(a, target, reduction="sum").backward()
        # In float8 nearly all of this would be 0 without a loss scale.
        claim = a.grad.to(getattr(torch, name))
        result = verify(logits, target, grad_logits=claim, reduction="sum")
        result.raise_if_failed()
        assert result.tolerance.dtype == name
        wrong = (1.25 * a.grad).to(getattr(torch, name))
        assert verify(logits, target, grad_logits=wrong, reduction="sum").failed == [0]


@pytest.mark.parametrize("instead", [448.0, np.nan])
def test_what_is_stored_for_too_large_a_number_in_float8_is_no_mistake(instead):
    # dL/df(x) is -1 / p, here about -20,000; libraries store -448 or NaN for it.
    exact = softmax_cross_entropy([10.0, 0.0, 0.1], 1, fields="grad_probs").grad_probs
    claim = np.array([0.0, -instead, 0.0])
    result = verify([10.0, 0.0, 0.1], 1, grad_probs=claim, dtype="float8_e4m3fn")
    assert exact.min() < -1e4
    assert not result.failed
    assert not verify([10.0, 0.0, 0.1], 1, grad_probs=-claim, dtype="float8_e4m3fn").passed


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_list_of_tensors_is_one_array_of_their_type(torch, dtype, device):
    dtype_there = {"dtype": getattr(torch, dtype), "device": device}
    logits = [torch.tensor(row, requires_grad=True, **dtype_there) for row in LOGITS]
    losses = [
        torch.nn.functional.cross_entropy(row, torch.tensor(y, device=device))
        for row, y in zip(logits, TARGETS, strict=True)
    ]
    result = verify(logits, TARGETS, loss=losses)
    result.raise_if_failed()
    assert result.tolerance.dtype == dtype


@pytest.mark.parametrize("device", DEVICES)
def test_each_claim_is_held_to_the_type_of_its_tensor(torch, device):
    logits = torch.tensor(LOGITS, dtype=torch.bfloat16, device=device)
    claim = torch.tensor(gradient(), device=device).to(torch.bfloat16)
    value = softmax_cross_entropy(LOGITS, TARGETS, reduction="mean").loss
    loss = torch.tensor(value, device=device)
    result = verify(logits, TARGETS, loss=loss.float(), grad_logits=claim, reduction="mean")
    assert result.passed, str(result)
    types = [str(result.tolerance.of(name).dtype) for name in ("loss", "grad_logits")]
    assert types == ["float32", "bfloat16"]


@pytest.mark.parametrize("device", DEVICES)
def test_tensors_go_into_every_function(torch, device):
    logits = torch.tensor(LOGITS, dtype=torch.float64, device=device, requires_grad=True)
    target = torch.tensor(TARGETS, dtype=torch.int32, device=device)
    options = {
        "class_weights": torch.ones(3, device=device),
        "temperature": torch.ones((), device=device, requires_grad=True),
        "ignore_index": torch.tensor(-100),
    }
    result = softmax_cross_entropy(logits, target, **options)
    np.testing.assert_array_equal(result.probs, softmax_cross_entropy(LOGITS, TARGETS).probs)
    gradients = torch.tensor(result.grad_probs), torch.tensor(result.grad_logits)
    assert all(check.passed for check in check_gradients(logits, target, *gradients))
    tokens = logits[np.newaxis], target[np.newaxis], *(part[np.newaxis] for part in gradients)
    assert all(check.passed for check in check_gradients(*tokens))
    shown = repr(explain(logits[0], target[0]))
    assert shown.startswith("<Derivation: ")
    assert shown.endswith(" steps, for the classes 0 and 1>")
    soft = torch.softmax(logits, dim=1)
    assert verify(logits, soft, probs=soft, dtype="float32").passed


@pytest.mark.parametrize("device", DEVICES)
def test_strides_and_views_do_not_matter(torch, device):
    bfloat16_there = {"dtype": torch.bfloat16, "device": device}
    logits = torch.tensor(LOGITS, **bfloat16_there).T.contiguous().T
    claim = torch.tensor(gradient(), **bfloat16_there).repeat(1, 2)[:, :3]
    assert verify(logits, TARGETS, grad_logits=claim, reduction="mean").passed


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2"])
def test_all_numbers_of_float8_become_float32_exactly(torch, name, device):
    tensor = torch.arange(256, dtype=torch.uint8, device=device).view(getattr(torch, name))
    np.testing.assert_array_equal(as_numpy(tensor), tensor.float().cpu().numpy())
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="JAX is not installed")
    array = np.arange(256, dtype=np.uint8).view(getattr(ml_dtypes, name))
    np.testing.assert_array_equal(as_numpy(array), array.astype(np.float32))


@pytest.mark.parametrize("device", DEVICES)
def test_all_numbers_of_bfloat16_become_float32_exactly(torch, device):
    bits = torch.arange(65536, dtype=torch.int32, device=device).to(torch.int16)
    tensor = bits.view(torch.bfloat16)
    np.testing.assert_array_equal(as_numpy(tensor), tensor.float().cpu().numpy())


def test_arrays_of_jax_are_verified_as_they_are():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    jnp = jax.numpy

    def loss(a):
        log_p = jax.nn.log_softmax(a, axis=1)
        return -log_p[jnp.arange(2), jnp.array(TARGETS)].mean()

    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        logits = jnp.array(LOGITS, dtype=dtype)
        value, claim = jax.jit(jax.value_and_grad(loss))(logits)
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


class OfMlx:
    """What an array of MLX offers: NumPy reads it, unless its type is bfloat16."""

    __module__ = "mlx.core"

    def __init__(self, array, dtype):
        self._array, self.dtype, self.shape = np.asarray(array), f"mlx.core.{dtype}", array.shape

    def __array__(self, dtype=None, copy=None):
        if self.dtype == "mlx.core.bfloat16":
            raise TypeError("bfloat16 is no type of the buffer protocol")
        return self._array

    def view(self, dtype):
        return OfMlx(self._array.view(dtype), "uint16")


@pytest.mark.parametrize("is_imported", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_arrays_of_mlx_are_taken_by_what_they_offer(dtype, is_imported, monkeypatch):
    if is_imported:
        core = ModuleType("mlx.core")
        core.uint16 = np.uint16
        monkeypatch.setitem(sys.modules, "mlx.core", core)
    claim = gradient().astype(np.float32)
    if dtype == "bfloat16":
        claim = ((claim.view(np.uint32) + 0x8000) >> 16).astype(np.uint16)
    target = OfMlx(np.array(TARGETS, np.uint32), "uint32")
    logits = OfMlx(np.array(LOGITS, np.float32), "float32")
    result = verify(logits, target, grad_logits=OfMlx(claim, dtype), reduction="mean")
    result.raise_if_failed()
    assert result.tolerance.dtype == dtype


class Eager:
    """What a tensor of TensorFlow offers."""

    def __init__(self, array):
        self._array = np.asarray(array)
        self.dtype, self.shape = self._array.dtype, self._array.shape

    def numpy(self):
        return self._array


class Exchanged:
    """What an array of a library offers that knows the protocol DLPack alone."""

    def __init__(self, array):
        self._array = np.asarray(array)
        self.dtype, self.shape = self._array.dtype, self._array.shape

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


@pytest.mark.parametrize("kind", [OnDevice, Eager, Exchanged])
def test_arrays_of_other_libraries_are_taken_by_what_they_offer(kind):
    claim = gradient().astype(np.float32)
    result = verify(kind(LOGITS), kind(TARGETS), grad_logits=kind(claim), reduction="mean")
    result.raise_if_failed()
    assert result.tolerance.dtype == "float32"


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda t: t.to_sparse(), "layout is torch.sparse_coo; to_dense"),
        (lambda t: t.to("meta"), "device meta, which holds no numbers"),
        (lambda t: t.to("cpu").bool(), "bool; convert it to numbers"),
        (lambda t: t + 1j, "complex64; take its real part"),
        (lambda t: t.numpy().astype(np.longdouble), "float128; convert it to float64"),
        (lambda t: t.numpy().astype(object), "object; convert it to numbers"),
        (lambda t: t.numpy().astype(str), "<U32; convert it to numbers"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_to_do(torch, made, told):
    values = made(torch.tensor(LOGITS))
    with pytest.raises(InputError, match=told):
        softmax_cross_entropy(values, TARGETS)
    with pytest.raises(ValueError, match=told):
        verify(LOGITS, TARGETS, grad_logits=values)
    with pytest.raises(ValueError, match=told):
        check_gradients(LOGITS, TARGETS, values, values)


def test_targets_that_cannot_be_read_are_named_with_what_to_do(torch):
    with pytest.raises(InputError, match=r"targets .* device meta, which holds no numbers"):
        softmax_cross_entropy(LOGITS, torch.tensor(TARGETS, device="meta"))


def test_a_type_of_float8_that_is_not_read_is_named(torch):
    with pytest.raises(InputError, match=r"type is torch\.float8_e4m3fnuz; convert it to float32"):
        softmax_cross_entropy(torch.tensor(LOGITS).to(torch.float8_e4m3fnuz), TARGETS)


def test_traced_arrays_are_told_from_others():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    with pytest.raises(InputError, match=r"traced and has no numbers yet; call .* outside of jax"):
        jax.jit(lambda a: softmax_cross_entropy(a, TARGETS).loss)(jax.numpy.array(LOGITS))


@pytest.mark.parametrize("device", DEVICES)
def test_a_sequence_of_tokens_is_a_row_for_each(torch, device):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(2, 3, 5)).astype(np.float32)
    target = torch.tensor(rng.integers(5, size=(2, 3)), device=device)
    logits = torch.tensor(a, device=device, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, 5), target.reshape(-1))
    loss.backward()
    result = verify(logits, target, loss=loss, grad_logits=logits.grad, reduction="mean")
    result.raise_if_failed()
    rows = torch.nn.functional.cross_entropy(logits.permute(0, 2, 1), target, reduction="none")
    verify(logits, target, loss=rows).raise_if_failed()


@pytest.mark.skipif("cuda" not in DEVICES, reason="there is no GPU")
def test_arrays_of_cupy_are_taken_from_the_gpu():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    claim = cupy.asarray(gradient().astype(np.float32))
    arrays = cupy.asarray(np.array(LOGITS, np.float32)), cupy.asarray(TARGETS)
    verify(*arrays, grad_logits=claim, reduction="mean").raise_if_failed()


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


@pytest.mark.parametrize("function", [softmax_cross_entropy, verify, check_gradients, explain])
def test_help_shows_signatures_that_can_be_read(function):
    shown = str(inspect.signature(function))
    assert "(logits: 'npt.ArrayLike', target" in shown
    assert "_SupportsArray" not in shown
