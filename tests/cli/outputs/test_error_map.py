"""The map of a batch that failed shows where its numbers are wrong."""

import json

import numpy as np
import pytest
from support.command import run

from softgrad_core import softmax_cross_entropy

MAPS = {
    "table": "\n.....####...\n",
    "markdown": "\n.....####...\n",
    "latex": "\n.....####...\n",
    "html": '<rect x="5" y="0" width="1" height="1" fill-opacity="1"/>',
}


def batch(rows, classes, wrong):
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(rows, classes)), rng.integers(classes, size=rows)
    claim = softmax_cross_entropy(logits, targets, reduction="mean").grad_logits.copy()
    claim[wrong] *= rng.uniform(1.2, 2, size=claim[wrong].shape)
    record = {"logits": logits.tolist(), "target": targets.tolist(), "grad_logits": claim.tolist()}
    return json.dumps(record)


@pytest.mark.parametrize("shown", MAPS)
def test_wrong_classes_are_seen_in_every_format(shown):
    ended = run("verify", "-f", shown, stdin=batch(6, 12, np.s_[:, 5:9]))
    assert ended.status == 1
    assert MAPS[shown] in ended.text
    assert "6 rows downwards, 12 classes across" in ended.text
    assert "only classes 5 to 8 of 12 are wrong" in ended.text


def test_a_large_batch_has_a_map_that_fits_the_screen():
    text = run("verify", "-f", "table", stdin=batch(100, 300, np.s_[40:60])).text
    drawn = [line for line in text.splitlines() if line and set(line) <= {".", "#", "+"}]
    assert len(drawn) == 16
    assert {len(line) for line in drawn} == {64}
    assert "#" in drawn[7]
    assert "#" not in drawn[0]


def test_a_batch_that_passes_has_no_map():
    assert "downwards" not in run("verify", "-f", "table", stdin=batch(6, 12, np.s_[:0])).text
