"""Claims beside their exact values: a verdict for each component and each record."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype, WideArray
from softgrad_core.loss.logits import FloatArray
from softgrad_core.verdicts import Verdict
from softgrad_core.verification.tolerances import Tolerance

Ranks = npt.NDArray[np.uint8]

CERTAIN_ULP = 4.0
"""A number this near shows its digits, however much rounding might explain."""


@dataclass(frozen=True, slots=True, eq=False)
class ClaimComparison:
    """Claims of one quantity beside their exact values: N records of C numbers each.

    Attributes
    ----------
    expected, got, error_ulp
        The exact values, rounded to float64, the claims, and their distance in units in the last
        place of the claims' dtype, of shape (N, C).
    component_ranks, ranks
        The ranks of the verdicts on the components, of shape (N, C), and on the records, of shape
        (N,). A record fails if any component fails; it passes if any nonzero one passes, or all do.
    max_error_ulp, max_relative_error, worst_class
        The largest errors of each record, among the components with the record's verdict, and the
        component with the largest in ulp, of shape (N,).
    uninformative
        The number of components of each record that could not be judged, of shape (N,).
    assert_close
        Whether torch.testing.assert_close, with its defaults, would pass a record that failed,
        of shape (N,).
    """

    expected: FloatArray
    got: FloatArray
    error_ulp: FloatArray
    component_ranks: Ranks
    ranks: Ranks
    max_error_ulp: FloatArray
    max_relative_error: FloatArray
    worst_class: npt.NDArray[np.intp]
    uninformative: npt.NDArray[np.intp]
    assert_close: npt.NDArray[np.bool]

    @property
    def failed(self) -> npt.NDArray[np.bool]:
        """Whether each record failed, of shape (N,)."""
        return np.asarray(self.ranks == Verdict.FAIL.rank)

    def part(self, records: Sequence[int]) -> "ClaimComparison":
        """Return the comparison of some of the records, in this order."""
        return ClaimComparison(*(getattr(self, name)[records] for name in _FIELDS))

    @classmethod
    def joined(cls, parts: Sequence["ClaimComparison"]) -> "ClaimComparison":
        """Return the comparisons of several blocks of records as one."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))


_FIELDS = [field.name for field in fields(ClaimComparison)]


def compare_claims(
    got: FloatArray, expected: WideArray, tolerance: Tolerance, rounding: WideArray | None = None
) -> ClaimComparison:
    """Compare claims with exact values; all are of shape (C, N), one column for each record.

    A component passes if it is within the tolerance, or if it is the exact value rounded to the
    dtype. It is uninformative if 0 would pass as well, or if the dtype has nothing but 0 or
    infinity for it. `rounding` is what `rounding_size` gives, where the tolerance needs it.

    Examples
    --------
    >>> from softgrad_core.verdicts import RANKED
    >>> exact = np.array([[0.5], [1e-9], [1e-9]])
    >>> claim = np.array([[0.5], [1e-9], [0.0]])
    >>> result = compare_claims(claim, exact, Tolerance("float32", like="assert_close"))
    >>> [RANKED[rank].value for rank in result.component_ranks[0]]
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
            ranks[odd] = _ranks(
                got[odd],
                expected[odd],
                rounded,
                difference[odd],
                relative[odd],
                unit[odd],
                _may_flush(got, tolerance)[odd[1]],
                tolerance,
            )
            # An infinity that is right, and a number rounded to the type, are at no distance.
            difference[tuple(place[got[odd] == rounded] for place in odd)] = 0.0
            # Only NaN is right for the mean of no rows.
            is_nan = np.isnan(expected) & np.isnan(got)
            difference[is_nan] = 0.0
            ranks[is_nan] = Verdict.PASS.rank
        relative_error = np.where(difference == 0.0, 0.0, difference / size)
        errors = _without_nan(difference / unit), _without_nan(relative_error)
        return _by_record(got, expected, ranks, errors, tolerance)


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
    passed, nothing = Verdict.PASS.rank, Verdict.UNINFORMATIVE.rank
    ranks = np.select(
        [is_certain, vanishes, is_rounded | is_near], [passed, nothing, passed], Verdict.FAIL.rank
    )
    return ranks.astype(np.uint8)


def _assert_close(got: FloatArray, expected: WideArray, dtype: Dtype) -> npt.NDArray[np.bool]:
    """Return whether torch.testing.assert_close passes each record."""
    is_close = np.abs(got - expected) <= dtype.atol + dtype.rtol * np.abs(expected)
    return np.asarray((is_close | (got == expected)).all(axis=0))


def _without_nan(errors: WideArray) -> FloatArray:
    return np.where(np.isnan(errors), np.inf, errors).astype(np.float64)


def _by_record(
    got: FloatArray,
    expected: WideArray,
    component_ranks: Ranks,
    errors: tuple[FloatArray, FloatArray],
    tolerance: Tolerance,
) -> ClaimComparison:
    """Sum the components of each column up."""
    uninformative = component_ranks == Verdict.UNINFORMATIVE.rank
    ranks = component_ranks.max(axis=0)
    if uninformative.any():
        shown_right = ((component_ranks == Verdict.PASS.rank) & (expected != 0)).any(axis=0)
        ranks[shown_right & (ranks == Verdict.UNINFORMATIVE.rank)] = Verdict.PASS.rank
    error_ulp, relative_error = errors
    failed = np.flatnonzero(ranks == Verdict.FAIL.rank)
    assert_close = np.zeros(len(ranks), dtype=bool)
    assert_close[failed] = _assert_close(got[:, failed], expected[:, failed], tolerance.dtype)
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
        assert_close=assert_close,
    )
