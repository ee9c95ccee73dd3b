"""Records whose rows nest in lists of lists: targets, claims and results nest as they do."""

import numpy as np
import pytest
from support.command import lines_of, run

from softgrad_core import softmax_cross_entropy


def test_rows_nest_to_any_depth_and_so_do_targets_claims_and_results():
    rng = np.random.default_rng(7)
    logits, labels = rng.normal(size=(2, 3, 4)), rng.integers(4, size=(2, 3))
    shares = rng.dirichlet(np.ones(4), size=(2, 3))
    for targets in (labels, shares):
        for reduction in ("mean", "none"):
            record = {"logits": logits.tolist(), "target": targets.tolist()}
            ended = run("--reduction", reduction, "--check", "--json", stdin=lines_of(record))
            assert (ended.status, ended.err) == (0, "")
            [result] = ended.records
            expected = softmax_cross_entropy(logits, targets, reduction=reduction)
            for name in expected.fields:
                assert result[name] == getattr(expected, name).tolist()
            verified = run("verify", stdin=ended.out)
            assert verified.status == 0, verified.err
            result["grad_logits"][1][2][0] += 0.1
            wrong = run("verify", stdin=lines_of(result))
            assert (wrong.status, "row 5, class 0" in wrong.err) == (1, True), wrong.err


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"target": [[0, 1], [2]]}, 'expected "target" as lists of 2 × 2'),
        (
            {"target": 0},
            'expected "target" as lists of 2 × 2, like the rows of logits, got the num',
        ),
        ({"target": [[0, 1], [2, 0]], "probs": [[[1, 0]]]}, 'expected "probs" as lists of 2 × 2'),
    ],
)
def test_lists_that_nest_in_another_way_are_rejected(record, reason):
    logits = [[[2.0, 1.0, 0.1]] * 2] * 2
    ended = run("verify", stdin=lines_of({"logits": logits, "loss": 1.0, **record}))
    assert (ended.status, reason in ended.err) == (3, True), ended.err
