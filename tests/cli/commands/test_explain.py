"""`softgrad explain`: the derivation after the tables, and as a member of JSON records."""

import json
import math
import re

import pytest
from support.command import lines_of, run
from support.sweeps import in_sweeps
from support.terminal import on_terminal, without_escapes

LECTURE = ["2.0", "1.0", "0.1", "--target", "0"]


def test_the_derivation_follows_the_tables():
    table = run(*LECTURE).text
    explained = run("explain", *LECTURE).text
    assert explained.startswith(table)
    lines = explained.removeprefix(table).splitlines()
    assert lines[0] == "The slope"
    assert "The derivation" in lines
    assert [line for line in lines if line and not line.startswith(" ") and line[:4].istitle()]


def test_the_loss_is_drawn_as_curves_with_their_slopes():
    text = run("explain", *LECTURE).text
    [titles] = [line for line in text.splitlines() if line.startswith("L by a_0")]
    assert titles.split() == ["L", "by", "a_0", "L", "by", "a_1", "L", "by", "a_2"]
    assert "slope 0.659001 - 1        slope 0.242433 - 0        slope 0.0985659 - 0\n" in text
    assert "    = -0.340999               = 0.242433                = 0.0985659\n" in text
    assert "slope -1 / 0.659001\n    = -1.51745\n" in text
    assert text.count("●") == 4
    # The curve of the target comes down to the point.
    left = [line[:24] for line in text[text.index("L by a_0") :].splitlines()]
    assert [line[:1] for line in left].index("⠳") < [line[12:13] for line in left].index("●")


@pytest.mark.parametrize("width", ["80", "120"])
def test_curves_stand_side_by_side_where_there_is_room(width):
    text = run("explain", *map(str, range(8)), "-t", "3", env={"COLUMNS": width}).text
    titles = [line for line in text.splitlines() if line.startswith("L by")]
    beside = {"80": 3, "120": 4}[width]
    assert titles[0].count("L by") == beside
    assert sum(line.count("L by") for line in titles) == 7


