"""The loss agrees with PyTorch's cross_entropy, ONNX's SoftmaxCrossEntropyLoss and JAX."""

import itertools

import numpy as np
import pytest

from softgrad_core import softmax_cross_entropy, verify

N, C = 6, 4
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(N, C)) * 3
LABELS = np.array([0, 3, 1, 2, 2, 3])
SHARES = RNG.dirichlet(np.ones(C), size=N)
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.25])

REDUCTIONS = ("mean", "sum", "none")
TARGETS = {"labels": LABELS, "ignored": LABELS, "distributions": SHARES}


@pytest.mark.parametrize("target", TARGETS)
def test_every_combination_of_options_agrees_with_torch(target):
    torch = pytest.importorskip("torch")
    ignore_index = 3 if target == "ignored" else None
    for smoothing, weights, temperature, reduction in itertools.product(
        (0.0, 0.1, 1.0), (None, WEIGHTS), (1.0, 0.25, 3.0), REDUCTIONS
    ):
        options = {
            "label_smoothing": smoothing,
            "class_weights": weights,
            "ignore_index": ignore_index,
            "temperature": temperature,
            "reduction": reduction,
        }
        what = str(options)
        got = softmax_cross_entropy(LOGITS, TARGETS[target], **options)

        logits = torch.tensor(LOGITS, requires_grad=True)
        loss = torch.nn.functional.cross_entropy(
            logits / temperature,
            torch.tensor(TARGETS[target]),
            weight=None if weights is None else torch.tensor(weights),
            ignore_index=-100 if ignore_index is None else ignore_index,
            label_smoothing=smoothing,
            reduction=reduction,
        )
        loss.sum().backward()
        loss, gradient = loss.detach().numpy(), logits.grad.numpy()
        np.testing.assert_allclose(got.loss, loss, rtol=1e-13, err_msg=what)
        np.testing.assert_allclose(got.grad_logits, gradient, 1e-12, 1e-14, err_msg=what)
        probs = torch.softmax(logits / temperature, 1).detach().numpy()
        np.testing.assert_allclose(got.probs, probs, rtol=1e-13, err_msg=what)
        # PyTorch's own numbers pass verification.
        claims = {"loss": loss, "grad_logits": gradient}
        verify(LOGITS, TARGETS[target], **claims, **options).raise_if_failed()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_batch_without_rows_that_count_has_the_loss_of_torch(reduction):
    torch = pytest.importorskip("torch")
    labels = np.full(N, 3)
    got = softmax_cross_entropy(LOGITS, labels, ignore_index=3, reduction=reduction)
    loss = torch.nn.functional.cross_entropy(
        torch.tensor(LOGITS), torch.tensor(labels), ignore_index=3, reduction=reduction
    )
    np.testing.assert_equal(float(got.loss), float(loss))


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize(
    ("ignore_index", "reduction"), [(None, "mean"), (3, "mean"), (3, "sum"), (3, "none")]
)
def test_every_combination_of_options_agrees_with_onnx(weights, ignore_index, reduction):
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    given = {"scores": LOGITS, "labels": LABELS.astype(np.int64)}
    if weights is not None:
        given["weights"] = weights
    attributes = {} if ignore_index is None else {"ignore_index": ignore_index}
    node = helper.make_node(
        "SoftmaxCrossEntropyLoss", [*given], ["loss"], reduction=reduction, **attributes
    )
    types = {"labels": TensorProto.INT64}
    graph = helper.make_graph(
        [node],
        "loss",
        [
            helper.make_tensor_value_info(name, types.get(name, TensorProto.DOUBLE), value.shape)
            for name, value in given.items()
        ],
        [helper.make_tensor_value_info("loss", TensorProto.DOUBLE, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    [expected] = ReferenceEvaluator(model).run(None, given)
    got = softmax_cross_entropy(
        LOGITS, LABELS, class_weights=weights, ignore_index=ignore_index, reduction=reduction
    )
    np.testing.assert_allclose(got.loss, expected, rtol=1e-13)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_loss_of_labels_agrees_with_jax(reduction):
    jax = pytest.importorskip("jax")

    def losses(logits):
        return -jax.nn.log_softmax(logits)[np.arange(N), LABELS]

    def loss(logits):
        each = losses(logits)
        return each.mean() if reduction == "mean" else each.sum(), each

    logits = LOGITS.astype(np.float32)
    (whole, each), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(logits)
    returned = np.asarray(each if reduction == "none" else whole)
    got = softmax_cross_entropy(logits, LABELS, reduction=reduction)
    np.testing.assert_allclose(got.loss, returned, rtol=1e-6)
    np.testing.assert_allclose(got.grad_logits, gradient, rtol=1e-5, atol=1e-7)
    claims = {"loss": returned, "grad_logits": np.asarray(gradient)}
    verify(logits, LABELS, **claims, reduction=reduction).raise_if_failed()
