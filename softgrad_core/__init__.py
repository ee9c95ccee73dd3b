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
    from softgrad_core.comparison import ClaimComparison, Comparison, Component, Verdict
    from softgrad_core.numerical import GradientCheck, check_gradients
    from softgrad_core.verification import Verification, VerificationError, verify

__all__ = [
    "ClaimComparison",
    "Comparison",
    "Component",
    "GradientCheck",
    "InputError",
    "SoftmaxCrossEntropy",
    "Verdict",
    "Verification",
    "VerificationError",
    "check_gradients",
    "softmax_cross_entropy",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import check and verification when they are first asked for: they take time to load."""
    if name in __all__:
        from softgrad_core import comparison, numerical, verification

        for module in (numerical, verification, comparison):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
