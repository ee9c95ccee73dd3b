"""Claims about rows of logits -> the verdict on each record, block by block on several threads."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad_core.cores import mapped
from softgrad_core.dtypes import Dtype, WideArray
from softgrad_core.errors import InputError
from softgrad_core.loss.logits import FloatArray, check_rows
from softgrad_core.loss.objective import BoolArray, Objective, rows_of
from softgrad_core.loss.results import LOSSES
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.comparison import (
    FAIL,
    ClaimComparison,
    Components,
    compare_claims,
    compare_digits,
)
from softgrad_core.verification.log_sums import (
    are_moved,
    errors_of_log_sums,
    errors_of_losses,
    may_be_rounded,
    moved,
)
from softgrad_core.verification.passes import Workspace
from softgrad_core.verification.reference import by_class, reference
from softgrad_core.verification.rounding import growth_of_sum, rounding_size
from softgrad_core.verification.screening import SCREENED, Screen, kernel_values
from softgrad_core.verification.tolerances import Tolerance

BLOCK_ELEMENTS = 1 << 19
"""Numbers that are judged together, at most. With fewer, threads wait for each other's Python."""

SMALL_BLOCK_ELEMENTS = 1 << 18
"""Numbers that are judged together where larger blocks would be too few for all threads."""

BLOCKS_OF_THREAD = 2
"""How many blocks each thread should have at least, so that none waits for the others."""

SAMPLE_ELEMENTS = 1 << 14
"""The numbers that are looked at to find out how a kernel rounds."""

FEWEST_ROWS = 8
"""The rows of such a sample, however many classes there are."""

EXACT_ELEMENTS = 1 << 16
"""Up to this many numbers, claims in float64 are compared with values of more digits alone."""

MEASURED_ELEMENTS = 1 << 13
"""How many numbers get errors to a hundredth of an ulp where the kernel's values decide claims in
float64. The errors of others are known to within 4 ulp."""


class ExactRows(NamedTuple):
    """Rows of logits, of shape (C, n), and the exact values of all quantities."""

    a: FloatArray
    objective: Objective
    values: Mapping[str, WideArray]


class Judged(NamedTuple):
    """What became of the claims of one quantity."""

    comparison: ClaimComparison
    failed_rows: BoolArray
    """Which rows of logits have a claim that failed, of shape (N,)."""
    failed_columns: BoolArray
    """In which columns of the claims some failed, of shape (C,)."""


class _OfRows(NamedTuple):
    """What became of rows, and in which columns of their claims some failed."""

    comparison: ClaimComparison
    failed_columns: BoolArray


class _Losses(NamedTuple):
    """The exact losses of rows whose sums are claimed, and how far rounding may be off."""

    exact: WideArray
    rounding: FloatArray
    of_log_sums: FloatArray
    """How far they are off where the log-sum-exp is rounded to a narrow type, see log_sums.py."""


