"""Verified quantities of any number of records -> the answer for all of them, in a few lines."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.results import LOSSES
from softgrad_core.verdicts import RANKED, Verdict
from softgrad_core.verification.comparison import Ranks
from softgrad_core.verification.diagnosis.evidence import Evidence, Finding
from softgrad_core.verification.diagnosis.mistake import Mistake
from softgrad_core.verification.quantity import VerifiedQuantity, worst_ranks
from softgrad_core.verification.remarks import wider
from softgrad_core.verification.tolerances import Tolerance

MOST_CANDIDATES = 3
ONCE_ULP = 0.51  # An error up to this is one rounding of a number with more digits.
ENOUGH_NUMBERS = 100
MANY_ULP = 1e4  # A larger error is given relative to the exact value as well.
UNKNOWN = "unknown: no known mistake gives these numbers"


class Summary:
    """Counts verdicts block by block, and says in the end what became of all claims."""

    def __init__(self, tolerance: Tolerance) -> None:
        self.records: Counter[Verdict] = Counter()
        self.rejected = 0
        # How many records were typed with few digits, and half the units of their last ones.
        self._typed = 0
        self._digits: set[float] = set()
        self._tolerance = tolerance
        self._quantities: dict[str, _Quantity] = {}

    def add(
        self,
        quantities: Mapping[str, VerifiedQuantity],
        place: Callable[[int], str],
        *,
        explained: bool = False,
        remarked: bool = False,
    ) -> None:
        """Add the claims of a block of records; `place` says where a record is.

        If they are to be `explained`, and no known mistake does that, the summary says what the
        errors are made of. If they are `remarked` on, it says which step the kernel of claims that
        pass rounded. To find that takes a while.
        """
        if not quantities:
            return
        typed = [quantity for quantity in quantities.values() if quantity.is_typed]
        self._typed += len(next(iter(typed)).records) if typed else 0
        self._digits |= {unit for quantity in typed for unit in _units(quantity)}
        self.records += _counted(worst_ranks(quantities))
        for name, quantity in quantities.items():
            self._quantities.setdefault(name, _Quantity(name)).add(
                quantity, place, explained=explained, remarked=remarked
            )

    def join(self, other: "Summary") -> None:
        """Add what another summary counted of the records that follow."""
        self.records += other.records
        self.rejected += other.rejected
        self._typed += other._typed
        self._digits |= other._digits
        for name, quantity in other._quantities.items():
            self._quantities.setdefault(name, _Quantity(name)).join(quantity)

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and most numbers of each quantity could be judged."""
        passed = [quantity.passed for quantity in self._quantities.values()]
        return bool(passed) and all(passed)

    def mistakes(self) -> dict[str, list[Mistake]]:
        """Return, for each quantity that failed, the mistakes that explain most of it."""
        shared = self._shared()
        likely = {name: quantity.mistakes(shared) for name, quantity in self._quantities.items()}
        return {name: mistakes for name, mistakes in likely.items() if mistakes}

    def _shared(self) -> frozenset[str]:
        """Return the names of the mistakes that explain more than one quantity."""
        names = Counter(
            name
            for quantity in self._quantities.values()
            for name in {mistake.name for mistake in quantity.mistakes(frozenset())}
        )
        return frozenset(name for name, count in names.items() if count > 1)

    def lines(self) -> list[str]:
        """Return the lines of each quantity with its diagnosis, and one line for all records.

        Those that did not pass come first.
        """
        told: dict[str, str] = {}
        shared = self._shared()
        in_order = sorted(self._quantities.items(), key=lambda item: item[1].passed)
        lines = [
            line
            for name, quantity in in_order
            for line in quantity.lines(self._tolerance.of(name), told, shared)
        ]
        return [*lines, self.total()]

    def total(self) -> str:
        """Return the line for all records."""
        counts = (
            (self.records[Verdict.PASS], "passed"),
            (self.records[Verdict.FAIL], "failed"),
            (self.records[Verdict.UNINFORMATIVE], "could not be judged"),
            (self.rejected, "rejected"),
        )
        total = _amount(self.records.total() + self.rejected, "record")
        if self.records[Verdict.PASS] and not (self.passed or self.records[Verdict.FAIL]):
            counts = ((self.records[Verdict.PASS], "passed in part"), *counts[1:])
        said = ", ".join(f"{count:,} {what}" for count, what in counts if count)
        said = said or "nothing was verified"
        return f"{total}: {said} ({self._standard()})"

    def _standard(self) -> str:
        """Return what claims were held to."""
        of_types = f"a claim passes where {self._tolerance}"
        if not self._typed:
            return of_types
        given = "few digits were given: compared to within half a unit of the last one"
        if len(self._digits) == 1 and max(self._digits) < 1.0:
            [unit] = self._digits
            decimals = -math.floor(math.log10(unit)) - 1
            within = f"±{unit:.{decimals + 1}f}"
            were = "was" if decimals == 1 else "were"
            given = f"{_amount(decimals, 'decimal')} {were} given: compared to within {within}"
        return given if self._typed == self.records.total() else f"{given}; of others {of_types}"


