"""Failing claims -> which known mistakes give exactly these numbers, in how many of the records."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verdicts import RANKED, Verdict
from softgrad_core.verification.comparison import ClaimComparison
from softgrad_core.verification.diagnosis.case import Case, Terms, total, total_size
from softgrad_core.verification.diagnosis.catalogue import CATALOGUE, Mistake
from softgrad_core.verification.diagnosis.forms import Form

NEARLY_AS_MANY = 0.95
"""What gives the numbers of so many of the records that the best does is an alternative to it."""

ENOUGH_FOR_A_CERTAIN_ONE = 0.2
"""A more general mistake is named only where no certain one gives so many of its records."""

MOST_FINDINGS = 5

MOST_SHARED_VALUES = 4
"""So many values of one parameter are looked for among records that are verified together."""

SURELY_WHOLE = 0.01
"""So many epsilons in a number leave no doubt that it is whole."""

SAME_PARAMETER = 0.01
"""Parameters of different blocks that are so near to each other are the same."""

MOST_SETS = 20_000
"""So many different sets of mistakes are kept apart; few are met unless all records differ."""

MOST_VALUES = 100
"""So many values of a parameter that are the same to three digits are counted."""


class Fit(NamedTuple):
    """A mistake in one of its forms, and the records whose claims it gives."""

    mistake: Mistake
    formula: str
    own: IndexArray
    """The records that show it by themselves, whatever stands beside them."""
    own_parameters: FloatArray
    """The parameter that each of these shows; empty where there is none."""
    shared: IndexArray
    """Those that show it together with the others: with one value of the parameter, if any."""
    parameter: float | None
    """This value."""
    doubt: int
    """0 where it is one certain mistake, 1 where a record of two classes leaves its parameter free
    to fit anything, 2 where it is a family of mistakes."""

    def renumbered(self, numbers: IndexArray) -> "Fit":
        """Return the fit with these numbers for the records, without those below 0."""
        own, shared = numbers[self.own], numbers[self.shared]
        parameters = self.own_parameters
        return self._replace(
            own=own[own >= 0],
            own_parameters=parameters[own >= 0] if len(parameters) else parameters,
            shared=shared[shared >= 0],
        )


def with_parameter(formula: str, mistake: Mistake, value: float | None) -> str:
    """Return a formula with the value of its parameter, if it has one."""
    if value is None:
        return formula
    if value.is_integer() and abs(value) < 1e10:
        shown = f"{value:,.0f}"
    else:
        # What is nearly 1 is not said to be 1.
        texts = (f"{value:.{digits}g}" for digits in range(4, 18))
        shown = next(text for text in texts if float(text) != 1.0)
    return f"{formula} with {mistake.symbol} = {shown}"


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


def recognise(case: Case) -> list[Fit]:
    """Return the mistakes that give the claims of some records, the simplest first.

    Rounding errors are those of the claims' own type, of float32 if that has fewer digits, or what
    is tolerated if that is more. Where nothing gives these numbers, and they are numbers of a
    narrower type, rounding errors are those of that.
    """
    fits = list(_fits(case, case.epsilon))
    for dtype in case.dtype.narrower:
        unknown = np.ones(case.records, dtype=bool)
        for fit in fits:
            unknown[fit.own] = False
        if unknown.any() and dtype.epsilon > case.epsilon:
            rest = np.flatnonzero(unknown & case.of_records(case.are_of(dtype)))
            if len(rest):
                found = _fits(case.part(rest), dtype.epsilon)
                fits += [fit.renumbered(rest) for fit in found]
    return fits


def _fits(case: Case, epsilon: float) -> Iterator[Fit]:
    """Yield the mistakes that give the claims but for rounding errors of this size."""
    is_right = _gives(case, case.right, epsilon, Form("", lambda c: c.right))
    for mistake in CATALOGUE:
        shows = ~is_right if mistake.keeps_digits else np.ones(case.records, dtype=bool)
        for form in mistake.gives.get(case.quantity, ()):
            for own, shared, parameters, value in _try(case, form, epsilon, mistake):
                if (shared & shows).any() or (own & shows).any():
                    is_free = case.classes == 2 and form.parameter and not mistake.is_whole
                    yield Fit(
                        mistake,
                        form.formula,
                        np.flatnonzero(own & shows),
                        parameters[own & shows] if len(parameters) else parameters,
                        np.flatnonzero(shared & shows),
                        value,
                        doubt=2 if mistake.is_general else int(bool(is_free)),
                    )


def _try(
    case: Case, form: Form, epsilon: float, mistake: Mistake
) -> Iterator[tuple[BoolArray, BoolArray, FloatArray, float | None]]:
    """Yield which records show a form by themselves, and which together, and its parameters.

    The parameters are that of each record, and the one that they have together.
    """
    epsilon = form.dtype.epsilon if form.dtype else epsilon
    none, nothing = np.zeros(case.records, dtype=bool), np.empty(0)
    applies = form.applies(case) if form.applies else None
    if applies is not None and not applies.any():
        return
    if form.parameter is None:
        given = _gives(case, form.terms(case), epsilon, form, applies)
        if not mistake.of_batch:
            yield given, given, nothing, None
        elif np.count_nonzero(given) >= max(2, case.records / 2):
            yield none, given, nothing, None
        return

    values = case.parameter(form.parameter, varies=mistake.varies)
    own = _gives(case, form.terms(case, values), epsilon, form, ~np.isnan(values))
    if mistake.varies:
        yield own, own, values if case.size == 1 else nothing, None
        return
    parameters = values[:: case.size]
    left = own
    for _ in range(MOST_SHARED_VALUES):
        if not left.any():
            break
        # One value that all have is known better than rounding errors leave it in one record.
        value = float(np.sort(parameters[left])[(np.count_nonzero(left) - 1) // 2])
        shared = _gives(case, form.terms(case, np.full(case.count, value)), epsilon, form)
        if case.is_one_number:
            # A parameter of its own fits any number, unless it is whole and known to be so. What
            # counts otherwise is that most have the same.
            is_whole = mistake.is_whole & (parameters * epsilon < SURELY_WHOLE)
            most = np.count_nonzero(shared) >= max(2, case.records / 2)
            yield own & is_whole, shared & (most | is_whole), parameters, value
        else:
            yield own, shared, parameters, value
        own, left = none, left & ~shared


def _gives(
    case: Case, terms: Terms, epsilon: float, form: Form, applies: BoolArray | None = None
) -> BoolArray:
    """Return for each record whether the terms give its claim, but for rounding errors.

    Of the rows of a record those that failed must show it, and the form apply to them. NaN is given
    by nothing, unless the form means it.
    """
    given, size = total(terms), total_size(terms)
    errors = case.rounding_errors(epsilon) * size
    if case.size > 1 or not case.objective.is_plain:
        unit = case.safe_unit if form.counts_all else case.unit
        given, size, errors = (
            case.of_claims(np.where(unit == 0.0, 0.0, unit * values))
            for values in (given, size, errors)
        )
    near = np.abs(case.claimed - given) <= errors + case.slack
    if not (case.is_finite and np.isfinite(given).all() and size.max() <= case.dtype.largest):
        given = np.where(np.abs(given) > case.dtype.largest, np.copysign(np.inf, given), given)
        near = (near & np.isfinite(given)) | (case.claimed == given)
        if form.gives_nan:
            near |= np.isnan(case.claimed) & np.isnan(given)
    shown = np.asarray(near.all(axis=0))
    if applies is not None:
        shown = shown & (applies if len(applies) == len(shown) else case.of_records(applies))
    return case.of_records(shown)


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


class Finding(NamedTuple):
    """A mistake that was recognised, and in how many of the records that failed."""

    mistake: Mistake
    formula: str
    """What was returned, with the value of its parameter where that is the same in all records."""
    records: int
    """The number of records in which the formula gives the claim."""


class _Key(NamedTuple):
    """A mistake in one of its forms, with about one value of its parameter."""

    name: str
    formula: str
    parameter: float
    """To three digits, so that there are few; 0 where there is none."""


def _key(fit: Fit) -> _Key:
    parameter = 0.0 if fit.parameter is None else float(f"{fit.parameter:.3g}")
    return _Key(fit.mistake.name, fit.formula, parameter)


class Evidence:
    """What is known of one quantity over many records."""

    def __init__(self) -> None:
        self.failed = 0
        self._sets: Counter[frozenset[_Key]] = Counter()
        self._values: dict[_Key, Counter[float]] = {}

    def add(self, quantity: VerifiedQuantity) -> None:
        """Add the records that failed."""
        failed = quantity.comparison.failed
        self.failed += int(np.count_nonzero(failed))
        for fit in quantity.fits:
            key = _key(fit)
            if fit.parameter is not None:
                self._add_value(key, fit.parameter, len(fit.shared))
        shared = [fit.shared for fit in quantity.fits]
        for rows, fitting in by_set(failed, quantity.fits, shared):
            self._add_set(frozenset(map(_key, fitting)), len(rows))

    def join(self, other: "Evidence") -> None:
        """Add what is known of the records that follow."""
        self.failed += other.failed
        for key, values in other._values.items():
            for value, records in values.items():
                self._add_value(key, value, records)
        for keys, records in other._sets.items():
            self._add_set(keys, records)

    def _add_value(self, key: _Key, value: float, records: int) -> None:
        if key not in self._values and len(self._values) >= MOST_SETS:
            return
        values = self._values.setdefault(key, Counter())
        if value in values or len(values) < MOST_VALUES:
            values[value] += records

    def _add_set(self, keys: frozenset[_Key], records: int) -> None:
        if keys not in self._sets and len(self._sets) >= MOST_SETS:
            keys = frozenset(key for key in keys if not key.parameter)
        self._sets[keys] += records

    def findings(self, records: int) -> tuple[list[list[Finding]], int]:
        """Return what explains the records that failed, and how many nothing explains.

        The first list is what explains most of them: the simplest mistake, and the others that
        explain nearly as many. The next is what explains most of the rest, and so on. A batch of
        exactly as many records as there are here is no coincidence.
        """
        merged = _Merged(self._values)
        left = Counter[frozenset[_Key]]()
        for keys, count in self._sets.items():
            left[frozenset(map(merged.key, keys))] += count
        groups: list[list[Finding]] = []
        while len(groups) < MOST_FINDINGS:
            support = Counter[_Key]()
            for keys, count in left.items():
                for key in keys:
                    support[key] += count
            if not support:
                break
            best = _likely(support, merged, records)
            groups.append(
                [Finding(_MISTAKES[key.name], merged.formula(key), support[key]) for key in best]
            )
            left = Counter({keys: n for keys, n in left.items() if not keys.intersection(best)})
        return groups, left.total()


_MISTAKES = {mistake.name: mistake for mistake in CATALOGUE}
_FORMS = [
    (mistake.name, form.formula)
    for mistake in CATALOGUE
    for forms in mistake.gives.values()
    for form in forms
]
_ORDER = {form: place for place, form in enumerate(_FORMS)}


def _likely(support: Counter[_Key], merged: "_Merged", records: int) -> list[_Key]:
    """Return the simplest of the mistakes that explain most, and its alternatives."""
    most = max(support.values())
    for generality in range(3):
        level = [key for key in support if _MISTAKES[key.name].generality == generality]
        best = max((support[key] for key in level), default=0)
        if best >= ENOUGH_FOR_A_CERTAIN_ONE * most:
            break
    level.sort(key=lambda key: (-support[key], _ORDER[key[:2]], key.parameter))
    first_of = {key.name: key for key in reversed(level)}
    likely = [key for key in first_of.values() if support[key] >= NEARLY_AS_MANY * best]
    of_batch = [
        key for key in likely if _MISTAKES[key.name].is_whole and merged.value(key) == records
    ]
    return sorted(of_batch or likely, key=lambda key: _ORDER[key[:2]])


class _Merged:
    """Keys whose parameters are neighbours are one, with the value that most records have."""

    def __init__(self, values: dict[_Key, Counter[float]]) -> None:
        self._first: dict[_Key, _Key] = {}
        self._values: dict[_Key, Counter[float]] = {}
        last = first = _Key("", "", 0.0)
        for key in sorted(values, key=lambda key: (key[:2], key.parameter)):
            step = key.parameter - last.parameter
            if key[:2] != last[:2] or step > SAME_PARAMETER * abs(key.parameter):
                first = key
            self._first[key] = first
            self._values.setdefault(first, Counter()).update(values[key])
            last = key

    def key(self, key: _Key) -> _Key:
        """Return the key that stands for this one and its neighbours."""
        return self._first.get(key, key)

    def value(self, key: _Key) -> float | None:
        """Return the parameter of a key, if it has one."""
        values = self._values.get(key)
        return values.most_common(1)[0][0] if values else None

    def formula(self, key: _Key) -> str:
        """Return the formula of a key, with the value of its parameter."""
        return with_parameter(key.formula, _MISTAKES[key.name], self.value(key))
