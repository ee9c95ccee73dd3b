"""Claims that failed -> which known mistakes give exactly these numbers, and in which records."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.loss.results import LOSSES
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.diagnosis.case import Case, Terms, total, total_size
from softgrad_core.verification.diagnosis.formulas import EVERY
from softgrad_core.verification.diagnosis.mistake import Form, Mistake

MOST_SHARED_VALUES = 4  # Of a parameter, in records that are verified together.
FEW_ELEMENTS = 1 << 14  # Fewer numbers are looked at all at once.
SURELY_WHOLE = 0.01  # The rounding error below which a number is known to be whole.

_RIGHT = Form(EVERY, "{}", lambda c: c.right)


_Shown = tuple[BoolArray, BoolArray, FloatArray, float | None]
"""The records that show a mistake by themselves and together, as masks, and its parameters."""


class Fit(NamedTuple):
    """A mistake in one of its formulas, and the records whose claims it gives."""

    mistake: Mistake
    formula: str  # Without the value of its parameter.
    place: int  # Its place in the catalogue's FORMS of the quantity.
    own: IndexArray  # The records that show the mistake by themselves.
    own_parameters: FloatArray  # The parameter of each of these; empty if there is none.
    shared: IndexArray  # The records that show it together, with one value of the parameter.
    parameter: float | None  # This value.
    doubt: int  # 0: certain; 1: with two classes, its parameter may fit anything; 2: general.

    def renumbered(self, numbers: IndexArray) -> "Fit":
        """Return the fit with these numbers for its records, without those below 0."""
        own, shared = numbers[self.own], numbers[self.shared]
        parameters = self.own_parameters
        return self._replace(
            own=own[own >= 0],
            own_parameters=parameters[own >= 0] if len(parameters) else parameters,
            shared=shared[shared >= 0],
        )


def recognise(case: Case, sample: Sequence[Fit] | None = None) -> list[Fit]:
    """Return the mistakes that give the claims of some records, the simplest first.

    With the fits of a `sample` of records, only these are tried.

    A formula must give a claim to within the rounding errors of the claims' own type (of float32
    if that has fewer digits) and what is tolerated. Claims that nothing gives, and that are
    numbers of a narrower type, are tried again with the rounding errors of that type; claims in
    float64 that are right to the digits of float32, with those of float64. Where a mistake beside a
    z-loss is unknown, the z-loss is taken for right, and what is left is looked at.
    """
    fits = _first_fits(case, sample)
    if case.dtype.epsilon < case.epsilon:
        near = np.flatnonzero(case.of_records(case.is_near_right))
        if len(near):
            found = _fits(case.part(near), case.dtype.epsilon, sample)
            fits += [fit.renumbered(near) for fit in found if _is_sharp(fit)]
    for dtype in case.dtype.narrower if case.half_units is None else ():
        unknown = _unknown(case, fits)
        if unknown.any() and dtype.epsilon > case.epsilon:
            rest = np.flatnonzero(unknown & case.of_records(case.are_of(dtype)))
            if len(rest):
                found = _fits(case.part(rest), dtype.epsilon, sample)
                fits += [fit.renumbered(rest) for fit in found]
    if case.has_z_loss and case.quantity in {"loss", "grad_logits"}:
        rest = np.flatnonzero(_unknown(case, fits, together=True))
        if len(rest):
            beside = recognise(case.part(rest).without_z_loss(), sample)
            fits += [fit.renumbered(rest) for fit in beside]
    return fits


def _first_fits(case: Case, sample: Sequence[Fit] | None) -> list[Fit]:
    """Return the mistakes that show themselves in the digits of the arithmetic, or of the claims.

    Claims that were computed in a wider type are first held to that, rounded once: the others
    could be nearly anything.
    """
    if case.tolerance.arithmetic.epsilon < case.dtype.epsilon:
        once = replace(case, rounds_once=True)
        fits = list(_fits(once, once.epsilon, sample))
        rest = np.flatnonzero(_unknown(case, fits, together=True))
        if not len(rest):
            return fits
        found = _fits(case.part(rest), case.epsilon, sample)
        return [*fits, *(fit.renumbered(rest) for fit in found)]
    return list(_fits(case, case.epsilon, sample))


def _unknown(case: Case, fits: Sequence[Fit], *, together: bool = False) -> BoolArray:
    """Return which records show none of the mistakes by themselves, or `together` with others."""
    unknown = np.ones(case.records, dtype=bool)
    for fit in fits:
        unknown[fit.own] = False
        if together:
            unknown[fit.shared] = False
    return unknown


def forms_of(quantity: str) -> Sequence[tuple[Mistake, Form]]:
    """Return the known mistakes of a quantity, each with one of its forms, the simplest first."""
    # Claims that pass do without the catalogue, which takes a while to import.
    from softgrad_core.verification.diagnosis.catalogue import FORMS

    return FORMS[quantity]


def shows(case: Case, form: Form) -> BoolArray:
    """Return for each record whether a form without a parameter gives its claims."""
    applies = form.applies(case) if form.applies else None
    return _gives(case, form, form.terms(case), case.dtype.epsilon, applies)


def _is_sharp(fit: Fit) -> bool:
    """Return whether a formula of its own gives the claims, not one that many numbers fit."""
    return fit.doubt == 0 and fit.parameter is None and fit.mistake.keeps_digits


def by_set(
    failed: BoolArray, fits: Sequence[Fit], records: Sequence[IndexArray]
) -> Iterator[tuple[IndexArray, list[Fit]]]:
    """Yield the records that failed and have the same fits, and these fits.

    `records` has the records of each fit. Many records have few different sets of fits.
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


