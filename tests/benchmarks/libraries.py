"""What softgrad probe finds in the losses of libraries, each at its latest version here."""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from timing import Table

from softgrad_core import probe

SECONDS = 5.0


def scipy_log_softmax(logits: Any, targets: Any) -> Any:
    """Return SciPy's composition: log_softmax, and softmax - e."""
    from scipy.special import log_softmax, softmax

    rows = np.arange(len(targets))
    gradient = softmax(logits, axis=1)
    gradient[rows, targets] -= 1
    return -log_softmax(logits, axis=1)[rows, targets], gradient


def scipy_logsumexp(logits: Any, targets: Any) -> Any:
    """Return the loss by SciPy's logsumexp: the digits of confident rows are lost."""
    from scipy.special import logsumexp

    return logsumexp(logits, axis=1) - logits[np.arange(len(targets)), targets]


def onnx_reference(logits: Any, targets: Any) -> Any:
    """Return the loss of ONNX's reference evaluator for SoftmaxCrossEntropyLoss."""
    return _onnx("none")(logits, targets)


def onnx_reference_mean(logits: Any, targets: Any) -> Any:
    """Return the mean of ONNX's reference evaluator, whose ignored label is -100."""
    return _onnx("mean", ignore_index=-100)(logits, targets)


def _onnx(reduction: str, **attributes: Any) -> Callable[..., Any]:
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    def call(logits: Any, targets: Any) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(logits.dtype)
        node = helper.make_node(
            "SoftmaxCrossEntropyLoss", ["a", "y"], ["l"], reduction=reduction, **attributes
        )
        graph = helper.make_graph(
            [node],
            "loss",
            [
                helper.make_tensor_value_info("a", kind, [None, None]),
                helper.make_tensor_value_info("y", TensorProto.INT64, [None]),
            ],
            [helper.make_tensor_value_info("l", kind, None)],
        )
        evaluator = ReferenceEvaluator(helper.make_model(graph))
        return evaluator.run(None, {"a": logits, "y": targets.astype(np.int64)})[0]

    return call


def jax_log_softmax(logits: Any, targets: Any) -> Any:
    """Return the usual composition of JAX: the target's element of log_softmax."""
    import jax

    log_p = jax.nn.log_softmax(logits)
    return -jax.numpy.take_along_axis(log_p, targets[:, None], axis=1)[:, 0]


def jax_one_hot(logits: Any, targets: Any) -> Any:
    """Return the other one: log_softmax times a one-hot vector."""
    import jax

    return -(
        jax.nn.one_hot(targets, logits.shape[1], dtype=logits.dtype) * jax.nn.log_softmax(logits)
    ).sum(axis=1)


PYTORCH = "torch.nn.functional:cross_entropy"
HALVES = ("bfloat16", "float16")

PROBED: list[tuple[str, str, dict[str, Any]]] = [
    *(
        ("torch", PYTORCH, {"dtype": dtype, "reduction": "mean", "ignore_index": -100} | more)
        for dtype in ("float64", "float32", *HALVES)
        for more in ({}, {"label_smoothing": 0.1}, {"class_weights": [1.0, 2.0, 0.5]})
    ),
    ("scipy", "libraries:scipy_log_softmax", {}),
    ("scipy", "libraries:scipy_logsumexp", {}),
    ("onnx", "libraries:onnx_reference", {"dtype": "float32"}),
    ("onnx", "libraries:onnx_reference_mean", {"reduction": "mean", "ignore_index": -100}),
    *(
        ("jax", f"libraries:{name}", {"dtype": dtype, "framework": "jax"})
        for name in ("jax_log_softmax", "jax_one_hot")
        for dtype in ("float32", *HALVES)
    ),
    ("optax", "optax:softmax_cross_entropy_with_integer_labels", {}),
    ("optax", "optax:softmax_cross_entropy", {"soft_targets": True}),
    ("optax", "optax:safe_softmax_cross_entropy", {"soft_targets": True}),
]
"""A library, the function, and what is told about it."""


def measure() -> Iterator[Table]:
    """Yield what is found in each function."""
    sys.path.insert(0, str(Path(__file__).parent))
    rows: list[tuple[str, ...]] = [("library", "softgrad probe", "inputs", "found")]
    for library, name, told in PROBED:
        module, _, attribute = name.partition(":")
        function = getattr(import_module(module), attribute)
        options = "".join(
            f" --{option.replace('_', '-')}{'' if value is True else f' {value}'}"
            for option, value in told.items()
        )
        result = probe(function, seconds=SECONDS, **told)
        found = ", ".join(finding.name for finding in result.findings) or "nothing"
        asked = f"{name}{options}".replace("[", "").replace("]", "").replace(", ", ",")
        rows.append((f"{library} {version(library)}", asked, f"{result.tried.total():,}", found))
    yield Table("What a probe finds in libraries", rows)
