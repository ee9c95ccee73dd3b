"""A file of results takes its place in one step, or is gone, however the run ends."""

import os
import signal

import pytest
from softgrad.outputs import replacement
from softgrad.outputs.replacement import Replacement
from support.command import lines_of, run
from support.forked import Forked
from support.processes import linux, unfinished, wait_for

ROW = lines_of({"logits": [1, 2], "target": 0})


@pytest.fixture(params=["nameless", "named"])
def kind(request, monkeypatch):
    """Have files without a name, and then do as systems that have none."""
    if request.param == "named":
        monkeypatch.setattr(replacement, "_nameless", lambda _: None)
    return request.param


@pytest.fixture(params=[True, False], ids=["old", "new"])
def path(request, tmp_path):
    """Return the path of a file, which is there already or not."""
    path = tmp_path / "r.jsonl"
    if request.param:
        path.write_bytes(b"old")
        path.chmod(0o604)
    return path


def test_a_finished_file_takes_its_place_with_the_rights_of_the_old_one(kind, path):
    old = path.exists()
    new = Replacement(path)
    new.file.write(b"new")
    assert [name.name for name in path.parent.iterdir() if name != path] == (
        [] if kind == "nameless" else [new._name.name]
    )
    new.commit()
    assert (path.read_bytes(), [*path.parent.iterdir()]) == (b"new", [path])
    assert not old or path.stat().st_mode & 0o777 == 0o604


@pytest.mark.usefixtures("kind")
def test_one_that_is_not_finished_leaves_nothing(path):
    before = {path: path.read_bytes()} if path.exists() else {}
    new = Replacement(path)
    new.file.write(b"new")
    new.discard()
    assert {path: path.read_bytes() for path in path.parent.iterdir()} == before


@pytest.mark.usefixtures("kind")
def test_two_runs_may_write_the_same_file_at_the_same_time(path):
    one, two = Replacement(path), Replacement(path)
    one.file.write(b"one")
    two.file.write(b"two")
    one.commit()
    assert path.read_bytes() == b"one"
    two.commit()
    assert (path.read_bytes(), [*path.parent.iterdir()]) == (b"two", [path])


@pytest.mark.usefixtures("kind")
def test_what_a_killed_run_left_is_removed_by_the_next_one_that_needs_a_name(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"old")
    left, of_others = next(replacement._free_names(path)), tmp_path / ".softgrad-00000000-0.part"
    left.write_bytes(b"left")
    of_others.write_bytes(b"of another file")
    new = Replacement(path)
    new.file.write(b"new")
    new.commit()
    assert path.read_bytes() == b"new"
    assert {*tmp_path.iterdir()} == {path, of_others}


@linux
def test_a_run_that_is_killed_leaves_nothing(tmp_path):
    with Forked("-", "-o", "r.jsonl", cwd=tmp_path) as process:
        process.stdin.write(ROW.encode())
        process.stdin.flush()
        assert wait_for(lambda: any(unfinished(process.pid, tmp_path)))
        assert os.listdir(tmp_path) == []
        process.send_signal(signal.SIGKILL)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    ended = run("1", "2", "-t", "0", "-o", "none/r.jsonl", cwd=tmp_path)
    assert (ended.status, ended.err) == (74, "softgrad: none/r.jsonl: No such file or directory\n")
