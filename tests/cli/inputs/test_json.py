"""JSON records: layouts, encodings, damage, and options that stand in for missing fields."""

import gzip
import json
import os
import random
import time

import pytest
from support.command import lines_of, peak_of, run
from support.forked import Forked
from support.sweeps import in_sweeps

ROWS = [
    {"id": n, "logits": [n / 7, -n / 3, 1e-3 * n], "target": n % 3, "note": 'é "quoted" [1, 2]'}
    for n in range(50)
]
RESULTS = ("probs", "loss", "grad_probs", "grad_logits")


def indented(values):
    """Return the values as `jq .` prints them, each over several lines."""
    return "".join(json.dumps(value, indent=2) + "\n" for value in values)


LAYOUTS = {
    "JSON Lines": lines_of(*ROWS),
    "JSON Lines without the last newline": lines_of(*ROWS).rstrip("\n"),
    "JSON Lines with CRLF": lines_of(*ROWS).replace("\n", "\r\n"),
    "JSON Lines with blank lines": "\n\n" + lines_of(*ROWS).replace("\n", "\n \t\n"),
    "a byte-order mark": "\ufeff" + lines_of(*ROWS),
    "one after another on one line": lines_of(*ROWS).replace("\n", " "),
    "one after another without anything between": lines_of(*ROWS).replace("\n", ""),
    "each over several lines": indented(ROWS),
    "an array on one line": json.dumps(ROWS),
    "an array, a record a line": "[" + lines_of(*ROWS).rstrip().replace("\n", ",\n") + "]\n",
    "an array over many lines": json.dumps(ROWS, indent=4),
    "two arrays": json.dumps(ROWS[:20]) + "\n" + json.dumps(ROWS[20:], indent=1),
    "a byte-order mark and an array": "\ufeff" + json.dumps(ROWS),
}


def test_every_layout_gives_the_same_records():
    expected = run(stdin=LAYOUTS["JSON Lines"]).records
    assert len(expected) == len(ROWS)
    for layout, text in LAYOUTS.items():
        ended = run(stdin=text)
        assert (ended.status, ended.err) == (0, ""), layout
        assert ended.records == expected, layout


def test_one_object_over_several_lines_is_one_record_on_one_line():
    ended = run(stdin=json.dumps(ROWS[3], indent=2))
    assert ended.out.count(b"\n") == 1
    assert ended.records[0]["id"] == 3


def test_empty_input_gives_empty_output():
    for stdin in ("", "\n\n \n", "[]", "[ ]\n", "\ufeff"):
        ended = run(stdin=stdin)
        assert (ended.status, ended.out, ended.err) == (0, b"", "")


def test_carried_keys_come_out_byte_for_byte():
    text = '{ "big": 123456789012345678901234567890, "x":1.50e+01 ,"logits" : [1,2.0],'
    text += ' "target":0, "é\\u00e9": "\\ud83d\\ude00", "deep": [{"a": [1e400]}] }'
    ended = run(stdin=text)
    assert ended.status == 0
    kept = text.rstrip(" }")
    assert ended.out.decode().startswith(kept)


def test_a_record_over_several_lines_keeps_every_digit():
    text = '{\n  "big": 123456789012345678901234567890,\n  "logits": [1, 2.50],\n  "target": 0\n}\n'
    ended = run(stdin=text)
    start = '{"big":123456789012345678901234567890,"logits":[1,2.50],"target":0,'
    assert ended.text.startswith(start)


def test_results_of_an_earlier_run_are_replaced():
    once = run(stdin=lines_of(*ROWS))
    stale = [{**record, "loss": -1, "probs": "old"} for record in once.records]
    again = run(stdin=lines_of(*stale))
    assert again.status == 0
    assert again.records == once.records


def test_an_error_of_an_earlier_run_is_replaced_by_the_new_one():
    once = run(stdin='{"logits": [1, 2], "target": 5}')
    again = run(stdin=once.out)
    assert again.records == once.records


def test_an_old_error_or_check_is_dropped_when_it_no_longer_holds():
    once = run(stdin='{"logits": [1, 2], "target": 5}').records[0]
    [record] = run(stdin=lines_of({**once, "target": 1})).records
    assert "error" not in record
    checked = run("--check", stdin='{"logits": [1, 2], "target": 1}').out
    assert "check" not in run(stdin=checked).records[0]


