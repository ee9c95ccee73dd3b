"""Numbers that people type: held to the digits that they are written with."""

import json
import math
import re
from functools import cache

import numpy as np
import pytest
from support.command import run

from softgrad_core import softmax_cross_entropy

ROW = ("2", "1", "0.1", "-t", "0")


@pytest.mark.parametrize(
    "claim",
    [
        ("--grad-logits", "-0.341,0.242,0.0986"),
        ("--grad-logits", "-0.34 0.24 0.10"),
        ("--probs", "[0.6590, 0.2424, 0.0986]"),
        ("--log-probs", "-0.417,-1.417,-2.317"),
        ("--loss", "0.417"),
        ("--loss", "0.4170"),
        ("--grad-probs", "-1.517,0,0"),
    ],
)
def test_right_answers_with_few_digits_pass(claim):
    ended = run("verify", *ROW, *claim)
    assert ended.status == 0, ended.err
    assert "ulp" not in ended.text + ended.err


@pytest.mark.parametrize(
    ("claim", "mistake"),
    [
        (("--grad-logits", "0.659,0.242,0.0986"), "target-not-subtracted"),
        (("--grad-logits", "0.341,-0.242,-0.0986"), "wrong-sign"),
        (("--loss", "-0.417"), "wrong-sign"),
        (("--grad-probs", "-0.912,0,0"), "unknown"),
    ],
)
def test_wrong_answers_fail_and_are_named(claim, mistake):
    ended = run("verify", *ROW, *claim)
    assert ended.status == 1
    assert mistake in ended.text


def _verify_json(*logits, claim):
    """Return the verdict on a gradient with target 0 that is written as in the claim."""
    record = f'{{"logits": {list(logits)}, "target": 0, "grad_logits": {claim}}}'
    ended = run("verify", stdin=record)
    return json.loads(ended.out)["verify"], ended.err


@pytest.mark.parametrize(
    ("logits", "claim"),
    [
        # As %.3g and %.4g write -0.99996 and 0.99965.
        ((-4.6, 2.0, 4.6, -7.4, 1.9, 7.6), "[-1, 0.0035, 0.0471, 2.89e-07, 0.00317, 0.946]"),
        ((-4.2, -1.5, 6.5), "[-1, 0.000335, 1]"),
        # As three decimals without their zeros.
        ((-9.0, 0.0, 1.0, -9.5), "[-1, 0.269, 0.731, 0]"),
    ],
)
def test_a_1_or_0_beside_fractions_may_have_lost_its_zeros(logits, claim):
    verdict, _ = _verify_json(*logits, claim=claim)
    assert verdict["passed"], verdict


def test_a_1_beside_fractions_is_still_held_to_their_digits():
    verdict, _ = _verify_json(-2.0, 0.5, 1.0, claim="[-1, 0.366, 0.604]")
    assert not verdict["passed"]


def test_large_numbers_with_few_digits_are_held_to_them():
    verdict, said = _verify_json(-4.6, 2.0, 4.6, 7.6, claim="[-2.1e+05, 0, 0, 0]")
    assert verdict["grad_logits"]["mistake"] == "gradient-of-the-output"
    assert "few digits were given" in said


def test_the_answer_says_how_many_decimals_were_given():
    ended = run("verify", *ROW, "--grad-logits", "-0.3410,0.2424,0.0986")
    assert "(4 decimals were given: compared to within ±0.00005)" in ended.err
    assert "yours" in ended.text


def test_trailing_zeros_count():
    assert run("verify", *ROW, "--loss", "0.42").status == 0
    assert run("verify", *ROW, "--loss", "0.420").status == 1


def test_digits_of_json_count_as_they_are_written(tmp_path):
    record = '{"logits": [2, 1, 0.1], "target": 0, "grad_logits": [-0.3410, 0.2424, 0.0986]}\n'
    (tmp_path / "homework.jsonl").write_text(record)
    assert run("verify", "homework.jsonl", cwd=tmp_path).status == 0
    for options in (["--dtype", "float64"], ["--ulp", "4"], ["--rtol", "1e-9"]):
        assert run("verify", "homework.jsonl", *options, cwd=tmp_path).status == 1


def test_numbers_of_a_machine_are_held_to_their_type():
    digits = "-0.3409989,0.24243297,0.09856589"  # NumPy prints eight.
    assert run("verify", *ROW, "--grad-logits", digits).status == 1
    assert run("verify", *ROW, "--grad-logits", digits, "--dtype", "float32").status == 0
    exact = '{"logits": [0, 0], "target": 0, "grad_logits": [-0.5, 0.5]}'
    ended = run("verify", stdin=exact)
    assert ended.status == 0
    assert "rounding in float64" in ended.err


