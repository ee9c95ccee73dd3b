"""softgrad's arithmetic: softmax, negative log-likelihood and both gradients, right to 15 digits.

>>> import softgrad_core
>>> result = softgrad_core.softmax_cross_entropy([[0.0, 0.0], [0.0, 0.0]], [0, 1])
>>> result.grad_logits.tolist()
[[-0.5, 0.5], [0.5, -0.5]]
"""

from typing import TYPE_CHECKING, Any

from softgrad_core.errors import InputError
from softgrad_core.loss.cross_entropy import softmax_cross_entropy
from softgrad_core.loss.results import SoftmaxCrossEntropy

if TYPE_CHECKING:
    from softgrad_core.checking.check import GradientCheck, check_gradients
    from softgrad_core.checking.comparison import Comparison, Component
    from softgrad_core.derivation.explain import Derivation, explain
    from softgrad_core.derivation.steps import Evaluation, Step
    from softgrad_core.loss.options import LossOptions
    from softgrad_core.probing.probe import Probe, ProbeError, probe
    from softgrad_core.verdicts import Verdict
    from softgrad_core.verification.comparison import ClaimComparison
    from softgrad_core.verification.tolerances import Tolerance
    from softgrad_core.verification.verify import Verification, VerificationError, verify

__all__ = [
    "ClaimComparison",
    "Comparison",
    "Component",
    "Derivation",
    "Evaluation",
    "GradientCheck",
    "InputError",
    "LossOptions",
    "Probe",
    "ProbeError",
    "SoftmaxCrossEntropy",
    "Step",
    "Tolerance",
    "Verdict",
    "Verification",
    "VerificationError",
    "check_gradients",
    "explain",
    "probe",
    "softmax_cross_entropy",
    "verify",
]


_MODULES = {
    "ClaimComparison": "verification.comparison",
    "Comparison": "checking.comparison",
    "Component": "checking.comparison",
    "Derivation": "derivation.explain",
    "Evaluation": "derivation.steps",
    "GradientCheck": "checking.check",
    "LossOptions": "loss.options",
    "Probe": "probing.probe",
    "ProbeError": "probing.probe",
    "Step": "derivation.steps",
    "Tolerance": "verification.tolerances",
    "Verdict": "verdicts",
    "Verification": "verification.verify",
    "VerificationError": "verification.verify",
    "check_gradients": "checking.check",
    "explain": "derivation.explain",
    "probe": "probing.probe",
    "verify": "verification.verify",
}


def __getattr__(name: str) -> Any:
    """Import what most runs do not need when it is first asked for: it takes time to load."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
