"""Logits as arguments: how they may be written, and the messages about what cannot be read."""

import pytest
from support.command import run


def logits_of(*arguments: str) -> list[object]:
    ended = run(*arguments, "--target", "0", "--json")
    assert ended.status == 0, ended.err
    return ended.records[0]["logits"]


def error_of(*arguments: str) -> str:
    """Return the text of a usage error."""
    ended = run(*arguments)
    assert (ended.status, ended.out) == (2, b"")
    message, hint = ended.err.splitlines()
    assert hint == "Try 'softgrad --help' for help."
    return message.removeprefix("softgrad: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["2.0", "-1.0", "0.1"],
        ["2.0,-1.0,0.1"],
        ["2.0, -1.0, 0.1"],
        ["2.0 -1.0 0.1"],
        ["2.0\n-1.0\t\N{NO-BREAK SPACE}0.1\n"],
        ["[2.0, -1.0, 0.1]"],
        ["[2.0 -1.0 0.1]"],
        ["[2.0,", "-1.0,", "0.1]"],
        ["[", "2.0", "-1.0", "0.1", "]"],
        ["2.0,", "-1.0,", "0.1"],
        ["[2.0, -1.0, 0.1,]"],
        ["2.", "-1", ".1"],
        ["+2", "-1e0", "1e-1"],
        ["2E0", "-.1e1", "0.01e+1"],
        ["--", "2.0", "-1.0", "0.1"],
    ],
)
def test_numbers_may_have_commas_blanks_and_brackets(arguments):
    assert run("-t", "0", "--json", *arguments).records[0]["logits"] == [2.0, -1.0, 0.1]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("-1e-5", -1e-5),
        ("-.5", -0.5),
        ("-0", -0.0),
        ("-inf", "-Infinity"),
        ("-Infinity", "-Infinity"),
        ("-INF", "-Infinity"),
        ("-1.7976931348623157e308", -1.7976931348623157e308),
        ("5e-324", 5e-324),
    ],
)
def test_negative_numbers_need_no_double_dash(word, value):
    assert logits_of("1", word) == [1.0, value]
    assert run(word, "1", "-t", "1", "--json").records[0]["logits"] == [value, 1.0]


def test_options_may_stand_before_between_and_after_numbers():
    for arguments in (["-t", "0", "1", "-2"], ["1", "-t", "0", "-2"], ["1", "-2", "-t0"]):
        assert run(*arguments, "--json").records[0]["logits"] == [1.0, -2.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["1", "2", "--check"], "the check needs --target, the true class: an index from 0 to 1"),
        (["nan", "2"], "logits[0]: expected a finite number"),
        (["1", "2", "--classes", "a"], "expected one class name for each of 2 logits, got 1"),
        ([*map(str, range(1001))], "more than 1,000 logits needs --target"),
        (["1", "2", "-t", "2"], "target 2 is outside 0..1; classes are numbered from 0"),
        (
            ["1", "2", "-t", "-1"],
            "target -1 is outside 0..1; classes are numbered from 0 "
            "(where it marks rows to be left out, give it as --ignore-index -1)",
        ),
        (["1", "2", "-t", "dog"], 'target "dog" is a name, but no class names are given'),
        (
            ["1", "2", "-t", "dgo", "--classes", "cat,dog"],
            'target "dgo" is none of the 2 class names; did you mean "dog"?',
        ),
        (
            ["1", "2", "3", "-t", "0", "--classes", "cat,dog"],
            "expected one class name for each of 3 logits, got 2",
        ),
        (["1", "nan", "-t", "0"], "logits[1]: expected a finite number or -Infinity, got NaN"),
        (
            ["1", "inf", "-t", "0"],
            "logits[1]: expected a finite number or -Infinity, got +Infinity",
        ),
        (
            ["1", "-t", "0"],
            "expected at least 2 logits, got 1; the softmax of one class is always 1",
        ),
        (["1", "1e400", "-t", "0"], "1e400 is outside the range of float64"),
        (["1,,2", "-t", "0"], "expected a number between all commas, got '1,,2'"),
        (["[[1,2],[3]]", "-t", "0"], "expected one list of numbers, got '[[1,2],[3]]'"),
        (["[1,2", "-t", "0"], "expected one list of numbers, got '[1,2'"),
        (
            ["1", "1.o", "-t", "0"],
            "expected numbers or files, got both: '1' is a number, but '1.o' is not",
        ),
        (["1", "1_000", "-t", "0"], "expected numbers, got '1_000'"),
        (["2", "π", "-t", "0"], "expected numbers, got 'π'"),
        (["2", "1", "-t", "0", "x.jsonl"], "got both: '2' is a number, but 'x.jsonl' is not"),
        (
            ["2", "1", "--classes", "big", "cat,dog", "-t", "0"],
            "got 'cat,dog'; names with blanks need quotes, as in --classes \"big cat,dog\"",
        ),
        (["2", "1", "-t", "0.5,0.2"], "if that is meant, say so by --unnormalized-target"),
        (["[]", "-t", "0"], "expected numbers, got none in '[]'"),
        (["", "-t", "0"], "expected numbers or files, got an empty argument"),
        (["(2,x)", "-t", "0"], "'(2,x)' is neither a file nor numbers"),
        (["0.1.2", "-t", "0"], "'0.1.2' is neither a file nor numbers"),
        (["1", "2", "-t", "1" * 5000], "expected --target to be a class, got 111111"),
        (["1", "2", "-t", "1.0"], "expected --target to be a whole number or a class name"),
        (["1", "2", "-t", "0", "--classes", "a,"], "expected class names between commas"),
        (["1", "2", "-t", "0", "--classes", '["a", 1]'], "expected a list of class names, got"),
        (["1", "2", "-t", "0", "--classes", "[a, b]"], "expected a list of class names, got"),
        (["1", "\N{MINUS SIGN}2", "-t", "0"], "has a typographic minus sign; write -2"),
        (["\N{MINUS SIGN}2.5", "-t", "0"], "has a typographic minus sign; write -2.5"),
        (["1", "2", "--chekc"], "No such option: --chekc"),
        (["1", "2", "-t", "0", "--tolerance", "1e-3"], "--tolerance needs --check"),
        (
            ["1", "2", "-t", "0", "--check", "--tolerance", "-1"],
            "expected --tolerance to be a number above 0, got '-1'",
        ),
        (
            ["1", "2", "-t", "0", "--json", "--format", "table"],
            "--json and --format table contradict each other",
        ),
        (["1", "2", "-t", "0", "-f", "xml"], "expected --format to be one of table, jsonl"),
    ],
)
def test_wrong_usage_is_explained(arguments, message):
    assert message in error_of(*arguments)


