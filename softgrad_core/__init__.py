"""softgrad's arithmetic: softmax, negative log-likelihood and both gradients, every digit right.

>>> import softgrad_core
>>> result = softgrad_core.softmax_cross_entropy([[0.0, 0.0], [0.0, 0.0]], [0, 1])
>>> result.grad_logits.tolist()
[[-0.5, 0.5], [0.5, -0.5]]
"""

from softgrad_core.comparison import Comparison, Component, Verdict
from softgrad_core.cross_entropy import SoftmaxCrossEntropy, softmax_cross_entropy
from softgrad_core.errors import InputError
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
