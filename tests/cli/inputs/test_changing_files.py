"""A file that changes while it is read ends with status 74, and the old output stays whole."""

import os
import time

import numpy as np
import pytest
from softgrad.exits import Exit, InputFailedError
from softgrad.inputs.arrays.source import ArrayOptions, open_arrays
from softgrad.inputs.sources import read
from softgrad.running.pipeline import Outcome
from softgrad.running.workers import Workers
from support.command import lines_of
from support.forked import Forked
from support.processes import linux, open_files, wait_for

OPTIONS = ArrayOptions(None, {}, None, with_claims=False, names={}, axis=-1)
LOGITS = np.random.default_rng(4).normal(size=(4000, 50))
LABELS = np.zeros(4000, int)


def cut(path):
    os.truncate(path, 60_000)


def append(path):
    with open(path, "ab") as file:
        file.write(b"more")


def rewrite(path):
    """Write other bytes over a part of it."""
    with open(path, "r+b") as file:
        file.seek(800_000)
        file.write(bytes(1_000))


CHANGES = [cut, append, rewrite]


def rows_of(path, change):
    """Return the logits in a file that is changed after the first block was read."""
    done = []

    def process(block):
        if not done:
            # The clock of a file system may be as coarse as this.
            time.sleep(0.01)
            change(path)
        done.append(block.logits)
        return Outcome()

    list(Workers(1, None).outcomes_of_arrays(process, open_arrays(str(path), OPTIONS), 5_000))
    return np.concatenate(done)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_that_change_while_they_are_read_are_an_error(tmp_path, change, save):
    path = tmp_path / "a.npz"
    save(path, logits=LOGITS, target=LABELS)
    with pytest.raises(InputFailedError, match=r"a\.npz: it changed while it was read") as raised:
        rows_of(path, change)
    assert raised.value.status == Exit.IO_FAILED


def test_arrays_that_are_replaced_while_they_are_read_give_the_old_numbers(tmp_path):
    np.savez(tmp_path / "a.npz", logits=LOGITS, target=LABELS)
    np.savez(tmp_path / "b.npz", logits=LOGITS + 1, target=LABELS)
    rows = rows_of(tmp_path / "a.npz", lambda path: os.replace(tmp_path / "b.npz", path))
    np.testing.assert_array_equal(rows, LOGITS)


@pytest.mark.parametrize("change", CHANGES)
def test_records_that_change_while_they_are_read_are_an_error(tmp_path, change):
    path = tmp_path / "a.jsonl"
    path.write_text(lines_of({"logits": [1, 2], "target": 0}) * 60_000)
    blocks = read([str(path)])
    next(blocks)
    time.sleep(0.01)
    change(path)
    *_, last = blocks
    assert isinstance(last, OSError)
    assert last.filename == str(path)
    assert last.strerror.startswith("it changed while it was read")


@linux
@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_file_that_is_cut_short_ends_the_command_with_74(tmp_path, name):
    path, out = tmp_path / name, tmp_path / "r.npz"
    rows = np.zeros((400_000, 20))
    np.save(path, rows) if name.endswith("npy") else np.savez(path, logits=rows)
    out.write_bytes(b"old")
    with Forked(name, "-t", "0", "--check", "-o", "r.npz", cwd=tmp_path) as process:
        assert wait_for(lambda: str(path) in open_files(process.pid))
        os.truncate(path, 50_000)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, out.read_bytes()) == (74, b"old")
    assert f"{name}: " in err.decode()
    assert sorted(os.listdir(tmp_path)) == [name, "r.npz"]
