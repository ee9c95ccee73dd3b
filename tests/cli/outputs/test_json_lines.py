"""JSON Lines: what becomes of members that a record had before."""

import pytest
from support.command import lines_of, run

ROW = {"logits": [2.0, 1.0, 0.1], "target": 0}
NOTHING_COUNTS = {"logits": [[2.0, 1.0], [1.0, 0.0]], "target": [0, 0], "ignore_index": 0}


@pytest.mark.parametrize("options", [[], ["--check"], ["explain"]])
def test_results_read_again_give_the_same_results(options):
    once = run(*options, stdin=lines_of(ROW, NOTHING_COUNTS))
    assert run(*options, stdin=once.out).records == once.records


def test_no_key_is_written_twice():
    own = {**NOTHING_COUNTS, "warning": "my own", "divisor": 5}
    ended = run(stdin=lines_of(own))
    assert ended.out.count(b'"warning"') == ended.out.count(b'"divisor"') == 1
    assert ended.records[0]["warning"].startswith("no row counts")


def test_a_warning_goes_with_its_reason_and_a_user_s_own_stays():
    [warned] = run(stdin=lines_of(NOTHING_COUNTS)).records
    [better] = run(stdin=lines_of({**warned, "target": [1, 0]})).records
    assert "warning" not in better
    own = {**NOTHING_COUNTS, "target": [1, 0], "warning": "my own"}
    assert run(stdin=lines_of(own)).records[0]["warning"] == "my own"


def test_verified_and_rejected_records_keep_their_warnings():
    [warned] = run(stdin=lines_of(NOTHING_COUNTS)).records
    verified, rejected = run("verify", stdin=lines_of(warned, {**warned, "target": [7, 0]})).records
    assert verified["warning"] == rejected["warning"] == warned["warning"]


def test_only_the_fields_that_are_asked_for_are_added():
    ended = run("--fields", "loss", stdin='{"id": 1, "logits": [0, 0], "target": 1}')
    assert list(ended.records[0]) == ["id", "logits", "target", "loss"]
    ended = run("--fields", "loss,prob", stdin="")
    assert (ended.status, ended.err.splitlines()[0]) == (
        2,
        "softgrad: --fields: expected fields out of probs, loss, z_loss, grad_probs, grad_logits, "
        'got the text "prob"',
    )
