"""Claims that failed -> the known mistakes that give them, found on a sample and then confirmed."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from softgrad_core.cores import mapped
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray, rows_of
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.comparison import FAIL
from softgrad_core.verification.diagnosis.case import Case
from softgrad_core.verification.diagnosis.evidence import SAME_PARAMETER
from softgrad_core.verification.diagnosis.recognition import Fit, recognise
from softgrad_core.verification.judging import Claims, Judged
from softgrad_core.verification.reference import by_class

Found = TypeVar("Found")

FEW_ELEMENTS = 1 << 16
"""Up to this many numbers that failed, every mistake is tried on all of them. Of more, it is tried
on a sample, and on the rest only those mistakes are that the sample shows."""

SAMPLE_ELEMENTS = 1 << 14
"""The numbers of a sample of single rows, which may show several mistakes."""

BATCH_ELEMENTS = 1 << 12
"""The numbers of a sample of a batch, all rows of which show one mistake."""

BLOCK_ELEMENTS = 1 << 16
"""The numbers of rows that are looked at together."""

FEWEST_ROWS = 2
"""The rows of a sample, however many classes there are."""

MOST_SAMPLES = 4
"""How many samples are taken of rows that show none of the mistakes of the samples before."""


def diagnose(claims: Claims, name: str, judged: Judged, threads: int = 1) -> list[Fit]:
    """Return the mistakes that give claims of a quantity that failed, the simplest first."""
    failed = np.flatnonzero(judged.comparison.failed)
    if not len(failed):
        return []
    with np.errstate(all="ignore"):
        if len(failed) * claims.size * claims.rows.shape[1] <= FEW_ELEMENTS:
            return _fits(claims, name, judged, failed)
        if claims.size == 1:
            return _of_many_rows(claims, name, judged, failed, threads)
        return [
            fit
            for one in failed.tolist()
            for fit in _of_a_batch(claims, name, judged, one, threads)
        ]


def _fits(
    claims: Claims, name: str, judged: Judged, records: IndexArray, sample: list[Fit] | None = None
) -> list[Fit]:
    """Return the mistakes that give whole records, out of those that a sample shows."""
    case = _case(claims, name, judged, records, rows_of(records, claims.size))
    return [fit.renumbered(records) for fit in recognise(case, sample)]


def _of_many_rows(
    claims: Claims, name: str, judged: Judged, failed: IndexArray, threads: int
) -> list[Fit]:
    """Return the mistakes that many single rows show."""
    fits: list[Fit] = []
    left, rng = failed, np.random.default_rng(0)
    for _ in range(MOST_SAMPLES):
        sample = claims.sample(SAMPLE_ELEMENTS, left, fewest=FEWEST_ROWS, rng=rng)
        found = _fits(claims, name, judged, sample)
        if not found:
            break
        shown = _simplest(found)
        unknown = np.ones(len(claims.rows), dtype=bool)
        confirm = partial(_fits, claims, name, judged, sample=shown)
        for found in in_blocks(confirm, left, claims, threads):
            fits += found
            for fit in found:
                unknown[fit.own] = unknown[fit.shared] = False
        left = left[unknown[left]]
        if not len(left):
            break
    return fits


def _of_a_batch(claims: Claims, name: str, judged: Judged, record: int, threads: int) -> list[Fit]:
    """Return the mistakes that a batch of many rows shows."""
    rows, records = rows_of([record], claims.size), np.array([record])
    if claims.is_summed(name):
        return _fits(claims, name, judged, records) if rows.size <= FEW_ELEMENTS else []
    wrong = rows[judged.failed_rows[rows]]
    objective = claims.objective
    weights = objective.class_weights, objective.distribution, objective.scale
    # Where rows have weights of their own, that of the first may have been taken for all.
    first = rows[: any(weight is not None for weight in weights)]

    def found(some: IndexArray, sample: list[Fit] | None = None) -> list[Fit]:
        return recognise(_case(claims, name, judged, records, np.union1d(first, some)), sample)

    def confirmed(fits: list[Fit], some: IndexArray) -> list[Fit]:
        refuted: set[int] = set()

        def confirm(block: IndexArray) -> None:
            left = [fit for fit in fits if id(fit) not in refuted]
            again = found(block, left) if left else []
            refuted.update(id(f) for f in left if not any(_are_one(f, other) for other in again))

        in_blocks(confirm, some, claims, threads)
        return [fit for fit in fits if id(fit) not in refuted]

    rng = np.random.default_rng(0)
    fits = found(claims.sample(BATCH_ELEMENTS, wrong, fewest=FEWEST_ROWS, rng=rng))
    more = claims.sample(SAMPLE_ELEMENTS, wrong, fewest=FEWEST_ROWS, rng=rng)
    for doubt in sorted({fit.doubt for fit in fits}):
        # What two samples cannot tell apart, all rows hardly can: one is confirmed on all of them.
        likely = confirmed([fit for fit in fits if fit.doubt == doubt], more)
        if likely and not confirmed(likely[:1], wrong):
            likely = confirmed(likely[1:], wrong) if likely[1:] else []
        if likely:
            return [fit.renumbered(records) for fit in likely]
    return []


def _simplest(fits: list[Fit]) -> list[Fit]:
    """Return the mistakes that are no more general than they need to be."""
    least = min(fit.doubt for fit in fits)
    return [fit for fit in fits if fit.doubt == least]


def _are_one(fit: Fit, other: Fit) -> bool:
    """Return whether two samples of a batch show one mistake, with one parameter."""
    if fit.place != other.place or len(fit.own) != len(other.own):
        return False
    one, another = fit.own_parameters, other.own_parameters
    return len(one) == len(another) and np.allclose(one, another, rtol=SAME_PARAMETER, atol=0.0)


def in_blocks(
    found: Callable[[IndexArray], Found], rows: IndexArray, claims: Claims, threads: int
) -> list[Found]:
    """Return what is found in each block of the rows, on several threads."""

    def quietly(some: IndexArray) -> Found:
        with np.errstate(all="ignore"):  # Each thread has its own state.
            return found(some)

    step = max(1, BLOCK_ELEMENTS // claims.rows.shape[1])
    blocks = [rows[start : start + step] for start in range(0, len(rows), step)]
    return mapped(quietly, blocks, threads)


def case_of(claims: Claims, name: str, judged: Judged, rows: IndexArray) -> Case:
    """Return the case of some rows, each a record of its own."""
    return _case(claims.alone, name, judged, rows, rows)


def _case(claims: Claims, name: str, judged: Judged, records: IndexArray, rows: IndexArray) -> Case:
    """Return the case of these rows of the records, as many of each."""
    batches, objective = claims.objective.batches, claims.objective.part(rows)
    counts = np.ones(len(records))
    if batches is not None:
        size, denominators = len(rows) // len(records), batches.denominators[records]
        chosen = batches._replace(size=size, denominators=denominators)
        objective = replace(objective, batches=chosen)
        counts = claims.counted_rows(records)
    places = records if claims.is_summed(name) else rows

    def look(what: str) -> FloatArray | BoolArray:
        if what == "wrong":
            return np.asarray(claims.components(name, places).ranks == FAIL)
        # The ends meet: before the first row is the last one.
        step = 1 if what == "after" else -1
        return claims.expected(name, (places + step) % len(claims.given[name]))

    return Case(
        name,
        claims.tolerance.of(name),
        claimed=by_class(claims.given[name][places].astype(np.float64)),
        logits=by_class(claims.logits(rows).astype(np.float64)),
        objective=objective,
        highest_logit=lambda: claims.highest_logit,
        rows_of_batch=claims.size,
        counts=counts,
        has_failed=judged.failed_rows[rows],
        look=look,
        unmasked=None
        if objective.num_classes is None
        else by_class(claims.rows[rows].astype(np.float64)),
        half_units=by_class(claims.half_units[name][places]) if claims.half_units else None,
    )