def _fits(case: Case, epsilon: float, sample: Sequence[Fit] | None) -> Iterator[Fit]:
    """Yield the mistakes that give the claims but for rounding errors of size epsilon."""
    is_right, forms = None, forms_of(case.quantity)
    places = range(len(forms)) if sample is None else sorted({fit.place for fit in sample})
    for place in places:
        mistake, form = forms[place]
        found = [fit for fit in sample or () if fit.place == place]
        shows = np.ones(case.records, dtype=bool)
        # The rest of a batch whose sample shows a mistake is wrong as well.
        if mistake.keeps_digits and (sample is None or case.size == 1):
            is_right = _gives(case, _RIGHT, case.right, epsilon) if is_right is None else is_right
            shows = ~is_right
        is_free = case.classes == 2 and form.parameter is not None and not mistake.is_whole
        for own, shared, parameters, value in _shown(case, mistake, form, epsilon, found):
            alone, together = own & shows, shared & shows
            if alone.any() or together.any():
                of_alone = parameters[alone] if len(parameters) else parameters
                records = np.flatnonzero(alone), of_alone, np.flatnonzero(together), value
                doubt = 2 if mistake.generality else int(is_free)
                yield Fit(mistake, form.formula, place, *records, doubt)


def _shown(
    case: Case, mistake: Mistake, form: Form, epsilon: float, found: Sequence[Fit]
) -> Iterator[_Shown]:
    """Yield what a `Fit` says of records; in a sample, these fits of the form were `found`."""
    values = {fit.parameter for fit in found}
    if None in values or not all(np.isin(fit.own, fit.shared).all() for fit in found) or not found:
        yield from _tried(case, mistake, form, epsilon)
        return
    epsilon = form.dtype(case).epsilon if form.dtype else epsilon
    for value in values:
        parameter = np.full(case.count, value)
        given = _gives(case, form, form.terms(case, parameter), epsilon)
        yield given, given, parameter[:: case.size], value


