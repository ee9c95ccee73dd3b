"""`softgrad verify` as a process: claims in, verdicts out, a summary on standard error."""

import json
import math

import numpy as np
import pytest
from support.claims import EXACT, GRADIENT, RIGHT, ROW, WRONG, kernel, records_of, verify
from support.command import lines_of, run

UNKNOWN = {**ROW, "grad_logits": [0.7, 0.1, 0.9]}


def test_a_right_claim_passes():
    ended = verify(RIGHT)
    assert ended.status == 0
    [record] = ended.records
    verdict = record.pop("verify")
    assert record == RIGHT
    part = verdict.pop("grad_logits")
    assert verdict == {"passed": True, "dtype": "float64"}
    assert part.pop("max_error_ulp") <= 0.5
    assert part.pop("relative_error") < 1.2e-16
    assert part.pop("worst_class") in range(3)
    assert part.pop("expected") == part.pop("got")
    assert part == {"verdict": "pass", "uninformative": 0}
    assert ended.err.splitlines()[-1] == (
        "softgrad: 1 record: 1 passed (a claim passes where rounding in float64 explains its error)"
    )


def test_a_wrong_claim_fails_and_is_named():
    ended = verify({"id": "x", **WRONG})
    assert ended.status == 1
    [record] = ended.records
    assert record["verify"]["passed"] is False
    part = record["verify"]["grad_logits"]
    assert part["verdict"] == "fail"
    worst = part["worst_class"]
    assert (part["expected"], part["got"]) == (GRADIENT[worst], -GRADIENT[worst])
    error = abs(2 * GRADIENT[worst]) / math.ulp(GRADIENT[worst])
    assert part["max_error_ulp"] == pytest.approx(error, rel=1e-12)
    assert part["relative_error"] == 2.0
    assert part["mistake"] == "wrong-sign"
    assert part["formula"] == "-1 × (p - e)"
    assert "grad_logits: 1 of 1 failed" in ended.err
    assert "wrong-sign: it equals -1 × (p - e)" in ended.err


def test_what_is_unknown_is_said_to_be_unknown():
    ended = verify(UNKNOWN)
    assert ended.records[0]["verify"]["grad_logits"]["mistake"] == "unknown"
    assert "unknown: no known mistake gives these numbers" in ended.err


def test_numbers_rounded_by_hand_are_diagnosed_with_the_tolerance_that_they_need():
    homework = {"logits": [2.0, 1.0, 0.1], "target": 1, "grad_logits": [0.659, 0.2424, 0.0986]}
    for option in ("--rtol", "--atol"):
        part = verify(homework, options=[option, "1e-3"]).records[0]["verify"]["grad_logits"]
        assert part["mistake"] == "target-not-subtracted"
    part = verify(homework, options=["--ulp", "4"]).records[0]["verify"]["grad_logits"]
    assert part["mistake"] == "unknown"


def test_right_numbers_with_few_decimals_are_not_called_a_mistake():
    homework = {
        **ROW,
        "probs": [0.659, 0.242, 0.099],
        "loss": 0.417,
        "grad_logits": [-0.341, 0.242, 0.099],
    }
    ended = verify(homework, options=["--rtol", "1e-3"])
    part = ended.records[0]["verify"]["grad_logits"]
    assert part["mistake"] == "rounded-to-decimals"
    assert part["formula"] == "(p - e) rounded to 3 decimals"
    assert verify(homework, options=["--atol", "5e-4"]).status == 0


def test_a_formula_has_the_parameter_of_its_record():
    records = [
        {**ROW, "grad_logits": [value / size for value in GRADIENT]} for size in (32, 64, 32)
    ]
    ended = verify(*records)
    formulas = [record["verify"]["grad_logits"]["formula"] for record in ended.records]
    assert formulas == [f"(p - e) / N with N = {size}" for size in (32, 64, 32)]
    assert "mean-over-batch: 2 of 3 equal (p - e) / N with N = 32" in ended.err
    assert "mean-over-batch: 1 of 3 equal (p - e) / N with N = 64" in ended.err
    table = verify(*records, options=["-f", "table"]).text
    assert "mean-over-batch: it equals (p - e) / N with N = 64" in table


