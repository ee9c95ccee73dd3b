"""Numbers beside what they should be in many digits: a verdict for each component."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from softgrad_core.decimals import EXTENDED, LARGEST, SMALLEST_NORMAL, SMALLEST_SUBNORMAL
from softgrad_core.verdicts import Verdict

# Below the smallest normal a float64 has a last place of fixed size and a relative error means
# nothing: there a value is held to this many of those places.
SUBNORMAL_PLACES = 8

# An error as large as the tolerance must be caught although the value that bears it was rounded
# and had an honest error of a few ulp before.
CAUGHT_FROM = 0.99


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
