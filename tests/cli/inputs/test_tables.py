"""Lines of numbers and CSV, in a pipe or a file."""

import pytest
from support.command import run

from softgrad_core import softmax_cross_entropy

LOSSES = softmax_cross_entropy([[2.0, 1.0, 0.1], [0.0, 1.0, 2.0]], [1, 0]).loss.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "2 1 0.1\n0 1 2\n",
        "2,1,0.1\n\n0,1,2",
        "  2\t1\t0.1\r\n0\t1\t2\r\n",
        "[2, 1, 0.1]\n".replace("[", "").replace("]", "") + "0, 1, 2\n",
        "2;1;0.1\n0;1;2\n",
        "\n\n200% 1/1 0.1\n0 1 2\n",
    ],
)
def test_lines_of_numbers_are_rows_of_logits(tmp_path, text):
    (tmp_path / "rows.txt").write_text(text)
    for ended in (run("rows.txt", "-t", "1", cwd=tmp_path), run("-t", "1", stdin=text)):
        assert ended.status == 0, ended.err
        assert ended.records[0]["loss"] == LOSSES[0]
        assert ended.records[1]["logits"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("cat,dog,bird,label\n2,1,0.1,dog\n0,1,2,cat\n", []),
        ("a;b;c;target\n2.0;1;0.1;1\n0;1;2;0\n", []),
        ('"a","b","c","y"\n2,1,0.1,1\n"0",1,2,0\n', []),
        ("a\tb\tc\tClass\n2\t1\t0.1\t1\n0\t1\t2\t0\n", []),
        ("id,a,b,c,t\n7,2,1,0.1,1\n8,0,1,2,0\n", ["--map", "logits=a+b+c,target=t"]),
        ("\n a, b, c, y\n 2, 1, 0.1, 1\n 0, 1, 2, 0\n", []),
    ],
)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_csv_with_a_header_has_logits_and_a_target(text, options, jobs):
    ended = run(*options, "-j", jobs, stdin=text)
    assert ended.status == 0, ended.err
    assert [record["loss"] for record in ended.records] == LOSSES


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("2,0 1,0 0,1\n", ["-t", "0"], '1: "2,0" may be 2.0, or two logits 2 and 0: write 2.0'),
        ("1;2\n2,5;1\n", ["-t", "0"], '2: "2,5" may be 2.5, or two logits 2 and 5'),
        ("1 2\n1 x\n", ["-t", "0"], '2: expected numbers, got "1 x"'),
        ("a,b,y\n1,2,0\n1,2\n", [], "3: expected 3 cells, got 2"),
        ("a,b,y\n1,,0\n", [], '2: column "b": expected a number, got nothing'),
        ("a,b,y\n1,two,0\n", [], '2: column "b": expected a number, got "two"'),
        ("id,a,b,y\n7,1,2,0\n", [], 'got "id"; say which they are: --map logits=a+b'),
        ("a,b,y,label\n1,2,0,0\n", [], 'one column for the target, got "y" and "label"'),
        ("a,b,y\n1,2,0\n", ["--map", "target=z"], 'expected a column "z", got a,b,y'),
        ("a,b,y\n1,2,c\n", [], 'target "c" is none of the 2 class names'),
        ("1 2\n", [], '1: expected the true class as "target"'),
        ("1e999 1\n", ["-t", "0"], "1e999 is outside the range of float64"),
        ("1 nan\n", ["-t", "0"], "logits[1]: expected a finite number or -Infinity, got NaN"),
        ("hello, world", [], '1: expected JSON, or a table with rows below its header, got "hello'),
        ("a,b,y\n\n", [], "a table with rows below its header"),
        ("1 2\n5\n", ["-t", "0"], "2: expected at least 2 logits, got 1"),
    ],
)
def test_a_line_that_cannot_be_read_is_rejected_with_the_reason(text, options, message):
    ended = run(*options, stdin=text)
    assert (ended.status, message in ended.err) == (3, True), ended.err
    assert any("error" in record for record in ended.records)


def test_masked_classes_are_read_from_lines():
    [record] = run("-t", "0", stdin="1 -inf 0\n").records
    assert record["logits"] == [1, "-Infinity", 0]
    assert record["probs"][1] == 0


def test_names_for_json_are_refused():
    ended = run("--map", "logits=a", stdin='{"logits": [1, 2], "target": 0}\n')
    assert (ended.status, ended.out) == (2, b"")
    assert "--map is for arrays and tables, and <stdin> has JSON" in ended.err


def test_csv_has_claims_in_a_column_loss_and_in_those_that_are_mapped():
    table = "a,b,c,target,loss\n2,1,0.1,0,0.417\n2,1,0.1,0,1.418\n"
    ended = run("verify", stdin=table)
    assert ended.status == 1
    assert [record["verify"]["passed"] for record in ended.records] == [True, False]
    assert "3 decimals were given" in ended.err
    table = "cat,dog,label,gc,gd\n2,1,cat,-0.2689,0.2689\n"
    mapped = ("--map", "logits=cat+dog,grad_logits=gc+gd")
    ended = run("verify", *mapped, stdin=table)
    assert ended.status == 0, ended.err
    assert ended.records[0]["grad_logits"] == [-0.2689, 0.2689]
    wrong = run("verify", *mapped, stdin=table.replace("-0.2689", "x"))
    assert (wrong.status, 'column "gc": expected a number, got "x"' in wrong.err) == (3, True)


def test_a_line_of_odd_brackets_is_no_row():
    ended = run("-t", "0", stdin="1 2\n[]\v]\n[1 2]]\n")
    assert ended.status == 3
    assert ["error" in record for record in ended.records] == [False, True, True]


@pytest.mark.parametrize("number", ["1e400/3", "-1e400/3", "1e400%"])
def test_a_fraction_or_a_percentage_out_of_range_is_rejected(number):
    ended = run("-t", "0", stdin=f"1 2\n1 {number}\n")
    assert ended.status == 3
    assert ["error" in record for record in ended.records] == [False, True]
    assert run("1", number, "-t", "0").status == 2


@pytest.mark.parametrize("digits", [19, 100, 5_000])
def test_a_target_with_too_many_digits_is_rejected(digits):
    ended = run(stdin=f"a,b,target\n1,2,0\n1,2,{'4' * digits}\n")
    assert ended.status == 3
    assert ["error" in record for record in ended.records] == [False, True]
