"""Which command a line means, the help, and misspelled commands."""

import re

import pytest
from support.command import lines_of, run

COMMANDS = ([], ["explain"], ["verify"], ["guide"])
ROW = {"logits": [2.0, 1.0, 0.1], "target": 0}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_fits_on_two_screens_of_80_columns(command):
    shown = run(*command, "--help").text.splitlines()
    assert len(shown) <= 60
    assert max(map(len, shown)) <= 80


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_option_has_an_explanation_in_the_help(command):
    shown = run(*command, "--help").text
    assert "bool" not in shown.lower()
    for line in re.findall(r"^│ (--[a-z-]+.*)│$", shown, re.MULTILINE):
        assert re.search(r"  +\w+,? \w+", line), line


@pytest.mark.parametrize(
    ("command", "takes"),
    [
        ([], "[LOGITS... | FILES...]"),
        (["verify"], "[LOGITS... | FILES...]"),
        (["guide"], "[CHAPTER]"),
    ],
)
def test_the_help_says_how_the_command_is_called(command, takes):
    assert f" Usage: {' '.join(['softgrad', *command])} [OPTIONS] {takes} " in (
        run(*command, "--help").text
    )


def test_the_help_lists_the_commands_before_the_options():
    shown = run("--help").text
    places = [shown.index(f"softgrad {name}") for name in ("explain", "verify", "guide")]
    assert places == sorted(places)
    assert places[-1] < shown.index("--target")


def test_each_command_has_only_its_own_options():
    compute, verify, explain = (run(*name, "--help").text for name in ([], ["verify"], ["explain"]))
    for option, texts in {
        "--check": [compute],
        "--fields": [compute],
        "--rtol": [verify],
        "--ulp": [verify],
        "--other ": [explain],
        "--row": [explain],
        "--only-failures": [compute, verify],
        "--temperature": [compute, verify, explain],
        "--output": [compute, verify, explain],
    }.items():
        assert [option in text for text in (compute, verify, explain)] == [
            text in texts for text in (compute, verify, explain)
        ], option


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(["verfy", "x"], "verify"), (["explian", "2", "1"], "explain"), (["giude"], "guide")],
)
def test_a_misspelled_command_is_recognised(typed, meant):
    ended = run(*typed)
    assert (ended.status, ended.out) == (2, b"")
    assert ended.err.splitlines()[0] == (
        f"softgrad: there is no file {typed[0]!r}; did you mean 'softgrad {meant}'?"
    )


def test_a_file_named_like_a_command_is_read(tmp_path):
    (tmp_path / "verfy").write_text(lines_of(ROW))
    (tmp_path / "verify").write_text(lines_of(ROW))
    assert run("verfy", cwd=tmp_path).status == 0
    assert run("./verify", cwd=tmp_path).status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["2", "1", "-t", "0", "--explain"], "it is a command: softgrad explain"),
        (["--verify"], "it is a command: softgrad verify"),
        (["--other", "1"], "--other is an option of 'softgrad explain'"),
        (["--rtol", "1"], "--rtol is an option of 'softgrad verify'"),
        (["verify", "--fields", "loss"], "--fields is an option of 'softgrad'"),
        (["1", "2", "-t", "0", "--output-dir", "d"], "--output-dir needs JSON or arrays"),
        (["1", "2", "-t", "0", "-j", "x"], "expected --jobs to be a whole number from 0 on"),
        (["1", "2", "-t", "0", "-j", "-1"], "expected --jobs to be a whole number from 0 on"),
        (["guide", "--target", "1"], "--target is an option of 'softgrad' or 'softgrad explain'"),
    ],
)
def test_an_option_that_makes_no_sense_here_is_refused(arguments, message):
    ended = run(*arguments)
    assert (ended.status, ended.out) == (2, b"")
    assert message in ended.err


