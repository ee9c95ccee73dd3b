"""Claims in records: which of them fail, and which are rejected."""

import pytest
from support.claims import RIGHT, ROW, verify
from support.command import run


@pytest.mark.parametrize("claim", ["NaN", '"NaN"', "null", "Infinity", '"-Infinity"'])
def test_a_claim_of_nan_or_infinity_fails_and_is_not_rejected(claim):
    text = f'{{"logits": [1, 2], "target": 0, "probs": [0.5, {claim}]}}'
    ended = run("verify", stdin=text)
    assert ended.status == 1
    part = ended.records[0]["verify"]["probs"]
    assert part["verdict"] == "fail"
    assert part["max_error_ulp"] == "Infinity"
    assert part["got"] == {"null": "NaN"}.get(claim, claim.strip('"'))


@pytest.mark.parametrize(
    ("claims", "code", "message"),
    [
        (
            {},
            "claim-missing",
            'expected a claim to verify, any of "probs", "log_probs", "loss", "z_loss", '
            '"grad_probs" and "grad_logits"',
        ),
        (
            {"gradient": [1, 2, 3]},
            "claim-missing",
            'expected a claim to verify, any of "probs", "log_probs", "loss", "z_loss", '
            '"grad_probs" and "grad_logits", got "gradient"',
        ),
        (
            {"probs": [0.5, 0.5]},
            "claim-shape",
            'expected "probs" to be 3 numbers, one for each logit, got 2',
        ),
        (
            {"probs": 0.5},
            "claim-shape",
            'expected "probs" to be 3 numbers, one for each logit, got the number 0.5',
        ),
        ({"loss": [0.4]}, "claim-shape", 'expected "loss" to be a number, got a list'),
        ({"loss": "0.4"}, "claim-not-a-number", 'loss: expected a number, got the text "0.4"'),
        (
            {"probs": [0.5, "0.2", 0.3]},
            "claim-not-a-number",
            'probs[1]: expected a number, got the text "0.2"',
        ),
        (
            {"probs": [0.5, True, 0.3]},
            "claim-not-a-number",
            "probs[1]: expected a number, got true",
        ),
        (
            {"grad_logits": [[1, 2, 3]]},
            "claim-shape",
            'expected "grad_logits" to be 3 numbers, one for each logit, got lists, as for a batch',
        ),
    ],
)
def test_a_claim_that_cannot_be_compared_is_rejected(claims, code, message):
    ended = verify({**ROW, **claims}, RIGHT)
    assert ended.status == 3
    bad, good = ended.records
    assert bad["error"] == {"code": code, "message": message, "source": "<stdin>", "line": 1}
    assert {name: bad[name] for name in claims} == claims
    assert good["verify"]["passed"] is True
    assert f"<stdin>:1: {message}" in ended.err


def test_a_claim_given_twice_is_rejected():
    text = '{"logits": [1, 2], "target": 0, "probs": [0.5, 0.5], "probs": [0.2, 0.8]}'
    ended = run("verify", stdin=text)
    assert ended.status == 3
    assert ended.records[0]["error"]["code"] == "key-repeated"


def test_a_z_loss_without_its_scale_is_rejected_wherever_it_stands():
    plain = '{"logits": [2, 1, 0.1], "target": 1, "loss": 1.4170300162778335, "z_loss": 3.25}'
    for text in (plain, f"{plain}\n{plain}"):
        ended = run("verify", stdin=text)
        assert ended.status == 3, ended.err
        assert {record["error"]["code"] for record in ended.records} == {"z-loss-unasked"}


def test_a_z_loss_of_an_earlier_run_is_no_result_of_another_loss():
    record = '{"logits": [2, 1, 0.1], "target": 1, "z_loss": 2.0}'
    [result] = run(stdin=record).records
    assert "z_loss" not in result
    [kept] = run("--fields", "probs", stdin=record).records
    assert kept["z_loss"] == 2.0
