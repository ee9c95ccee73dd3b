"""The claims of one quantity: their verdicts, and the mistakes of each record that failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.cores import cores
from softgrad_core.loss.objective import rows_of
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verdicts import RANKED, Verdict
from softgrad_core.verification.comparison import ClaimComparison, Components
from softgrad_core.verification.composition import composition, rows_of_others
from softgrad_core.verification.diagnosis.mistake import Mistake
from softgrad_core.verification.diagnosis.recognition import Fit, by_set
from softgrad_core.verification.extent import extent
from softgrad_core.verification.judging import Claims, Judged
from softgrad_core.verification.remarks import rounded_step


@dataclass(frozen=True, eq=False, repr=False)
class VerifiedQuantity:
    """The claims of one quantity, and the mistakes that give the numbers of those that failed."""

    name: str
    comparison: ClaimComparison
    fits: Sequence[Fit]
    claims: Claims
    records: IndexArray
    """The number of each record among those of `claims`."""
    judged: Judged
    """The verdicts on all of the rows of `claims`."""

    def __repr__(self) -> str:
        failed = int(self.comparison.failed.sum())
        return f"<VerifiedQuantity {self.name}: {failed:,} of {len(self.records):,} failed>"

    @property
    def size(self) -> int:
        """The number of rows that each record has claims for: 1 for the loss of a batch."""
        return 1 if self.claims.is_summed(self.name) else self.claims.size

    @property
    def numbers(self) -> int:
        """How many numbers each record claims."""
        columns: int = self.claims.given[self.name].shape[1]
        return columns * self.size

    @property
    def rows_of_batches(self) -> tuple[int, int]:
        """How many rows the records have that are batches, and how many of these are ignored."""
        objective = self.claims.objective
        if objective.batches is None:
            return 0, 0
        rows = len(self.records) * self.claims.size
        return rows, rows - int(self.claims.counted_rows(self.records).sum())

    @property
    def is_typed(self) -> bool:
        """Whether the claims were typed with few digits, and are held to these."""
        return bool(self.claims.half_units)

    def part(self, records: Sequence[int]) -> "VerifiedQuantity":
        """Return what is known of some of the records, in this order."""
        place_of = np.full(len(self.records), -1)
        place_of[records] = np.arange(len(records))
        fits = [fit.renumbered(place_of) for fit in self.fits]
        comparison = self.comparison.part(records)
        return replace(self, comparison=comparison, fits=fits, records=self.records[records])

    def components(self, record: int, rows: IndexArray | None = None) -> Components:
        """Compare the numbers of a record one by one, in arrays of one dimension.

        Of a batch these may be the numbers of some of its rows.
        """
        place = int(self.records[record])
        if rows is None or self.claims.is_summed(self.name):
            return self.claims.components_of(self.name, place)
        return self.claims.components(self.name, place * self.claims.size + rows).flat()

    @cached_property
    def _unexplained_rows(self) -> IndexArray:
        """The rows that failed of records that show no known mistake."""
        is_unknown = self.comparison.failed.copy()
        for fit in self.fits:
            is_unknown[fit.own] = is_unknown[fit.shared] = False
        rows = rows_of(self.records[is_unknown], self.claims.size)
        return rows[self.judged.failed_rows[rows]]

    @cached_property
    def unexplained(self) -> str:
        """What the errors are made of where no known mistake gives them, in words."""
        return composition(self.claims, self.name, self.judged, self._unexplained_rows, cores())

    @property
    def holds_other_rows(self) -> bool:
        """Whether rows that show no known mistake hold the results of other rows."""
        rows = self._unexplained_rows
        if self.claims.is_summed(self.name) or not len(rows):
            return False
        return rows_of_others(self.claims, self.name, rows, cores()) is not None

    @cached_property
    def rounded_step(self) -> Mistake | None:
        """The step that the kernel of claims that pass rounded, where their digits show it."""
        return rounded_step(self.claims, self.name, self.judged)

    @property
    def extent(self) -> str:
        """Which rows are wrong, in words, where only some of the one batch that failed are."""
        failed = np.flatnonzero(self.comparison.failed)
        if self.size == 1 or len(failed) != 1:
            return ""
        rows = rows_of(self.records[failed], self.size)
        wrong, columns = self.judged.failed_rows[rows], self.judged.failed_columns
        counted = self.claims.objective.counted
        may_fail = np.ones_like(wrong) if counted is None else counted[rows]
        return "" if (wrong | ~may_fail).all() else extent(wrong, columns)

    def place(self, components: Any) -> tuple[Any, Any]:
        """Return the row in its record, and the class, of each component of the claims."""
        classes = self.claims.given[self.name].shape[1]
        return components // classes, components % classes

    def verdict(self, record: int) -> Verdict:
        """Return the verdict on a record."""
        return RANKED[self.comparison.ranks[record]]

    def mistakes(self, record: int) -> list[str]:
        """Return the names of the mistakes that give a record's numbers, the simplest first."""
        return [fit.mistake.name for fit in self.fits_by_row.get(record, ())]

    @cached_property
    def fits_by_row(self) -> Mapping[int, Sequence[Fit]]:
        """For each record that failed, the mistakes that it shows by itself, the simplest first.

        Each mistake has one formula; general mistakes are there only if no certain one fits.
        """
        fits = sorted(self.fits, key=lambda fit: fit.doubt)
        by_row: dict[int, Sequence[Fit]] = {}
        for records, fitting in by_set(self.comparison.failed, fits, [fit.own for fit in fits]):
            first_of: dict[str, Fit] = {}
            for fit in fitting:
                first_of.setdefault(fit.mistake.name, fit)
            named = list(first_of.values())
            if named and named[0].doubt == 0:
                named = [fit for fit in named if not fit.mistake.generality]
            by_row.update(dict.fromkeys(records.tolist(), named))
        return by_row

    @cached_property
    def formulas(self) -> Mapping[int, str]:
        """For each record with a mistake, the formula of the simplest, with its parameter."""
        parameters = {
            id(fit): dict(zip(fit.own.tolist(), fit.own_parameters.tolist(), strict=False))
            for fit in self.fits
        }
        return {
            record: fits[0].mistake.with_parameter(
                fits[0].formula, parameters[id(fits[0])].get(record)
            )
            for record, fits in self.fits_by_row.items()
            if fits
        }


def worst_ranks(quantities: Mapping[str, VerifiedQuantity]) -> npt.NDArray[np.uint8]:
    """Return the rank of the worst verdict on each record, of shape (N,)."""
    ranks = [quantity.comparison.ranks for quantity in quantities.values()]
    return np.asarray(np.max(ranks, axis=0))
