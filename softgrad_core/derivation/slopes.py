"""The loss of one row as curves: of each logit, and of f(x)_y, with the tangent at the point.

A gradient is a slope. Here are the curves whose slopes the derivation finds, as points to draw.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective

MOST_CURVES = 6
"""Of more classes, those with the largest gradients have a curve, and the target."""

POINTS = 97
"""The points of a curve."""

HALF = 5.0
"""A curve reaches so far to either side of its logit, times the temperature."""

OF_CAP = 1.5
"""Beside a soft cap it reaches so many caps, where the loss has become flat."""

LARGEST_MOVED = 1e12
"""A float64 of this size still has some digits for a step."""

SMALLEST_SHARE = math.exp(-9.0)
"""Where the curve of the loss by f(x)_y begins."""


@dataclass(frozen=True, slots=True, eq=False)
class Slope:
    """The loss as a function of one number, all others held.

    Attributes
    ----------
    index
        The class whose logit is moved; None for the output f(x)_y.
    at, slope
        The number, and the derivative of the loss there.
    push, pull, factor
        The slope is `factor * (push - pull)` before rounding. Of a label the two are f(x)_c and
        1_(y=c); the factor is dz_c/da_c, which a temperature and a soft cap make smaller than 1.
    xs, losses
        The points of the curve.
    """

    index: int | None
    at: float
    slope: float
    push: float
    pull: float
    factor: float
    xs: FloatArray
    losses: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """The curves of one row, drawn on one scale.

    Attributes
    ----------
    loss
        The loss at the point.
    run, rise
        How far a logit is moved, and how far the loss then moves for a slope as steep as there
        can be: drawn with the same length, the steepest line has 45 degrees.
    of_logits
        The curve of each class, in their order.
    of_output
        The curve of f(x)_y, where y is the true class or the most probable one of the target.
    """

    loss: float
    run: float
    rise: float
    of_logits: Sequence[Slope]
    of_output: Slope


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """What the loss of one row is made of, as numbers.

    Attributes
    ----------
    logits, weights
        a and q, by class.
    label
        The true class, or the most probable one of the target.
    temperature, cap
        T, and the soft cap or infinity.
    penalty, constant
        The weight of the z-loss, and what a divergence adds.
    """

    logits: FloatArray
    weights: FloatArray
    label: int
    temperature: float
    cap: float
    penalty: float
    constant: float

    @classmethod
    def of(cls, logits: FloatArray, objective: Objective) -> "Setting":
        """Return the setting of a row of logits without padding."""
        count = len(logits)
        t, cap, entropy = objective.temperature, objective.softcap, objective.neg_entropies(count)
        return cls(
            logits,
            objective.weights(count)[0],
            int(objective.labels[0]),
            1.0 if t is None else float(t[0]),
            math.inf if cap is None else float(cap[0]),
            float(objective.z_weights()[0]),
            0.0 if entropy is None else float(entropy[0]),
        )

    @property
    def half(self) -> float:
        """How far a curve reaches to either side of its logit."""
        half = HALF * self.temperature
        return half if math.isinf(self.cap) else max(half, OF_CAP * self.cap)

    @property
    def run(self) -> float:
        """How far a logit is moved in a picture, see `Slopes`."""
        return self.half / HALF

    @property
    def rise(self) -> float:
        """How far the loss then moves for a slope as steep as there can be."""
        return self.run * (float(self.weights.sum()) or 1.0) / self.temperature

    def scaled(self, logits: FloatArray) -> FloatArray:
        """Return what the softmax takes for logits; a masked class stays masked."""
        if math.isinf(self.cap):
            return logits / self.temperature
        capped = self.cap * np.tanh(logits / self.cap)
        return np.where(np.isinf(logits), logits, capped) / self.temperature

    def loss(self, z: FloatArray, c: int, moved: FloatArray) -> FloatArray:
        """Return the loss where the softmax takes each of these numbers for the class c."""
        others = np.delete(z, c)
        top = np.maximum(others.max(), moved)
        total = np.exp(others[:, np.newaxis] - top).sum(axis=0) + np.exp(moved - top)
        log_total = top + np.log(total)
        held = np.delete(self.weights, c)
        kept = held != 0.0
        # A class without a weight may be masked, and 0 times infinity is no number.
        terms = held[kept][:, np.newaxis] * (log_total - others[kept][:, np.newaxis])
        own = self.weights[c] * (log_total - moved) if self.weights[c] else 0.0
        loss = terms.sum(axis=0) + own + self.constant
        return np.asarray(loss + self.penalty * log_total**2 if self.penalty else loss)


def slopes_of(logits: FloatArray, objective: Objective) -> Slopes:
    """Return the curves of one row of logits without padding.

    Examples
    --------
    >>> from softgrad_core.loss.from_options import objective_of
    >>> slopes = slopes_of(np.array([2.0, 1.0, 0.1]), objective_of(0, (1, 3)))
    >>> [round(curve.slope, 6) for curve in slopes.of_logits]
    [-0.340999, 0.242433, 0.098566]
    """
    setting = Setting.of(logits, objective)
    z, q, total = setting.scaled(logits), setting.weights, float(setting.weights.sum())
    exps = np.exp(z - z.max())
    share = exps / exps.sum()
    log_total = float(z.max() + np.log(exps.sum()))
    steepness = np.full(len(z), 1.0 / setting.temperature)
    if math.isfinite(setting.cap):
        with np.errstate(over="ignore"):
            steepness /= np.cosh(np.where(np.isfinite(logits), logits, 0.0) / setting.cap) ** 2
    push = (total + 2.0 * setting.penalty * log_total) * share
    gradient = (push - q) * steepness
    # At a class that has nearly all of the output, and its weight, the difference would cancel.
    top = int(z.argmax())
    rest, other_weights = np.delete(exps, top).sum() / exps.sum(), np.delete(q, top).sum()
    z_slope = 2.0 * setting.penalty * log_total * share[top]
    gradient[top] = (share[top] * other_weights - q[top] * rest + z_slope) * steepness[top]
    loss = float(setting.loss(z, setting.label, z[[setting.label]])[0])
    return Slopes(
        loss,
        setting.run,
        setting.rise,
        [
            _by_logit(setting, z, c, gradient[c], (push[c], q[c], steepness[c]))
            for c in _telling(gradient, logits, setting.label)
        ],
        _by_output(setting, loss, float(share[setting.label])),
    )


def _telling(gradient: FloatArray, logits: FloatArray, label: int) -> list[int]:
    """Return the classes that have a curve: not those that are masked, or too large to move."""
    order = np.argsort(-np.abs(gradient), kind="stable").tolist()
    order.sort(key=lambda c: c != label)
    return sorted([c for c in order if abs(logits[c]) < LARGEST_MOVED][:MOST_CURVES])


def _by_logit(
    setting: Setting, z: FloatArray, c: int, slope: float, parts: Sequence[float]
) -> Slope:
    """Return the loss as a function of the logit of a class."""
    at = float(setting.logits[c])
    xs = np.linspace(at - setting.half, at + setting.half, POINTS)
    losses = setting.loss(z, c, setting.scaled(xs))
    push, pull, factor = map(float, parts)
    return Slope(c, at, float(slope), push, pull, factor, xs, losses)


def _by_output(setting: Setting, loss: float, share: float) -> Slope:
    """Return the loss as a function of f(x)_y, as if it could be moved alone."""
    weight = float(setting.weights[setting.label])
    first = min(SMALLEST_SHARE, share) or SMALLEST_SHARE
    xs = np.exp(np.linspace(math.log(first), 0.0, POINTS))
    slope = -weight / share if share else -math.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        losses = loss - weight * (np.log(xs) - np.log(share))
    return Slope(None, share, slope, 0.0, -slope, 1.0, xs, losses)
