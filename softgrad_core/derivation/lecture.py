"""The order of the steps, which is that of a lecture.

The lecture is "Training neural networks - output layer gradient" from Hugo Larochelle's course on
neural networks. Where float64 would fail, a step shows what to do instead.
"""

from decimal import Decimal

from softgrad_core.derivation import penalty, scaling
from softgrad_core.derivation.evaluation import Scaling
from softgrad_core.derivation.label import LabelLoss
from softgrad_core.derivation.softmax import add_jacobian, add_softmax
from softgrad_core.derivation.steps import Steps
from softgrad_core.derivation.weighted import WeightedLoss
from softgrad_core.loss.objective import Objective


def derive(steps: Steps, objective: Objective) -> None:
    """Add the steps of one row, from its target to its gradients.

    An option of the loss adds its steps here, under a condition: so the derivation of a loss
    without it stays as it is.
    """
    loss: LabelLoss | WeightedLoss
    if objective.is_plain:
        loss = LabelLoss(steps)
    else:
        loss = WeightedLoss(steps, objective)
        steps.part = "The target and its weights"
        loss.add_weights()

    steps.part = "The output and its loss"
    changed = scaling_of(objective)
    if changed is not None:
        scaling.add_scaling(steps, changed)
    softmax = add_softmax(steps)
    loss.add_loss()

    steps.part = "The gradient with respect to the output"
    partial = loss.add_gradient_by_output()

    steps.part = "The gradient with respect to the pre-activation"
    found = loss.add_gradient_by_logits(partial, softmax)

    steps.part = "The same by the Jacobian of the softmax"
    add_jacobian(steps, found, loss.letter)

    gradient = loss.gradient
    if objective.z_scale is not None:
        steps.part = "The z-loss"
        gradient = penalty.add_penalty(steps, objective.z_weights(Decimal)[0], gradient)

    if changed is not None:
        steps.part = "The temperature" if changed.cap is None else "The soft cap"
        scaling.add_chain_rule(steps, changed, gradient)


def scaling_of(objective: Objective) -> Scaling | None:
    """Return what the softmax takes for the logits of one row; None for the logits themselves."""
    if not objective.is_scaled:
        return None
    t, cap = objective.temperature, objective.softcap
    return Scaling(
        Decimal(1) if t is None else Decimal(float(t[0])),
        None if cap is None else Decimal(float(cap[0])),
    )