def test_a_screen_of_ascii_gets_curves_of_stars():
    ended = run("explain", *LECTURE, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    drawn = ended.text[ended.text.index("L by a_0") : ended.text.index("Each picture")]
    assert drawn.isascii()
    assert drawn.count("o\n") + drawn.count("o ") + drawn.count("o*") >= 4


def test_a_masked_class_has_no_curve_and_a_masked_target_none_at_all():
    masked = run("explain", "1", "-inf", "2", "--target", "0").text
    assert "L by a_0" in masked
    assert "L by a_1" not in masked
    assert "L by" not in run("explain", "1", "-inf", "2", "--target", "1").text


def test_a_step_has_its_rule_its_formula_and_both_cases_with_numbers():
    lines = run("explain", *LECTURE).text.splitlines()
    start = lines.index("16  The cancellation")
    block = lines[start : start + 15]
    assert block == [
        "16  The cancellation",
        "    f(x)_y divided by f(x)_y is 1. The result does not divide by f(x)_y any",
        "    more, which may be very small: this is why programs compute softmax and loss",
        "    together, and this gradient by this formula.",
        "",
        "     ∂L",
        "    ──── = -(1_(y=c) - f(x)_c)",
        "    ∂a_c",
        "",
        "    c = y = 0:",
        "    -0.340999 = -(1 - 0.659001) = -0.340999",
        "",
        "    c ≠ y, for c = 1:",
        "    0.242433 = -(0 - 0.242433) = 0.242433",
        "",
    ]


def test_fractions_are_aligned_with_their_line():
    text = run("explain", *LECTURE).text
    assert (
        "     ∂L        1    ∂f(x)_y\n"
        "    ──── = - ────── ───────\n"
        "    ∂a_c     f(x)_y   ∂a_c\n"
        "\n"
        "    c = y = 0:\n"
        "                     1\n"
        "    -0.340999 = - ──────── · 0.224719 = -0.340999\n"
        "                  0.659001\n"
    ) in text


@pytest.mark.parametrize("width", [80, *in_sweeps([120])])
@pytest.mark.parametrize(
    "logits",
    [
        ["2.0", "1.0", "0.1"],
        [str(n / 7 - 0.6) for n in range(10)],
        [str(math.sin(n) * 300) for n in range(10)],
        ["-1e-300", "1e300", "-1e8"],
        ["40", "0"],
        ["1000", "-inf", "3"],
    ],
    ids=lambda logits: " ".join(logits)[:20],
)
def test_nothing_is_cut_off_or_wider_than_the_screen(width, logits):
    ended = run("explain", *logits, "-t", "0", env={"COLUMNS": str(width)})
    assert (ended.status, ended.err) == (0, "")
    assert max(map(len, ended.text.splitlines())) <= width
    assert "…" not in ended.text


@pytest.mark.parametrize(
    "words",
    [
        ["-t", "0", "--temperature", "2", "--label-smoothing", "0.1"],
        ["-t", "0", "--softcap", "5", "--z-loss-scale", "0.1"],
        ["-t", "0.7,0.2,0.1"],
    ],
    ids=" ".join,
)
def test_the_derivation_of_a_loss_with_options_fits_a_terminal(words):
    ended = run("explain", "2", "1", "0.1", *words, env={"COLUMNS": "80"})
    assert max(map(len, ended.text.splitlines())) <= 80


def test_numbers_far_beyond_float64_are_shown():
    ended = run("explain", "-745", "123456789.5", "1", "-t", "0")
    assert (ended.status, ended.err) == (0, "")
    assert "1.04057e-53616926" in ended.text


def test_the_jacobian_is_whole_on_a_wide_screen_and_cut_on_a_narrow_one():
    logits = [str(n / 7) for n in range(10)]
    wide = run("explain", *logits, "-t", "3", env={"COLUMNS": "200"}).text
    narrow = run("explain", *logits, "-t", "3").text
    assert "⋯" not in wide.partition("The Jacobian")[2]
    assert "(classes 0, 1, 2, 3 and 9)" in narrow


def test_an_ascii_screen_gets_ascii():
    ended = run("explain", *LECTURE, env={"PYTHONIOENCODING": "ascii"})
    assert ended.status == 0
    assert ended.out.isascii()
    assert "?" not in ended.text
    assert "sum_k exp(a_k)" in ended.text


def test_names_and_the_class_to_show_are_used():
    arguments = ["explain", *LECTURE, "--classes", "cat,dog,bird"]
    assert "c ≠ y, for c = 1 (dog):" in run(*arguments).text
    for chosen in ("bird", "2"):
        text = run(*arguments, "--other", chosen).text
        assert "c ≠ y, for c = 2 (bird):" in text
        assert "c = y = 0 (cat):" in text


def test_choosing_the_target_as_the_other_class_changes_nothing():
    assert run("explain", *LECTURE, "--other", "0").out == run("explain", *LECTURE).out


def test_a_thousand_classes_get_all_steps():
    row = {"logits": [n * 37 % 100 / 30 for n in range(1000)], "target": 417}
    text = run("explain", "-f", "table", stdin=lines_of(row)).text
    assert "19  The chain rule for vectors" in text
    assert "the entries for classes 0, 1, 2, 27, 417 and 999 only." in " ".join(text.split())
    assert len(text.splitlines()) < 440


def test_the_terminal_shows_the_same_in_colour():
    shown = on_terminal("explain", *LECTURE)
    plain = run("explain", *LECTURE).text
    assert "\x1b[1m" in shown
    derivation = without_escapes(shown).replace("\r\n", "\n").partition("The derivation")[2]
    assert derivation.strip() == plain.partition("The derivation")[2].strip()


def test_json_records_get_the_steps_as_a_list():
    row = {"id": 7, "logits": [2.0, 1.0, 0.1], "target": 0}
    ended = run("explain", stdin=lines_of(row))
    assert (ended.status, ended.err) == (0, "")
    [record] = ended.records
    assert list(record)[:3] == list(row)
    steps = record["explain"]
    assert len(steps) == 19
    assert all([*step] == ["part", "title", "rule", "formula", "latex", "cases"] for step in steps)
    step = next(step for step in steps if step["title"] == "The cancellation")
    assert step["formula"] == "∂L/∂a_c = -(1_(y=c) - f(x)_c)"
    assert step["latex"] == r"\frac{\partial L}{\partial a_{c}} = -(1_{(y=c)} - f(x)_{c})"
    first, second = step["cases"]
    assert (first["class"], second["class"]) == (0, 1)
    assert first["numbers"] == "-0.340999 = -(1 - 0.659001) = -0.340999"
    assert first["left"] == pytest.approx(record["grad_logits"][0], rel=1e-15)
    assert first["right"] == pytest.approx(record["grad_logits"][0], rel=1e-15)


def test_json_marks_undefined_and_infinite_values():
    rows = [{"logits": [1000, 0], "target": 1}, {"logits": ["-Infinity", 0, 1], "target": 0}]
    overflow, masked = (
        record["explain"] for record in run("explain", stdin=lines_of(*rows)).records
    )
    partial = next(step for step in overflow if step["title"] == "One output")
    assert partial["cases"][0]["right"] == "-Infinity"
    assert any("infinity in its place" in note for note in partial["cases"][0]["notes"])
    chain = next(step for step in masked if step["title"] == "The chain rule")
    assert chain["cases"] == []
    result = next(step for step in masked if step["title"] == "The cancellation")
    assert (result["cases"][0]["left"], result["cases"][0]["right"]) == (None, -1)


def test_a_record_gets_the_same_explanation_alone_and_among_others():
    rows = [{"logits": [n / 3, 1.0, -n], "target": n % 3} for n in range(5)]
    together = run("explain", stdin=lines_of(*rows)).out.splitlines()
    assert together == [run("explain", stdin=lines_of(row)).out.strip() for row in rows]


def test_computing_removes_an_old_explanation_and_verifying_keeps_it():
    row = {"logits": [2.0, 1.0, 0.1], "target": 0}
    explained = run("explain", stdin=lines_of(row)).out
    assert "explain" not in run(stdin=explained).records[0]
    assert run("explain", stdin=explained).records == [json.loads(explained)]
    verified = run("verify", stdin=explained)
    assert verified.status == 0
    assert verified.records[0]["explain"] == json.loads(explained)["explain"]
    own = {**row, "explain": "why it matters"}
    assert run(stdin=lines_of(own)).records[0]["explain"] == "why it matters"


def test_an_impossible_class_rejects_the_record():
    rows = [{"logits": [1, 2], "target": 0}, {"logits": [1, 2, 3], "target": 0}]
    ended = run("explain", "--other", "2", stdin=lines_of(*rows))
    assert ended.status == 3
    assert ended.records[0]["error"]["code"] == "class-out-of-range"
    assert ended.records[0]["error"]["message"] == (
        "class 2 is outside 0..1; classes are numbered from 0"
    )
    assert "explain" in ended.records[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*LECTURE, "--other", "1"], "--other is an option of 'softgrad explain'"),
        ([*LECTURE, "--explain"], "it is a command: softgrad explain"),
        (
            ["explain", *LECTURE, "--other", "3"],
            "class 3 is outside 0..2; classes are numbered from 0",
        ),
        (
            ["explain", *LECTURE, "--other", "dog"],
            'class "dog" is a name, but no class names are given',
        ),
        (["explain", *LECTURE, "--check"], "--check is an option of 'softgrad'"),
        (["explain", *LECTURE, "--row", "1"], "--row needs arrays"),
        ([*LECTURE, "--standalone"], "--standalone needs --format latex"),
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(arguments, message):
    ended = run(*arguments)
    assert ended.status == 2
    assert message in ended.err


