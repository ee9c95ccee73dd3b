"""Results -> JSON Lines: each record as it came, with the members of its results at its end."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from operator import add
from typing import Any

import orjson

from softgrad.messages import printable
from softgrad.outputs.json.members import Column, empty_means, members_of
from softgrad.records import json_text
from softgrad.records.fields import (
    CHECK,
    CLASSES,
    ERROR,
    EXPLAIN,
    NO_ROWS_COUNT,
    RECORD,
    REDUCTION,
    RESULTS,
    TARGET,
    VERIFY,
    WARNING,
)
from softgrad.records.records import Defaults, Records
from softgrad.work import Batch, Verified
from softgrad_core.errors import InputError
from softgrad_core.loss.options import Reduction

STALE = {
    ERROR: {"code", "message", "source", "line"},
    CHECK: {"passed", "method"},
    VERIFY: {"passed", "dtype"},
    EXPLAIN: {"part", "title", "rule"},
}
"""Members that describe one run only, and keys that tell softgrad's from a user's of this name."""

OF_RESULTS = {CHECK, EXPLAIN, WARNING}
"""Those that describe the results of a run, and stay with these in a verified record."""


class JsonLines:
    """Renders one line for each record."""

    opening = closing = b""

    def __init__(self, defaults: Defaults, fields: Sequence[str] = RESULTS) -> None:
        self._defaults = defaults
        self._fields = fields

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the records with their results, or with the verdicts on their claims."""
        members = members_of(batch, self._fields)
        # A result that this loss does not have may be there from an earlier run.
        written = members if isinstance(batch, Verified) else {*members, *self._fields}
        columns: list[Column] = [self._opened(records, batch, written)]
        for name, value in members.items():
            columns += [b',"%b":' % name.encode(), *value]
        return _interleaved([*columns, b"}\n"], len(batch.examples))

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return the record, if it could be read, with what is wrong with it."""
        what = {
            "code": error.code,
            "message": printable(error.reason),
            "source": printable(records.source),
            "line": records.lines[index],
        }
        member = orjson.dumps({ERROR: what})
        text, value = records.texts[index], records.values[index]
        if not text:
            return member + b"\n"
        if not isinstance(value, dict):
            return b'{"%b":%b,%b\n' % (RECORD.encode(), text, member[1:])
        gone = {ERROR, *(_stale(value) - OF_RESULTS)}
        comma = b"," if value.keys() - gone else b""
        return b"%b%b%b\n" % (_without(text, value, gone)[:-1], comma, member[1:])

    def _opened(self, records: Records, batch: Batch, written: Collection[str]) -> list[bytes]:
        """Return the records without their last brace, and without what is written anew."""
        texts, values, examples = records.texts, records.values, batch.examples
        if len(examples) < len(records):
            texts = [texts[index] for index in examples.indices]
            values = [values[index] for index in examples.indices]
        if not all(map({*written, *STALE, WARNING}.isdisjoint, values)):
            kept = OF_RESULTS if isinstance(batch, Verified) else set()
            gone = [{*written, *(_stale(value) - kept)} for value in values]
            for record in empty_means(batch):
                gone[record].add(WARNING)
            texts = list(map(_without, texts, values, gone))
        opened = [text[:-1] for text in texts]
        defaults = self._defaults
        if examples.are_batches:
            options = {REDUCTION: Reduction.MEAN, **defaults.options}
            defaults = replace(defaults, options=options)
        if defaults != Defaults():
            opened = list(map(add, opened, [_filled_in(value, defaults) for value in values]))
        return opened


def _interleaved(columns: Sequence[Column], count: int) -> bytes:
    """Return the text of so many lines, from the pieces that they are made of."""
    merged: list[Column] = []
    for column in columns:
        if merged and isinstance(column, bytes) and isinstance(merged[-1], bytes):
            merged[-1] += column
        else:
            merged.append(column)
    # All pieces are copied once, into one text: a long run spends its time here.
    pieces = [b""] * (count * len(merged))
    for place, column in enumerate(merged):
        pieces[place :: len(merged)] = [column] * count if isinstance(column, bytes) else column
    return b"".join(pieces)


def _filled_in(value: dict[str, Any], defaults: Defaults) -> bytes:
    """Return what a record left to the command line, as members, each after a comma.

    So a result says everything that it was computed from.
    """
    said = {TARGET: defaults.target, CLASSES: defaults.classes, **defaults.options}
    return b"".join(
        b',"%b":%b' % (name.encode(), orjson.dumps(default))
        for name, default in said.items()
        if default is not None and name not in value
    )


def _stale(value: dict[str, Any]) -> set[str]:
    """Return the names of a record's members that describe an earlier run."""
    stale = {WARNING} if value.get(WARNING) == NO_ROWS_COUNT else set()
    for name, keys in STALE.items():
        member = value.get(name)
        while isinstance(member, list) and member:
            member = member[0]
        if isinstance(member, dict) and keys <= member.keys():
            stale.add(name)
    return stale


def _without(text: bytes, value: dict[str, Any], keys: set[str]) -> bytes:
    """Return the text of a record without its members of these names."""
    if keys.isdisjoint(value):
        return text
    return json_text.without(text.decode(), keys).encode()
