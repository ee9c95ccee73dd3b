"""The page whose numbers can be moved, driven in a real browser."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from softgrad.outputs.documents import moving
from softgrad.outputs.documents.notebook import html_of_derivation
from support.browser import browser, open_page
from support.command import lines_of, run
from support.documents import needs_chromium
from support.sweeps import in_sweeps

from softgrad_core import explain, softmax_cross_entropy
from softgrad_core.derivation.explain import Derivation
from softgrad_core.loss.from_options import objective_of

pytestmark = needs_chromium

LECTURE = ["2.0", "1.0", "0.1", "--target", "0", "--classes", "cat,dog,bird"]
OPTIONS = ["--temperature", "2", "--label-smoothing", "0.1", "--softcap", "5"]
OF_PRACTICE = ["--z-loss-scale", "0.1", "--loss-scale", "2", "--kl-divergence"]
SAID = re.compile(r"\s+")
LONG = ",".join((200 * "x", 50 * "long ", 200 * "\N{LATIN SMALL LETTER U WITH DIAERESIS}"))

EXTREMES = [
    ([1e300, 0.0], 0, {}),
    ([-1e300, 0.0], 0, {"label_smoothing": 0.1}),
    ([5.0, 3.0, 5.0], 1, {"temperature": 1e-300}),
    ([1e308, 1e308], 1, {"temperature": 0.01}),
    ([1.0, -np.inf, 2.0], 1, {"softcap": 30.0}),
    ([1e-320, 0.0], 0, {}),
]
"""Rows whose numbers are close to the ends of float64, or infinite."""


@pytest.fixture(scope="module")
def started():
    with browser() as one:
        yield one


@pytest.fixture
def opened(started, tmp_path):
    """Open a page of `softgrad explain`; afterwards nothing was fetched, blocked or thrown."""
    complaints, pages = [], []

    def open_one(*arguments, html=None, **options):
        file = tmp_path / f"page{len(pages)}.html"
        text = html or run("explain", *arguments, "-f", "html").text
        file.write_text(text, encoding="utf-8")
        pages.append(open_page(started, file, complaints, **options))
        return pages[-1]

    yield open_one
    for page in pages:
        page.context.close()
    assert complaints == []


def move(page, **numbers):
    """Type numbers into fields, by their labels, and wait for the frame that shows them."""
    for label, number in numbers.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(str(number))
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


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


def test_a_curve_of_the_script_is_that_of_the_page(opened):
    page = opened(*LECTURE, *OPTIONS)
    points = """[...document.querySelectorAll('.plot path.curve')].map(path =>
        path.getAttribute('d').slice(1).split('L').map(point => point.split(' ').map(Number)))"""
    before = page.evaluate(points)
    move(page, logit_of_class_1_dog=1.5)
    move(page, logit_of_class_1_dog=1)
    after = page.evaluate(points)
    assert len(before) == 4
    for still, moved in zip(before, after, strict=True):
        inside = np.array([point for point in still if 0.1 < point[1] < 155.9])
        moved_there = np.interp(inside[:, 0], *np.transpose(moved))
        np.testing.assert_allclose(moved_there, inside[:, 1], atol=0.5)


def test_the_keyboard_moves_a_logit_and_the_gradient_follows(opened):
    page = opened(*LECTURE)
    slider = page.get_by_label("logit of class 0 cat, slider")
    slider.focus()
    before = page.locator("tr.target [data-key=da]").inner_text()
    page.keyboard.press("ArrowRight")
    move(page)
    after = page.locator("tr.target [data-key=da]").inner_text()
    assert float(after.replace("−", "-")) > float(before.replace("−", "-"))
    assert page.get_by_role("status").inner_text().startswith("loss 0.")
    said = page.get_by_label("logit of class 2 bird, slider").get_attribute("aria-valuetext")
    assert said == "0.1"


def test_gradient_descent_lowers_the_loss_and_learns_the_label(opened):
    page = opened("-1", "2", "0.5", "--target", "0", "--label-smoothing", "0")
    loss = page.locator("[data-key=loss] strong")
    before = float(loss.inner_text())
    page.get_by_role("button", name="One step").click()
    move(page)
    assert float(loss.inner_text()) < before
    page.get_by_label("η").fill("100")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("tr.target [data-key=p]")).to_have_text(re.compile(r"^0\.99|^1$"))
    expect(page.get_by_role("button", name="Run")).to_be_visible()
    page.get_by_role("button", name="Reset").click()
    move(page)
    assert float(loss.inner_text()) == before


def test_what_no_number_can_tell_is_refused(opened):
    page = opened("1", "2", "-inf", "--target", "0")
    before = page.locator("[data-key=loss]").inner_text()
    move(page, logit_of_class_0="1e300")
    page.get_by_label("η").fill("1e308")
    for button in ("One step", "Run"):
        page.get_by_role("button", name=button).click()
        expect(page.get_by_role("status")).to_have_text("no step: η is too large, or no number")
        expect(page.get_by_role("button", name="Run")).to_be_visible()
    assert page.locator("[data-key=loss]").inner_text() == before
    assert page.get_by_label("class 2 is the target").count() == 0


def test_logits_too_large_to_move_stand_still_and_the_others_move(opened):
    page = opened("1e308", "-1e308", "0", "--target", "2")
    page.get_by_label("logit of class 2", exact=True).fill("5")
    for target in (0, 1, 2):
        page.get_by_label(f"class {target} is the target").check()
        move(page)
    assert page.locator("td input[type=number]").count() == 1


def test_a_page_says_when_the_exponentials_of_moved_logits_overflow(opened):
    page = opened("2", "1", "--target", "0")
    for logit, is_said in (("709", False), ("800", True), ("3", False)):
        page.get_by_label("logit of class 0", exact=True).fill(logit)
        page.get_by_label("logit of class 0", exact=True).press("Enter")
        move(page)
        said = page.get_by_role("status").inner_text()
        assert ("too large for float64" in said) is is_said
    page = opened("800", "1", "--target", "0")
    move(page)
    assert "too large" not in page.get_by_role("status").inner_text()


def test_the_loss_above_the_table_follows_a_move_that_is_not_done(opened):
    page = opened("2", "1", "--target", "0")
    page.get_by_label("logit of class 0", exact=True).evaluate(
        "field => { field.value = 0; field.dispatchEvent(new Event('input')); }"
    )
    move(page)
    assert page.get_by_role("status").inner_text().startswith("loss 1.313, ")
    # A screen reader does not interrupt: it says the loss when the move is done.
    assert page.get_by_role("status").get_attribute("aria-busy") == "true"
    page.get_by_label("logit of class 0", exact=True).dispatch_event("change")
    assert page.get_by_role("status").get_attribute("aria-busy") == "false"


def test_what_is_said_of_a_move_does_not_push_the_table_down(opened):
    page = opened("2", "1", "--target", "0", viewport={"width": 360, "height": 800})
    above = page.locator("table").bounding_box()["y"]
    page.get_by_label("logit of class 0", exact=True).fill("3")
    page.get_by_label("class 1 is the target").check()
    move(page)
    assert page.locator("table").bounding_box()["y"] == above


def test_long_names_of_classes_do_not_make_a_page_wider_than_a_phone(opened):
    words = ["2", "1", "0", "--target", "0", "--classes", LONG]
    page = opened(*words, viewport={"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("table").bounding_box()["width"] < 400


def test_a_picture_is_dragged_to_move_its_logit(opened):
    page = opened(*LECTURE)
    box = page.locator(".plot svg").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20, steps=3)
    page.mouse.up()
    move(page)
    # The picture is ten wide, and had the logit 2 in its middle.
    assert page.get_by_label("logit of class 0 cat", exact=True).input_value() == "6"


def test_without_a_script_the_page_is_complete(opened):
    page = opened(*LECTURE, java_script_enabled=False)
    assert page.locator("path.curve").count() == 4
    assert page.locator(".step").count() == 19
    assert page.locator("input, button").count() == 0
    assert "0.659001 − 1 = −0.340999" in page.locator(".plot p").first.inner_text()


def test_two_rows_on_a_page_and_two_cells_of_a_notebook_move_on_their_own(opened):
    cell = html_of_derivation(explain([2.0, 1.0, 0.1], 0))
    page = opened(html=f"<!DOCTYPE html><meta charset='utf-8'>{cell}{cell}")
    fields = page.get_by_label("logit of class 0", exact=True)
    assert fields.count() == 2
    fields.first.fill("5")
    move(page)
    shown = page.locator("tr.target [data-key=p]").all_inner_texts()
    assert shown[1] == "0.659001"
    assert float(shown[0]) > 0.9


def test_rows_of_a_batch_move_and_what_they_add_up_to_goes(opened):
    batch = {"logits": [[2, 1], [0.5, 1.5]], "target": [0, 1], "reduction": "mean"}
    text = run("explain", "-f", "html", stdin=lines_of(batch, batch)).text
    page = opened(html=text)
    assert page.get_by_text("loss of the batch").count() == 2
    page.get_by_label("logit of class 0", exact=True).nth(1).fill("3")
    move(page)
    shown = page.locator("tr.target [data-key=p]").all_inner_texts()
    assert shown == ["0.731059", "0.182426", "0.731059", "0.731059"]
    assert page.locator("[data-key=batch]:visible").count() == 1


def test_a_class_that_is_not_shown_gets_a_line_and_can_be_the_target(opened):
    page = opened(*map(str, np.linspace(-3, 3, 40).round(2)), "--target", "39")
    page.get_by_label("show class").fill("7")
    page.get_by_label("show class").press("Enter")
    page.get_by_label("class 7 is the target").check()
    move(page)
    assert page.locator("h1").inner_text() == "40 classes, target 7"
    assert page.locator("tr.target").count() == 1
    slopes = page.locator(".plot p").all_inner_texts()
    assert sum("− 1" in slope for slope in slopes) == 1


def test_a_thousand_classes_open_in_a_second_and_move_at_30_frames_a_second(opened):
    logits = [str(number) for number in np.random.default_rng(0).normal(0, 2, 1000).round(3)]
    page = opened(*logits, "--target", "5")
    opening = page.evaluate(
        "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    )
    assert opening < 1000
    frames = page.evaluate(
        """async () => {
            const field = document.querySelector('td input[type=number]');
            const rates = [];
            for (let run = 0; run < 5; run++) {
              const start = performance.now();
              for (let n = 0; n < 15; n++) {
                field.value = run + n / 20;
                field.dispatchEvent(new Event('input'));
                await new Promise(requestAnimationFrame);
              }
              rates.push(15000 / (performance.now() - start));
            }
            return rates;
        }"""
    )
    # Other tests may have the processor for a while.
    assert max(frames) > 30
