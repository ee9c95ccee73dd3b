"""A probe finds what is wrong with a loss function, names it, and finds nothing in right ones."""

import numpy as np
import pytest
from support.losses import RIGHT, Case, plain, softmax
from support.wrong_losses import WRONG

from softgrad_core import ProbeError, probe
from softgrad_core.probing.trials import NAMED

LARGE = [entry.name for entry in NAMED if entry.classes > 1100]
"""Trials that take a function in plain NumPy longest."""

TYPICAL = {"kind 1", "no shift", "last block", "N, not counted", "index wraps"}
TYPICAL |= {"in place", "as if contiguous", "one row refused", "a column"}


def names(found):
    return [finding.name for finding in found.findings]


def found_in(case: Case, **more):
    return probe(case.function, **case.told, **{"seconds": 0, "skip": LARGE} | more)


def negated(a, y):
    """Return the loss, and the gradient with a wrong sign."""
    loss, g = plain(a, y)
    return loss, -g


def check_found(case: Case):
    found = found_in(case)
    assert found.findings
    assert not found.passed
    if case.mistake:
        assert found.findings[0].name == case.mistake
    with pytest.raises(ProbeError, match=found.findings[0].name):
        found.raise_if_failed()


@pytest.mark.parametrize("case", [c for c in WRONG if c.name in TYPICAL], ids=lambda c: c.name)
def test_a_wrong_function_is_found_and_its_mistake_named(case):
    check_found(case)


@pytest.mark.sweep
@pytest.mark.parametrize("case", [c for c in WRONG if c.name not in TYPICAL], ids=lambda c: c.name)
def test_every_wrong_function_is_found_and_its_mistake_named(case):
    check_found(case)


@pytest.mark.parametrize("case", RIGHT, ids=lambda c: c.name)
def test_nothing_is_found_in_a_right_function(case):
    found = found_in(case)
    assert names(found) == []
    assert found.passed
    found.raise_if_failed()


@pytest.mark.sweep
@pytest.mark.parametrize("case", RIGHT, ids=lambda c: c.name)
def test_nothing_is_found_in_a_right_function_whatever_the_seed(case):
    for seed in (1, 2):
        assert names(found_in(case, seed=seed, seconds=1)) == []


def test_a_mistake_in_many_trials_is_one_finding():
    found = probe(negated, seconds=0, skip=LARGE)
    assert names(found) == ["wrong-sign"]
    assert found.failed.total() > 20


def test_the_input_of_a_finding_is_small_and_its_numbers_are_round():
    def wrong_from_seven_classes_on(a, y):
        loss, g = plain(a, y)
        return loss, g * (2.0 if a.shape[1] >= 7 else 1.0)

    [finding] = probe(wrong_from_seven_classes_on, seconds=0, skip=LARGE).findings
    assert finding.name == "factor-2"
    assert finding.given.logits.shape == (1, 7)
    assert np.array_equal(finding.given.logits, np.rint(finding.given.logits))


def test_an_input_is_not_made_so_small_that_it_shows_other_mistakes():
    [finding] = probe(
        lambda a, y: (plain(a, y)[0], -plain(a, y)[1]), seconds=0, skip=LARGE
    ).findings
    assert not any(line.startswith("    or ") for line in finding.details)


def test_a_rare_mistake_is_found_at_random():
    def wrong_beside_a_low_logit(a, y):
        loss, g = plain(a, y)
        g[(a < -50) & np.isfinite(a) & (a > -90)] = 1.0
        return loss, g

    skip = [*LARGE, *(entry.name for entry in NAMED if entry.family in {"values", "shape"})]
    found = probe(wrong_beside_a_low_logit, seconds=8, skip=skip)
    assert found.findings
    assert found.findings[0].trial == "random inputs"


def test_the_same_seed_tries_the_same_inputs():
    def kept(seed):
        inputs = []

        def loss(a, y):
            inputs.append((a.tolist(), y.tolist()))
            return plain(a, y)

        probe(loss, seconds=0, seed=seed, skip=LARGE)
        return inputs

    assert kept(3) == kept(3)
    assert kept(3) != kept(4)


def test_a_finding_can_be_tried_again():
    [finding] = probe(negated, seconds=0, skip=LARGE).findings
    again = probe(negated, inputs=[finding.given.as_dict()])
    assert names(again) == ["wrong-sign"]
    assert again.tried == {"given inputs": 1}
    assert probe(plain, inputs=[finding.given.as_dict()]).passed


def test_what_is_skipped_is_not_tried_and_a_wrong_name_is_an_error():
    found = probe(plain, seconds=0, skip=[*LARGE, "one class", "wrong-sign"])
    assert "one class" not in found.tried
    with pytest.raises(ValueError, match="did you mean 'one class'"):
        probe(plain, skip=["one clas"])


def test_only_the_given_shapes_are_tried():
    shapes = set()

    def loss(a, y):
        shapes.add(a.shape)
        return plain(a, y)

    assert probe(loss, seconds=0.5, shapes=[(128, 16), (256, 8)]).passed
    # One more row is tried before the call that counts.
    assert {(128, 16), (256, 8)} <= shapes <= {(128, 16), (256, 8), (129, 16), (257, 8)}


