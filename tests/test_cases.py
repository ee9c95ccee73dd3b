"""A table of good cases for library and command, and one of bad records for the command."""

import json
import math

import numpy as np
import pytest
from support.cases import as_numbers, table
from support.command import lines_of, run
from support.oracle import exact, ulps

from softgrad_core import check_gradients, softmax_cross_entropy

FIELDS = ("probs", "loss", "grad_probs", "grad_logits")
INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}


def numbers_of(record):
    """Return the results of a record as floats."""
    return {
        name: np.array(
            [INFINITIES.get(value, value) for value in np.atleast_1d(record[name]).tolist()],
            dtype=float,
        )
        for name in FIELDS
    }


@pytest.mark.parametrize("case", table("good"))
def test_the_library_is_within_four_ulp(case):
    logits, target = as_numbers(case["logits"]), case["target"]
    got = softmax_cross_entropy(logits, target)
    expected = exact(logits, target)
    for name in FIELDS:
        values = np.atleast_1d(getattr(got, name)).tolist()
        wanted = getattr(expected, name)
        assert max(map(ulps, values, wanted if name != "loss" else [wanted])) <= 4
    [check] = check_gradients(logits, target, got.grad_probs, got.grad_logits)
    assert check.passed


@pytest.mark.parametrize("case", table("good"))
def test_the_command_gives_the_library_s_bits_from_arguments(case):
    words = [str(number).replace("Infinity", "inf") for number in case["logits"]]
    ended = run(*words, "--target", str(case["target"]), "--json", "--check")
    assert (ended.status, ended.out.count(b"\n")) == (0, 1)
    [record] = ended.records
    expected = softmax_cross_entropy(as_numbers(case["logits"]), case["target"])
    for name, values in numbers_of(record).items():
        assert values.tobytes() == np.atleast_1d(getattr(expected, name)).tobytes()
    assert record["check"]["passed"] is True


def test_the_command_gives_the_library_s_bits_from_a_pipe():
    cases = [parameter.values[0] for parameter in table("good")]
    ended = run(stdin=lines_of(*cases))
    assert (ended.status, ended.err) == (0, "")
    for case, record in zip(cases, ended.records, strict=True):
        assert {name: record[name] for name in case} == case
        expected = softmax_cross_entropy(as_numbers(case["logits"]), case["target"])
        for name, values in numbers_of(record).items():
            assert values.tobytes() == np.atleast_1d(getattr(expected, name)).tobytes()


GOOD_LINE = '{"logits": [1.0, 2.0], "target": 0}'


def test_every_bad_record_is_named_in_its_place_and_harms_no_other():
    cases = [parameter.values[0] for parameter in table("bad")]
    stdin = "".join(f"{GOOD_LINE}\n{case['text']}\n" for case in cases)
    ended = run(stdin=stdin)
    assert ended.status == 3
    records = ended.records
    assert len(records) == 2 * len(cases)
    messages = ended.err.splitlines()
    assert len(messages) == len(cases) + 1
    assert messages[-1] == f"softgrad: {len(records)} records: {len(cases)} rejected"
    for place, (case, message) in enumerate(zip(cases, messages, strict=False)):
        good, bad = records[2 * place : 2 * place + 2]
        line = 2 * place + 2
        assert "loss" in good
        assert bad["error"] == {
            "code": case["code"],
            "message": case["message"],
            "source": "<stdin>",
            "line": line,
        }
        assert message == f"<stdin>:{line}: {case['message']}"


def test_a_bad_record_alone_is_named_the_same_and_keeps_all_that_could_be_read(tmp_path):
    cases = [parameter.values[0] for parameter in table("bad")]
    for number, case in enumerate(cases):
        (tmp_path / f"{number}.json").write_text(case["text"], encoding="utf-8")
    ended = run(*(f"{number}.json" for number in range(len(cases))), cwd=tmp_path)
    assert ended.status == 3
    for number, (record, case) in enumerate(zip(ended.records, cases, strict=True)):
        error = record.pop("error")
        assert (error["code"], error["message"]) == (case["code"], case["message"])
        assert error["source"] == f"{number}.json"
        try:
            given = json.loads(case["text"], parse_constant=str)
        except json.JSONDecodeError:
            assert record == {}, case
            continue
        if not isinstance(given, dict):
            given = {"record": given}
        assert record.keys() == given.keys(), case
        if "1e400" not in case["text"]:
            assert record == given, case