def test_the_user_s_own_keys_stay_whatever_their_names():
    row = {"logits": [1, 2], "target": 1, "error": "none", "check": {"by": "hand"}, "record": 7}
    [record] = run(stdin=lines_of(row)).records
    assert {name: record[name] for name in row} == row


def test_infinite_results_are_strings():
    [record] = run(stdin='{"logits": [0, -Infinity], "target": 1, "note": NaN}').records
    assert record["loss"] == "Infinity"
    assert record["grad_probs"] == [0.0, "-Infinity"]
    assert record["grad_logits"] == [1.0, -1.0]
    assert record["logits"] == [0, "-Infinity"]
    assert record["note"] == "NaN"


def test_the_target_option_is_for_records_without_a_target():
    rows = [{"logits": [1, 2]}, {"logits": [1, 2], "target": 0}]
    first, second = run("--target", "1", stdin=lines_of(*rows)).records
    assert (first["target"], second["target"]) == (1, 0)
    assert first["loss"] < second["loss"]


def test_class_names_come_from_the_record_or_from_the_command_line():
    rows = [
        {"logits": [1, 2, 3], "target": "dog"},
        {"logits": [1, 2, 3], "target": "b", "classes": ["a", "b", "c"]},
        {"logits": [1, 2, 3], "target": 1},
    ]
    records = run("--classes", "cat,dog,bird", stdin=lines_of(*rows)).records
    assert len({record["loss"] for record in records}) == 1
    assert records[0]["classes"] == ["cat", "dog", "bird"]
    assert records[1]["classes"] == ["a", "b", "c"]


def test_a_record_has_the_same_bytes_alone_and_among_others():
    rng = random.Random(8)
    rows = [
        {"logits": [rng.gauss(0, 10) for _ in range(rng.choice([2, 3, 10, 40]))], "target": 1}
        for _ in range(60)
    ]
    whole = run(stdin=lines_of(*rows)).out.splitlines()
    for row, line in list(zip(rows, whole, strict=True))[::6]:
        assert run(stdin=lines_of(row)).out.splitlines() == [line]


def test_files_are_read_in_order_and_a_dash_is_standard_input(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines_of(*ROWS[:2]))
    (tmp_path / "b.json").write_text(json.dumps(ROWS[2:4], indent=2))
    ended = run("b.json", "-", "a.jsonl", stdin=lines_of(ROWS[4]), cwd=tmp_path)
    assert ended.status == 0
    assert [record["id"] for record in ended.records] == [2, 3, 4, 0, 1]


def test_a_message_names_the_file_and_the_line(tmp_path):
    row = {"logits": list(range(10)), "target": 1}
    (tmp_path / "rows.jsonl").write_text(lines_of(*[row] * 16, {**row, "target": 10}))
    ended = run("rows.jsonl", cwd=tmp_path)
    message = "target 10 is outside 0..9; classes are numbered from 0"
    assert ended.err.splitlines()[0] == f"rows.jsonl:17: {message}"
    assert ended.records[16]["error"] == {
        "code": "target-out-of-range",
        "message": message,
        "source": "rows.jsonl",
        "line": 17,
    }


def test_a_message_about_a_record_over_several_lines_names_its_first_line_and_the_place():
    stdin = (
        indented(ROWS[:1]) + '{\n  "logits": [1,\n    x],\n  "target": 0\n}\n' + indented(ROWS[1:2])
    )
    ended = run(stdin=stdin)
    assert [record.get("id") for record in ended.records] == [0, None, 1]
    first = stdin.count("\n", 0, stdin.index("x],")) - 1
    assert ended.records[1]["error"]["line"] == first
    assert ended.err.startswith(
        f"<stdin>:{first}: not valid JSON: line {first + 2}, column 5: expecting value, got x],"
    )


def test_a_damaged_first_record_harms_no_other():
    for damaged in ('{"logits": [1,', '{"logits": [1, 2', "{", '{"logits"'):
        ended = run(stdin=f"{damaged}\n" + lines_of(*ROWS))
        assert [record.get("id") for record in ended.records] == [None, *range(50)]
        assert ended.status == 3


def test_an_array_that_breaks_off_gives_its_records_and_an_error():
    ended = run(stdin=json.dumps(ROWS, indent=1)[:-2])
    assert len(ended.records) == 51
    assert "breaks off before its closing ]" in ended.records[-1]["error"]["message"]


