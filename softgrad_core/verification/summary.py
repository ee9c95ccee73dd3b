"""Verifications of any number of rows -> the answer for all of them, in a few lines."""

import math
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from softgrad_core.verdicts import RANKED, Verdict
from softgrad_core.verification.diagnosis.evidence import Evidence, Finding
from softgrad_core.verification.diagnosis.verdict import VerifiedQuantity, worst_ranks
from softgrad_core.verification.tolerances import Tolerance

MOST_CANDIDATES = 3

MANY_ULP = 1e4
"""Beyond so many, an error is also said in proportion to the exact value."""

UNKNOWN = "unknown: none of the known mistakes gives these numbers"


class Summary:
    """Counts what became of claims, block by block, and says it in the end."""

    def __init__(self, tolerance: Tolerance) -> None:
        self.records: Counter[Verdict] = Counter()
        self.rejected = 0
        self._tolerance = tolerance
        self._quantities: dict[str, _Quantity] = {}

    def add(self, quantities: Mapping[str, VerifiedQuantity], place: Callable[[int], str]) -> None:
        """Add what was claimed of some rows; `place` says where a row is."""
        if not quantities:
            return
        self.records += _counted(worst_ranks(quantities))
        for name, quantity in quantities.items():
            self._quantities.setdefault(name, _Quantity(name)).add(quantity, place)

    def join(self, other: "Summary") -> None:
        """Add what another one counted of the rows that follow."""
        self.records += other.records
        self.rejected += other.rejected
        for name, quantity in other._quantities.items():
            self._quantities.setdefault(name, _Quantity(name)).join(quantity)

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and something of each quantity could be judged."""
        judged = [quantity.verdicts[Verdict.PASS] for quantity in self._quantities.values()]
        return not self.records[Verdict.FAIL] and all(judged) and bool(judged)

    def lines(self) -> list[str]:
        """Return what became of each quantity, the diagnosis, and the whole in one line."""
        lines = [
            line
            for quantity in self._quantities.values()
            for line in quantity.lines(self._tolerance)
        ]
        counts = (
            (self.records[Verdict.PASS], "passed"),
            (self.records[Verdict.FAIL], "failed"),
            (self.records[Verdict.UNINFORMATIVE], "could not be judged"),
            (self.rejected, "rejected"),
        )
        total = _amount(self.records.total() + self.rejected, "record")
        parts = [f"{count:,} {what}" for count, what in counts if count]
        said = ", ".join(parts) or "nothing was verified"
        return [*lines, f"{total}, {self._tolerance}: {said}"]


class _Quantity:
    """What became of the claims of one quantity."""

    def __init__(self, name: str) -> None:
        self.verdicts: Counter[Verdict] = Counter()
        self.evidence = Evidence()
        self._name = name
        self._numbers = 0
        self._uninformative = 0
        # Whether it failed, and its errors in ulp and relative to the exact value.
        self._worst = (0, -1.0, -1.0)
        self._where = ""

    def add(self, quantity: VerifiedQuantity, place: Callable[[int], str]) -> None:
        """Add the claims of some rows."""
        comparison = quantity.comparison
        self.evidence.add(quantity)
        if not comparison.got.size:
            return
        self.verdicts += _counted(comparison.ranks)
        self._numbers += comparison.got.size
        self._uninformative += int(comparison.uninformative.sum())
        # A failure is worse than any error that was let pass; what shows nothing is neither.
        rank = (Verdict.FAIL if comparison.failed.any() else Verdict.PASS).rank
        errors = np.where(comparison.ranks == rank, comparison.max_error_ulp, -1.0)
        row = int(errors.argmax())
        worst = (rank, float(errors[row]), float(comparison.max_relative_error[row]))
        if worst > self._worst:
            self._worst = worst
            self._where = _where(self._name, quantity, row, place)

    def join(self, other: "_Quantity") -> None:
        """Add what another one counted of the rows that follow."""
        self.verdicts += other.verdicts
        self.evidence.join(other.evidence)
        self._numbers += other._numbers
        self._uninformative += other._uninformative
        if other._worst > self._worst:
            self._worst, self._where = other._worst, other._where

    def lines(self, tolerance: Tolerance) -> list[str]:
        """Return the line of this quantity, and its diagnosis."""
        total = self.verdicts.total()
        failed, passed = self.verdicts[Verdict.FAIL], self.verdicts[Verdict.PASS]
        if not failed and not passed:
            return [
                f"{self._name}: 0 of {total:,} could be judged: where 0 would pass as well, a "
                "number shows nothing; less slack (ulp, or a smaller atol) demands digits"
            ]
        _, error, relative = self._worst
        worst = f"worst {_number(error)} ulp of {tolerance.dtype}"
        if MANY_ULP < error < math.inf:
            worst += f", {relative:.2g} relative"
        if failed:
            head = f"{self._name}: {failed:,} of {total:,} failed, {worst}, at {self._where}"
            return [head, *self._diagnosis()]
        line = f"{self._name}: {passed:,} of {total:,} passed, {worst}"
        if self._uninformative:
            line += f"; {self._uninformative:,} of {_amount(self._numbers, 'number')} uninformative"
        return [line]

    def _diagnosis(self) -> list[str]:
        groups, unknown = self.evidence.findings(self.verdicts.total())
        failed = self.evidence.failed
        if not groups:
            return [f"  {UNKNOWN}"]
        lines = []
        for findings in groups:
            for place, finding in enumerate(findings[:MOST_CANDIDATES]):
                mistake = finding.mistake
                lines += [
                    f"  {'or ' if place else ''}{mistake.name}: {_amount_of(finding, failed)}",
                    f"    {mistake.explanation}",
                    f"    to do: {mistake.remedy}",
                ]
        if unknown:
            lines.append(f"  unknown, or something else: {unknown:,} of {failed:,}")
        return lines


def _amount_of(finding: Finding, failed: int) -> str:
    """Return in how many records a mistake gives the numbers, and what it gives."""
    if failed == 1:
        return f"it equals {finding.formula}"
    if finding.records == failed:
        return f"all {failed:,} equal {finding.formula}"
    return f"{finding.records:,} of {failed:,} equal {finding.formula}"


def _where(name: str, quantity: VerifiedQuantity, row: int, place: Callable[[int], str]) -> str:
    """Return where the worst error of a row is, and what it is."""
    comparison = quantity.comparison
    worst = comparison.worst_class[row]
    expected, got = _told_apart(comparison.expected[row, worst], comparison.got[row, worst])
    within, c = quantity.place(worst)
    where = f", row {within}" if quantity.size > 1 else ""
    where += "" if name == "loss" else f", class {c}"
    return f"{place(row)}{where}: expected {expected}, got {got}"


def _told_apart(expected: float, got: float) -> tuple[str, str]:
    """Return both numbers with as few digits as show that they differ, and no fewer than four."""
    for digits in range(4, 17):
        texts = _number(expected, digits), _number(got, digits)
        if texts[0] != texts[1]:
            return texts
    return repr(float(expected)), repr(float(got))


def _counted(ranks: "np.ndarray[tuple[int], np.dtype[np.uint8]]") -> Counter[Verdict]:
    counts = np.bincount(ranks, minlength=len(RANKED)).tolist()
    return Counter(dict(zip(RANKED, counts, strict=True)))


def _amount(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _number(value: float, digits: int = 4) -> str:
    if math.isfinite(value):
        return f"{value:.{digits}g}"
    return "NaN" if math.isnan(value) else f"{value}".replace("inf", "Infinity")
