"""What moves a page: fields, sliders, the choice of the target, and gradient descent."""

import re

import numpy as np
from softgrad.outputs.documents.notebook import html_of_derivation
from support.browser import expect, move
from support.command import lines_of, run
from support.documents import needs_chromium

from softgrad_core import explain

pytestmark = needs_chromium

LECTURE = ["2.0", "1.0", "0.1", "--target", "0", "--classes", "cat,dog,bird"]
LONG = ",".join((200 * "x", 50 * "long ", 200 * "\N{LATIN SMALL LETTER U WITH DIAERESIS}"))


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


def test_without_a_script_the_page_is_complete(opened):
    page = opened(*LECTURE, java_script_enabled=False)
    assert page.locator("path.curve").count() == 4
    assert page.locator(".step").count() == 19
    assert page.locator("input, button").count() == 0
    said = page.locator(".plot p").first.inner_text()
    assert said.split("\n") == ["slope 0.659001 − 1", "= −0.340999"]


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
