"""--check: the verdicts of the numerical check, in JSON."""

from support.command import lines_of, run

ROW = {"logits": [2.0, 1.0, 0.1], "target": 0}


def test_a_check_adds_its_verdicts_to_the_record():
    [record] = run("--check", stdin=lines_of(ROW)).records
    check = record["check"]
    assert check["passed"] is True
    assert check["method"] == "central differences of the loss, step 1e-12, 40 digits"
    for name in ("grad_probs", "grad_logits"):
        part = check[name]
        assert part["verdict"] == "pass"
        assert 0 <= part["max_relative_error"] < 1e-15
        assert part["worst_class"] in (0, 1, 2)
        assert part["uninformative"] == 0


def test_a_verdict_can_be_uninformative():
    [record] = run("--check", stdin='{"logits": [2000, 0], "target": 0}').records
    assert record["check"]["passed"] is True
    assert record["check"]["grad_logits"] == {
        "verdict": "uninformative",
        "max_relative_error": None,
        "worst_class": None,
        "uninformative": 2,
    }


def test_a_check_that_could_judge_nothing_has_not_passed():
    ended = run("--check", stdin='{"logits": [2, -Infinity], "target": 1}')
    assert ended.status == 0
    assert ended.records[0]["check"]["passed"] is None
    assert ended.err == "softgrad: 1 record: 1 could not be checked in full\n"


def test_a_failure_names_its_class_and_error():
    ended = run("--check", "--tolerance", "1e-17", stdin=lines_of(ROW))
    [record] = ended.records
    part = record["check"]["grad_logits"]
    assert record["check"]["passed"] is False
    assert part["verdict"] == "fail"
    assert part["max_relative_error"] > 1e-17


def test_a_check_of_an_earlier_run_is_replaced():
    once = run("--check", stdin=lines_of(ROW)).out
    assert run("--check", stdin=once).records == run("--check", stdin=lines_of(ROW)).records


def test_there_is_no_check_by_default():
    [record] = run(stdin=lines_of(ROW)).records
    assert "check" not in record