GOOD = '{"logits": [1, 2], "target": 0}'


@pytest.mark.parametrize(
    ("stdin", "outcomes"),
    [
        (f'[{GOOD}, {{"logits": [1, 2],,}}, {GOOD}, {GOOD}]', "gbgg"),
        (f"[{GOOD}, oops, {GOOD}]", "gbg"),
        (f'[{GOOD}, {{"x": {"[" * 5000}{"]" * 5000}}}, {GOOD}, {GOOD}]', "gbgg"),
        (f"[{{bad}}]\n{GOOD}", "bg"),
        (f"[{GOOD}\n , {{bad}}\n , {GOOD}\n]", "gbg"),
        (f'{{"logits": [1, 2], "target": 0\n{GOOD}\noops\noops\n5\n{GOOD}', "bgbbbg"),
        (f'  {{"logits": [1, 2], "target": 0\n{GOOD}\n{GOOD}', "bgg"),
        (f'{{\n  "logits": [1,\n{{\n  "logits": [1, 2],\n  "target": 0\n}}\n{GOOD}', "bgg"),
        (f"{GOOD}}}{GOOD}\n{GOOD}", "gbg"),
        (f"[{GOOD}, {GOOD},]", "gg"),
    ],
)
def test_records_beside_damage_are_not_lost(stdin, outcomes):
    records = run(stdin=stdin).records
    assert "".join("b" if "error" in record else "g" for record in records) == outcomes


@pytest.mark.parametrize("jobs", ["2", *in_sweeps(["1"])])
def test_an_array_on_one_line_is_a_stream(jobs):
    long = GOOD.replace("{", f'{{"note": "{"x" * 250}", ')
    peaks = [
        peak_of("-j", jobs, stdin=f"[{','.join([long] * count)}]") for count in (10_000, 50_000)
    ]
    assert peaks[1] < 1.25 * peaks[0]