def test_a_target_may_be_a_class_name_or_its_index():
    by_name = run("1", "2", "--classes", "cat, dog", "-t", "dog", "--json").records[0]
    by_index = run("1", "2", "--classes", "cat, dog", "-t", "1", "--json").records[0]
    pasted = run("1", "2", "--classes", '["cat", "dog"]', "-t", "dog", "--json").records[0]
    assert pasted == by_name
    assert (by_name.pop("target"), by_index.pop("target")) == ("dog", 1)
    assert by_name == by_index


def test_a_class_name_that_is_a_number_wins_over_the_index_with_a_note():
    ended = run("5", "6", "7", "--classes", "1,2,3", "-t", "3", "--json")
    assert (ended.status, ended.records[0]["target"]) == (0, "3")
    ended = run("5", "6", "7", "--classes", "1,2,3", "-t", "2", "--json")
    assert ended.records[0]["target"] == "2"
    assert "--target 2 is the name of class 1, not the index 2" in ended.err


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("page.html", "<!DOCTYPE html>"), ("page.md", "3 classes"), ("rows.jsonl", "{")],
)
def test_the_ending_of_the_output_chooses_the_format(tmp_path, name, beginning):
    path = tmp_path / name
    assert run("2", "1", "0.1", "-t", "0", "-o", str(path)).status == 0
    assert beginning.lower() in path.read_text(encoding="utf-8")[:200].lower()


def test_an_ending_that_softgrad_does_not_write_is_refused(tmp_path):
    assert "writes no .svg files" in error_of("2", "1", "-t", "0", "-o", str(tmp_path / "a.svg"))


def test_a_derivation_needs_a_target():
    ended = run("explain", "1", "2")
    assert (ended.status, ended.out) == (2, b"")
    assert "expected --target, the true class: an index from 0 to 1" in ended.err


@pytest.mark.parametrize("number", ["1e999999999", f"1e{'9' * 30}", f"{'9' * 400}"])
@pytest.mark.parametrize("form", ["{}", "{}%", "{}/3"])
def test_a_number_outside_float64_is_named_at_once(number, form):
    word = form.format(number)
    assert error_of(word, "2", "-t", "0").endswith("is outside the range of float64")
    assert (
        "is outside the range of float64"
        in run("verify", "1", "2", "-t", "0", "--grad-logits", f"{word},1").err
    )


@pytest.mark.parametrize("number", ["1e-999999999", f"1e-{'9' * 30}", f"0e{'9' * 30}"])
def test_a_number_with_a_huge_exponent_may_be_0(number):
    for word in (number, f"{number}%", f"{number}/3"):
        assert logits_of("1", word) == [1.0, 0.0]
        claims = ("--loss", "0.69", "--grad-logits", f"{word},0.5")
        assert run("verify", "0", "0", "-t", "0", *claims).status == 1
    claim = f'{{"logits": [0, 0], "target": 0, "loss": 0.7, "grad_logits": [{number}, 0.5]}}'
    assert run("verify", stdin=claim).status == 1


def test_other_separators_around_target_probabilities_are_blanks():
    assert run("1", "2", "-t", "\x1e[0.5,0.5]").status == 0
    assert "divides by" in error_of(f"1/{'9' * 5000}", "2")
