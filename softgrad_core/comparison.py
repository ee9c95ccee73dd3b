"""Numbers as claimed, beside the numbers as they should be -> a verdict per component.

`compare` takes the decimals of the numerical check, `compare_claims` arrays of any number of rows.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    localcontext,
)
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.logits import FloatArray
from softgrad_core.tolerances import Tolerance

DIGITS = 40
"""Digits of the decimals: twice what float64 has, and a few for the errors of some operations."""

# What overflows is infinite, and what underflows is 0, instead of an exception.
EXTENDED = Context(
    prec=DIGITS, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[InvalidOperation, DivisionByZero]
)

SMALLEST_NORMAL = EXTENDED.power(Decimal(2), -1022)
SMALLEST_SUBNORMAL = EXTENDED.power(Decimal(2), -1074)
LARGEST = Decimal((2**53 - 1) * 2**971)

# Below the smallest normal a float64 has a last place of fixed size and a relative error means
# nothing: there a value is held to this many of those places.
SUBNORMAL_PLACES = 8

# An error as large as the tolerance must be caught although the value that bears it was rounded
# and had an honest error of a few ulp before.
CAUGHT_FROM = 0.99


class Verdict(StrEnum):
    """What a comparison can say of a number."""

    PASS = "pass"
    FAIL = "fail"
    UNINFORMATIVE = "uninformative"
    """Not wrong, and not shown right: too small, or infinite, for an error to be seen."""

    @property
    def rank(self) -> int:
        """The number that stands for it in arrays, the larger the worse."""
        return RANKED.index(self)


RANKED = (Verdict.PASS, Verdict.UNINFORMATIVE, Verdict.FAIL)
"""The verdicts by rank."""


@dataclass(frozen=True, slots=True)
class Component:
    """One number compared with what it should be."""

    expected: float
    relative_error: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """One vector compared with what it should be.

    Attributes
    ----------
    components
        One for each class.
    verdict
        `FAIL` where any component fails, else `PASS` where any passes.
    max_relative_error
        The largest among the components that could be judged; None where none could.
    worst_class
        The class that has it.
    """

    components: tuple[Component, ...]
    verdict: Verdict
    max_relative_error: float | None
    worst_class: int | None

    @property
    def uninformative(self) -> int:
        """The number of components that could not be judged."""
        return sum(component.verdict is Verdict.UNINFORMATIVE for component in self.components)


def compare(
    got: Iterable[float],
    expected: Sequence[Decimal | None],
    tolerance: float,
    sizes: Sequence[Decimal | None] | None = None,
) -> Comparison:
    """Compare float64 values with decimals of many more digits, one by one.

    Parameters
    ----------
    got
        The values in question.
    expected
        What each should be; Infinity where it overflows, None where nobody can know.
    tolerance
        The relative error from which on a component fails, however small the component is.
    sizes
        What errors are relative to, where that is larger than the number itself: the terms of a
        difference in which digits cancel.

    Examples
    --------
    >>> result = compare([0.5, 2e-300], [Decimal("0.5"), Decimal("2.000000000002e-300")], 1e-12)
    >>> result.verdict, result.worst_class
    (<Verdict.FAIL: 'fail'>, 1)
    """
    with localcontext(EXTENDED):
        components = tuple(
            _compare_one(value, reference, tolerance, size)
            for value, reference, size in zip(got, expected, sizes or expected, strict=True)
        )
    judged = [
        (component.relative_error, -place)
        for place, component in enumerate(components)
        if component.verdict is not Verdict.UNINFORMATIVE
    ]
    verdicts = {component.verdict for component in components}
    verdict = next(
        (verdict for verdict in (Verdict.FAIL, Verdict.PASS) if verdict in verdicts),
        Verdict.UNINFORMATIVE,
    )
    if not judged:
        return Comparison(components, verdict, None, None)
    error, minus_place = max(judged)
    return Comparison(components, verdict, error, -minus_place)


def worst_of(rows: Sequence[Comparison]) -> int:
    """Return which of several vectors tells most: one that fails, or else passes, the worst."""
    by_weight = (Verdict.UNINFORMATIVE, Verdict.PASS, Verdict.FAIL)
    keys = [(by_weight.index(row.verdict), row.max_relative_error or 0.0) for row in rows]
    return keys.index(max(keys))


def _compare_one(
    got: float, expected: Decimal | None, tolerance: float, size: Decimal | None
) -> Component:
    if expected is None and not math.isnan(got):
        return Component(math.nan, math.nan, Verdict.UNINFORMATIVE)
    rounded = math.nan if expected is None else float(expected)
    if expected is None or size is None or math.isnan(got):
        return Component(rounded, math.inf, Verdict.FAIL)
    if math.isinf(got) or expected.is_infinite():
        return _compare_infinite(got, expected)
    size = max(abs(size), abs(expected))
    difference = abs(Decimal(got) - expected)
    error = float(difference / size) if size else (math.inf if difference else 0.0)
    if 0 < size < SMALLEST_NORMAL:
        near = difference <= SUBNORMAL_PLACES * SMALLEST_SUBNORMAL
        return Component(rounded, error, Verdict.UNINFORMATIVE if near else Verdict.FAIL)
    failed = error >= CAUGHT_FROM * tolerance
    return Component(rounded, error, Verdict.FAIL if failed else Verdict.PASS)


def _compare_infinite(got: float, expected: Decimal) -> Component:
    """Infinity is right where the value overflows, which says little; elsewhere it is wrong."""
    overflows = abs(expected) > LARGEST * (1 - Decimal("1e-15"))
    if overflows and math.isinf(got) and (got > 0) == (expected > 0):
        return Component(math.copysign(math.inf, got), math.nan, Verdict.UNINFORMATIVE)
    return Component(float(expected), math.inf, Verdict.FAIL)


@dataclass(frozen=True, slots=True, eq=False)
class ClaimComparison:
    """Claims of one quantity beside their exact values: N rows of C numbers (of one, for a loss).

    Attributes
    ----------
    expected
        The exact values, rounded to float64, of shape (N, C).
    got
        The claims, of shape (N, C).
    error_ulp
        Their distance in units of the last place of the claims' dtype, of shape (N, C).
    component_ranks
        The rank of each component's verdict, of shape (N, C).
    ranks
        The rank of each row's verdict, of shape (N,): fail where any component fails; pass where
        any that is not 0 passes, or all do.
    max_error_ulp, max_relative_error
        The largest in each row among the components that have its verdict, of shape (N,).
    worst_class
        The class with the largest error in ulp among these, of shape (N,).
    uninformative
        The number of components of each row that could not be judged, of shape (N,).
    """

    expected: FloatArray
    got: FloatArray
    error_ulp: FloatArray
    component_ranks: npt.NDArray[np.uint8]
    ranks: npt.NDArray[np.uint8]
    max_error_ulp: FloatArray
    max_relative_error: FloatArray
    worst_class: npt.NDArray[np.intp]
    uninformative: npt.NDArray[np.intp]

    @property
    def failed(self) -> npt.NDArray[np.bool]:
        """Whether a row fails, of shape (N,)."""
        return np.asarray(self.ranks == Verdict.FAIL.rank)


def compare_claims(
    got: FloatArray, expected: npt.NDArray[np.floating[Any]], tolerance: Tolerance
) -> ClaimComparison:
    """Compare claims with exact values; both are of shape (C, N), one column for each row.

    A component passes where it is within the tolerance without the absolute part, or where it is
    the exact value rounded to the dtype. One that needs the absolute part, and is so small that 0
    would pass as well, is uninformative.

    Examples
    --------
    >>> exact = np.array([[0.5], [1e-9], [1e-9]])
    >>> claim = np.array([[0.5], [1e-9], [0.0]])
    >>> result = compare_claims(claim, exact, Tolerance("float32"))
    >>> [RANKED[rank].value for rank in result.component_ranks[0]]
    ['pass', 'pass', 'uninformative']
    """
    with np.errstate(all="ignore"):
        difference = np.abs(got - expected)
        size = np.abs(expected)
        unit = tolerance.dtype.spacing(expected)
        relative = tolerance.relative(size, unit)
        allowed = relative + tolerance.absolute
        right = (difference <= relative) & np.isfinite(size)
        # Where so much is allowed that 0 would pass as well, a number shows little.
        right &= (size > relative) | (difference == 0)
        ranks = np.zeros(got.shape, dtype=np.uint8)
        odd = np.nonzero(~right)
        rounded = tolerance.dtype.round(expected[odd])
        ranks[odd] = _rank(got[odd], expected[odd], rounded, allowed[odd])
        # An infinity that is right, and 0 for 0, are at no distance.
        difference[got == expected] = 0.0
        difference[tuple(place[got[odd] == rounded] for place in odd)] = 0.0
        # The mean of nothing is NaN, and nothing else.
        is_nan = np.isnan(expected) & np.isnan(got)
        difference[is_nan] = 0.0
        ranks[is_nan] = Verdict.PASS.rank
        errors = difference / unit, np.where(difference == 0.0, 0.0, difference / size)
        error_ulp, relative_error = (
            np.where(np.isnan(error), np.inf, error).astype(np.float64) for error in errors
        )
        return _by_row(got, expected, ranks, error_ulp, relative_error)


def _rank(
    got: FloatArray,
    expected: npt.NDArray[np.floating[Any]],
    rounded: FloatArray,
    allowed: npt.NDArray[np.floating[Any]],
) -> npt.NDArray[np.uint8]:
    """Return the ranks of components that are not right by their digits alone."""
    near = (np.abs(got - expected) <= allowed) & np.isfinite(allowed)
    vanishes = np.abs(expected) <= allowed
    return np.select(
        [got == rounded, near & vanishes, near],
        [Verdict.PASS.rank, Verdict.UNINFORMATIVE.rank, Verdict.PASS.rank],
        Verdict.FAIL.rank,
    ).astype(np.uint8)


def _by_row(
    got: FloatArray,
    expected: npt.NDArray[np.floating[Any]],
    component_ranks: npt.NDArray[np.uint8],
    error_ulp: FloatArray,
    relative_error: FloatArray,
) -> ClaimComparison:
    """Sum the components of each column up."""
    uninformative = component_ranks == Verdict.UNINFORMATIVE.rank
    undecided = uninformative.any(axis=0)
    ranks = component_ranks.max(axis=0)
    if undecided.any():
        shown_right = ((component_ranks == Verdict.PASS.rank) & (expected != 0)).any(axis=0)
        ranks[shown_right & (ranks == Verdict.UNINFORMATIVE.rank)] = Verdict.PASS.rank
    decisive = component_ranks == ranks
    decisive_ulp = np.where(decisive, error_ulp, -1.0)
    return ClaimComparison(
        expected=np.asarray(expected, dtype=np.float64).T,
        got=got.T,
        error_ulp=error_ulp.T,
        component_ranks=component_ranks.T,
        ranks=ranks,
        max_error_ulp=decisive_ulp.max(axis=0),
        max_relative_error=np.where(decisive, relative_error, -1.0).max(axis=0),
        worst_class=decisive_ulp.argmax(axis=0),
        uninformative=uninformative.sum(axis=0),
    )
