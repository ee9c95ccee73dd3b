"""A vocabulary or a batch in parts: sums over one part only, parts left out, padding summed up."""

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import BoolArray
from softgrad_core.verification.diagnosis import formulas as f
from softgrad_core.verification.diagnosis.case import Case, Terms, total
from softgrad_core.verification.diagnosis.mistake import Form, Mistake

MOST_PARTS = 64
USUAL_PARTS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64)
BLOCKS = (*range(1, 9), *(2**power * of for power in range(3, 13) for of in (2, 3)))
SAME_RATIO = 1e-3  # Two parts whose sums are as near as this are not told apart.


def p_of_parts(c: Case, parts: FloatArray) -> FloatArray:
    """Return exp(z) over the sum of its own part, if there are this many parts of equal size."""
    p = np.full_like(c.p, np.nan)
    for count in np.unique(parts[np.isfinite(parts)]):
        starts = np.arange(0, c.classes, -(-c.classes // int(count)))
        sums = np.repeat(
            np.add.reduceat(c.p, starts, axis=0), np.diff([*starts, c.classes]), axis=0
        )
        p = np.where(parts == count, c.p / sums, p)
    return np.asarray(p)


def parts_of_sum(c: Case) -> FloatArray:
    """Return the number of parts that were normalised apart: p is off by one factor in each."""
    ratio = np.exp(c.claimed_log_p) / c.p
    shows = (c.e == 0.0) & (np.abs(c.claimed) > 32.0 * c.dtype.smallest)
    ratio = np.where(shows & np.isfinite(ratio), ratio, np.nan)
    same = max(SAME_RATIO, 4.0 * c.dtype.epsilon)
    counts = np.full(c.count, np.nan)
    for parts in range(min(MOST_PARTS, c.classes // 2), 1, -1):
        starts = np.arange(0, c.classes, -(-c.classes // parts))
        if len(starts) == parts:
            highest = np.fmax.reduceat(ratio, starts, axis=0)
            lowest = np.fmin.reduceat(ratio, starts, axis=0)
            is_level = ~(highest - lowest > same * highest).any(axis=0)
            counts = np.where(is_level, float(parts), counts)
    return counts


def parts_of_loss(c: Case) -> FloatArray:
    """Return the number of parts of which the target's gives the loss most nearly."""
    errors = [
        np.abs(total(over_own_part(c, np.full(c.count, float(parts)))) - c.claim)[0]
        for parts in USUAL_PARTS
    ]
    return np.asarray(np.array(USUAL_PARTS, dtype=np.float64)[np.argmin(errors, axis=0)])


def over_own_part(c: Case, parts: FloatArray) -> Terms:
    """Return the terms for exp(z) over the sum of its own part."""
    return f.from_p(c, p_of_parts(c, parts))


def part_of_target(c: Case) -> FloatArray:
    """Return how many classes, next to one another, are not 0 in the claim, around the target."""
    shown = c.claim != 0.0
    first = shown.argmax(axis=0)
    last = c.classes - 1 - shown[::-1].argmax(axis=0)
    size = last - first + 1
    # Parts of a vocabulary are as large as those that it has been cut into.
    is_a_part = -(-c.classes // -(-c.classes // size)) == size
    starts_well = is_a_part & ((first % size == 0) | (last == c.classes - 1))
    inside = (first <= c.y) & (c.y <= last) & shown.any(axis=0) & (size < c.classes)
    return np.where(inside & starts_well, size, np.nan).astype(np.float64)


def only_part_of_target(c: Case, size: FloatArray) -> Terms:
    """Return the right terms in the part of the classes that has the target, 0 in the others."""
    part = np.arange(c.classes)[:, np.newaxis] // size
    is_kept = part == c.y // size
    return tuple(np.where(is_kept, term, 0.0) for term in c.right)


def padding(c: Case) -> FloatArray:
    """Return what was added to Σ exp(z), if the claim is made of such a sum; whole if nearly so."""
    log_normaliser = c.log_normaliser
    normaliser = np.exp(log_normaliser)
    if c.quantity == "loss":
        added = np.exp(c.claim[0] + c.kept(c.a)[0]) - normaliser
    else:
        # Over many classes the errors of single ones cancel.
        is_other = (c.e < c.e.max(axis=0)) & np.isfinite(c.claimed_log_p)
        right, claimed = (
            np.where(is_other, p, 0.0).sum(axis=0) for p in (c.p, np.exp(c.claimed_log_p))
        )
        added = normaliser * (right - claimed) / claimed
    whole = np.rint(added)
    # What rounding leaves unknown of it: the logarithm of the sum is rounded as well.
    lost = 4.0 * max(c.dtype.epsilon, 1e-9) * (1.0 + np.abs(log_normaliser))
    is_whole = (whole >= 1.0) & (np.abs(added - whole) <= lost * (added + normaliser))
    added = np.where(is_whole, whole, added)
    return np.where(added > min(1e-3, 16.0 * float(lost.max())) * normaliser, added, np.nan)


def with_padding(c: Case, added: FloatArray) -> Terms:
    """Return the terms for a sum of exponentials that has something more in it."""
    log_p = c.d - c.log_sum
    return f.from_log_p(c, log_p - np.logaddexp(0.0, np.log(added) - c.log_normaliser))


def blocks_not_rescaled(c: Case) -> FloatArray:
    """Return the size of blocks whose sums give the claim if no maximum is shared; NaN if none."""
    if c.quantity == "loss":
        claimed = c.claim[0] + c.kept(c.d)[0]
    else:
        claimed = f.median(np.where(c.e == 0.0, c.d - c.claimed_log_p, np.nan), axis=0)[0]
    sizes, best = np.full(c.count, np.nan), np.full(c.count, 0.5)
    for size in reversed(BLOCKS):
        if size < c.classes:
            off = np.maximum(np.abs(np.log(sum_of_blocks(c, size)) - claimed), c.dtype.epsilon)
            is_nearer = off < 0.5 * best  # Of blocks that give the same sum, the largest.
            sizes, best = np.where(is_nearer, size, sizes), np.where(is_nearer, off, best)
    return sizes


def sum_of_blocks(c: Case, size: int) -> FloatArray:
    """Return Σ exp(z - m) of each row, where m is the maximum up to the block of each class."""
    starts = np.arange(0, c.classes, size)
    tops = np.maximum.accumulate(np.maximum.reduceat(c.d, starts, axis=0), axis=0)
    shifts = np.repeat(tops, np.diff([*starts, c.classes]), axis=0)
    return np.asarray(np.where(np.isfinite(c.d), np.exp(c.d - shifts), 0.0).sum(axis=0))


def not_rescaled(c: Case, sizes: FloatArray) -> Terms:
    """Return the terms for sums of blocks of this size that no maximum is shared by."""
    sums = np.full(c.count, np.nan)
    for size in np.unique(sizes[np.isfinite(sizes)]):
        sums = np.where(sizes == size, sum_of_blocks(c, int(size)), sums)
    return f.from_log_p(c, c.d - np.log(sums))


def is_zero_after(c: Case) -> FloatArray:
    """Return the first class from which on all claims are 0, NaN if the last one is not."""
    return _end_of(c, c.claim != 0.0)


def is_target_after(c: Case) -> FloatArray:
    """Return the first class from which on all claims are -e, NaN if the last one is not."""
    return _end_of(c, np.abs(c.claim + c.e) > c.dtype.epsilon * c.e)


def _end_of(c: Case, shown: BoolArray) -> FloatArray:
    """Return the class after the last one that is shown, NaN if that is the last of all."""
    first = c.classes - shown[::-1].argmax(axis=0)
    is_tail = shown.any(axis=0) & (first < c.classes)
    return np.where(is_tail, first, np.nan).astype(np.float64)


def without_tail(c: Case, first: FloatArray) -> Terms:
    """Return the right terms, 0 from a class on."""
    is_kept = _are_before(c, first)
    return tuple(np.where(is_kept, term, 0.0) for term in c.right)


def p_without_tail(c: Case, first: FloatArray) -> Terms:
    """Return the right terms, with 0 for p from a class on."""
    return f.from_p(c, np.where(_are_before(c, first), c.p, 0.0))


def _are_before(c: Case, first: FloatArray) -> BoolArray:
    """Return which numbers are those of a class before the first one of each row."""
    # As the rows lie in memory, or all that is made from it would take twice as long.
    return np.asarray(np.arange(c.classes) < first[:, np.newaxis]).T


def holds_target(c: Case) -> BoolArray:
    """Return whether the target's number is not 0, as it is in its own part."""
    return np.asarray(total(c.right)[c.y, c.columns] != 0.0)


PARTS = (
    Mistake(
        "sum-over-own-part",
        "the classes are in R parts, and each was normalised by the sum over its own",
        "add the sums of exp(z) of all parts up, after a common shift",
        Form(f.OF_P, "{} with exp(a) / Σ over its part, of R", over_own_part, parts_of_sum),
        Form("loss", "{} with exp(a) / Σ over its part, of R", over_own_part, parts_of_loss),
        symbol="R",
        is_whole=True,
    ),
    Mistake(
        "only-the-targets-part",
        "the classes are in parts of n, and those parts that do not hold the target are 0",
        "compute p in every part; only e(y) is the part's that holds the target",
        Form(
            "grad_logits",
            "{} in the target's part of n classes",
            only_part_of_target,
            part_of_target,
            applies=holds_target,
        ),
        symbol="n",
        is_whole=True,
    ),
    Mistake(
        "last-classes-left-out",
        "the classes from n on are 0: the last block was not computed",
        "compute the last block too, which may be shorter than the others",
        Form(f"{f.OF_P} grad_probs", "{} up to class n, then 0", without_tail, is_zero_after),
        Form("grad_logits", "p - e, with 0 for p from class n on", p_without_tail, is_target_after),
        symbol="n",
        is_whole=True,
    ),
    Mistake(
        "sum-not-rescaled",
        "exp(a - m) was summed up in blocks of n classes, with the maximum m so far: earlier sums"
        " were left as they were when it grew",
        "multiply the sum so far by exp(m - m') when the maximum grows from m to m'",
        Form(
            f"{f.OF_P} loss",
            "{} with sums of blocks of n classes that are not rescaled",
            not_rescaled,
            blocks_not_rescaled,
        ),
        symbol="n",
        is_whole=True,
    ),
    Mistake(
        "padding-in-the-sum",
        "the sum of exponentials has n more in it, as n padded columns with the logit 0 give",
        "leave the columns beyond the classes out of the sum, or set their logits to -infinity",
        Form(
            f.EVERY.replace("grad_probs", ""),
            "{} with exp(a) / (Σ exp(a) + n) for p",
            with_padding,
            padding,
        ),
        symbol="n",
    ),
)
