"""Numbers that no known mistake gives -> what their error is made of, in words.

Only what is exact, but for rounding, is said: which rows and classes are wrong, that they are 0,
that they are the results of other rows, or which multiples of p, e and 1 they are.
"""

from collections.abc import Iterator

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.diagnosing import case_of, in_blocks
from softgrad_core.verification.diagnosis.case import Case
from softgrad_core.verification.extent import extent, listed
from softgrad_core.verification.judging import Claims, Judged

ROUNDINGS = 16.0
"""How many epsilons of its terms a number may be off and still be made of them."""

FIRST_ROWS = 4
"""The rows that tell whether it is worth to look at all."""

FITTED_ELEMENTS = 1 << 18
"""Multiples of p, e and 1 are looked for in rows of this many numbers, at most."""

SAME_MULTIPLE = 1e-3
"""The relative difference up to which multiples of several rows are one, at least."""

MOST_LISTED = 3
"""More rows than this are not named one by one."""


def composition(claims: Claims, name: str, judged: Judged, rows: IndexArray, threads: int) -> str:
    """Return what is known of rows that failed, none of which shows a known mistake."""
    found = list(_found(claims, name, judged, rows, threads))
    return "; ".join(part for part in found if part)


def _found(
    claims: Claims, name: str, judged: Judged, rows: IndexArray, threads: int
) -> Iterator[str]:
    if claims.is_summed(name) or not len(rows):
        return
    failed, counted = judged.failed_rows, claims.objective.counted
    if counted is not None and (failed | ~counted).all():
        failed = np.ones_like(failed)  # All that may fail.
    yield extent(failed, judged.failed_columns) if len(failed) > 1 else ""
    with np.errstate(all="ignore"):
        others = rows_of_others(claims, name, rows, threads)
        if others is not None:
            yield _moved(rows, others)
        elif _are_zero(claims, name, rows, judged.failed_columns):
            yield "all of these numbers are 0"
        elif name in {"grad_logits", "probs"}:
            yield _parts(claims, name, judged, rows, threads)


def _are_zero(claims: Claims, name: str, rows: IndexArray, columns: BoolArray) -> bool:
    def holds_more(some: IndexArray) -> bool:
        return bool(claims.given[name][some][:, columns].any())

    return not (holds_more(rows[:FIRST_ROWS]) or any(in_blocks(holds_more, rows, claims, 1)))


def rows_of_others(claims: Claims, name: str, rows: IndexArray, threads: int) -> IndexArray | None:
    """Return the rows whose right results all of these rows hold, or None if one does not."""
    count, columns = claims.given[name].shape
    if len(claims.rows) < 2 or columns < 2:
        return None
    direction = np.random.default_rng(0).normal(size=columns)
    right = np.concatenate(
        in_blocks(
            lambda some: claims.nearly(name, some) @ direction, np.arange(count), claims, threads
        )
    )
    order = np.argsort(right, kind="stable")
    epsilon = ROUNDINGS * claims.tolerance.of(name).dtype.epsilon

    def others(some: IndexArray) -> IndexArray | None:
        claim = claims.given[name][some].astype(np.float64)
        got = claim @ direction
        place = np.searchsorted(right[order], got).clip(1, count - 1)
        before, after = order[place - 1], order[place]
        nearer = np.where(np.abs(right[before] - got) < np.abs(right[after] - got), before, after)
        expected = claims.expected(name, nearer).T
        lost = epsilon * (np.abs(expected) + 0.01 * np.abs(expected).max(axis=1, keepdims=True))
        is_other = (nearer != some).all() and (np.abs(claim - expected) <= lost).all()
        return np.asarray(nearer) if is_other else None

    # A few rows tell whether it is worth to compare all.
    if others(rows[:MOST_LISTED]) is None:
        return None
    found = in_blocks(others, rows, claims, threads)
    parts = [part for part in found if part is not None]
    return np.concatenate(parts) if len(parts) == len(found) else None


