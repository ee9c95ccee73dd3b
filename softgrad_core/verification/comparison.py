"""Claims beside their exact values: a verdict for each number and each record."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype, WideArray
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verdicts import Verdict
from softgrad_core.verification.tolerances import Tolerance

Ranks = npt.NDArray[np.uint8]

PASS, UNINFORMATIVE, FAIL = (
    verdict.rank for verdict in (Verdict.PASS, Verdict.UNINFORMATIVE, Verdict.FAIL)
)

LEANING_NUMBERS = 32
"""Fewer errors than this may have one sign by chance."""

LEANING_ROUNDINGS = 1.25
"""The mean error of a row, in units of what is rounded, from which on it is no rounding: a common
shift, as of 1 / D, and errors of numbers that are all nearly equal made at most 0.85."""

FLAT_ROUNDINGS = 2.0
"""The same for rows of few different numbers: PyTorch made 1.5, where it rounds Σ exp(z) and then
its logarithm to bfloat16, and that of z less it as well."""

HALF_UNIT_SLACK = 1e-9
"""How much more than half a unit a number may be off: a calculator's last digit is no mistake."""

CERTAIN_ULP = 4.0
"""A number this near shows its digits, however much rounding might explain."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ClaimComparison:
    """What became of N records of claims of one quantity.

    Attributes
    ----------
    ranks
        The ranks of the verdicts, of shape (N,). A record fails if any number of it fails; it
        passes if any nonzero one passes, or all do.
    max_error_ulp
        The largest error of each record, in units in the last place of the claims' dtype, among the
        numbers with the record's verdict, of shape (N,).
    worst, expected, got, relative_error
        Which number of the record has that error, its exact value, rounded to float64, the claim,
        and its error relative to the exact value, of shape (N,).
    uninformative
        How many numbers of each record could not be judged, of shape (N,).
    shown
        Whether some number of the record that is not 0 was shown to be right, of shape (N,).
    assert_close
        Whether torch.testing.assert_close, with its defaults, passes the record, of shape (N,).
    """

    ranks: Ranks
    max_error_ulp: FloatArray
    relative_error: FloatArray
    worst: npt.NDArray[np.intp]
    expected: FloatArray
    got: FloatArray
    uninformative: npt.NDArray[np.intp]
    shown: BoolArray
    assert_close: BoolArray

    def __repr__(self) -> str:
        return f"<ClaimComparison: {int(self.failed.sum()):,} of {len(self.ranks):,} failed>"

    @property
    def failed(self) -> BoolArray:
        """Whether each record failed, of shape (N,)."""
        return np.asarray(self.ranks == FAIL)

    def part(self, records: Sequence[int] | npt.NDArray[np.intp]) -> "ClaimComparison":
        """Return the comparison of some of the records, in this order."""
        return ClaimComparison(*(getattr(self, name)[records] for name in _FIELDS))

    def put(self, records: npt.NDArray[np.intp], other: "ClaimComparison") -> None:
        """Put what became of some records in the place of what is here."""
        for name in _FIELDS:
            getattr(self, name)[records] = getattr(other, name)

    @classmethod
    def joined(cls, parts: Sequence["ClaimComparison"]) -> "ClaimComparison":
        """Return the comparisons of several blocks of records as one."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))

    def of_batches(self, size: int, numbers: int) -> "ClaimComparison":
        """Return what became of batches of `size` rows of `numbers` claims each."""
        if size == 1:
            return self
        by_batch = {name: getattr(self, name).reshape(-1, size) for name in _FIELDS}
        uninformative, shown = by_batch["uninformative"].sum(axis=1), by_batch["shown"].any(axis=1)
        ranks = by_batch["ranks"].max(axis=1)
        ranks[ranks != FAIL] = np.where((uninformative > 0) & ~shown, UNINFORMATIVE, PASS)[
            ranks != FAIL
        ]
        decisive = by_batch["ranks"] == ranks[:, np.newaxis]
        # A batch passes although some of its rows show nothing, or the other way round.
        decisive |= ~decisive.any(axis=1, keepdims=True)
        errors = np.where(decisive, by_batch["max_error_ulp"], -1.0)
        row, batches = errors.argmax(axis=1), np.arange(len(ranks))
        return ClaimComparison(
            ranks=ranks,
            max_error_ulp=errors[batches, row],
            relative_error=by_batch["relative_error"][batches, row],
            worst=row * numbers + by_batch["worst"][batches, row],
            expected=by_batch["expected"][batches, row],
            got=by_batch["got"][batches, row],
            uninformative=uninformative,
            shown=shown,
            assert_close=by_batch["assert_close"].all(axis=1),
        )


