"""The command at a terminal: progress, help, completion, version."""

import os
import pty
import random

from support.command import lines_of, run
from support.forked import Forked
from support.terminal import on_terminal, without_escapes


def rows(count):
    rng = random.Random(5)
    return [{"logits": [rng.gauss(0, 3) for _ in range(10)], "target": 3} for _ in range(count)]


def test_a_long_file_shows_progress_on_the_terminal_only(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines_of(*rows(12_000)))
    shown = on_terminal("rows.jsonl", "--check", "-o", "out.jsonl", cwd=tmp_path)
    assert "%" in without_escapes(shown)
    assert "softgrad" in shown
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == 12_000


def test_a_short_file_shows_no_progress(tmp_path):
    (tmp_path / "rows.jsonl").write_text(lines_of(*rows(10)))
    with (tmp_path / "out").open("wb") as out:
        assert on_terminal("rows.jsonl", stdout=out.fileno(), cwd=tmp_path) == ""


def test_results_on_the_terminal_itself_are_not_mixed_with_progress(tmp_path):
    (tmp_path / "rows.jsonl").write_text(lines_of(*rows(8_000)))
    shown = on_terminal("rows.jsonl", "--check", cwd=tmp_path)
    assert len(shown.splitlines()) == 8000
    assert "\x1b" not in shown


def test_without_arguments_the_help_is_shown_and_the_status_is_2():
    leader, follower = pty.openpty()
    with Forked(stdin=follower) as process:
        out, err = process.communicate()
    os.close(leader)
    os.close(follower)
    assert (process.returncode, out) == (2, b"")
    assert b"[LOGITS... | FILES...]" in err


def test_the_shell_can_complete_options():
    env = {"_SOFTGRAD_COMPLETE": "complete_bash", "COMP_WORDS": "softgrad --tol", "COMP_CWORD": "1"}
    assert "--tolerance" in run(env=env).text


def test_the_version_names_the_kernel():
    from importlib.metadata import version

    from softgrad_core.loss.kernels.direct import KERNELS

    kernel = "with" if KERNELS else "without"
    assert (
        run("--version").text == f"softgrad {version('softgrad')}, {kernel} the compiled kernel\n"
    )