class _Quantity:
    """What became of the claims of one quantity."""

    def __init__(self, name: str) -> None:
        self.verdicts: Counter[Verdict] = Counter()
        self._name = name
        self._evidence = Evidence(name)
        self._numbers = 0
        self._uninformative = 0
        self._assert_close = 0
        # Of batches: their rows, and those that are ignored.
        self._rows = 0
        self._ignored = 0
        # The largest error: whether it failed, its size in ulp and relative, and where it is.
        self._worst = (0, -1.0, -1.0)
        self._where = ""
        self._is_typed = False
        # What errors are made of that no known mistake explains.
        self._unexplained = ""
        # Which rows of the only batch are wrong, if not all.
        self._extent = ""
        # The step that was rounded in claims that pass.
        self._rounded_step: Mistake | None = None

    def add(
        self,
        quantity: VerifiedQuantity,
        place: Callable[[int], str],
        *,
        explained: bool,
        remarked: bool,
    ) -> None:
        """Add the claims of a block of records."""
        comparison = quantity.comparison
        self._evidence.add(comparison.failed, quantity.fits)
        if not len(comparison.ranks):
            return
        self._is_typed |= quantity.is_typed
        self.verdicts += _counted(comparison.ranks)
        self._numbers += quantity.numbers * len(comparison.ranks)
        rows, ignored = quantity.rows_of_batches
        self._rows += rows
        self._ignored += ignored
        self._uninformative += int(comparison.uninformative.sum())
        self._assert_close += int((comparison.failed & comparison.assert_close).sum())
        if explained and comparison.failed.any():
            self._unexplained = self._unexplained or quantity.unexplained
            self._extent = self._extent or quantity.extent
        elif remarked:
            self._rounded_step = self._rounded_step or quantity.rounded_step
        # A failure is worse than any error that passed; uninformative ones do not matter.
        rank = (Verdict.FAIL if comparison.failed.any() else Verdict.PASS).rank
        errors = np.where(comparison.ranks == rank, comparison.max_error_ulp, -1.0)
        record = int(errors.argmax())
        worst = (rank, float(errors[record]), float(comparison.relative_error[record]))
        if worst > self._worst:
            self._worst = worst
            self._where = self._place_in(quantity, record, place(record))

    def join(self, other: "_Quantity") -> None:
        """Add what another one counted of the records that follow."""
        self._is_typed |= other._is_typed
        self.verdicts += other.verdicts
        self._evidence.join(other._evidence)
        self._numbers += other._numbers
        self._rows += other._rows
        self._ignored += other._ignored
        self._uninformative += other._uninformative
        self._assert_close += other._assert_close
        self._unexplained = self._unexplained or other._unexplained
        self._extent = self._extent or other._extent
        self._rounded_step = self._rounded_step or other._rounded_step
        if other._worst > self._worst:
            self._worst, self._where = other._worst, other._where

    def lines(
        self, tolerance: Tolerance, told: dict[str, str], shared: frozenset[str]
    ) -> Iterator[str]:
        """Yield the line of this quantity, and its diagnosis.

        `told` has the quantity for which a mistake was explained before, and `shared` the names of
        those that explain others as well.
        """
        total = self.verdicts.total()
        failed, passed = self.verdicts[Verdict.FAIL], self.verdicts[Verdict.PASS]
        if not failed and not self.shows_enough:
            yield self._too_little(tolerance)
            return
        _, error, relative = self._worst
        worst = f"worst {_number(error)} ulp of {tolerance.dtype}"
        if self._is_typed:
            worst = f"largest relative error {relative:.2g}"
        elif MANY_ULP < error < math.inf:
            worst += f" (relative error {relative:.2g})"
        if failed:
            yield f"{self._name}: {failed:,} of {total:,} failed{self._size}, {worst}{self._where}"
            if self._assert_close and not self._is_typed:
                few = "" if self._assert_close == failed else f"{self._assert_close:,} of "
                yield f"  torch.testing.assert_close, with its defaults, passes {few}these"
            yield from self._diagnosis(failed, told, shared)
            return
        line = f"{self._name}: {passed:,} of {total:,} passed{self._size}, {worst}"
        if self._uninformative:
            line += f"; {self._uninformative:,} of {_amount(self._numbers, 'number')} uninformative"
        yield line + self._stricter(tolerance, error)
        if self._rounded_step is not None:
            yield from self._remark(self._rounded_step, tolerance.dtype)

    def _stricter(self, tolerance: Tolerance, error: float) -> str:
        """Return what is said of claims that pass in a narrow type, and might in a wider one."""
        is_narrow = tolerance.arithmetic.epsilon > Dtype.FLOAT32.epsilon
        if not (tolerance.is_rounding and is_narrow and self._numbers >= ENOUGH_NUMBERS):
            return ""
        # One rounding is half an ulp; so few errors above that are no coincidence.
        if error <= ONCE_ULP:
            return "; rounded once from a wider type: --arithmetic float32 asks for that"
        more = f"; held to {tolerance.arithmetic}: --arithmetic float32 is stricter"
        return more if self._rounded_step is None else ""

    def _remark(self, step: Mistake, dtype: Dtype) -> Iterator[str]:
        """Yield what is said of claims that pass although a step was rounded."""
        more = wider(dtype)
        asked = f"; --arithmetic {more} does not allow it" if more else ""
        yield f"  within rounding: {step.name}{asked}"
        yield f"    {step.explanation}"

    def mistakes(self, shared: frozenset[str]) -> list[Mistake]:
        """Return the mistakes that explain most of the records, the simplest first."""
        groups, _ = self._findings(shared)
        return [finding.mistake for finding in groups[0]] if groups else []

    def _findings(self, shared: frozenset[str]) -> tuple[list[list[Finding]], int]:
        """Return what explains the failures, those first that explain other quantities too."""
        groups, unknown = self._evidence.findings(self.verdicts.total())
        for findings in groups:
            findings.sort(key=lambda finding: finding.mistake.name not in shared)
        return groups, unknown

    @property
    def _size(self) -> str:
        """What batches consist of, in brackets."""
        if not self._rows:
            return ""
        ignored = f", {self._ignored:,} ignored" if self._ignored else ""
        numbers = "" if self._name in LOSSES else f"; {_amount(self._numbers, 'number')}"
        return f" ({_amount(self._rows, 'row')}{ignored}{numbers})"

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and enough could be judged."""
        return not self.verdicts[Verdict.FAIL] and self.shows_enough

    @property
    def shows_enough(self) -> bool:
        """Whether at least half of the numbers, and some record, could be judged."""
        return self.verdicts[Verdict.PASS] > 0 and 2 * self._uninformative <= self._numbers

    def _too_little(self, tolerance: Tolerance) -> str:
        """Return the line of a quantity of which too little could be judged."""
        if not self._numbers:
            return f"{self._name}: not passed: there are no rows to judge"
        count = f"{self._uninformative:,} of {_amount(self._numbers, 'number')}"
        are = "is" if self._numbers == 1 else "are"
        if tolerance.is_rounding:
            why = f"so small or so large that rounding in {tolerance.arithmetic} may explain any "
            why += "error"
            what = "scale the loss (a loss scale), or compute in a wider type"
        else:
            why, what = "so small that 0 would pass as well", "set ulp, or a smaller atol"
        return f"{self._name}: not passed: {count} {are} {why}; {what}"

    def _diagnosis(
        self, failed: int, told: dict[str, str], shared: frozenset[str]
    ) -> Iterator[str]:
        """Yield the mistakes that explain the failures, and what to do about each."""
        groups, unknown = self._findings(shared)
        more = f"; {self._unexplained}" if self._unexplained else ""
        if not groups:
            yield f"  {UNKNOWN}{more}"
            return
        for findings in groups:
            for place, (mistake, formula, records) in enumerate(findings[:MOST_CANDIDATES]):
                equal = f"all {failed:,} equal" if failed > 1 else "it equals"
                if records < failed:
                    equal = f"{records:,} of {failed:,} equal"
                same = told.setdefault(mistake.name, self._name)
                as_there = "" if same == self._name else f", as in {same}"
                yield f"  {'or ' if place else ''}{mistake.name}{as_there}: {equal} {formula}"
                if as_there:
                    continue
                yield f"    {mistake.explanation}"
                yield f"    to do: {mistake.remedy}"
        if self._extent:
            yield f"  {self._extent}"
        if unknown:
            yield f"  unknown, or another mistake: {unknown:,} of {failed:,}{more}"

    def _place_in(self, quantity: VerifiedQuantity, record: int, place: str) -> str:
        """Return where the worst error of a record is, which is at a place, and what it is."""
        comparison = quantity.comparison
        expected, got = _told_apart(comparison.expected[record], comparison.got[record])
        row, c = quantity.place(comparison.worst[record])
        parts = [place]
        parts += [f"row {row}"] if quantity.size > 1 else []
        parts += [] if self._name in LOSSES else [f"class {c}"]
        where = ", ".join(filter(None, parts))
        return f"{where and f', at {where}'}: expected {expected}, got {got}"


def _told_apart(expected: float, got: float) -> tuple[str, str]:
    """Return two numbers with as few digits as show that they differ, but at least four."""
    for digits in range(4, 17):
        texts = _number(expected, digits), _number(got, digits)
        if texts[0] != texts[1]:
            return texts
    return repr(float(expected)), repr(float(got))


def _units(quantity: VerifiedQuantity) -> set[float]:
    """Return half the units of the last digits of typed numbers, without those that are exact."""
    return {unit for unit in np.unique(quantity.claims.half_units[quantity.name]).tolist() if unit}


def _counted(ranks: Ranks) -> Counter[Verdict]:
    counts = np.bincount(ranks, minlength=len(RANKED)).tolist()
    return Counter(dict(zip(RANKED, counts, strict=True)))


def _amount(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _number(value: float, digits: int = 4) -> str:
    if math.isfinite(value):
        return f"{value:.{digits}g}"
    return "NaN" if math.isnan(value) else f"{value}".replace("inf", "Infinity")