_FIELDS = [field.name for field in fields(ClaimComparison)]


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Claims number by number: K numbers each of N records, in arrays of shape (K, N).

    Attributes
    ----------
    expected, got
        The exact values and the claims.
    error_ulp, relative_error
        Their distance in units in the last place of the claims' dtype, and relative to the exact
        value.
    ranks
        The ranks of the verdicts.
    """

    expected: FloatArray
    got: FloatArray
    error_ulp: FloatArray
    relative_error: FloatArray
    ranks: Ranks

    def flat(self) -> "Components":
        """Return the numbers of all records one after another, in arrays of one dimension."""
        return Components(*(getattr(self, field.name).T.reshape(-1) for field in fields(self)))

    def summed_up(self, dtype: Dtype) -> ClaimComparison:
        """Return what became of each record, whose claims are of `dtype`."""
        uninformative = (self.ranks == UNINFORMATIVE).sum(axis=0)
        shown = ((self.ranks == PASS) & (self.expected != 0)).any(axis=0)
        ranks = self.ranks.max(axis=0)
        ranks[shown & (ranks == UNINFORMATIVE)] = PASS
        decisive = self.ranks == ranks
        decisive_ulp = np.where(decisive, self.error_ulp, -1.0)
        worst, records = decisive_ulp.argmax(axis=0), np.arange(len(ranks))
        return ClaimComparison(
            ranks=ranks,
            max_error_ulp=decisive_ulp[worst, records],
            relative_error=self.relative_error[worst, records],
            worst=worst,
            expected=self.expected[worst, records],
            got=self.got[worst, records],
            uninformative=uninformative,
            shown=shown,
            assert_close=np.asarray(are_close(self.got, self.expected, dtype).all(axis=0)),
        )


def are_close(got: npt.NDArray[Any], expected: FloatArray, dtype: Dtype) -> BoolArray:
    """Return which claims torch.testing.assert_close passes, with its defaults."""
    difference = np.asarray(got - expected)
    np.abs(difference, out=difference)
    allowed = np.abs(expected)
    allowed *= dtype.rtol
    allowed += dtype.atol
    is_close: BoolArray = difference <= allowed
    is_finite = np.isfinite(difference)
    if not is_finite.all():
        is_close &= is_finite  # What is allowed beside infinity is infinite as well.
        is_close |= got == expected
    return is_close


def compare_claims(
    got: FloatArray,
    expected: WideArray,
    tolerance: Tolerance,
    rounding: WideArray | None = None,
    *,
    leaning: bool = False,
) -> Components:
    """Compare claims with exact values; all are of shape (K, N), one column for each record.

    A component passes if it is within the tolerance, or if it is the exact value rounded to the
    dtype. It is uninformative if 0 would pass as well, or if the dtype has nothing but 0 or
    infinity for it. `rounding` is what `rounding_size` gives, where the tolerance needs it. With
    `leaning`, columns fail whose errors are all of one sign, and too large for that.

    Examples
    --------
    >>> from softgrad_core.verdicts import RANKED
    >>> exact = np.array([[0.5], [1e-9], [1e-9]])
    >>> claim = np.array([[0.5], [1e-9], [0.0]])
    >>> result = compare_claims(claim, exact, Tolerance("float32", like="assert_close"))
    >>> [RANKED[rank].value for rank in result.ranks[:, 0]]
    ['pass', 'pass', 'uninformative']
    """
    with np.errstate(all="ignore"):
        difference = np.abs(got - expected)
        size = np.abs(expected)
        unit = tolerance.dtype.spacing(expected)
        relative = tolerance.relative(size, unit, rounding)
        # Where so much is allowed that 0 would pass as well, a number shows little.
        is_right = (difference <= relative) & ((size > relative) | (difference == 0.0))
        ranks = np.zeros(got.shape, dtype=np.uint8)
        odd = np.nonzero(~is_right)
        if len(odd[0]):
            rounded = tolerance.dtype.round(expected[odd])
            claimed = tolerance.dtype.with_infinities(got[odd], rounded)
            ranks[odd] = _ranks(
                claimed,
                expected[odd],
                rounded,
                difference[odd],
                relative[odd],
                unit[odd],
                _may_flush(got, tolerance)[odd[1]],
                tolerance,
            )
            # An infinity that is right, and a number rounded to the type, are at no distance.
            difference[tuple(place[claimed == rounded] for place in odd)] = 0.0
            # The mean of no rows is NaN, as in PyTorch, or the 0 of kernels that avoid it.
            of_none = np.isnan(expected) & (np.isnan(got) | (got == 0.0))
            difference[of_none] = 0.0
            ranks[of_none] = PASS
        if rounding is not None and leaning:
            ranks[_lean(got, expected, rounding, tolerance.dtype) & (ranks == PASS)] = FAIL
        return _components(got, expected, difference, unit, ranks)


def _components(
    got: FloatArray, expected: WideArray, difference: WideArray, unit: FloatArray, ranks: Ranks
) -> Components:
    """Return claims that are this far from their exact values, with their verdicts."""
    relative_error = np.where(difference == 0.0, 0.0, difference / np.abs(expected))
    errors = without_nan(difference / unit), without_nan(relative_error)
    return Components(np.asarray(expected, dtype=np.float64), got, *errors, ranks)


def _lean(got: FloatArray, expected: WideArray, rounding: WideArray, dtype: Dtype) -> BoolArray:
    """Return the numbers of rows whose errors are all of one sign, as rounding errors are not."""
    counts = (np.abs(expected) >= dtype.smallest_normal) & (rounding > 0.0) & np.isfinite(got)
    errors = np.where(counts, (got - expected) / rounding, 0.0)
    number = counts.sum(axis=0)
    means = errors.sum(axis=0) / np.maximum(number, 1)
    leans = (number >= LEANING_NUMBERS) & (np.abs(means) > LEANING_ROUNDINGS)
    # Equal numbers, as flat rows have them in narrow types, were rounded alike: that is one error.
    ordered = np.sort(np.where(counts, got, 0.0)[:, leans], axis=0)
    are_few = np.count_nonzero(np.diff(ordered, axis=0), axis=0) < LEANING_NUMBERS
    leans[leans] = ~are_few | (np.abs(means[leans]) > FLAT_ROUNDINGS)
    return np.asarray(leans & (errors * np.sign(means) > LEANING_ROUNDINGS))


def compare_digits(got: FloatArray, expected: WideArray, half_units: FloatArray) -> Components:
    """Compare claims that were typed with few digits; all are of shape (K, N).

    A number passes if its exact value is within half a unit of the last digit that it has.

    Examples
    --------
    >>> exact, unit = np.array([[0.0985659]]), np.array([[0.00005]])
    >>> compare_digits(np.array([[0.0986]]), exact, unit).ranks.tolist()
    [[0]]
    """
    with np.errstate(all="ignore"):
        difference = np.abs(got - expected)
        unit = Dtype.FLOAT64.spacing(expected)
        is_right = (difference <= half_units * (1.0 + HALF_UNIT_SLACK) + 4.0 * unit) | (
            got == expected
        )
        ranks = np.where(is_right, PASS, FAIL).astype(np.uint8)
        return _components(got, expected, difference, unit, ranks)


def _may_flush(got: FloatArray, tolerance: Tolerance) -> npt.NDArray[np.bool]:
    """Return the records whose kernel may set all results below the smallest normal number to 0.

    One that has another number there does not.
    """
    is_subnormal = (got != 0.0) & (np.abs(got) < tolerance.dtype.smallest_normal)
    return np.asarray(~is_subnormal.any(axis=0))


def _ranks(  # noqa: PLR0913, PLR0917 - what is known of each number
    got: FloatArray,
    expected: WideArray,
    rounded: FloatArray,
    difference: WideArray,
    relative: WideArray,
    unit: FloatArray,
    may_flush: npt.NDArray[np.bool],
    tolerance: Tolerance,
) -> Ranks:
    """Return the ranks of numbers that are not plainly right."""
    size, dtype = np.abs(expected), tolerance.dtype
    allowed = relative + tolerance.absolute
    certain = np.minimum(CERTAIN_ULP * unit, relative)
    is_certain = (difference <= certain) & (size > certain)
    is_rounded = got == rounded
    # What float64 can hold, but not the type.
    is_lost = is_rounded & ((rounded == 0.0) | np.isinf(rounded))
    is_lost &= rounded != expected.astype(np.float64)
    is_flushed = (got == 0.0) & (size < dtype.smallest_normal) & may_flush
    is_near = (difference <= allowed) & np.isfinite(allowed)
    vanishes = is_lost | ((is_flushed | (is_near & (size <= allowed))) & ~is_rounded)
    ranks = np.select(
        [is_certain, vanishes, is_rounded | is_near], [PASS, UNINFORMATIVE, PASS], FAIL
    )
    return ranks.astype(np.uint8)


def without_nan(errors: WideArray) -> FloatArray:
    """Return errors with infinity for NaN."""
    return np.where(np.isnan(errors), np.inf, errors).astype(np.float64)