def test_a_key_that_looks_like_a_claim_is_not_passed_over_in_silence():
    ended = verify({**RIGHT, "gradient": [1, 2, 3]})
    assert ended.status == 0
    assert '"gradient" is not verified; claims are called probs, log_probs, loss' in ended.err


def test_the_last_word_counts_the_rejected_too():
    ended = verify(RIGHT, {"logits": [1, 2]})
    last = ended.err.splitlines()[-1]
    assert last.startswith("softgrad: 2 records: 1 passed, 1 rejected (a claim passes where ")


def test_several_candidates_are_all_named():
    # N = K: the mean over 3 classes, and over 3 records.
    [record] = verify({**ROW, "grad_logits": [value / 3 for value in GRADIENT]}).records
    part = record["verify"]["grad_logits"]
    assert part["mistake"] == "mean-over-classes"
    assert part["candidates"] == ["mean-over-classes", "mean-over-batch"]


def test_every_quantity_can_be_claimed():
    claims = {
        "probs": [float(value) for value in EXACT.probs],
        "log_probs": [float(value) for value in EXACT.log_probs],
        "loss": float(EXACT.loss),
        "grad_probs": [float(value) for value in EXACT.grad_probs],
        "grad_logits": GRADIENT,
    }
    ended = verify({**ROW, **claims}, options=["--ulp", "0.5"])
    assert ended.status == 0
    assert ended.records[0]["verify"].keys() == {"passed", "dtype", *claims}
    assert "worst_class" not in ended.records[0]["verify"]["loss"]
    for name in claims:
        assert f"{name}: 1 of 1 passed" in ended.err


def test_what_softgrad_computes_verifies():
    rows = [ROW, {"logits": [40, 0], "target": 0}, {"logits": [0, "-Infinity"], "target": 1}]
    computed = run(stdin=lines_of(*rows)).out
    ended = run("verify", stdin=computed)
    assert ended.status == 0, ended.err
    assert [record["verify"]["passed"] for record in ended.records] == [True, True, True]
    # And again, with the verdicts of the first round.
    assert run("verify", stdin=ended.out).records == ended.records


def test_a_failure_says_whether_assert_close_would_have_passed_it():
    # The gradient of logits [0, 12] for target 1 is [6.14e-06, -6.14e-06].
    row = {"logits": [0.0, 12.0], "target": 1}
    for claim, passes in (([6e-6, -6e-6], True), ([6e-2, -6e-2], False)):
        ended = verify({**row, "grad_logits": claim}, options=["--dtype", "float32"])
        assert ended.status == 1
        assert ended.records[0]["verify"]["grad_logits"]["assert_close"] is passes
        assert ("torch.testing.assert_close, with its defaults, passes" in ended.err) is passes


def test_a_mean_over_the_batch_is_diagnosed_over_all_records():
    logits, targets, _, gradients = kernel(300)
    ended = verify(
        *records_of(logits, targets, grad_logits=gradients / np.float32(32)),
        options=["--dtype", "float32"],
    )
    assert ended.status == 1
    assert "grad_logits: 300 of 300 failed" in ended.err
    assert "  mean-over-batch: all 300 equal (p - e) / N with N = 32\n" in ended.err
    assert "softgrad: 300 records: 300 failed (a claim passes where rounding in" in ended.err


def test_a_float32_kernel_is_right_in_float32_and_not_in_float64():
    logits, targets, probs, gradients = kernel(300)
    records = records_of(logits, targets, probs=probs, grad_logits=gradients)
    assert verify(*records, options=["--dtype", "float32"]).status == 0
    ended = verify(*records, options=["--ulp", "64"])
    assert ended.status == 1
    assert "digits-of-a-narrower-type" in ended.err
    assert "to the digits of float32" in ended.err


