"""The fast path: records that are all alike and have nothing unusual, read together."""

import re
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from softgrad.records import fields
from softgrad.records.records import Defaults, Examples, Records
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective

READ = (fields.LOGITS, fields.TARGET, fields.CLASSES, *fields.OPTIONS)
"""The fields that are read of every record."""

QUOTED = {name: f'"{name}"'.encode() for name in (*READ, *fields.CLAIMS)}

UNUSUAL = {fields.CLASSES, fields.Z_LOSS, *fields.OPTIONS}
"""Fields that few records have; a record that has one is read on its own."""

PLAIN_NUMBERS = {float, int}

_ESCAPED_LETTER = re.compile(rb"\\u00[67]")


def plain_examples(
    records: Records, defaults: Defaults, *, with_claims: bool, typed: bool
) -> Examples | None:
    """Return the records as examples if all are of the usual kind, else None.

    Usual records have one width, numbers as logits, whole numbers as targets, no names or options,
    and no repeated field. Reading them together takes a third of the time.
    """
    if not records or defaults != Defaults():
        return None
    values = records.values
    try:
        rows = list(map(itemgetter(fields.LOGITS), values))
        targets = list(map(itemgetter(fields.TARGET), values))
        if not _are_plain(b"".join(records.texts), values, rows, targets):
            return None
        logits = np.array(rows, dtype=np.float64)
        claims = _plain_claims(values, logits.shape[1]) if with_claims else {}
    except (KeyError, TypeError, OverflowError):
        return None
    labels = np.array(targets)
    classes = logits.shape[1]
    if classes < 2 or labels.min() < 0 or labels.max() >= classes or not np.isfinite(logits).all():
        return None
    if claims is None:
        return None
    if typed:
        from softgrad.inputs.records.digits import may_be_typed

        if may_be_typed(claims.values()):
            return None
    nothing = [None] * len(records)
    return Examples(range(len(records)), logits, Objective(labels), nothing, nothing, claims)


def _are_plain(text: bytes, values: list[Any], rows: list[Any], targets: list[Any]) -> bool:
    """Return whether the records have whole targets, numbers as logits and no repeated field."""
    if set(map(type, targets)) != {int} or not all(map(UNUSUAL.isdisjoint, values)):
        return False
    if may_hide_a_key(text):
        return False
    # If there are exactly two quotes for each key, no key is repeated.
    if text.count(b'"') != 2 * sum(map(len, values)) and any(
        text.count(name) > len(rows) for name in QUOTED.values()
    ):
        return False
    return _are_number_lists(rows)


def _are_number_lists(rows: list[Any]) -> bool:
    """Return whether these are lists of numbers, all of one length."""
    return (
        set(map(type, rows)) == {list}
        and len(set(map(len, rows))) == 1
        and set(map(type, chain.from_iterable(rows))) <= PLAIN_NUMBERS
    )


def _plain_claims(values: list[Any], classes: int) -> dict[str, FloatArray] | None:
    """Return the claims if all records claim the same quantities in plain numbers, else None."""
    names = [name for name in fields.CLAIMS if name in values[0]]
    if not names or not all(map({*fields.CLAIMS}.difference(names).isdisjoint, values)):
        return None
    claims = {}
    for name in names:
        rows, width = list(map(itemgetter(name), values)), classes
        if name in fields.LOSSES:
            rows, width = [[number] for number in rows], 1
        if not _are_number_lists(rows) or len(rows[0]) != width:
            return None
        claims[name] = np.array(rows, dtype=np.float64)
    return claims


def may_hide_a_key(text: bytes) -> bool:
    """Return whether a letter is escaped, so that two spellings may be the same key."""
    # Searching for one byte first is many times faster, and usually enough.
    return b"\\" in text and _ESCAPED_LETTER.search(text) is not None