def test_typed_records_stand_beside_those_of_machines():
    typed = '{"logits": [2, 1, 0.1], "target": 0, "grad_logits": [-0.341, 0.242, 0.0986]}'
    result = softmax_cross_entropy([2.0, 1.0, 0.1], 0)
    machine = json.dumps(
        {"logits": [2, 1, 0.1], "target": 0, "grad_logits": result.grad_logits.tolist()}
    )
    ended = run("verify", stdin=f"{typed}\n{machine}\n{typed}\n")
    assert ended.status == 0, ended.err
    assert [record["verify"]["passed"] for record in ended.records] == [True] * 3


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (("--loss", "0.4,0.2"), "expected --loss to be one number"),
        (("--grad-logits", "a,b"), "expected --grad-logits to be numbers"),
        (("--grad-logits", "0.1,0.2"), "--grad-logits to be 3 numbers"),
        ((), "expected a claim to verify, for example --grad-logits or --loss"),
    ],
)
def test_claims_that_cannot_be_read_are_refused(claim, words):
    ended = run("verify", *ROW, *claim)
    assert ended.status == 2
    assert words in ended.err


def written(number, digits, kind):
    """Return a number with so many decimals, or so many significant digits."""
    if kind == "decimals":
        return f"{number:.{digits}f}"
    if number == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(number))))
    return f"{number:.{decimals}f}"


def mistakes(p, e, rng):
    """Yield known mistakes in dL/da, each with the names that fit."""
    yield -(p - e), {"wrong-sign"}
    yield p, {"target-not-subtracted"}
    yield p + e, {"target-added"}
    yield 2 * (p - e), {"factor-2"}
    n = int(rng.integers(3, 9))
    yield (p - e) / n, {"mean-over-batch", "mean-over-classes", "constant-factor"}
    shifted = np.roll(e, 1)
    yield p - shifted, {"label-off-by-one", "another-label"}
    yield -e / p, {"gradient-of-the-output"}


@pytest.mark.parametrize(
    ("digits", "kind", "share"),
    [(4, "decimals", 0.95), (3, "decimals", 0.95), (2, "decimals", 0.85),
     (4, "significant", 0.95), (3, "significant", 0.95)],
)  # fmt: skip
def test_homework_is_judged_by_its_digits(digits, kind, share):
    rng = np.random.default_rng([digits, len(kind)])
    records, expected = [], []
    for _ in range(20):
        classes = int(rng.integers(3, 6))
        logits = rng.normal(size=classes).round(1) * 2
        target = int(rng.integers(classes))
        p = softmax_cross_entropy(logits, target).probs
        e = np.eye(classes)[target]
        for claim, names in [(p - e, None), *mistakes(p, e, rng)]:
            numbers = ",".join(written(number, digits, kind) for number in claim)
            records.append(
                f'{{"logits":{logits.tolist()},"target":{target},"grad_logits":[{numbers}]}}'
            )
            expected.append((names, claim, p - e))
    ended = run("verify", stdin="\n".join(records))
    wrong, failed, named = 0, 0, 0
    for record, (names, claim, right) in zip(ended.records, expected, strict=True):
        verdict = record["verify"]["grad_logits"]
        if names is None:
            assert verdict["verdict"] == "pass", record
            continue
        same = [written(x, digits, kind) for x in claim] == [
            written(x, digits, kind) for x in right
        ]
        wrong += not same
        failed += verdict["verdict"] == "fail"
        candidates = {verdict.get("mistake"), *verdict.get("candidates", ())}
        named += bool(names & candidates)
    assert failed >= 0.97 * wrong
    assert named >= share * wrong, named / wrong


@cache
def explained(*words):
    return run("explain", *words).text


@pytest.mark.parametrize(
    ("claim", "title", "options"),
    [
        (["--grad-logits", "0.659,0.242,0.0986"], "The vector", []),
        (["--grad-logits", "0.341,-0.242,-0.0986"], "The loss", []),
        (["--grad-logits", "-1.52,0,0"], "The chain rule", []),
        (["--grad-logits", "-1.52,0,0"], "The chain rule", ["--temperature", "1.0"]),
        (["--grad-logits", "-0.341,0,0"], "The Jacobian", []),
        (["--loss", "-0.659"], "The loss", []),
        (["--grad-probs", "-1.52,-1.52,-1.52"], "All outputs", []),
        (["--probs", "7.39,2.72,1.11"], "The softmax", ["--temperature", "1.0"]),
    ],
)
def test_the_step_in_which_a_mistake_is_made_is_that_of_the_derivation(claim, title, options):
    logits = ["2", "1", "0.1", "-t", "0", *options]
    text = run("verify", *logits, *claim).text
    [(number, name)] = re.findall(r"in the derivation: step (\d+), (.*)", text)
    assert name.lower() == title.lower()
    assert f"{number}  {title}\n" in explained(*logits)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (
            ["--grad-logits", "-0.341", "0.242", "0.0986"],
            "expected one argument after --grad-logits, got -0.341 0.242 0.0986; write "
            "--grad-logits -0.341,0.242,0.0986",
        ),
        (["--grad-logits", "-0.341,0.242"], "expected --grad-logits to be 3 numbers, one for each"),
        (["--loss", "0,417"], "expected --loss to be one number, got '0,417'; write 0.417"),
        (["--loss", "1,2,3"], "expected --loss to be one number, got '1,2,3'\n"),
    ],
)
def test_a_claim_that_is_typed_wrongly_is_answered_with_how_to_type_it(claim, message):
    ended = run("verify", "2", "1", "0.1", "-t", "0", *claim)
    assert (ended.status, ended.out) == (2, b"")
    assert message in ended.err