def test_options_that_the_function_takes_are_passed_and_tried_at_their_ends():
    given = []

    def loss(a, y, *, label_smoothing):
        given.append(label_smoothing)
        k = a.shape[1]
        q = np.full(a.shape, label_smoothing / k)
        q[np.arange(len(y)), y] += 1 - label_smoothing
        log_p = a - a.max(axis=1, keepdims=True)
        log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        terms = np.where(q > 0, q * np.where(q > 0, log_p, 0), 0)
        return -terms.sum(axis=1), np.exp(log_p) - q

    assert probe(loss, seconds=0, skip=LARGE, label_smoothing=0.1).passed
    assert set(given) == {0.0, 0.1, 0.5, 1.0}


def test_the_mean_of_no_rows_may_be_nan_or_0():
    def of_nothing(value):
        def loss(a, y):
            counts = y != -100
            each, g = plain(a, np.where(counts, y, 0))
            if not counts.any():
                return np.float64(value), np.zeros_like(g)
            n = counts.sum()
            return np.where(counts, each, 0).sum() / n, np.where(counts[:, None], g, 0) / n

        return loss

    told = {"reduction": "mean", "ignore_index": -100, "seconds": 0, "skip": LARGE}
    assert probe(of_nothing(np.nan), **told).passed
    assert probe(of_nothing(0.0), **told).passed
    assert probe(of_nothing(1.0), **told).findings[0].trial == "all rows ignored"


def test_an_empty_batch_may_be_an_error():
    def loss(a, y):
        if not len(y):
            raise ValueError("no rows")
        return plain(a, y)

    assert probe(loss, seconds=0, skip=LARGE).passed


def test_an_error_says_where_it_was_raised():
    def loss(a, y):
        if a.shape[1] == 2:
            raise KeyError("two")
        return plain(a, y)

    [finding] = probe(loss, seconds=0, skip=LARGE).findings
    assert (finding.name, finding.trial) == ("exception", "two classes")
    [detail] = finding.details
    assert detail.startswith("KeyError: 'two' (")
    assert "test_findings.py, line" in detail


def test_what_a_function_raises_for_plain_rows_goes_on():
    with pytest.raises(TypeError, match="positional"):
        probe(lambda a: a)  # It takes no targets.


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "expected the loss, or"),
        ((1, 2, 3), "got 3 values"),
        ({"wrong": 1}, "got wrong"),
        (1.0, "one loss for 5 rows; say which: reduction mean or sum"),
    ],
)
def test_what_cannot_be_judged_is_an_error_that_says_what_was_expected(returned, said):
    with pytest.raises(ValueError, match=said):
        probe(lambda _a, _y: returned)


def test_numbers_are_held_to_the_type_of_the_logits_even_if_they_were_widened():
    def loss(a, y):
        each, g = plain(a, y)
        return each.astype(np.float64), g.astype(np.float64)

    assert probe(loss, dtype=["float32", "float16"], seconds=0, skip=LARGE).passed


def test_records_of_a_finding_are_verified_with_the_same_verdict():
    from softgrad_core import verify

    [finding] = probe(
        lambda a, y: (plain(a, y)[0], -plain(a, y)[1]), seconds=0, skip=LARGE
    ).findings
    [record] = finding.records()
    again = verify(record["logits"], record["target"], grad_logits=record["grad_logits"])
    assert not again.passed


def test_a_z_loss_is_claimed_with_the_option_at_0():
    def loss(a, y, *, z_loss_scale):
        each, g = plain(a, y)
        top = a.max(axis=1)
        lse = top + np.log(np.exp(a - top[:, None]).sum(axis=1))
        p = softmax(a)
        z_loss = z_loss_scale * lse**2
        g = g + 2 * z_loss_scale * lse[:, None] * p
        return {"loss": each + z_loss, "z_loss": z_loss, "grad_logits": g}

    found = probe(loss, z_loss_scale=0.01, seconds=0, skip=LARGE)
    assert "z_loss_scale 0" in found.tried
    assert names(found) == []


def test_the_mean_of_rows_of_weight_0_may_be_nan():
    def loss(a, y):
        w = np.array([1.0, 0.0, 2.0])[y]
        each, g = plain(a, y)
        return (w * each).sum() / w.sum(), g * w[:, None] / w.sum()

    weights = {"class_weights": [1.0, 0.0, 2.0], "reduction": "mean"}
    assert probe(loss, inputs=[{"logits": [[0, 0, 0]], "targets": [1]}], **weights).passed


def test_a_key_that_is_no_claim_is_an_error():
    with pytest.raises(ValueError, match="got gradient"):
        probe(lambda a, y: dict(zip(("loss", "gradient"), plain(a, y), strict=True)))


def test_leaving_python_on_one_input_is_a_finding():
    def loss(a, y):
        if a.shape[1] == 2:
            raise SystemExit(3)
        return plain(a, y)

    [finding] = probe(loss, seconds=0, skip=LARGE).findings
    assert (finding.name, finding.details[0][:13]) == ("exception", "SystemExit: 3")


def test_a_function_that_is_wrong_now_and_then_depends_on_earlier_calls():
    calls = []

    def loss(a, y):
        calls.append(len(y))
        each, g = plain(a, y)
        return each, g * (1.37 if len(calls) % 7 == 0 else 1.0)

    assert names(probe(loss, seconds=0, skip=LARGE)) == ["state-kept"]
