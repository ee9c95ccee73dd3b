"""The exponentials of usual.py, and the soft cap."""

from typing import NamedTuple

import numpy as np

from softgrad_core.loss.kernels.factors import for_all
from softgrad_core.loss.kernels.two_parts import Two, exp_in_parts, over, plus, times, two
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.targets import Places

FARTHEST = 340.0
"""Above this, by the cap, a logit may have a derivative without all its digits."""


class Exponentials(NamedTuple):
    """e = head + tail, of shape (C, N), and what it was made of."""

    d: FloatArray
    d_error: FloatArray | None
    head: FloatArray
    tail: FloatArray | None
    slopes: FloatArray | None
    """The derivatives of a soft cap, if there is one."""

    def times(self, factor: Two) -> FloatArray:
        """Return e times a factor of each row."""
        lost = self.head * factor.lost
        if self.tail is not None:
            lost += self.tail * factor.x
        lost += self.head * factor.x
        return lost

    def at(self, places: Places) -> Two:
        """Return some of these numbers, rounded, and what that leaves."""
        head = self.head[places]
        return plus(two(head), two(np.zeros_like(head) if self.tail is None else self.tail[places]))


def exponentials(a: FloatArray, objective: Objective, *, in_parts: bool) -> Exponentials:
    """Return exp(d): in two parts if that is asked for."""
    d, slopes = Two(a, np.zeros(1)), None
    if objective.softcap is not None:
        cap = np.broadcast_to(for_all(objective.softcap), (a.shape[1],))
        d, slopes = _capped(a, cap) if in_parts else _capped_for_float(a, cap)
    if objective.temperature is not None:
        t = np.broadcast_to(for_all(objective.temperature), (a.shape[1],))
        if (np.frexp(t)[0] == 0.5).all():
            d = Two(d.x / t, d.lost / t)
        else:
            d = over(d, two(np.ascontiguousarray(t)))
    d_error = None
    if d.lost.shape == d.x.shape:
        d_error = np.where(np.isfinite(d.lost), d.lost, 0.0)
    if in_parts:
        is_masked = a == -np.inf
        if not is_masked.any():
            return Exponentials(d.x, d_error, *exp_in_parts(d.x, d_error), slopes)
        head, tail = exp_in_parts(np.where(is_masked, 0.0, d.x), d_error)
        head[is_masked] = tail[is_masked] = 0.0
        return Exponentials(d.x, d_error, head, tail, slopes)
    e = np.exp(d.x)
    if d_error is not None:
        e += e * d_error
    return Exponentials(d.x, d_error, e, None, slopes)


def _capped_for_float(a: FloatArray, cap: FloatArray) -> tuple[Two, FloatArray]:
    """Return cap tanh(a / cap), to a few last places of the cap, and its derivative."""
    e = np.exp(np.abs(a) / cap * -2.0)
    under = 1.0 / (1.0 + e)
    z = np.copysign((1.0 - e) * under * cap, a)
    return two(np.where(a == -np.inf, a, z)), 4.0 * e * under * under


def _capped(a: FloatArray, cap: FloatArray) -> tuple[Two, FloatArray]:
    """Return the same with all digits; NaN where |a| / cap is too large."""
    is_masked = a == -np.inf
    cap = np.ascontiguousarray(np.broadcast_to(cap, a.shape))
    w = over(two(np.where(is_masked, 0.0, np.abs(a))), two(cap))
    w = Two(np.where(w.x > FARTHEST, np.nan, -2.0 * w.x), -2.0 * w.lost)
    e, one = plus(*map(two, exp_in_parts(*w))), two(np.ones(1))
    under = plus(one, e)
    z = times(two(np.copysign(cap, a)), over(plus(one, -e), under))
    slopes = np.where(is_masked, 0.0, 4.0 * over(e, times(under, under)).x)
    return Two(np.where(is_masked, -np.inf, z.x), z.lost), slopes