def test_numbers_that_are_too_small_for_their_type_do_not_count_as_right():
    ended = verify(
        {"logits": [40, 0], "target": 0, "loss": 0, "grad_logits": [0, 4.248354e-18]},
        options=["--dtype", "float32"],
    )
    verdict = ended.records[0]["verify"]
    assert verdict["passed"] is None
    assert verdict["loss"]["verdict"] == "uninformative"
    assert verdict["loss"]["max_error_ulp"] > 1e7
    assert verdict["grad_logits"]["verdict"] == "pass"
    assert verdict["grad_logits"]["uninformative"] == 1
    assert "loss: not passed: 1 of 1 number is so small or so large that" in ended.err
    assert "1 record: 1 could not be judged" in ended.err.splitlines()[-1]
    assert ended.status == 1


def test_ulps_are_demanded_of_small_numbers_too():
    record = {"logits": [40, 0], "target": 0, "grad_logits": [0, 4.248354e-18]}
    ended = verify(record, options=["--dtype", "float32", "--ulp", "4"])
    assert ended.status == 1
    part = ended.records[0]["verify"]["grad_logits"]
    assert part["mistake"] == "cancelled-to-zero"
    assert "|claim - exact| <= 4 ulp of float32" in ended.err


def test_infinite_claims_of_a_masked_target_are_right():
    record = {"logits": [0, "-Infinity"], "target": 1, "loss": "Infinity"}
    ended = verify({**record, "grad_probs": [0, "-Infinity"]})
    assert ended.status == 0
    assert ended.records[0]["verify"]["loss"]["expected"] == "Infinity"


def test_records_of_several_kinds_keep_their_order():
    wide = {"logits": [1, 2, 3, 4], "target": 3, "loss": 0.4401896985611953}
    named = {**RIGHT, "classes": ["a", "b", "c"], "target": "a"}
    records = [RIGHT, wide, WRONG, {"logits": [1, 2]}, named, wide, RIGHT]
    numbered = [{"id": place, **record} for place, record in enumerate(records)]
    ended = verify(*numbered)
    assert ended.status == 3
    assert [record["id"] for record in ended.records] == list(range(7))
    passed = [record.get("verify", {}).get("passed") for record in ended.records]
    assert passed == [True, True, False, None, True, True, True]
    for given, record in zip(numbered, ended.records, strict=True):
        alone = verify(given).records[0]
        assert record.get("verify") == alone.get("verify")


def test_every_run_says_the_same():
    # With two classes the label before and the one after are the same class.
    logits, targets, probs, _ = kernel(20, classes=2)
    claims = probs - np.eye(2, dtype=np.float32)[1 - targets]
    records = records_of(logits, targets, grad_logits=claims)
    runs = [verify(*records, env={"PYTHONHASHSEED": str(seed)}) for seed in range(3)]
    assert "all 20 equal p - e(y + 1)" in runs[0].err
    assert len({(ended.out, ended.err) for ended in runs}) == 1


def test_quiet_leaves_failures_and_rejected_records_only():
    records = [RIGHT, WRONG, RIGHT, {"logits": [1, 2]}, UNKNOWN]
    numbered = [{"id": place, **record} for place, record in enumerate(records)]
    loud, quiet = verify(*numbered), verify(*numbered, options=["--only-failures"])
    assert [record["id"] for record in quiet.records] == [1, 3, 4]
    assert quiet.records == [loud.records[place] for place in (1, 3, 4)]
    assert (quiet.status, quiet.err) == (loud.status, loud.err)
    assert verify(RIGHT, options=["--only-failures"]).out == b""


def test_the_whole_range_of_logits_closes_the_loop():
    rows = [
        {"logits": [710, 0], "target": 1},
        {"logits": [1e17, 3], "target": 1},
        {"logits": [1e20, 1, 0], "target": 1},
        {"logits": [1.7e308, -1.7e308], "target": 1},
        {"logits": [0, -745.2, -1e308], "target": 2},
    ]
    computed = run(stdin=lines_of(*rows)).out
    for options in ([], ["--ulp", "4"], ["--dtype", "float32"]):
        ended = run("verify", *options, stdin=computed)
        assert ended.status == 0, ended.err
        assert "Warning" not in ended.err