@dataclass(frozen=True, eq=False)
class Claims:
    """N rows of logits, their losses, and what somebody claims of them.

    A record is a row, or a batch of rows that is judged as one.

    Attributes
    ----------
    rows
        The logits, of shape (N, C), in any floating type.
    objective
        The loss of each row.
    given
        The claims of each quantity, of shape (N, C), (N, 1) for the losses of rows, or (M, 1) for
        those of batches.
    tolerance
        The standard that they are held to.
    half_units
        For claims that were typed with few digits, half a unit of the last digit of each number,
        which is the standard in place of the tolerance.
    is_quick
        Whether it is enough to know which rows surely pass: the others may as well.
    """

    rows: npt.NDArray[Any]
    objective: Objective
    given: Mapping[str, npt.NDArray[Any]]
    tolerance: Tolerance
    half_units: Mapping[str, FloatArray] = field(default_factory=dict)
    is_quick: bool = False

    @property
    def size(self) -> int:
        """The number of rows of each record."""
        return self.objective.batches.size if self.objective.batches else 1

    def is_summed(self, name: str) -> bool:
        """Return whether there is one claim of this quantity for all rows of a batch."""
        batches = self.objective.batches
        return name in LOSSES and batches is not None and batches.reduced

    @cached_property
    def alone(self) -> "Claims":
        """The same claims with each row as a record of its own."""
        return replace(self, objective=replace(self.objective, batches=None))

    @cached_property
    def highest_logit(self) -> float:
        """The largest of all logits."""
        step = max(1, SMALL_BLOCK_ELEMENTS // self.rows.shape[1])
        blocks = (slice(start, start + step) for start in range(0, len(self.rows), step))
        return max((float(self.logits(block).max()) for block in blocks), default=0.0)

    def logits(self, rows: IndexArray | slice) -> npt.NDArray[Any]:
        """Return the logits of some rows, with padding as masked classes."""
        logits, objective = self.rows[rows], self.objective
        return logits if objective.num_classes is None else objective.part(rows).masked(logits)

    def counted_rows(self, records: IndexArray) -> FloatArray:
        """Return how many rows of some records count."""
        counted = self.objective.counted
        if counted is None:
            return np.full(len(records), float(self.size))
        return np.asarray(counted.reshape(-1, self.size)[records].sum(axis=1), dtype=np.float64)

    def judged(self, threads: int = 1) -> Mapping[str, Judged]:
        """Return the verdict on each record.

        Raises InputError for the first row that has no softmax.
        """
        elements = self.rows.size // (BLOCKS_OF_THREAD * threads)
        elements = min(max(SMALL_BLOCK_ELEMENTS, elements), BLOCK_ELEMENTS)
        step = max(1, elements // self.rows.shape[1])
        starts = range(0, max(1, len(self.rows)), step)
        of_thread = threading.local()

        def block(start: int) -> Mapping[str, Any]:
            if not hasattr(of_thread, "space"):
                of_thread.space = Workspace()
            return self._block(slice(start, start + step), of_thread.space)

        blocks = mapped(block, starts, threads)
        return {name: self._joined(name, [block[name] for block in blocks]) for name in self.given}

    def exact(self, rows: IndexArray | slice) -> ExactRows:
        """Return the exact values of some rows."""
        a = by_class(self.logits(rows).astype(np.float64))
        objective = self.objective.part(rows)
        return ExactRows(a, objective, reference(a, objective, self.tolerance.widest))

    def expected(self, name: str, places: IndexArray) -> FloatArray:
        """Return the exact values of the claims of some rows, or batches if these have one claim.

        They are of shape (C, n), or (1, n).
        """
        with np.errstate(all="ignore"):
            if self.is_summed(name):
                return self.components(name, places).expected
            return np.asarray(self.exact(places).values[name], dtype=np.float64)

    def nearly(self, name: str, rows: IndexArray) -> FloatArray:
        """Return values of some rows, by the compiled kernel if it has them, of shape (n, C)."""
        if name not in SCREENED:
            return self.expected(name, rows).T
        return kernel_values(self.logits(rows), self.objective.part(rows), name)

    def components(self, name: str, places: IndexArray) -> Components:
        """Compare the claims of some rows, or batches if these have one claim, number by number."""
        with np.errstate(all="ignore"):
            if self.is_summed(name):
                losses = self._losses(name, self.exact(rows_of(places, self.size)))
                return self._of_sums(name, losses, places)
            return self._compared(name, places, self.exact(places))

    def components_of(self, name: str, record: int) -> Components:
        """Compare the claims of a record number by number, in arrays of one dimension."""
        records = np.array([record])
        places = records if self.is_summed(name) else rows_of(records, self.size)
        return self.components(name, places).flat()

    def _block(self, rows: slice, space: Workspace) -> Mapping[str, _OfRows | _Losses]:
        """Judge the claims of a block of rows."""
        # Overflow, underflow and NaN are what is looked for here.
        with np.errstate(all="ignore"):
            screened = [name for name in self.given if self._is_screened(name)]
            results: dict[str, _OfRows | _Losses] = {}
            try:
                if screened:
                    results = self._screened(screened, rows, space)
                else:
                    check_rows(self.logits(rows))
            except InputError as error:
                place = None if error.row is None else error.row + rows.start
                raise InputError(error.code, error.reason, place) from None
            others = [name for name in self.given if name not in results]
            if others:
                exact = self.exact(rows)
                for name in others:
                    is_summed = self.is_summed(name)
                    results[name] = (
                        self._losses(name, exact) if is_summed else self._judged(name, rows, exact)
                    )
            return results

    def _is_screened(self, name: str) -> bool:
        """Return whether the compiled kernel's values can decide most rows of a claim."""
        tolerance = self.tolerance.of(name)
        is_enough = self.objective.is_of_labels or name not in LOSSES
        if tolerance.dtype is Dtype.FLOAT64:
            has_many = self.is_quick or self.rows.size > EXACT_ELEMENTS
            is_enough = self.objective.is_of_labels and has_many
        return name in SCREENED and tolerance.is_rounding and is_enough and not self.half_units

    def _screened(
        self, names: Sequence[str], rows: slice, space: Workspace
    ) -> dict[str, _OfRows | _Losses]:
        """Judge the claims of a block of rows by the kernel's values, where these suffice."""
        exact = (lambda left: self.exact(left + rows.start).values) if self.is_quick else None
        screen = Screen(space, self.logits(rows), self.objective.part(rows), names, exact)
        results: dict[str, _OfRows | _Losses] = {}
        for name in names:
            tolerance = self.tolerance.of(name)
            if self.is_summed(name):
                results[name] = _Losses(*screen.losses(tolerance, is_quick=self.is_quick))
                continue
            compared = screen.passing if self.is_quick else screen.compared
            comparison, decided, columns = compared(name, self.given[name][rows], tolerance)
            if len(left := np.flatnonzero(~decided)):
                places = left + rows.start
                of_left = self._judged(name, places, self.exact(places))
                comparison.put(left, of_left.comparison)
                columns |= of_left.failed_columns
            results[name] = _OfRows(comparison, columns)
        return results

    def _judged(self, name: str, rows: IndexArray | slice, exact: ExactRows) -> _OfRows:
        components = self._compared(name, rows, exact)
        comparison = components.summed_up(self.tolerance.of(name).dtype)
        return _OfRows(comparison, (components.ranks == FAIL).any(axis=1))

    def _compared(self, name: str, rows: IndexArray | slice, exact: ExactRows) -> Components:
        tolerance = self.tolerance.of(name)
        claim = by_class(self.given[name][rows].astype(np.float64))
        if self.half_units:
            return compare_digits(claim, exact.values[name], by_class(self.half_units[name][rows]))
        # In bfloat16 and float16 the bound is wide. There a sum of weights may be off by more.
        is_narrow = tolerance.arithmetic.epsilon > Dtype.FLOAT32.epsilon
        # To round once to fewer digits may move all numbers of a flat row the same way.
        is_narrow &= tolerance.arithmetic is tolerance.dtype
        leaning = is_narrow and self.objective.class_weights is None
        rounding = self.rounding(name, exact)
        result = compare_claims(claim, exact.values[name], tolerance, rounding, leaning=leaning)
        failed = np.flatnonzero((result.ranks == FAIL).any(axis=0))
        if rounding is None or not len(failed) or not self._has_rounded_log_sums:
            return result
        some = {name: values[:, failed] for name, values in exact.values.items()}
        arithmetic, objective = tolerance.arithmetic, exact.objective.part(failed)
        for error in errors_of_log_sums(some, exact.a[:, failed], objective, arithmetic):
            size = rounding[:, failed] * np.maximum(1.0, np.exp(-error))
            values = moved(name, some, error, objective)
            again = compare_claims(claim[:, failed], values, tolerance, size, leaning=leaning).ranks
            passes = np.isfinite(error) & ~(again == FAIL).any(axis=0)
            result.ranks[:, failed[passes]] = again[:, passes]
        return result

    @cached_property
    def _has_rounded_log_sums(self) -> bool:
        """Whether a sample of rows shows that log Σ exp(z) was rounded to a narrow type."""
        names = [name for name in self.given if self._may_have_rounded_log_sums(name)]
        if not names:
            return False
        rows = self.sample(SAMPLE_ELEMENTS)
        with np.errstate(all="ignore"):
            exact = self.exact(rows)
            return any(self._shows_rounded_log_sums(name, rows, exact) for name in names)

    def _may_have_rounded_log_sums(self, name: str) -> bool:
        tolerance = self.tolerance.of(name)
        may_be = tolerance.is_rounding and may_be_rounded(self.objective, tolerance.arithmetic)
        return may_be and not self.is_summed(name) and not self.is_quick

    def _shows_rounded_log_sums(self, name: str, rows: IndexArray, exact: ExactRows) -> bool:
        claim = by_class(self.given[name][rows].astype(np.float64))
        rounding, arithmetic = self.rounding(name, exact), self.tolerance.of(name).arithmetic
        return rounding is not None and are_moved(
            name, claim, exact.values, rounding, exact.a, exact.objective, arithmetic
        )

    def sample(
        self,
        elements: int,
        rows: IndexArray | None = None,
        *,
        fewest: int = FEWEST_ROWS,
        rng: np.random.Generator | None = None,
    ) -> IndexArray:
        """Return some rows: as many as have this many numbers, but a few at least."""
        rows = np.arange(len(self.rows)) if rows is None else rows
        most = max(fewest, elements // self.rows.shape[1])
        if len(rows) <= most:
            return rows
        return np.sort((rng or np.random.default_rng(0)).choice(rows, most, replace=False))

    def rounding(self, name: str, exact: ExactRows) -> FloatArray | None:
        """Return the size of the rounding errors of a quantity; None for another standard."""
        tolerance = self.tolerance.of(name)
        if not tolerance.is_rounding:
            return None
        return rounding_size(name, exact.values, exact.a, exact.objective, tolerance.arithmetic)

    def _losses(self, name: str, exact: ExactRows) -> _Losses:
        values, rounding = exact.values[name][0], self.rounding(name, exact)
        if rounding is None:
            return _Losses(values, *np.zeros((2, len(values))))
        of_log_sums = errors_of_losses(
            exact.values, exact.a, exact.objective, self.tolerance.of(name).arithmetic
        )
        return _Losses(values, rounding[0], of_log_sums)

    def _of_sums(self, name: str, losses: _Losses, records: IndexArray) -> Components:
        """Compare the losses of batches with the sums of the exact losses of their rows."""
        batches, tolerance = self.objective.batches_of(name), self.tolerance.of(name)
        assert batches is not None  # noqa: S101 - only batches have sums
        exact, rounding, of_log_sums = (
            of_row.reshape(1, -1, batches.size).sum(axis=2) for of_row in losses
        )
        exact = np.where(batches.denominators[records] == 0.0, np.nan, exact)
        classes = self.rows.shape[1]
        rounding = rounding * growth_of_sum(classes, batches.size, tolerance.arithmetic)
        claim = self.given[name][records].astype(np.float64).T
        if self.half_units:
            return compare_digits(claim, exact, self.half_units[name][records].T)
        if not tolerance.is_rounding:
            return compare_claims(claim, exact, tolerance)
        result = compare_claims(claim, exact, tolerance, rounding)
        if of_log_sums.any():
            again = compare_claims(claim, exact + of_log_sums, tolerance, rounding).ranks
            np.copyto(result.ranks, again, where=(result.ranks == FAIL) & (again != FAIL))
        return result

    def _joined(self, name: str, blocks: Sequence[Any]) -> Judged:
        """Return what became of the claims of a quantity in all blocks."""
        if self.is_summed(name):
            losses = _Losses(*map(np.concatenate, zip(*blocks, strict=True)))
            with np.errstate(all="ignore"):
                compared = self._of_sums(name, losses, np.arange(len(self.given[name])))
                comparison = compared.summed_up(self.tolerance.of(name).dtype)
            return Judged(comparison, np.repeat(comparison.failed, self.size), np.ones(1, bool))
        of_rows = ClaimComparison.joined([block.comparison for block in blocks])
        if self._is_screened(name) and self.tolerance.of(name).dtype is Dtype.FLOAT64:
            self._measure_worst(name, of_rows)
        return Judged(
            of_rows.of_batches(self.size, self.given[name].shape[1]),
            of_rows.failed,
            np.any([block.failed_columns for block in blocks], axis=0),
        )

    def _measure_worst(self, name: str, of_rows: ClaimComparison) -> None:
        """Measure the largest errors of rows that pass by values of more digits than float64's."""
        count = 1 if self.is_quick else max(1, MEASURED_ELEMENTS // self.rows.shape[1])
        errors = np.where(of_rows.failed, -1.0, of_rows.max_error_ulp)
        largest = np.argsort(-errors, kind="stable")[:count]
        largest = largest[~of_rows.failed[largest]]
        with np.errstate(all="ignore"):
            of_rows.put(largest, self._judged(name, largest, self.exact(largest)).comparison)
