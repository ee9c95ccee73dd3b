"""`%load_ext softgrad`: what a notebook shows, with a real kernel of Jupyter."""

import re

import numpy as np
import pytest
from softgrad.outputs.documents.notebook import SCOPE, html_of_verification

from softgrad_core import check_gradients, explain, softmax_cross_entropy, verify

SETUP = """
import numpy as np, softgrad
a = np.random.default_rng(0).normal(size=(8, 30)).astype(np.float32)
y = np.arange(8)
wrong = softgrad.softmax_cross_entropy(a, y, reduction="mean").grad_logits.copy()
wrong[3:5] *= -1
"""
SHOWN = {
    "softgrad.softmax_cross_entropy([2, 1, 0.1], 0)": ["0.659001", "loss", "MathML", "svg"],
    "softgrad.softmax_cross_entropy(a, y, reduction='mean')": ["8 rows", "row 4", "all rows"],
    "softgrad.softmax_cross_entropy(np.zeros((2, 3, 4)), np.ones((2, 3), int), fields='loss')": [
        "6 rows",
        "row 4",
    ],
    "softgrad.verify(a, y, grad_logits=wrong, reduction='mean')": [
        "not passed",
        "where numbers are wrong: 8 rows downwards, 30 classes across",
        "wrong-sign",
    ],
    "softgrad.verify(a, y, grad_logits=-8 * wrong)": ["6 of 8 failed", "8 rows downwards"],
    "softgrad.explain([2, 1, 0.1], 0)": ["The cancellation", "MathML", "quotient"],
}


@pytest.fixture(scope="module")
def cells():
    """Run the cells with the extension, and then once more without it; return their outputs."""
    import nbformat
    from nbclient import NotebookClient

    codes = [SETUP, "%load_ext softgrad", *SHOWN, "%unload_ext softgrad", *SHOWN]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, codes)))
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return [[output["data"] for output in cell.outputs] for cell in notebook.cells]


@pytest.mark.parametrize("place", range(len(SHOWN)), ids=[code[9:40] for code in SHOWN])
def test_objects_are_shown_as_html_and_as_one_line_without_the_extension(cells, place):
    [data] = cells[2 + place]
    for told in [*SHOWN.values()][place]:
        assert told in data["text/html"].replace("<math", "MathML")
    [plain] = cells[3 + len(SHOWN) + place]
    assert set(plain) == {"text/plain"}
    assert re.fullmatch(r"<(SoftmaxCrossEntropy|Verification|Derivation)\b.*>", plain["text/plain"])


def rules_of(html):
    """Return the selectors of the rules in a style, also of those for some screens only."""
    [style] = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    return [
        selector.strip()
        for head in re.findall(r"([^{}]+)\{", style)
        if not head.strip().startswith("@")
        for selector in head.split(",")
    ]


def test_the_style_touches_nothing_else_on_the_page(cells):
    [data] = cells[2]
    html = data["text/html"]
    rules = rules_of(html)
    assert len(rules) > 20
    assert all(rule == SCOPE or rule.startswith(f"{SCOPE} ") for rule in rules), rules
    assert html.startswith('<div class="softgrad">')
    assert "<body" not in html


def test_a_large_batch_is_shown_by_some_of_its_rows():
    rng = np.random.default_rng(0)
    a, y = rng.normal(size=(3_000, 1_000)).astype(np.float32), rng.integers(1_000, size=3_000)
    g = softmax_cross_entropy(a, y, reduction="mean").grad_logits.copy()
    g[1_234, 7] *= 2
    html = html_of_verification(verify(a, y, grad_logits=g, reduction="mean"))
    assert "1234, 7" in html
    assert "of 3,000 rows downwards, 1,000 classes across" in html


def test_the_worst_of_many_rows_are_shown():
    a, y = np.eye(40, dtype=np.float32), np.arange(40)
    g = softmax_cross_entropy(a, y).grad_logits.copy()
    g[5] *= np.float32(1.001)
    g[31] *= 2
    html = html_of_verification(verify(a, y, grad_logits=g))
    assert html.index("row 31: ") < html.index("row 5: ")


@pytest.mark.parametrize(
    "shown",
    [
        softmax_cross_entropy([2.0, 1.0], 0),
        verify([2.0, 1.0], 0, loss=0.3),
        explain([2.0, 1.0], 0),
        explain([2.0, 1.0], 0).steps[3],
        explain([2.0, 1.0], 0).steps[3].evaluations[0],
        check_gradients([0.0, 0.0], 1, [0.0, -2.0], [0.5, -0.5])[0],
        check_gradients([0.0, 0.0], 1, [0.0, -2.0], [0.5, -0.5])[0].grad_logits,
        *verify([2.0, 1.0], 0, loss=0.3).quantities.values(),
        verify([2.0, 1.0], 0, loss=0.3).quantities["loss"].comparison,
    ],
)
def test_objects_are_one_readable_line(shown):
    assert re.fullmatch(r"<\w+[: ].{5,110}>", repr(shown)), repr(shown)
