"""Compare float64 numbers with decimals, and give a verdict on each."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from softgrad_core.decimals import EXTENDED, LARGEST, SMALLEST_NORMAL, SMALLEST_SUBNORMAL
from softgrad_core.verdicts import Verdict

# Below the smallest normal number the last place of a float64 has a fixed size, so a relative
# error means nothing: a number is held to this many of those places instead.
SUBNORMAL_PLACES = 8

# A number with an error as large as the tolerance was also rounded, by a few ulp, which may have
# made the error smaller. It must be caught all the same.
CAUGHT_FROM = 0.99

# What several verdicts amount to is the last of these among them.
_BY_WEIGHT = (Verdict.UNINFORMATIVE, Verdict.PASS, Verdict.FAIL)


@dataclass(frozen=True, slots=True)
class Component:
    """One number compared with the value it should have."""

    expected: float
    relative_error: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """One vector compared with the values it should have.

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

    def __repr__(self) -> str:
        return f"<Comparison of {len(self.components):,} classes: {self.verdict}>"

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
    """Compare float64 numbers with decimals of many more digits, one by one.

    Parameters
    ----------
    got
        The numbers to judge.
    expected
        The value that each should have: Infinity where it overflows, None where it is unknown.
    tolerance
        The relative error at which a component fails, however small the component is.
    sizes
        What errors are relative to where that is larger than the value: the larger term of a
        difference in which digits cancel.

    Examples
    --------
    >>> result = compare([0.5, 2e-300], [Decimal("0.5"), Decimal("2.000000000002e-300")], 1e-12)
    >>> result.verdict, result.worst_class
    (<Verdict.FAIL: 'fail'>, 1)
    """
    with localcontext(EXTENDED):
        components = tuple(
            _compare_one(number, value, tolerance, size)
            for number, value, size in zip(got, expected, sizes or expected, strict=True)
        )
    verdict = overall(component.verdict for component in components)
    judged = [c for c, one in enumerate(components) if one.verdict is not Verdict.UNINFORMATIVE]
    if not judged:
        return Comparison(components, verdict, None, None)
    worst = max(judged, key=lambda c: components[c].relative_error)
    return Comparison(components, verdict, components[worst].relative_error, worst)


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict on all: fail where any fails, else pass where any passes."""
    return max(verdicts, key=_BY_WEIGHT.index, default=Verdict.UNINFORMATIVE)


def worst_of(rows: Sequence[Comparison]) -> int:
    """Return the row with the largest error, among those with the weightiest verdict."""
    keys = [(_BY_WEIGHT.index(row.verdict), row.max_relative_error or 0.0) for row in rows]
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
        # Infinity is right where the value overflows, which tells little; elsewhere it is wrong.
        overflows = abs(expected) > LARGEST * (1 - Decimal("1e-15"))
        if overflows and math.isinf(got) and (got > 0) == (expected > 0):
            return Component(got, math.nan, Verdict.UNINFORMATIVE)
        return Component(rounded, math.inf, Verdict.FAIL)
    size = max(abs(size), abs(expected))
    difference = abs(Decimal(got) - expected)
    error = float(difference / size) if size else (math.inf if difference else 0.0)
    if 0 < size < SMALLEST_NORMAL:
        near = difference <= SUBNORMAL_PLACES * SMALLEST_SUBNORMAL
        return Component(rounded, error, Verdict.UNINFORMATIVE if near else Verdict.FAIL)
    failed = error >= CAUGHT_FROM * tolerance
    return Component(rounded, error, Verdict.FAIL if failed else Verdict.PASS)