@pytest.mark.parametrize(
    ("words", "claim"),
    [
        ("0.01 0", ("--probs", "0.5,0.5")),
        ("1.1 0", ("--probs", "0.75,0.25")),
        ("20 0 0", ("--probs", "1.0,0.0,0.0")),
        ("20 0 0", ("--grad-logits", "0.0,0.0,0.0")),
        ("0 6 0", ("--loss", "6.0")),
    ],
)
def test_short_binary_fractions_are_typed_numbers_as_well(words, claim):
    ended = run("verify", *words.split(), "-t", "0", *claim)
    assert ended.status == 0, ended.text


@pytest.mark.parametrize(
    ("claim", "mistake"),
    [
        (("--grad-logits", "1.0,1.0,0.1"), "softmax-left-out"),
        (("--probs", "0.645,0.323,0.032"), "exponential-left-out"),
        (("--probs", "0.09612,0.26127,0.64262"), "logits-negated"),
        (("--grad-logits", "-0.341,-0.242,-0.0986"), "wrong-sign-at-the-others"),
        (("--grad-logits", "-1.659,-0.242,-0.0986"), "output-added"),
        (("--grad-logits", "0.22472,0.18366,0.08885"), "jacobian-diagonal-only"),
        (("--grad-logits", "0.22472,-0.15976,-0.06496"), "derivative-of-the-output"),
        (("--grad-logits", "-0.34100,-0.75757,-0.90143"), "one-subtracted-everywhere"),
        (("--loss", "0.34100"), "complement-of-the-target"),
        (("--loss", "4.15109"), "all-classes-in-the-loss"),
        (("--loss", "2.31703"), "label-off-by-one"),
        (("--probs", "65.9,24.2,9.86"), "in-percent"),
        (("--grad-logits", "-0.340,0.242,0.098"), "last-digit"),
        (("--grad-logits", "-0.3409,0.2424,0.0985"), "last-digit"),
        (
            ("--temperature", "2", "--grad-logits", "-0.498,0.304,0.194"),
            "temperature-factor-forgotten",
        ),
        (("--loss", "0.40625"), "unknown"),
    ],
)
def test_common_mistakes_of_homework_are_named_first(claim, mistake):
    ended = run("verify", *ROW, *claim)
    assert ended.status == 1
    assert f"\n{mistake}: " in ended.text, ended.text


def test_the_loss_of_another_class_is_named_by_the_class():
    ended = run("verify", "1", "2", "3", "4", "-t", "0", "--loss", "1.44")
    assert "another-label: it equals -log p_k with k = 2" in ended.text


@pytest.mark.parametrize(
    ("logits", "claim", "decimals"),
    [
        ("1 2 3", ("--grad-logits", "0.09003057,-0.75527153,0.66524096"), 8),
        ("1 1 1", ("--loss", "1.0986122887"), 10),
    ],
)
def test_numbers_as_numpy_and_calculators_print_them_are_called_rounded(logits, claim, decimals):
    ended = run("verify", *logits.split(), "-t", "1", *claim)
    assert ended.status == 1
    assert f"rounded to {decimals} decimals" in ended.text


@pytest.mark.parametrize("loss", ["1.0986128", "0.4170301"])
def test_wrong_numbers_with_many_decimals_are_not_called_rounded(loss):
    logits = ("1", "1", "1") if loss[0] == "1" else ROW[:3]
    ended = run("verify", *logits, "-t", "0", "--loss", loss)
    assert ended.status == 1
    assert "rounded" not in ended.text


def test_a_null_beside_typed_digits_fails_alone():
    record = '{"logits": [2, 1, 0.1], "target": 0, "grad_logits": [-0.341, 0.242, 0.0986], '
    ended = run("verify", stdin=f'{record}"loss": null}}')
    assert ended.status == 1
    verdicts = ended.records[0]["verify"]
    assert (verdicts["grad_logits"]["verdict"], verdicts["loss"]["verdict"]) == ("pass", "fail")


def test_claims_beside_files_say_where_they_belong():
    ended = run("verify", "-t", "0", "--grad-logits", "1,2", stdin='{"logits": [1, 2]}')
    assert ended.status == 2
    assert "--grad-logits goes with logits given as arguments, as in softgrad verify" in ended.err
