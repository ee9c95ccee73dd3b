"""Functions of PyTorch and JAX are probed with their own gradients."""

from itertools import product

import numpy as np
import pytest
from support.losses import plain
from support.sweeps import in_sweeps

from softgrad_core import probe
from softgrad_core.probing.trials import NAMED

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy
functional = torch.nn.functional

TOLD = {"seconds": 0, "skip": [entry.name for entry in NAMED if entry.classes > 1100]}
OF_TORCH = {**TOLD, "framework": "torch"}
OF_JAX = {
    "seconds": 0,
    "framework": "jax",
    # It compiles for each shape.
    "skip": [entry.name for entry in NAMED if entry.family in {"shape", "labels"}],
}


def names(found):
    return [finding.name for finding in found.findings]


class Wrong(torch.autograd.Function):
    """A loss with a gradient of its own, which multiplies by `factor` of what comes from above."""

    @staticmethod
    def forward(ctx, logits, targets, factor):
        ctx.save_for_backward(torch.softmax(logits, 1), targets)
        ctx.factor = factor
        rows = torch.arange(len(targets))
        return -torch.log_softmax(logits, 1)[rows, targets]

    @staticmethod
    def backward(ctx, above):
        p, targets = ctx.saved_tensors
        g = p - functional.one_hot(targets, p.shape[1])
        return g * ctx.factor(above), None, None


ONCE = [("float64", "none"), ("float32", "mean"), ("bfloat16", "sum"), ("float16", "none")]
"""Each type and each reduction, but not all pairs."""
DTYPES, REDUCTIONS = ("float64", "float32", "bfloat16", "float16"), ("mean", "sum", "none")
PAIRS = sorted({*product(DTYPES, REDUCTIONS)} - {*ONCE})


@pytest.mark.parametrize(("dtype", "reduction"), [*ONCE, *in_sweeps(PAIRS)])
def test_nothing_is_found_in_pytorch(dtype, reduction):
    found = probe(
        functional.cross_entropy, dtype=dtype, reduction=reduction, ignore_index=-100, **TOLD
    )
    assert names(found) == []


def test_options_have_the_names_of_pytorch():
    found = probe(functional.cross_entropy, class_weights=[1, 2, 0.5], reduction="mean", **TOLD)
    assert names(found) == []


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (torch.ones_like, "upstream-ignored"),
        (lambda above: above[:1, None], "upstream-of-the-first-row"),
        (lambda above: (above**2)[:, None], "upstream-twice"),
    ],
)
def test_what_is_done_with_the_gradient_from_above_is_named(factor, name):
    def loss(logits, targets):
        of_rows = factor if name != "upstream-ignored" else lambda above: factor(above)[:, None]
        return Wrong.apply(logits, targets, of_rows)

    assert names(probe(loss, **OF_TORCH))[:1] == [name]


def test_a_loss_without_a_gradient_is_an_error():
    with pytest.raises(Exception, match="the loss has no gradient"):
        probe(lambda a, y: functional.cross_entropy(a.detach(), y, reduction="none"), **OF_TORCH)


def test_a_kernel_that_ignores_strides_is_found():
    def loss(a, y):
        flat = torch.as_strided(a, a.shape, (a.shape[1], 1)) if a.numel() else a
        return functional.cross_entropy(flat, y, reduction="none")

    assert names(probe(loss, **OF_TORCH))[:1] == ["strides-ignored"]


def test_a_kernel_that_writes_to_its_input_is_found():
    def loss(a, y):
        each = functional.cross_entropy(a, y, reduction="none")
        with torch.no_grad():
            a.data.mul_(2)
        return each

    assert "input-overwritten" in names(probe(loss, **OF_TORCH))


def test_soft_targets_and_a_mapping_with_probabilities():
    def loss(a, t):
        log_p = torch.log_softmax(a, 1)
        kept = torch.where(t > 0, t * log_p, torch.zeros_like(log_p))
        return {"loss": -kept.sum(1), "probs": log_p.exp(), "log_probs": log_p}

    assert names(probe(loss, soft_targets=True, **OF_TORCH)) == []


def test_a_function_of_jax_has_the_gradient_of_jax():
    def loss(a, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(a), y[:, None], axis=1)[:, 0]

    assert names(probe(loss, **OF_JAX)) == []


def test_a_one_hot_loss_of_jax_is_nan_where_classes_are_masked():
    def loss(a, y):
        return -(jax.nn.one_hot(y, a.shape[1]) * jax.nn.log_softmax(a)).sum(axis=1)

    [finding] = probe(loss, **OF_JAX).findings
    assert (finding.name, finding.trial) == ("not-a-number", "masked classes")


def test_a_wrong_gradient_of_jax_is_named():
    @jax.custom_vjp
    def loss(a, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(a), y[:, None], axis=1)[:, 0]

    def forward(a, y):
        return loss(a, y), (jax.nn.softmax(a), y)

    def backward(kept, above):
        p, y = kept
        return above[:, None] * (p + jax.nn.one_hot(y, p.shape[1])), None

    loss.defvjp(forward, backward)
    assert names(probe(loss, **OF_JAX))[:1] == ["target-added"]


def test_jax_says_what_float64_needs():
    with pytest.raises(ValueError, match="JAX_ENABLE_X64"):
        probe(lambda a, _: a.sum(axis=1), dtype="float64", **OF_JAX)


def test_the_framework_is_that_of_the_module_and_two_are_an_error():
    assert names(probe(functional.cross_entropy, reduction="mean", **TOLD)) == []
    with pytest.raises(ValueError, match="uses torch and jax; say which framework"):
        probe(lambda a, y: functional.cross_entropy(a, y), **TOLD)  # noqa: PLW0108 - of this module
    with pytest.raises(ValueError, match="expected a framework out of numpy, torch, jax"):
        probe(plain, framework="tensorflow", **TOLD)


def test_numpy_has_no_bfloat16():
    with pytest.raises(ValueError, match="NumPy has no bfloat16"):
        probe(plain, dtype="bfloat16", **TOLD)


def test_a_gradient_that_is_returned_has_no_gradient_from_above():
    def loss(a, y):
        each, g = plain(a.detach().numpy(), y.numpy())
        return torch.tensor(each), torch.tensor(np.asarray(g))

    found = probe(loss, dtype="float64", **OF_TORCH)
    assert names(found) == []
    assert "an upstream gradient of 0.5" not in found.tried
