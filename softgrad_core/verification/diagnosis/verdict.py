"""The claims of one quantity: their verdict, and the mistakes of each row that failed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.loss.objective import BoolArray
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verdicts import RANKED, Verdict
from softgrad_core.verification.comparison import ClaimComparison
from softgrad_core.verification.diagnosis.recognition import Fit, with_parameter


def by_set(
    failed: BoolArray, fits: Sequence[Fit], records: Sequence[IndexArray]
) -> Iterator[tuple[IndexArray, list[Fit]]]:
    """Yield the records that failed and have the same fits, and these.

    `records` are those of each fit. Few sets are met among many records.
    """
    if not failed.any():
        return
    has = np.zeros((max(1, len(fits)), len(failed)), dtype=bool)
    for place, indices in enumerate(records):
        has[place, indices] = True
    rows = np.flatnonzero(failed)
    sets, set_of = np.unique(np.packbits(has[:, rows], axis=0), axis=1, return_inverse=True)
    order = np.argsort(set_of.reshape(-1), kind="stable")
    ends = np.cumsum(np.bincount(set_of.reshape(-1), minlength=sets.shape[1]))
    for same in np.split(rows[order], ends[:-1]):
        yield same, [fit for place, fit in enumerate(fits) if has[place, same[0]]]


@dataclass(frozen=True, eq=False)
class VerifiedQuantity:
    """The claims of one quantity, and which mistakes give the numbers of those that failed."""

    comparison: ClaimComparison
    fits: Sequence[Fit]
    size: int = 1
    """How many rows of logits each row of claims is about, one after another."""

    def place(self, components: Any) -> tuple[Any, Any]:
        """Return which rows of their records components of claims are about, and which classes."""
        classes = self.comparison.got.shape[1] // self.size
        return components // classes, components % classes

    @cached_property
    def fits_by_row(self) -> Mapping[int, Sequence[Fit]]:
        """For each row that failed, the mistakes that give its numbers, the simplest first.

        They are those that a row shows by itself, one form of each; general ones where no certain
        one fits.
        """
        fits = sorted(self.fits, key=lambda fit: fit.doubt)
        by_row: dict[int, Sequence[Fit]] = {}
        for rows, fitting in by_set(self.comparison.failed, fits, [fit.own for fit in fits]):
            said: list[Fit] = []
            for fit in fitting:
                is_new = all(fit.mistake is not other.mistake for other in said)
                if is_new and not (fit.mistake.is_general and said and said[0].doubt == 0):
                    said.append(fit)
            by_row.update(dict.fromkeys(rows.tolist(), said))
        return by_row

    def verdict(self, row: int) -> Verdict:
        """Return what became of the claim about a row."""
        return RANKED[self.comparison.ranks[row]]

    def mistakes(self, row: int) -> list[str]:
        """Return the names of the mistakes that give the numbers of a row, the simplest first."""
        return [fit.mistake.name for fit in self.fits_by_row.get(row, ())]

    @cached_property
    def formulas(self) -> Mapping[int, str]:
        """For each row with a mistake, the formula of the simplest, with the row's parameter."""
        parameters = {
            id(fit): dict(zip(fit.own.tolist(), fit.own_parameters.tolist(), strict=False))
            for fit in self.fits
        }
        return {
            row: with_parameter(fits[0].formula, fits[0].mistake, parameters[id(fits[0])].get(row))
            for row, fits in self.fits_by_row.items()
            if fits
        }

    def part(self, rows: Sequence[int]) -> "VerifiedQuantity":
        """Return what became of some of the rows, in this order."""
        columns = {
            field.name: getattr(self.comparison, field.name)[rows]
            for field in fields(ClaimComparison)
        }
        place_of = np.full(len(self.comparison.ranks), -1)
        place_of[rows] = np.arange(len(rows))
        return VerifiedQuantity(
            ClaimComparison(**columns), [fit.renumbered(place_of) for fit in self.fits], self.size
        )


def worst_ranks(quantities: Mapping[str, VerifiedQuantity]) -> npt.NDArray[np.uint8]:
    """Return the rank of the worst verdict on each row, of shape (N,)."""
    ranks = [quantity.comparison.ranks for quantity in quantities.values()]
    return np.asarray(np.max(ranks, axis=0))
