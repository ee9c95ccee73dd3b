"""The map of a batch that failed shows where its numbers are wrong."""

import json
import re

import numpy as np
import pytest
from softgrad.outputs.documents.notebook import html_of_verification
from support.command import run

from softgrad_core import softmax_cross_entropy, verify

MAPS = {
    "table": "\n.....####...\n",
    "markdown": "\n.....####...\n",
    "latex": "\n.....####...\n",
    "html": '<rect class="wrong level4" x="5" y="0" width="1" height="1"><title>row 0, class 5: ',
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


def test_a_cell_says_its_numbers_and_a_histogram_how_many_are_beyond_the_bound():
    page = run("verify", "-f", "html", stdin=batch(100, 300, np.s_[40:60])).text
    cells = re.findall(r'<rect class="(\w+) level\d"[^>]*><title>([^<]*)</title>', page)
    assert len(cells) == 16 * 64
    wrong = [said for verdict, said in cells if verdict == "wrong"]
    assert all(
        re.match(r"\d+ of \d+ numbers are wrong; the worst, row [45]\d", said) for said in wrong
    )
    assert "blue where all numbers pass, red where some fail" in page
    [histogram] = re.findall(r'<figure class="histogram">.*?</figure>', page, re.DOTALL)
    assert f"{20 * 300:,} are beyond the bound" in histogram
    counts = [
        int(said.replace(",", "")) for said in re.findall(r'<text x="[^>]*>([\d,]+)<', histogram)
    ]
    assert sum(counts) == 100 * 300


def test_the_numbers_of_the_worst_cells_need_no_mouse():
    page = run("verify", "-f", "html", stdin=batch(100, 300, np.s_[40:60])).text
    [listed] = re.findall(r"<details>.*?</details>", page, re.DOTALL)
    assert "the worst 10 of 256 cells in red, in numbers" in listed
    items = re.findall(r"<li>(.*?)</li>", listed)
    assert len(items) == 10
    titles = re.findall(r"<title>([^<]*)</title>", page)
    sizes, worst = (
        sorted((float(re.search(r"off by (.*) ulp", said)[1]) for said in some), reverse=True)
        for some in (titles[1:], items)
    )
    assert worst == sizes[:10]


def test_the_colours_say_how_large_errors_are_and_which_fail():
    logits, targets = np.zeros((2, 4), np.float32), np.array([0, 1])
    claim = softmax_cross_entropy(logits, targets).grad_logits
    claim[0, 3] *= 2
    html = html_of_verification(verify(logits, targets, grad_logits=claim))
    cells = re.findall(r'<rect class="(\w+) level(\d)" x="(\d)" y="(\d)"', html)
    assert [cell for cell in cells if cell[0] == "wrong"] == [("wrong", "4", "3", "0")]
    assert [cell for cell in cells if cell[0] == "right"] == [
        ("right", "0", str(x), str(y)) for y in range(2) for x in range(4) if (x, y) != (3, 0)
    ]