def _tried(case: Case, mistake: Mistake, form: Form, epsilon: float) -> Iterator[_Shown]:
    """Yield what a `Fit` says of records for each value of its parameter."""
    none, nothing = np.zeros(case.records, dtype=bool), np.empty(0)
    epsilon = form.dtype(case).epsilon if form.dtype else epsilon
    applies = form.applies(case) if form.applies else None
    if applies is not None and not applies.any():
        return
    if form.parameter is None:
        given = _gives(case, form, form.terms(case), epsilon, applies)
        if not mistake.of_batch:
            yield given, given, nothing, None
        elif _are_most(given):
            yield none, given, nothing, None
        return

    varies = mistake.generality == 2
    values = case.parameter(form.parameter, varies=varies)
    own = _gives(case, form, form.terms(case, values), epsilon, ~np.isnan(values))
    if varies:
        yield own, own, values if case.size == 1 else nothing, None
        return
    parameters = values[:: case.size]
    left = own
    for _ in range(MOST_SHARED_VALUES):
        if not left.any():
            break
        # Rounding errors blur the value in one record; the middle of many is sharper.
        value = float(np.sort(parameters[left])[(np.count_nonzero(left) - 1) // 2])
        shared = _gives(case, form, form.terms(case, np.full(case.count, value)), epsilon)
        left = left & ~shared
        if case.quantity in {*LOSSES, "grad_probs"}:
            # These have one number, which some parameter always fits: so it must be known to be
            # whole, or most records must have the same one.
            is_whole = mistake.is_whole & (parameters * epsilon < SURELY_WHOLE)
            own, shared = own & is_whole, shared & (_are_most(shared) | is_whole)
        yield own, shared, parameters, value
        own = none


def _are_most(shown: BoolArray) -> bool:
    """Return whether at least half of the records show something, and not one alone."""
    return bool(np.count_nonzero(shown) >= max(2, len(shown) / 2))


def _gives(
    case: Case, form: Form, terms: Terms, epsilon: float, applies: BoolArray | None = None
) -> BoolArray:
    """Return for each record whether the terms give its claim, but for rounding errors.

    All rows of the record that failed must show it, and the formula must apply to them. NaN gives
    nothing, unless the formula stands for it.
    """
    if not form.counts_all and _misses_all(case, terms, epsilon):
        return np.zeros(case.records, dtype=bool)
    given, size = total(terms), total_size(terms)
    errors = case.rounding_errors(epsilon) * size
    near = _are_near(case, form, given, size, errors)
    if near is not None:
        return _of_records(case, near, applies)
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
        elif case.quantity in LOSSES:
            # A loss that overflowed may have been anything.
            right = case.of_claims(total(case.right))
            near &= np.isfinite(case.claimed) | ~np.isfinite(right)
    return _of_records(case, near, applies)


def _misses_all(case: Case, terms: Terms, epsilon: float) -> bool:
    """Return whether the terms are far from the claims of all records, at the telling classes.

    Most mistakes are, which spares looking at all classes.
    """
    shape, place = case.claim.shape, case.telling
    if case.quantity in LOSSES or case.claim.size < FEW_ELEMENTS or not case.is_finite:
        return False
    some = tuple(np.broadcast_to(term, shape)[place] for term in terms)
    errors = case.rounding_errors(epsilon)[place] * total_size(some)
    errors += np.broadcast_to(case.slack, shape)[place] / case.safe_unit
    # Far off, so that no other way to round the comparison finds them near; NaN may be.
    is_far = (np.abs(case.claim[place] - total(some)) > 2.0 * errors).any(axis=0)
    return not case.of_records(np.asarray(~is_far)).any()


def _are_near(
    case: Case, form: Form, given: FloatArray, size: FloatArray, errors: FloatArray
) -> BoolArray | None:
    """Return which numbers are given but for rounding errors, where all are in the type's range.

    They are compared in the unit of each row, as the claim is at hand in it. None if some are not.
    """
    if case.is_summed or form.counts_all or not (case.is_finite and case.row_counts.all()):
        return None
    largest = size.max(initial=0.0) * case.safe_unit.max(initial=0.0)
    if not largest <= case.dtype.largest:  # NaN included.
        return None
    errors += case.slack / case.safe_unit
    off = np.subtract(case.claim, given)
    return np.asarray(np.abs(off, out=off) <= errors)


def _of_records(case: Case, near: BoolArray, applies: BoolArray | None) -> BoolArray:
    """Return the records all of whose numbers are near, and that a formula applies to."""
    shown = np.asarray(near.all(axis=0))
    if applies is not None:
        shown = shown & (applies if len(applies) == len(shown) else case.of_records(applies))
    if case.is_summed:
        shown &= case.counts > 0.0  # A mean of no rows is no number.
    return case.of_records(shown)
