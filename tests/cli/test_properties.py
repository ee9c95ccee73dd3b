"""Any bytes in give one line out for each record, in order."""

import io
import json
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from softgrad.inputs.json import stream
from softgrad.inputs.records.interpretation import interpret
from softgrad.inputs.sources import read_stream
from softgrad.outputs.formats import InOrder
from softgrad.outputs.json.lines import JsonLines
from softgrad.records.fields import CLASSES, ERROR, LOGITS, OPTIONS, RESULTS, TARGET
from softgrad.records.records import Defaults
from softgrad.running.pipeline import Pipeline
from softgrad.work import compute

from softgrad_core.loss.results import FIELDS

PIPELINE = Pipeline(
    partial(interpret, defaults=Defaults(), with_claims=False),
    partial(compute, FIELDS),
    InOrder(JsonLines(Defaults()), only_failures=False),
)


class SlowFile(io.BufferedReader):
    """A file whose bytes arrive in pieces of the given sizes."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        super().__init__(io.BytesIO(data))
        self._sizes = sizes

    def read1(self, size: int = -1, /) -> bytes:
        return super().read(self._sizes.pop() if self._sizes else size)


def outputs(data: bytes, sizes: list[int] | None = None) -> list[bytes]:
    """Return the lines of output for these bytes."""
    text = b""
    for records in read_stream(SlowFile(data, sizes or []), "-"):
        text += PIPELINE.process(records).results
    lines = text.split(b"\n")
    assert lines.pop() == b""
    for line in lines:
        json.loads(line, parse_constant=pytest.fail)
    return lines


finite = st.floats(allow_nan=False, allow_infinity=False)
logits = st.lists(st.one_of(finite, st.integers(-(10**30), 10**30)), min_size=2, max_size=12)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), finite, st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)
KEYS = (LOGITS, TARGET, CLASSES, *OPTIONS, *RESULTS, ERROR)
"""The keys that softgrad reads or writes. Only odd records have any but logits and target."""

own_keys = st.text().filter(lambda key: key not in KEYS)
good_records = st.builds(
    lambda row, extra: {**extra, "logits": row, "target": len(row) // 2},
    logits,
    st.dictionaries(own_keys, json_values, max_size=3),
)
odd_records = st.dictionaries(
    st.sampled_from([*KEYS, "x"]),
    st.one_of(json_values, st.lists(json_values), st.lists(st.text(max_size=2))),
)
# Junk does not begin like an object, so each line of it is one record.
junk = st.binary(min_size=1, max_size=60).map(
    lambda data: b"?" + data.replace(b"\n", b" ").replace(b"\r", b" ")
)


def dumped(record: object) -> bytes:
    return json.dumps(record).encode()


@settings(deadline=None)
@given(st.lists(st.one_of(good_records.map(dumped), odd_records.map(dumped), junk), max_size=12))
def test_every_line_gives_one_line_in_its_place(lines):
    lines = [b'{"first": 0}', *lines]
    got = outputs(b"\n".join(lines))
    assert len(got) == len(lines)
    for line, result in zip(lines, got, strict=True):
        if line.startswith(b"{"):
            given, read_back = json.loads(line), json.loads(result)
            replaced = {*RESULTS, ERROR}
            assert {k: v for k, v in given.items() if k not in replaced}.items() <= (
                read_back.items()
            )
        else:
            assert b'"error"' in result


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_json_lines_and_no_exception(data):
    lines = outputs(data)
    assert bool(lines) == bool(data.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n")) or (
        data.strip().startswith(b"[")
    )


@settings(deadline=None)
@given(
    st.lists(good_records, min_size=1, max_size=6),
    st.sampled_from([None, 1]),
    st.sampled_from(["array", "\n", " "]),
    st.lists(st.integers(1, 50), max_size=40),
    st.data(),
)
def test_damage_anywhere_gives_the_same_json_lines_however_the_bytes_arrive(
    records, indent, layout, sizes, data
):
    if layout == "array":
        text = json.dumps(records, indent=indent)
    else:
        text = layout.join(json.dumps(record, indent=indent) for record in records)
    damaged = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    whole = outputs(bytes(damaged))
    first = b'{"first": 0}\n'
    assert outputs(bytes(damaged), list(sizes)) == whole
    whole = outputs(first + bytes(damaged))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "LONG_LINE_BYTES", 20)
        patch.setattr(stream, "LONGEST_LINE_BYTES", 100)
        assert outputs(first + bytes(damaged), list(sizes)) == whole


@settings(deadline=None)
@given(
    st.lists(st.one_of(good_records, odd_records), min_size=1, max_size=6),
    st.sampled_from(["lines", "indented", "array", "indented array"]),
    st.lists(st.integers(1, 50), max_size=40),
)
def test_the_sizes_in_which_bytes_arrive_change_nothing(records, layout, sizes):
    indent = 1 if "indented" in layout else None
    if "array" in layout:
        text = json.dumps(records, indent=indent)
    else:
        text = "\n".join(json.dumps(record, indent=indent) for record in records)
    data = text.encode()
    assert outputs(data, list(sizes)) == outputs(data)


@settings(deadline=None)
@given(st.lists(st.one_of(good_records, odd_records), min_size=1, max_size=8))
def test_a_record_alone_gives_the_same_line_as_among_others(records):
    whole = outputs(b"\n".join(map(dumped, records)))
    for record, line in zip(records, whole, strict=True):
        [alone] = outputs(dumped(record))
        together = json.loads(line)
        if "source" in (together.get("error") or ()):
            together["error"]["line"] = 1
            assert json.loads(alone) == together
        else:
            assert alone == line


@settings(deadline=None)
@given(st.lists(good_records, min_size=2, max_size=8))
def test_records_read_together_mean_the_same_as_one_by_one(records):
    data = b"".join(dumped(record) + b"\n" for record in records)
    [block] = read_stream(SlowFile(data, []), "-")
    together = block.records()
    groups, errors, _ = interpret(together, Defaults(), with_claims=False)
    assert errors == {}
    by_index = {
        index: (group.logits[place].tolist(), int(group.objective.labels[place]))
        for group in groups
        for place, index in enumerate(group.indices)
    }
    for index, record in enumerate(records):
        assert by_index[index] == ([float(n) for n in record["logits"]], record["target"])
