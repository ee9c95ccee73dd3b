"""Results -> JSON Lines: each record as it came, with its results before its last brace."""

from collections.abc import Sequence
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from softgrad.outputs.members import (
    STALE,
    added_members,
    check_value,
    error_value,
    explain_value,
    json_numbers,
    of_batches,
    reduction_members,
    stale_members,
    verification_columns,
    writable,
)
from softgrad.records import json_text
from softgrad.records.fields import (
    CHECK,
    DENOMINATOR,
    ERROR,
    EXPLAIN,
    GRAD_PROBS,
    LOSS,
    RECORD,
    RESULTS,
    VERIFY,
)
from softgrad.records.records import Defaults, Records
from softgrad.work import Batch, Computed, Verified
from softgrad_core.errors import InputError


class JsonLines:
    """Renders one line for each record."""

    opening = closing = b""

    def __init__(self, defaults: Defaults, fields: Sequence[str] = RESULTS) -> None:
        self._defaults = defaults
        self._fields = fields

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the records with their results, or with what became of their claims."""
        count = len(batch.examples)
        columns = [
            self._opened(records, batch),
            *(self._results(batch) if isinstance(batch, Computed) else _verdicts(batch)),
            b"}\n",
        ]
        # Row by row, with all pieces copied once: this is what the time of a long run goes to.
        pieces = [b""] * (count * len(columns))
        for place, column in enumerate(columns):
            pieces[place :: len(columns)] = column if isinstance(column, list) else [column] * count
        return b"".join(pieces)

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return the record, where it could be read, with what is wrong with it."""
        member = orjson.dumps({ERROR: error_value(records, index, error)})
        text, value = records.texts[index], records.values[index]
        if not text:
            return member + b"\n"
        if not isinstance(value, dict):
            return b'{"%b":%b,%b\n' % (RECORD.encode(), text, member[1:])
        gone = {ERROR, *(stale_members(value) - {CHECK, EXPLAIN})}
        comma = b"," if value.keys() - gone else b""
        return b"%b%b%b\n" % (_without(text, value, gone)[:-1], comma, member[1:])

    def _opened(self, records: Records, batch: Batch) -> list[bytes]:
        """Return the records without their last brace, and without what is written anew."""
        texts, values = records.texts, records.values
        if len(batch.examples) < len(records):
            texts = [texts[index] for index in batch.examples.indices]
            values = [values[index] for index in batch.examples.indices]
        if not all(map({*self._written(batch), *STALE}.isdisjoint, values)):
            texts = [
                _without(text, value, self._written(batch) | _stale(value, batch))
                for text, value in zip(texts, values, strict=True)
            ]
        opened = [text[:-1] for text in texts]
        if self._defaults != Defaults() or batch.examples.are_batches:
            defaults = of_batches(self._defaults) if batch.examples.are_batches else self._defaults
            added = [added_members(value, defaults) for value in values]
            opened = list(map(add, opened, added))
        return opened

    def _written(self, batch: Batch) -> set[str]:
        """Return the names of the members that are added."""
        if isinstance(batch, Verified):
            return {VERIFY}
        objective = batch.examples.objective
        asked = {
            CHECK: batch.checks,
            EXPLAIN: batch.derivations,
            DENOMINATOR: objective.batches is not None and objective.divisor is not None,
        }
        return {*self._fields, *(name for name, member in asked.items() if member)}

    def _results(self, batch: Computed) -> list[bytes | list[bytes]]:
        """Return the members that are added to what was computed, piece by piece."""
        result, of_batch = batch.result, batch.examples.are_batches
        columns: list[bytes | list[bytes]] = []
        for name in self._fields:
            if name == LOSS:
                columns += _losses(batch)
            else:
                infinite = b'"-Infinity"' if name == GRAD_PROBS else None
                columns += _member(name, _by_record(getattr(result, name), batch), infinite)
        if members := reduction_members(batch.examples.objective):
            columns.append(members)
        if batch.checks:
            checks = [orjson.dumps(check_value(check, of_batch=of_batch)) for check in batch.checks]
            columns += [_key(CHECK), checks]
        if batch.derivations:
            values = [
                [explain_value(derivation) for derivation in rows] for rows in batch.derivations
            ]
            columns += [
                _key(EXPLAIN),
                [orjson.dumps(rows if of_batch else rows[0]) for rows in values],
            ]
        return columns


def _stale(value: Any, batch: Batch) -> set[str]:
    """Return the names of the members that tell of an earlier run, and not of what is verified."""
    return stale_members(value) - ({CHECK, EXPLAIN} if isinstance(batch, Verified) else set())


def _losses(batch: Computed) -> list[bytes | list[bytes]]:
    """Return the losses: a number for each record, or a list for one whose rows have their own."""
    loss, batches = batch.result.loss, batch.examples.objective.batches
    if not batch.examples.are_batches or (batches and batches.reduced):
        return [_key(LOSS), json_numbers(loss, nan=b'"NaN"')]
    return _member(LOSS, loss.reshape(len(batch.examples), -1), b'"Infinity"')


def _by_record(block: npt.NDArray[np.floating], batch: Computed) -> npt.NDArray[np.floating]:
    """Return rows of numbers as those of each record: of shape (M, N, C) where it is a batch."""
    if not batch.examples.are_batches:
        return block
    return block.reshape(len(batch.examples), batch.examples.size, -1)


def _verdicts(batch: Verified) -> list[bytes | list[bytes]]:
    """Return the member that is added to what was verified, piece by piece."""
    of_batch = batch.examples.are_batches
    return [_key(VERIFY), *verification_columns(batch.verification, of_batch=of_batch)]


def _without(text: bytes, value: object, keys: set[str]) -> bytes:
    """Return the text of a record without its members of these keys."""
    if isinstance(value, dict) and not keys.isdisjoint(value):
        return json_text.without(text.decode(), keys).encode()
    return text


def _key(name: str, opening: bytes = b"") -> bytes:
    return b',"%b":%b' % (name.encode(), opening)


def _member(
    name: str, block: npt.NDArray[np.floating], infinite: bytes | None = None
) -> list[bytes | list[bytes]]:
    """Return a member that is a list of numbers, or of lists of them, for each record.

    `infinite` stands for infinity, which orjson writes as null, where it has one sign only.
    """
    if infinite is None and not np.isfinite(block).all():
        text = orjson.dumps(writable(block.tolist()))
    else:
        text = orjson.dumps(block, option=orjson.OPT_SERIALIZE_NUMPY)
        if infinite is not None and b"null" in text:
            text = text.replace(b"null", infinite)
    # Between the records stands what closes all brackets of one and opens those of the next.
    depth = block.ndim
    opened, closed = b"[" * (depth - 1), b"]" * (depth - 1)
    return [_key(name, opened), text[depth:-depth].split(closed + b"," + opened), closed]
