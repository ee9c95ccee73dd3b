"""What a function gave for an input -> right, or what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.from_options import objective_of
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.results import LOSSES
from softgrad_core.probing.frameworks import Answer
from softgrad_core.probing.inputs import Input, Plan
from softgrad_core.verification.claims import as_rows_of
from softgrad_core.verification.diagnosis.mistake import Mistake
from softgrad_core.verification.judging import Claims
from softgrad_core.verification.tolerances import Tolerance
from softgrad_core.verification.verify import Verification, verify_rows


class Kind(NamedTuple):
    """What can be wrong besides numbers: a name, what happened, and what to do."""

    name: str
    explanation: str
    remedy: str


SHAPE = Kind(
    "wrong-shape",
    "the result has another shape than its input asks for",
    "return one loss a row, or one in all with a reduction, and a gradient of the logits' shape",
)
NO_ROWS = Kind(
    "wrong-for-no-rows",
    "there are no rows, and the result is neither 0 nor NaN",
    "return 0 or NaN for an empty batch, or raise an error",
)
OVERWRITTEN = Kind(
    "input-overwritten",
    "the function writes to its logits or its targets",
    "copy them, or say in the documentation that they are used up",
)
RAISED = Kind(
    "exception", "the function raised an error", "make it accept this input, or document the error"
)
HANGS = Kind("hangs", "the function did not return in time", "look for a loop that does not end")
CRASHES = Kind(
    "crashes", "the process of the function ended", "look for memory that is not the function's own"
)
UPSTREAM_IGNORED = Kind(
    "upstream-ignored",
    "the gradient is not multiplied by the one that comes from above",
    "multiply by grad_output, of which each row has its own without a reduction",
)
UPSTREAM_OF_FIRST = Kind(
    "upstream-of-the-first-row",
    "every row is multiplied by the gradient that comes from above for the first one",
    "multiply each row by its own element of grad_output",
)
UPSTREAM_TWICE = Kind(
    "upstream-twice",
    "the gradient is multiplied twice by the one that comes from above",
    "multiply by grad_output in one place only",
)
STRIDES_IGNORED = Kind(
    "strides-ignored",
    "the numbers are right only if the logits lie row by row without gaps",
    "use the strides of the array, or make a contiguous copy first",
)
STATE_KEPT = Kind(
    "state-kept",
    "the numbers depend on earlier calls: the same input does not always give the same",
    "clear buffers that are used again, and cache nothing by shape alone",
)
ROWS_OF_OTHERS = Kind(
    "rows-of-others",
    "rows hold the results of other rows",
    "look for an index that wraps, a buffer that is used again, or rows in another order",
)
UNKNOWN_MISTAKE = Kind(
    "unknown", "no known mistake gives these numbers", "compare them number by number"
)

KINDS = {
    kind.name: kind
    for kind in (
        SHAPE,
        NO_ROWS,
        OVERWRITTEN,
        RAISED,
        HANGS,
        CRASHES,
        UPSTREAM_IGNORED,
        UPSTREAM_OF_FIRST,
        UPSTREAM_TWICE,
        STRIDES_IGNORED,
        STATE_KEPT,
        ROWS_OF_OTHERS,
    )
}
"""By name, what can be wrong that no catalogue of numbers has."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What became of an answer.

    Attributes
    ----------
    given, answer
        The input, and what the function gave.
    failed
        The names of the claims that are wrong.
    worst_ulp
        The largest error of what is right, in units of the last place of its type.
    refused, reason
        What is wrong if the numbers could not be judged, and the same in words.
    """

    given: Input
    dtype: Dtype
    plan: Plan
    answer: Answer
    failed: tuple[str, ...] = ()
    worst_ulp: float = 0.0
    refused: Kind | None = None
    reason: str = ""

    @cached_property
    def verifications(self) -> list[Verification]:
        """The verdicts on what failed, with their diagnosis."""
        cases = cases_of(self.given, self.dtype, self.plan, self.answer)
        return [
            verify_rows(case.rows, case.objective, _of(case.claims, self.failed), case.tolerance)
            for case in cases
            if _of(case.claims, self.failed)
        ]

    @property
    def claim_dtype(self) -> Dtype:
        """The type with the most digits of those that the claims which failed are held to."""
        claims = _of(self.answer.claims, self.failed)
        own = _dtypes(claims, self.dtype)
        return min(own.values(), key=lambda dtype: dtype.epsilon, default=self.dtype)

    @cached_property
    def mistakes(self) -> dict[str, list[Mistake]]:
        """The mistakes that explain each claim that failed, the simplest first."""
        summaries = [verification.summary() for verification in self.verifications]
        return {name: found for one in summaries for name, found in one.mistakes().items()}

    @property
    def holds_other_rows(self) -> bool:
        """Whether the gradient of some rows is that of others."""
        of_gradients = (one.quantities.get("grad_logits") for one in self.verifications)
        return any(quantity.holds_other_rows for quantity in of_gradients if quantity)

    @property
    def is_nan(self) -> bool:
        """Whether a claim that failed has a NaN."""
        claims = (as_floats(self.answer.claims[name]) for name in self.failed)
        return any(bool(np.isnan(claim).any()) for claim in claims)


class _Case(NamedTuple):
    """Claims that are judged together."""

    rows: Any
    objective: Objective
    claims: Mapping[str, Any]
    tolerance: Tolerance


def judge(given: Input, dtype: Dtype, plan: Plan, answer: Answer) -> Judgement:
    """Judge an answer: the numbers that rounding does not explain are wrong."""
    right = Judgement(given, dtype, plan, answer)
    if _is_left_open(given, plan, answer):
        return right
    try:
        cases = cases_of(given, dtype, plan, answer)
    except ValueError as error:
        return replace(right, refused=SHAPE, reason=str(error))
    if not len(given.logits):
        return replace(right, refused=NO_ROWS, reason=NO_ROWS.explanation)
    failed: list[str] = []
    worst = 0.0
    for case in cases:
        claims = Claims(case.rows, case.objective, case.claims, case.tolerance)
        for name, judged in claims.judged().items():
            comparison = judged.comparison
            if comparison.failed.any():
                failed.append(name)
            else:
                # What no number shows has no error to speak of.
                errors = comparison.max_error_ulp[comparison.shown]
                worst = max(worst, float(errors.max(initial=0.0)))
    return replace(right, failed=tuple(failed), worst_ulp=worst)


def _is_left_open(given: Input, plan: Plan, answer: Answer) -> bool:
    """Return whether a right function may give several things here, and this gave one of them.

    The mean of no rows is NaN or 0, and so is what comes of an empty batch.
    """
    ignored = plan.ignored
    is_empty = not len(given.logits)
    counts = given.targets != ignored if given.has_labels and ignored is not None else np.True_
    weights = plan.option("class_weights", given)
    if weights is not None and given.has_labels:
        counts = counts & (weights[np.where(counts, given.targets, 0)] > 0.0)
    if not is_empty and np.any(counts):
        return False
    numbers = [as_floats(claim) for claim in answer.claims.values()]
    is_mean = plan.is_reduced and plan.option("reduction") != "sum"
    return all(
        bool(((claim == 0.0) | (np.isnan(claim) & (is_mean or is_empty))).all())
        for claim in numbers
    )


def cases_of(given: Input, dtype: Dtype, plan: Plan, answer: Answer, count: int = 1) -> list[_Case]:
    """Return the claims of an answer: all of them, or if need be gradients and losses apart.

    They may be about several inputs with as many rows each, one below the other.

    Raises ValueError if a claim has another shape than its quantity.
    """
    shape = given.logits.shape
    of_batches = () if count == 1 else (count,)
    losses = of_batches if plan.is_reduced else shape[:1]
    rows, objective = given.logits, _objective(given, plan, len(given.logits) // count)
    claims = {}
    for name, claim in answer.claims.items():
        wanted = losses if name in LOSSES else shape
        if name in LOSSES and plan.is_reduced and claim.shape == (1,):
            claim = claim.reshape(())  # noqa: PLW2901 - a batch of one loss
        claims[name] = as_rows_of(name, claim, wanted)
    if shape[1] == 1:
        # A masked class beside the only one changes nothing, and makes a softmax of it.
        rows = np.concatenate([rows, np.full(shape, -np.inf)], axis=1)
        claims = {
            name: claim if name in LOSSES else _with_masked_class(name, claim)
            for name, claim in claims.items()
        }
    if objective.z_scale is None:
        # Without a z-loss there is nothing to compare a claim of it with.
        claims.pop("z_loss", None)
    tolerance = _tolerance(claims, dtype, plan)
    claims = {name: _with_infinities(name, claim, given, count) for name, claim in claims.items()}
    if given.upstream is None:
        return [_Case(rows, objective, claims, tolerance)]
    scale = 1.0 if objective.scale is None else objective.scale
    above = replace(objective, scale=np.broadcast_to(scale * given.upstream, shape[0]).copy())
    gradients = _of(claims, ("grad_logits",))
    others = _of(claims, set(claims) - {"grad_logits"})
    cases = (_Case(rows, above, gradients, tolerance), _Case(rows, objective, others, tolerance))
    return [case for case in cases if case.claims]


def _objective(given: Input, plan: Plan, batch: int) -> Objective:
    options = plan.options_of(given)
    shape = given.logits.shape
    targets = given.targets
    if shape[1] == 1:
        # With one class a smoothed target is that class.
        options = {name: value for name, value in options.items() if name != "label_smoothing"}
        shape = (shape[0], 2)
        if not given.has_labels:
            targets = np.concatenate([targets, np.zeros_like(targets)], axis=1)
    return objective_of(targets, shape, batch=batch, **options)


def as_floats(claim: Any) -> FloatArray:
    """Return a claim, an array of NumPy or `Packed` numbers, in float64."""
    return np.asarray(claim[...], dtype=np.float64)


def _with_masked_class(name: str, claim: Any) -> Any:
    """Return a claim about one class with that about a masked class beside it."""
    masked = np.full(claim.shape, -np.inf if name == "log_probs" else 0.0, dtype=claim[...].dtype)
    return np.concatenate([claim[...], masked], axis=1)


def _of(claims: Mapping[str, Any], names: Any) -> dict[str, Any]:
    return {name: claim for name, claim in claims.items() if name in names}


def _dtypes(claims: Mapping[str, Any], dtype: Dtype) -> dict[str, Dtype]:
    """Return the types that claims are held to.

    Numbers of float64 that come of a narrower type were widened on the way.
    """
    return {
        name: dtype
        if claim.dtype.name not in list(Dtype) or claim.dtype.name == Dtype.FLOAT64
        else Dtype(claim.dtype.name)
        for name, claim in claims.items()
    }


def _tolerance(claims: Mapping[str, Any], dtype: Dtype, plan: Plan) -> Tolerance:
    """Return what claims are held to: their own types, none wider than the arithmetic may be."""
    own = _dtypes(claims, dtype)
    arithmetic = None
    if plan.arithmetic is not None:
        is_wider = all(plan.arithmetic.epsilon <= one.epsilon for one in (dtype, *own.values()))
        arithmetic = plan.arithmetic if is_wider else None
    return Tolerance(dtype, arithmetic=arithmetic, dtypes=own)


def _with_infinities(name: str, claim: Any, given: Input, count: int) -> Any:
    """Return a claim of losses, with infinity for the largest number of its type.

    Some functions put it in the place of the infinite loss of a masked target.
    """
    dtype = claim.dtype.name
    if name not in LOSSES or dtype not in list(Dtype) or not np.isinf(given.logits).any():
        return claim
    numbers = as_floats(claim).reshape(count, -1)
    has_mask = np.isinf(given.logits).reshape(count, -1).any(axis=1, keepdims=True)
    may_stand = has_mask & (numbers >= Dtype(dtype).largest)
    return np.where(may_stand, np.inf, numbers).reshape(claim.shape)
