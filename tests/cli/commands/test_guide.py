"""`softgrad guide`: the manual, as Markdown in a pipe and rendered at a terminal."""

import pytest
from support.command import run
from support.examples import DOCUMENTS
from support.terminal import on_terminal, without_escapes

CHAPTERS = {path.stem: path.read_text(encoding="utf-8") for path in DOCUMENTS[1:]}


def test_the_list_of_chapters_says_what_each_is_for():
    lines = run("guide").text.splitlines()
    assert len(lines) == len(CHAPTERS)
    for line, (name, text) in zip(lines, sorted(CHAPTERS.items()), strict=True):
        start, _, purpose = line.partition(": ")
        assert start == f"- `{name}`"
        assert purpose.endswith((".", "?"))
        assert purpose.split()[0] in text


@pytest.mark.parametrize("name", ["verify", "loss"])
def test_a_chapter_is_markdown_in_a_pipe(name):
    assert run("guide", name).text == CHAPTERS[name]


def test_a_terminal_shows_a_rendered_chapter_in_its_pager():
    shown = without_escapes(on_terminal("guide", "check", PAGER="cat"))
    assert "```" not in shown
    assert "central differences of the loss" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
    assert "passed the pager" in on_terminal(
        "guide", "check", PAGER="sed 's/^.*$/passed the pager/'"
    )


def test_the_list_is_drawn_at_a_terminal_without_a_pager():
    shown = on_terminal("guide", PAGER="false")
    assert "verify" in shown


def test_an_unknown_chapter_is_wrong_usage_and_suggests_the_nearest():
    ended = run("guide", "verfy")
    assert (ended.status, ended.out) == (2, b"")
    assert "there is no chapter 'verfy'; did you mean 'verify'?" in ended.err
    assert "the chapters are accuracy, arrays" in run("guide", "zzz").err