def _moved(rows: IndexArray, others: IndexArray) -> str:
    """Return which rows hold the results of which others, in words."""
    if len(rows) <= MOST_LISTED:
        verb = "holds" if len(rows) == 1 else "hold"
        of_others = listed(others, "row", "rows")
        return f"{listed(rows, 'row', 'rows')} {verb} the results of {of_others}"
    moved = np.unique(others - rows)
    if len(moved) == 1:
        side = "after" if moved[0] > 0 else "before"
        return f"each of these rows holds the results of the row {abs(moved[0])} {side} it"
    if len(np.unique(others)) == 1:
        return f"all of these rows hold the results of row {others[0]}"
    return (
        f"these rows hold the results of other rows: row {rows[0]} that of row {others[0]}, "
        f"row {rows[1]} that of row {others[1]}"
    )


def _parts(claims: Claims, name: str, judged: Judged, rows: IndexArray, threads: int) -> str:
    """Return which multiples of p, e and 1 the rows are, in words."""

    def fitted(some: IndexArray) -> FloatArray | None:
        return _multiples(case_of(claims, name, judged, some))

    if fitted(rows[:FIRST_ROWS]) is None:
        return ""
    some = claims.sample(FITTED_ELEMENTS, rows, fewest=FIRST_ROWS)
    parts = in_blocks(fitted, some, claims, threads)
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return ""
    epsilon = claims.tolerance.of(name).dtype.epsilon
    text = _in_words(name, np.concatenate(found, axis=1), max(SAME_MULTIPLE, 4.0 * epsilon))
    return text if some is rows else f"in {len(some):,} of these rows, {text}"


def _multiples(case: Case) -> FloatArray | None:
    """Return the multiples of p, -e and 1, of shape (3, n), or None if they do not make a row."""
    terms = [case.p, -case.e, np.ones_like(case.p)]
    if case.quantity == "probs":
        terms[1] = np.zeros_like(case.p)
    size = sum(np.abs(term) for term in terms[:2])
    weight = 1.0 / (size + case.dtype.smallest_normal) ** 2
    for used in ([0, 1], [0, 1, 2]):
        chosen = np.array([terms[place] for place in used])
        left = np.einsum("ikn,jkn,kn->nij", chosen, chosen, weight)
        right = np.einsum("ikn,kn,kn->ni", chosen, case.claim, weight)
        # A term that is 0 everywhere gets the multiple 0.
        left += np.eye(len(used)) * 1e-12 * np.trace(left, axis1=1, axis2=2)[:, None, None]
        multiples = np.linalg.solve(left, right[..., np.newaxis])[..., 0].T
        made = np.einsum("in,ikn->kn", multiples, chosen)
        allowed = ROUNDINGS * case.dtype.epsilon * np.abs(multiples[:, None] * chosen).sum(axis=0)
        near = np.abs(made - case.claim) <= allowed + case.dtype.smallest_normal / case.safe_unit
        if near.all():
            return np.concatenate([multiples, np.zeros((3 - len(used), case.count))])
    return None


def _in_words(name: str, multiples: FloatArray, same: float) -> str:
    """Return multiples of p, -e and 1 of each row, of shape (3, n), in words.

    Those whose relative difference is at most `same` are taken for one.
    """

    def is_one(values: tuple[float, float]) -> bool:
        lowest, highest = values
        return bool(highest - lowest <= same * max(abs(lowest), abs(highest)))

    of_p, of_e, of_one = ((part.min(), part.max()) for part in multiples)
    what = "e" if name == "grad_logits" else ""
    if is_one(of_p) and is_one(of_e) and is_one(of_one):
        text = f"it is {of_p[0]:.4g} p"
        text += f" - {of_e[0]:.4g} e" if what else ""
        return text + (f" {of_one[0]:+.4g} in every class" if of_one[0] else "")
    if what and is_one(of_p) and not any(of_one):
        text = f"e is {of_e[0]:.3g} to {of_e[1]:.3g} times what it should be, a factor of each row"
        is_right = abs(of_p[0] - 1.0) <= same
        return text if is_right else f"p is {of_p[0]:.4g} times what it should be, and {text}"
    if not any(of_one) and (not what or is_one(of_e)):
        text = f"p is {of_p[0]:.3g} to {of_p[1]:.3g} times what it should be, a factor of each row"
        return f"{text}: look at the sum of exponentials" if of_p[1] < 1.0 else text
    return "each row is made of p, e and a constant of its own"
