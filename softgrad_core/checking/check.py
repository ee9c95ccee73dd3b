"""Check gradients against differences of the loss, component by component."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Unpack

import numpy as np
import numpy.typing as npt

from softgrad_core.checking import CHECK_TOLERANCE
from softgrad_core.checking.comparison import Comparison, compare, overall
from softgrad_core.checking.differences import METHOD, difference_loss
from softgrad_core.loss.from_options import objective_of
from softgrad_core.loss.logits import FloatArray, given_rows
from softgrad_core.loss.logits import check_rows as check_logits
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.options import LossOptions
from softgrad_core.loss.targets import targets_by_rows
from softgrad_core.tensors import are_numbers, as_numpy, hint_for
from softgrad_core.verdicts import Verdict


@dataclass(frozen=True, slots=True, repr=False)
class GradientCheck:
    """Both gradients of one row, compared with the derivatives of its loss by differences."""

    method: str
    grad_probs: Comparison
    grad_logits: Comparison

    def __repr__(self) -> str:
        verdicts = f"grad_probs {self.grad_probs.verdict}, grad_logits {self.grad_logits.verdict}"
        return f"<GradientCheck: {verdicts}>"

    @property
    def passed(self) -> bool | None:
        """Whether all components that could be judged are right; None where none could."""
        verdict = overall((self.grad_probs.verdict, self.grad_logits.verdict))
        return None if verdict is Verdict.UNINFORMATIVE else verdict is Verdict.PASS

    @property
    def undecided(self) -> bool:
        """Whether some component could not be judged."""
        return bool(self.grad_probs.uninformative or self.grad_logits.uninformative)


class BatchCheck(NamedTuple):
    """The checks of the rows of one batch."""

    rows: Sequence[GradientCheck]

    @property
    def passed(self) -> bool | None:
        """Whether all that could be judged is right; None where nothing could."""
        answers = {row.passed for row in self.rows}
        return next((answer for answer in (False, True) if answer in answers), None)

    @property
    def undecided(self) -> bool:
        """Whether something could not be judged."""
        return any(row.undecided for row in self.rows)


def check_gradients(  # noqa: PLR0913 - keywords
    logits: "npt.ArrayLike",
    targets: "npt.ArrayLike",
    grad_probs: "npt.ArrayLike",
    grad_logits: "npt.ArrayLike",
    *,
    axis: int = -1,
    tolerance: float = CHECK_TOLERANCE,
    **options: Unpack[LossOptions],
) -> list[GradientCheck]:
    """Compare gradients with central differences of the loss, component by component.

    Parameters
    ----------
    logits, targets
        As for `softmax_cross_entropy`: one row of C logits, or N rows; or soft targets.
    grad_probs, grad_logits
        The gradients to check, dL/df(x) and dL/da, of the shape of `logits`.
    axis
        The axis that the classes are on, of logits and gradients, if it is not the last.
    tolerance
        The relative error at which a component fails, however small the component is, down to
        the smallest normal float64. Where two terms cancel, the error is relative to the larger
        of them. Gradients in float32 need about 1e-6.
    **options
        The options of the loss, see `LossOptions`.

    Returns
    -------
    list of GradientCheck
        One for each row.

    Raises
    ------
    InputError
        Under the same conditions as `softmax_cross_entropy`.
    ValueError
        Where a gradient is no array of numbers of the shape of `logits`, or the tolerance is not
        above 0 and finite.

    Examples
    --------
    >>> [check] = check_gradients([0.0, 0.0], 0, [-2.0, 0.0], [-0.5, 0.5])
    >>> check.passed
    True
    >>> [check] = check_gradients([0.0, 0.0], 0, [-2.0, 0.0], [-0.5, 0.5 * (1 + 1e-12)])
    >>> check.grad_logits.verdict, check.grad_logits.worst_class
    (<Verdict.FAIL: 'fail'>, 1)
    """
    if not 0 < tolerance < math.inf:
        raise ValueError(f"expected a tolerance above 0, got {tolerance}")
    rows = given_rows(logits, axis=axis)
    shape = rows.shape
    objective = objective_of(targets_by_rows(targets, shape, axis), shape, **options)
    values = objective.masked(rows.values).astype(np.float64, copy=False)
    check_logits(values, rows.single)
    gradients = (
        _as_block("grad_probs", grad_probs, shape, axis),
        _as_block("grad_logits", grad_logits, shape, axis),
    )
    return check_rows(values, objective, gradients, tolerance)


def _as_block(name: str, gradient: npt.ArrayLike, shape: tuple[int, ...], axis: int) -> FloatArray:
    """Return a gradient of the shape of the logits as float64 rows, or raise ValueError."""
    try:
        array = as_numpy(gradient)
    except TypeError as error:
        raise ValueError(f"expected {name} as an array of numbers, {error}") from None
    if not are_numbers(array.dtype):
        raise ValueError(f"expected {name} as an array of numbers, got {hint_for(array.dtype)}")
    if array.ndim == len(shape):
        array = np.moveaxis(array, axis, -1)
    if array.shape != shape:
        raise ValueError(f"expected {name} of the shape of the logits, {shape}, got {array.shape}")
    return array.astype(np.float64, copy=False).reshape(-1, shape[-1])


def check_rows(
    rows: FloatArray,
    objective: Objective,
    gradients: tuple[npt.NDArray[np.floating[Any]], npt.NDArray[np.floating[Any]]],
    tolerance: float,
) -> list[GradientCheck]:
    """Check the gradients dL/df(x) and dL/da of valid rows, all of shape (N, C)."""
    checks = []
    rows = objective.masked(rows)
    for row, (a, grad_probs, grad_logits) in enumerate(zip(rows, *gradients, strict=True)):
        by_probs, by_logits = difference_loss(a, objective.part([row]))
        checks.append(
            GradientCheck(
                METHOD,
                compare(grad_probs.tolist(), by_probs.values, tolerance),
                compare(grad_logits.tolist(), by_logits.values, tolerance, by_logits.sizes),
            )
        )
    return checks
