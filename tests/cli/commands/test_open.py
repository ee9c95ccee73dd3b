"""`softgrad explain --open`: the page in a browser, which the variable BROWSER names."""

import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from support.command import run

LECTURE = ["explain", "2.0", "1.0", "0.1", "--target", "0"]


@pytest.fixture
def browser(tmp_path):
    """Return the environment with a browser that takes down what it is to open."""
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> "{tmp_path}/opened"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"BROWSER": str(script), "TMPDIR": str(tmp_path)}


def opened(folder):
    return [Path(unquote(urlparse(line).path)) for line in (folder / "opened").read_text().split()]


def test_the_page_goes_to_a_temporary_file_and_to_the_browser(browser, tmp_path):
    ended = run(*LECTURE, "--open", env=browser)
    assert (ended.status, ended.out, ended.err) == (0, b"", "")
    [page] = opened(tmp_path)
    assert page.parent == tmp_path
    assert re.fullmatch(r"softgrad-\w+\.html", page.name)
    assert "The cancellation" in page.read_text()


def test_with_a_file_the_page_goes_there(browser, tmp_path):
    ended = run(*LECTURE, "--open", "-o", "a b.html", env=browser, cwd=tmp_path)
    assert ended.status == 0
    assert opened(tmp_path) == [tmp_path / "a b.html"]


def test_without_a_browser_the_file_is_named(tmp_path):
    nowhere = {"BROWSER": str(tmp_path / "none"), "PATH": "", "TMPDIR": str(tmp_path)}
    ended = run(*LECTURE, "--open", env=nowhere)
    assert ended.status == 74
    name = re.fullmatch(r"softgrad: no browser was found; the page is (.*)\n", ended.err)[1]
    assert "The cancellation" in Path(name).read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--json"], "--open shows a page of HTML"),
        (["-f", "latex"], "--open shows a page of HTML"),
        (["-o", "-"], "--open needs a file"),
        (["--target", "7"], "target 7 is outside 0..2"),
    ],
)
def test_what_cannot_be_opened_is_refused_and_leaves_no_file(browser, tmp_path, words, told):
    ended = run(*LECTURE, "--open", *words, env=browser)
    assert (ended.status, ended.out) == (2, b"")
    assert told in ended.err
    assert os.listdir(tmp_path) == ["browser"]
