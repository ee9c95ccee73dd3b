"""The check: the smallest error that it catches, here and in other libraries.

One component of the gradient of a row is off by a factor 1 + error. From which error on does each
library's own check, as it is by default, say that the gradient is wrong?
"""

import importlib.util
from collections.abc import Callable, Iterator

import numpy as np
from timing import Table

from softgrad_core import check_gradients, softmax_cross_entropy

LOGITS = (14.0, 9.0, 2.0, -4.0, 1.5, 0.5, 3.0, -1.0, 0.25, 2.5)
TARGET = 1
COMPONENTS = (0, 2, 3)
"""One near 1, one near 1e-5, and one near 1e-8."""

ERRORS = [10.0**power for power in range(-15, 1)]


def p_of(logits):
    e = np.exp(logits - np.max(logits))
    return e / e.sum()


def gradient_of(logits, component, error):
    gradient = p_of(np.asarray(logits))
    gradient[TARGET] -= 1
    gradient[component] *= 1 + error
    return gradient


def by_softgrad(component: int, error: float) -> bool:
    right = softmax_cross_entropy(LOGITS, TARGET)
    gradient = right.grad_logits.copy()
    gradient[component] *= 1 + error
    return not check_gradients(LOGITS, TARGET, right.grad_probs, gradient)[0].passed


def by_torch(component: int, error: float) -> bool:
    import torch

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(context, a):
            context.save_for_backward(a)
            return torch.logsumexp(a, 0) - a[TARGET]

        @staticmethod
        def backward(context, grad):
            (a,) = context.saved_tensors
            return grad * torch.from_numpy(gradient_of(a.numpy(), component, error))

    a = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    return not torch.autograd.gradcheck(Loss.apply, (a,), raise_exception=False)


def by_jax(component: int, error: float) -> bool:
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)

    @jax.custom_vjp
    def loss(a):
        return jax.nn.logsumexp(a) - a[TARGET]

    def backward(a, grad):
        gradient = jax.nn.softmax(a) - jax.nn.one_hot(TARGET, len(LOGITS))
        return (grad * gradient.at[component].multiply(1 + error),)

    loss.defvjp(lambda a: (loss(a), a), backward)
    try:
        check_grads(loss, (np.array(LOGITS),), order=1, modes=["rev"])
    except AssertionError:
        return True
    return False


def by_scipy(component: int, error: float) -> bool:
    from scipy.optimize import check_grad
    from scipy.special import logsumexp

    norm = check_grad(
        lambda a: logsumexp(a) - a[TARGET], lambda a: gradient_of(a, component, error), LOGITS
    )
    return norm > 1e-6


CHECKS: dict[str, tuple[str, Callable[[int, float], bool]]] = {
    "softgrad, check_gradients": ("softgrad_core", by_softgrad),
    "PyTorch, autograd.gradcheck": ("torch", by_torch),
    "JAX, test_util.check_grads": ("jax", by_jax),
    "SciPy, optimize.check_grad > 1e-6": ("scipy", by_scipy),
}


def smallest_caught(catches: Callable[[float], bool]) -> str:
    """Return the smallest decade from which on all errors are caught."""
    caught = [catches(error) for error in ERRORS]
    if not caught[-1]:
        return "not even 100 %"
    first = len(caught) - next((n for n, one in enumerate(caught[::-1]) if not one), len(caught))
    return f"{ERRORS[first]:.0e}"


def measure() -> Iterator[Table]:
    """Yield the smallest errors."""
    gradient = gradient_of(LOGITS, 0, 0.0)
    rows = [("check", *(f"in a component of {gradient[c]:.1g}" for c in COMPONENTS))]
    for name, (module, catches) in CHECKS.items():
        if importlib.util.find_spec(module) is None:
            rows.append((name, *["not installed"] * len(COMPONENTS)))
            continue
        found = [
            smallest_caught(lambda error, c=c, catches=catches: catches(c, error))
            for c in COMPONENTS
        ]
        rows.append((name, *found))
    yield Table(
        "The smallest relative error in one component of dL/da that a check catches, 10 classes",
        rows,
        "With the tolerances that each has by default; SciPy's gives a norm and no verdict.",
    )