@pytest.mark.parametrize("between", ["", " "])
@pytest.mark.parametrize("size", [1, 30_000])
def test_objects_on_one_line_without_an_end_are_a_stream(between, size):
    record = json.dumps({"logits": [0.5] * (size + 1), "target": 0}) + between
    # As much as the pipe holds: the results wait in theirs.
    text = record * (700_000 // len(record))
    with Forked("-j", "1") as process:
        process.stdin.write(text.encode())
        process.stdin.flush()
        first = process.stdout.readline()
        process.stdin.close()
        out = process.stdout.read()
    assert (first + out).count(b'"loss"') == text.count("target")
    assert process.returncode == 0


@pytest.mark.sweep
def test_memory_does_not_grow_with_objects_on_one_line(tmp_path):
    for name, count in (("few", 20_000), ("many", 400_000)):
        (tmp_path / name).write_text('{"logits": [1.5, 2.5, 3.5], "target": 0}' * count)
    few, many = (
        peak_of(name, "-j", "1", "-o", "r.jsonl", cwd=tmp_path) for name in ("few", "many")
    )
    assert many < few + 20


def test_a_record_over_several_lines_comes_out_as_soon_as_it_is_complete():
    with Forked() as process:
        for row in ROWS[:4]:
            process.stdin.write(indented([row]).encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == row["id"]
        process.stdin.close()


def test_a_byte_order_mark_is_skipped_however_the_bytes_arrive():
    with Forked() as process:
        process.stdin.write(b"\xef\xbb\xbf\n")
        process.stdin.flush()
        time.sleep(0.3)
        out, _ = process.communicate(f"[{GOOD}]".encode())
    assert b"error" not in out


@pytest.mark.parametrize("depth", [960, 1000, 1015])
@pytest.mark.parametrize("extra", ['"probs": 1', '"s": "\\u0061"'])
def test_deep_records_can_be_rewritten(depth, extra):
    text = f'{{"logits": [1, 2], "target": 0, {extra}, "x": {"[" * depth}{"]" * depth}}}'
    assert run(stdin=text).status == 0


def test_a_bad_byte_behind_rewritten_numbers_is_named():
    bad = b'[{"logits": [1, 2], "target": 0, "a": [NaN, NaN, NaN, NaN], "id": "\xff"}]\n'
    [record] = run(stdin=bad).records
    assert record["error"]["message"] == "byte 0xFF in the record is not UTF-8"


def test_huge_integers_that_cancel_are_still_out_of_range():
    huge = "1" + "0" * 309
    [record] = run(stdin=f'{{"logits": [{huge}, -{huge}], "target": 0}}').records
    assert record["error"]["code"] == "logit-out-of-range"


def test_an_escaped_key_means_the_same_alone_and_among_others():
    odd = '{"logits": [1, 2], "target": 0, "cl\\u0061sses": 5}'
    alone = run(stdin=odd).records
    among = run(stdin=f"{GOOD}\n{odd}").records
    assert alone[0]["error"]["code"] == among[1]["error"]["code"] == "classes-not-names"


def test_an_array_with_a_bad_record_gives_the_others():
    text = json.dumps(ROWS[:5], indent=2).replace('"id": 2', '"id": oops')
    ended = run(stdin=text)
    assert [record.get("id") for record in ended.records] == [0, 1, None, 3, 4]


def test_a_result_is_written_before_the_next_record_arrives():
    with Forked() as process:
        for row in ROWS[:3]:
            process.stdin.write(lines_of(row).encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == row["id"]
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(os, "set_blocking"), reason="needs descriptors as of Unix")
def test_a_pipe_without_data_yet_is_not_the_end_of_the_input():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with Forked(stdin=reader) as process:
        os.close(reader)
        for row in ROWS[:2]:
            time.sleep(0.3)
            os.write(writer, lines_of(row).encode())
        os.close(writer)
        assert process.stdout.read().count(b"\n") == 2


@pytest.mark.parametrize("wide", [200_000])
def test_a_record_of_many_classes(wide):
    [record] = run(stdin=lines_of({"logits": [0.5] * wide, "target": 7})).records
    assert record["probs"] == [1 / wide] * wide


def test_nesting_100_000_deep_is_rejected_and_harms_no_other():
    deep = '{"logits": [1, 2], "target": 0, "x": ' + "[" * 100_000 + "]" * 100_000 + "}"
    for stdin in (
        f"{deep}\n" + lines_of(ROWS[0]),
        f"[{deep},\n{json.dumps(ROWS[0])}]",
        "[" * 100_000 + "\n" + lines_of(ROWS[0]),
    ):
        ended = run(stdin=stdin)
        assert ended.status == 3
        bad, good = ended.records
        assert bad["error"]["code"] == "nested-too-deeply"
        assert good["id"] == 0


@pytest.mark.parametrize("megabytes", [9, pytest.param(50, marks=pytest.mark.sweep)])
def test_a_line_of_many_megabytes(megabytes):
    text = '{"blob": "' + "x" * (megabytes * 1_000_000) + '", "logits": [1, 2], "target": 0}\n'
    ended = run(stdin=text + text[:-2] + "\n" + text)
    assert ended.status == 3
    assert len(ended.out.splitlines()) == 3
    assert len(ended.err) < 300


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_other_encodings_are_named(encoding):
    ended = run(
        stdin=lines_of({"id": "é", "logits": [1, 2]}).replace("\\u00e9", "é").encode(encoding)
    )
    assert ended.status == 3
    error = ended.records[0]["error"]
    assert error["code"] == "invalid-utf-8"
    assert ("UTF-16, perhaps? Save it as UTF-8" in error["message"]) == ("16" in encoding)


def test_a_bad_byte_is_named_in_any_layout():
    good = lines_of(ROWS[0]).encode()
    bad = b'{"id": "\xff", "logits": [1, 2], "target": 0}'
    for stdin in (good + bad + b"\n" + good, b"[" + good + b"," + bad + b"," + good + b"]"):
        ended = run(stdin=stdin)
        assert [("error" in record) for record in ended.records] == [False, True, False]
        assert "0xFF" in ended.records[1]["error"]["message"]
        assert ended.records[1]["error"]["code"] == "invalid-utf-8"


def test_gzipped_json_is_rejected_with_the_command_that_unpacks_it():
    ended = run(stdin=gzip.compress(b'{"logits": [1, 2], "target": 0}\n'))
    assert ended.status == 3
    assert ended.err.startswith(
        "<stdin>:1: expected JSON, got a gzip file; unpack it first: gunzip"
    )
    assert len(ended.records) == 1