def test_wrong_claims_of_every_size_are_told_without_noise():
    records = [
        {"logits": [2, 1, 3], "target": 0, "grad_logits": [0, 0, 0], "loss": 0},
        {"logits": [2, 1], "target": 0, "loss": 1.5e292, "grad_logits": [1e308, 0]},
        {"logits": [1.7e308, -1.7e308], "target": 1, "loss": -5, "log_probs": [1, 0]},
        {"logits": [1, 1000.0, -1.7e308], "target": 0, "log_probs": [1, 0, -1]},
    ]
    for dtype in ("float64", "float32", "bfloat16", "float16"):
        ended = verify(*records, options=["--dtype", dtype])
        assert ended.status == 1
        assert "Warning" not in ended.err
        assert "bug" not in ended.err
        assert max(map(len, ended.err.splitlines())) < 200
        part = ended.records[0]["verify"]
        assert part["grad_logits"]["mistake"] == part["loss"]["mistake"] == "all-zero"


def test_fail_fast_stops_at_the_first_wrong_record():
    ended = verify(RIGHT, WRONG, WRONG, options=["--fail-fast"])
    assert len(ended.records) == 2
    assert ended.status == 1
    assert "grad_logits: 1 of 2 failed" in ended.err


def test_the_default_target_and_names_serve_here_too():
    claims = {"logits": ROW["logits"], "grad_logits": GRADIENT}
    ended = verify(claims, options=["--target", "cat", "--classes", "cat,dog,bird"])
    assert ended.status == 0
    assert ended.records[0]["target"] == "cat"


def test_verdicts_of_an_earlier_run_are_replaced_or_dropped():
    verified = verify(RIGHT).out
    assert run("verify", "--dtype", "float32", stdin=verified).records[0]["verify"]["dtype"] == (
        "float32"
    )
    [computed] = run(stdin=verified).records
    assert "verify" not in computed
    checked = run("--check", stdin=lines_of(ROW)).out
    assert "check" in run("verify", stdin=checked).records[0]


def test_a_verdict_of_an_earlier_run_does_not_stand_beside_an_error():
    [record] = verify(RIGHT).records
    ended = verify({**record, "grad_logits": "lost"})
    assert ended.records[0].keys() == {"logits", "target", "grad_logits", "error"}


def test_nothing_verified_has_not_passed():
    ended = run("verify", stdin="")
    assert (ended.status, ended.out) == (1, b"")
    assert "0 records: nothing was verified" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "1", "2", "-t", "0"], "expected a claim to verify, for example"),
        (["verify", "--check"], "--check is an option of 'softgrad'"),
        (["--verify"], "it is a command: softgrad verify"),
        (["--dtype", "float32"], "--dtype needs arrays"),
        (["--rtol", "1e-3"], "--rtol is an option of 'softgrad verify'"),
        (["--ulp", "4"], "--ulp is an option of 'softgrad verify'"),
        (["verify", "--like", "assert_close", "--ulp", "1"], "--like and --ulp contradict each"),
        (["verify", "--like", "allclose"], "expected --like to be one of assert_close"),
        (["verify", "--arithmetic", "float32"], "of float64 claims to be float64 or a wider type"),
        (["verify", "--ulp", "4", "--atol", "0"], "--ulp and --atol contradict each other"),
        (["verify", "--rtol", "-1"], "expected --rtol to be a number from 0 on, got '-1'"),
        (["verify", "--atol", "nan"], "expected --atol to be a number from 0 on, got 'nan'"),
        (["verify", "--ulp", "few"], "expected --ulp to be a number from 0 on, got 'few'"),
        (["verify", "--dtype", "int8"], "expected --dtype to be one of float64, float32"),
        (["--only-failures"], "--only-failures needs --check"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(arguments, message):
    ended = run(*arguments, stdin=lines_of(RIGHT))
    assert (ended.status, ended.out) == (2, b"")
    assert message in ended.err


def test_results_hold_full_digits():
    ended = verify({**ROW, "loss": 0.5})
    part = ended.records[0]["verify"]["loss"]
    assert part["expected"] == float(EXACT.loss)
    error = (0.5 - part["expected"]) / math.ulp(part["expected"])
    assert part["max_error_ulp"] == pytest.approx(error, rel=1e-12)
    assert json.dumps(part["got"]) == "0.5"
