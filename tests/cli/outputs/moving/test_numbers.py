"""The numbers of a page that was moved are those of the core."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from softgrad.outputs.documents import moving
from support.browser import move
from support.documents import needs_chromium
from support.sweeps import in_sweeps

from softgrad_core import softmax_cross_entropy
from softgrad_core.derivation.explain import Derivation
from softgrad_core.loss.from_options import objective_of

pytestmark = needs_chromium

LECTURE = ["2.0", "1.0", "0.1", "--target", "0", "--classes", "cat,dog,bird"]
OPTIONS = ["--temperature", "2", "--label-smoothing", "0.1", "--softcap", "5"]
OF_PRACTICE = ["--z-loss-scale", "0.1", "--loss-scale", "2", "--kl-divergence"]
SAID = re.compile(r"\s+")

EXTREMES = [
    ([1e300, 0.0], 0, {}),
    ([-1e300, 0.0], 0, {"label_smoothing": 0.1}),
    ([5.0, 3.0, 5.0], 1, {"temperature": 1e-300}),
    ([1e308, 1e308], 1, {"temperature": 0.01}),
    ([1.0, -np.inf, 2.0], 1, {"softcap": 30.0}),
    ([1e-320, 0.0], 0, {}),
]
"""Rows whose numbers are close to the ends of float64, or infinite."""


def number_of(text):
    return float(text.replace("\N{MINUS SIGN}", "-").replace("×10", "e"))


def texts(page, selector):
    return [SAID.sub("", text) for text in page.locator(selector).all_text_contents()]


def random_row(rng):
    """Return logits, a target and options of the loss, as the core takes them."""
    count = int(rng.integers(2, 12))
    target = int(rng.integers(count)) if rng.random() < 0.7 else rng.dirichlet(np.ones(count))
    options = {
        "temperature": rng.uniform(0.2, 5),
        "label_smoothing": rng.uniform(0, 0.9),
        "softcap": rng.uniform(1, 50),
        "loss_scale": rng.uniform(0.1, 10),
        "z_loss_scale": rng.uniform(0, 0.1),
        "class_weights": rng.uniform(0.1, 3, count),
        "kl_divergence": True,
    }
    kept = {name: value for name, value in options.items() if rng.random() < 0.4}
    if "class_weights" in kept:
        kept.pop("kl_divergence", None)
    return rng.normal(0, 10 ** rng.uniform(-1, 1), count), target, kept


def test_the_script_agrees_with_the_core_to_12_digits(started):
    rng = np.random.default_rng(0)
    rows = [random_row(rng) for _ in range(400)]
    rows += [(np.array(logits), *others) for logits, *others in EXTREMES]
    given = [json.loads(_row_as_json(*row))["row"] for row in rows]
    script = Path(moving.FOLDER, "live", "softmax.js").read_text("utf-8")
    page = started.new_page()
    results = "rows.map(row => compute({ ...row, logits: row.logits.map(Number) }))"
    found = page.evaluate(f"rows => {{ {script}; return {results}; }}", given)
    page.close()
    for (logits, target, options), one in zip(rows, found, strict=True):
        right = softmax_cross_entropy(logits, target, **options)
        size = min(np.abs(right.grad_logits).max(), 1e300)
        # Numbers may come as whole ones, too large for an integer of NumPy.
        probs, grad_probs, grad_logits = (
            np.array(one[name], float) for name in ("probs", "gradProbs", "gradLogits")
        )
        np.testing.assert_allclose(probs, right.probs, rtol=1e-12)
        np.testing.assert_allclose(one["loss"] + one["zLoss"], right.loss, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(grad_probs, right.grad_probs, rtol=1e-12)
        np.testing.assert_allclose(grad_logits, right.grad_logits, rtol=1e-12, atol=1e-14 * size)


def _row_as_json(logits, target, options):
    given = target if isinstance(target, int) else target[np.newaxis]
    objective = objective_of(given, (1, len(logits)), **options)
    label = None if objective.distribution is not None else int(target)
    derivation = Derivation(label, (0, 1), (), (), False, logits, objective)
    return moving.data_of(moving.Moving([], derivation, None), moving.Origins())


MOVES = {
    "label": (
        LECTURE,
        {"logit_of_class_0_cat": -1.25, "logit_of_class_2_bird": 2.5},
        "class 1 dog is the target",
        "-1.25 1 2.5 -t 1 --classes cat,dog,bird --other cat",
    ),
    "options": (
        [*LECTURE, *OPTIONS],
        {"logit_of_class_0_cat": -1.25, "temperature": 3, "label_smoothing": 0.25, "soft_cap": 4},
        "class 1 dog is the target",
        "-1.25 1 0.1 -t 1 --classes cat,dog,bird --other cat --temperature 3 "
        "--label-smoothing 0.25 --softcap 4",
    ),
    "probabilities": (
        ["1", "2", "-inf", "3", "-t", "0.1,0.2,0,0.7", *OF_PRACTICE],
        {"logit_of_class_0": -1},
        None,
        f"-1 2 -inf 3 -t 0.1,0.2,0,0.7 --other 1 {' '.join(OF_PRACTICE)}",
    ),
    "large": (
        ["1000", "990", "985", "-t", "1"],
        {"logit_of_class_1": 992},
        None,
        "1000 992 985 -t 1",
    ),
    "confident": (
        ["1.5", "1", "-t", "0", "--temperature", "0.1"],
        {"logit_of_class_0": 2},
        None,
        "2 1 -t 0 --temperature 0.1",
    ),
    "capped": (
        ["2", "1", "-t", "0", "--softcap", "5"],
        {"logit_of_class_0": 70},
        None,
        "70 1 -t 0 --softcap 5",
    ),
    "many": (
        ["3", "1", "2", "0", "4", "1", "2", "1", "0.5", "2.5", "1", "2", "-t", "3"],
        {"logit_of_class_4": 1.5},
        None,
        "3 1 2 0 1.5 1 2 1 0.5 2.5 1 2 -t 3 --other 4",
    ),
}
"""What a page is made of, how it is moved, which target is chosen, and what is then the same."""


IN_SHORT = ("options",)
"""The case of the ordinary run. The numbers themselves are compared for many more rows above."""


@pytest.mark.parametrize(
    "case", [*IN_SHORT, *in_sweeps(case for case in MOVES if case not in IN_SHORT)]
)
def test_every_number_of_a_moved_page_is_that_of_a_page_made_there(opened, case):
    words, changes, target, there = MOVES[case]
    page, fresh = opened(*words), opened(*there.split())
    move(page, **changes)
    if target:
        page.get_by_label(target).check()
        move(page)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for one in (page, fresh):
        one.evaluate("document.querySelectorAll('.still').forEach(note => note.remove())")
    loss, right = (
        number_of(one.locator("[data-key=loss] strong").inner_text()) for one in (page, fresh)
    )
    assert loss == pytest.approx(right, rel=1e-13)
    # The fields of a table have no text; all else reads the same, but for the windows of pictures.
    for selector in ("h1", ".step", "[data-key=p]", "[data-key=dp]", "[data-key=da]"):
        assert sorted(texts(page, selector)) == sorted(texts(fresh, selector)), selector
    if case != "many":
        assert texts(page, ".plot p") == texts(fresh, ".plot p")