@pytest.mark.parametrize("name", ["verify", "explain"])
def test_the_hint_names_the_right_help(name):
    assert f"Try 'softgrad {name} --help'" in run(name, "--chekc").err


def test_python_has_the_same_objects_under_both_names():
    import softgrad

    import softgrad_core

    assert {*dir(softgrad)} >= {*softgrad_core.__all__}
    for name in softgrad_core.__all__:
        assert getattr(softgrad, name) is getattr(softgrad_core, name)
    with pytest.raises(AttributeError):
        _ = softgrad.nothing


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_has_each_example_on_a_line_of_its_own(command):
    _, examples = run(*command, "--help").text.split(" Examples")
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert 3 <= len(lines) <= 6
    for line in lines:
        assert line.startswith(("softgrad ", "echo "))


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["2", "1", "-t", "0", "--html"], "--format html"),
        (["2", "1", "--label", "0"], "--target"),
        (["2", "1", "--soft-targets", "0.9,0.1"], "--target 0.9,0.1,0"),
        (["2", "1", "-t", "0", "--mean"], "--reduction mean"),
        (["verify", "x.jsonl", "--quiet"], "--only-failures"),
        (["explain", "2", "1", "-t", "0", "--class", "1"], "--other, the class beside the target"),
        (["2", "1", "--class", "1"], "--target"),
        (["2", "1", "-t", "0", "--derivation"], "softgrad explain"),
        (["2", "1", "-t", "0", "--softmax"], "--probs of 'softgrad verify'"),
        (["verify", "x.jsonl", "--gradcheck"], "--check of 'softgrad'"),
        (["--logits", "2", "1", "-t", "0"], "the logits alone, as in softgrad 2.0 1.0 0.1"),
    ],
)
def test_other_words_for_an_option_are_answered_with_the_option(arguments, meant):
    ended = run(*arguments)
    assert (ended.status, ended.out) == (2, b"")
    option = next(word for word in arguments if word in ended.err and word.startswith("--"))
    assert f"there is no {option}; you may mean {meant}" in ended.err


def test_a_misspelt_option_is_answered_with_those_that_are_near():
    assert run("--chekc").err.splitlines()[0] == (
        "softgrad: No such option: --chekc (Possible options: --check, --help)"
    )


def test_help_and_version_have_the_forms_that_people_type():
    assert run("help").out == run("-help").out == run("--help").out
    assert run("-V").out == run("-v").out == run("-version").out == run("--version").out


def test_a_record_with_a_target_of_another_name_is_told_which():
    ended = run(stdin=b'{"logits": [2, 1], "y": 0}\n{"logits": [2, 1], "label": 0}\n')
    first, second = ended.err.splitlines()[:2]
    assert first.endswith('or give --target, got "y"')
    assert second.endswith('or give --target, got "label"')


def test_without_a_target_each_class_has_the_loss_that_it_would_have():
    logits = ["2", "1", "-inf", "0.1"]
    options = ["--temperature", "2", "--label-smoothing", "0.1"]
    [record] = run(*logits, *options, "--json").records
    losses = [run(*logits, *options, "-t", str(c), "--json").records[0]["loss"] for c in range(4)]
    assert record["losses"] == losses
    assert record["logits"] == [2, 1, "-Infinity", 0.1]
    assert record["probs"] == run(*logits, *options, "-t", "0", "--json").records[0]["probs"]


@pytest.mark.parametrize("shown", ["table", "markdown", "latex", "html"])
def test_without_a_target_the_page_has_the_names_of_the_classes(shown, tmp_path):
    words = ["2", "1", "0.1", "--classes", "cat,dog,bird", "-f", shown]
    ended = run(*words, "-o", "page", cwd=tmp_path)
    assert (ended.status, ended.out, ended.err) == (0, b"", "")
    text = (tmp_path / "page").read_text(encoding="utf-8")
    for told in ("dog", "no target", "1.41703", "0.242433"):
        assert told in text