@pytest.mark.parametrize("ending", ["txt", "md", "tex", "html"])
def test_the_derivation_without_logits_is_in_symbols_alone(tmp_path, ending):
    shown = on_terminal("explain", "-o", f"page.{ending}", cwd=tmp_path)
    assert shown == ""
    text = (tmp_path / f"page.{ending}").read_text(encoding="utf-8")
    for told in ("The cancellation", "The quotient rule", "The Jacobian", "three classes"):
        assert told in text
    for number in ("0.333", "1.0986", "-3", "−3"):
        assert number not in text


def test_the_derivation_in_symbols_has_the_options_of_the_loss(tmp_path):
    options = ["--label-smoothing", "0.1", "--temperature", "2"]
    shown = without_escapes(on_terminal("explain", *options, cwd=tmp_path))
    titles = [line.split("  ")[1] for line in shown.splitlines() if re.match(r" ?\d+  [A-Z]", line)]
    numbered = run("explain", "2", "1", "0.1", "-t", "0", *options).text
    assert titles == [
        line.split("  ")[1] for line in numbered.splitlines() if re.match(r" ?\d+  [A-Z]", line)
    ]


@pytest.mark.parametrize("words", [["-t", "1"], ["--other", "1"], ["--json"]])
def test_what_needs_logits_is_refused_without_them(tmp_path, words):
    with pytest.raises(AssertionError, match="expected logits"):
        on_terminal("explain", *words, cwd=tmp_path)
