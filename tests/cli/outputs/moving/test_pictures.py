"""The pictures and the bars of a page follow what is moved."""

import re

import numpy as np
import pytest
from support.browser import move
from support.documents import needs_chromium

pytestmark = needs_chromium

LECTURE = ["2.0", "1.0", "0.1", "--target", "0", "--classes", "cat,dog,bird"]
OPTIONS = ["--temperature", "2", "--label-smoothing", "0.1", "--softcap", "5"]


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


def test_a_bar_of_the_gradient_is_as_long_as_that_of_the_output(opened):
    page = opened(*LECTURE)
    bars = "tr[data-class='1'] td[data-key={}] svg.bar rect"
    for logit in (1.0, 3.0):
        move(page, logit_of_class_1_dog=logit)
        of_output, of_gradient = (
            page.locator(bars.format(key)).bounding_box()["width"] for key in ("p", "da")
        )
        assert of_gradient == pytest.approx(of_output, rel=0.01)


def test_a_slider_and_its_picture_move_along_and_come_back(opened):
    page = opened(*LECTURE)
    slider = page.get_by_label("logit of class 2 bird, slider")
    ends = page.locator(".plot").nth(2).locator("text")

    def range_of():
        return [float(slider.get_attribute(name)) for name in ("min", "max")]

    before = range_of(), ends.all_text_contents()
    assert before[0] == pytest.approx([-3.9, 4.1])
    for logit, shown in (("1000", ["995", "1005"]), ("-10000", ["−10005", "−9995"])):
        page.get_by_label("logit of class 2 bird", exact=True).fill(logit)
        move(page)
        assert ends.all_text_contents() == shown
        assert np.mean(range_of()) == pytest.approx(float(logit))
    page.get_by_role("button", name="Reset").click()
    move(page)
    assert (range_of(), ends.all_text_contents()) == before


def test_the_point_is_on_its_curve_and_the_tangent_is_steep_where_the_output_is_nearly_0(opened):
    page = opened("2", "1", "--target", "0")
    plot = page.locator(".plot").last

    def points(name):
        path = plot.locator(f"path.{name}").get_attribute("d")
        return np.array([point.split() for point in re.split("[ML]", path)[1:]], dtype=float)

    move(page, logit_of_class_1=100)
    point = [float(plot.locator("circle").get_attribute(name)) for name in ("cx", "cy")]
    assert np.abs(points("curve")[0] - point).max() < 0.1
    move(page, logit_of_class_1=1000)
    (across, down), (same, up) = points("tangent")
    assert across == same == 0.0
    assert down < 0 < up
