"""softgrad's arithmetic: softmax, negative log-likelihood and both gradients, right to 15 digits.

>>> import softgrad_core
>>> result = softgrad_core.softmax_cross_entropy([[0.0, 0.0], [0.0, 0.0]], [0, 1])
>>> result.grad_logits.tolist()
[[-0.5, 0.5], [0.5, -0.5]]
"""

from typing import TYPE_CHECKING, Any

from softgrad_core.cross_entropy import SoftmaxCrossEntropy, softmax_cross_entropy
from softgrad_core.errors import InputError

if TYPE_CHECKING:
    from softgrad_core.comparison import Comparison, Component, Verdict
    from softgrad_core.numerical import GradientCheck, check_gradients

__all__ = [
    "Comparison",
    "Component",
    "GradientCheck",
    "InputError",
    "SoftmaxCrossEntropy",
    "Verdict",
    "check_gradients",
    "softmax_cross_entropy",
]


def __getattr__(name: str) -> Any:
    """Import the check when it is first asked for: its decimals take time to load."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from softgrad_core import comparison, numerical

    return getattr(numerical, name, None) or getattr(comparison, name)
