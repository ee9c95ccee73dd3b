"""Failing claims -> which known mistakes give exactly these numbers, and in which records."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.diagnosis.case import Case, Terms, total, total_size
from softgrad_core.verification.diagnosis.catalogue import CATALOGUE, Mistake
from softgrad_core.verification.diagnosis.forms import Form

MOST_SHARED_VALUES = 4
"""So many values of one parameter are looked for among records that are verified together."""

SURELY_WHOLE = 0.01
"""So many epsilons in a number leave no doubt that it is whole."""


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
