"""--output: the file is replaced in one step at the end, or not at all."""

import json
import os
import stat
import subprocess

import numpy as np
import pytest
from support.command import command, environment, lines_of, run

ROW = {"logits": [1.0, 2.0, 0.5], "target": 0}


def test_the_file_holds_what_standard_output_would(tmp_path):
    expected = run(stdin=lines_of(ROW, {})).out
    ended = run("-o", "out.jsonl", stdin=lines_of(ROW, {}), cwd=tmp_path)
    assert (ended.status, ended.out) == (3, b"")
    assert (tmp_path / "out.jsonl").read_bytes() == expected
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_a_file_can_be_replaced_by_its_own_results(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines_of(ROW) * 5000)
    assert run("rows.jsonl", "-o", "rows.jsonl", cwd=tmp_path).status == 0
    assert path.read_text().count('"loss"') == 5000


def test_a_replaced_file_keeps_its_permissions_and_its_links(tmp_path):
    path = tmp_path / "out.jsonl"
    path.touch(0o640)
    (tmp_path / "link").symlink_to("out.jsonl")
    assert run("1", "2", "-t", "0", "-o", "link", cwd=tmp_path).status == 0
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert "loss" in path.read_text()


def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path):
    subprocess.run(
        ["bash", "-c", f"umask 027; {' '.join(command())} 1 2 -t 0 -o out"],
        cwd=tmp_path,
        env=environment(),
        check=True,
    )
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


@pytest.mark.parametrize("arguments", [["--fail-fast"], ["none.jsonl", "-"]])
def test_a_run_that_did_not_read_everything_leaves_the_file_alone(tmp_path, arguments):
    (tmp_path / "out.jsonl").write_text("before")
    ended = run(*arguments, "-o", "out.jsonl", stdin=lines_of({}, ROW), cwd=tmp_path)
    assert ended.status in (3, 74)
    assert (tmp_path / "out.jsonl").read_text() == "before"
    assert "out.jsonl is left as it was" in ended.err
    assert os.listdir(tmp_path) == ["out.jsonl"]


@pytest.mark.parametrize("name", ["none/out.jsonl", ""])
def test_an_output_that_cannot_be_written_is_named_and_gives_74(tmp_path, name):
    ended = run("1", "2", "-t", "0", "-o", name, cwd=tmp_path)
    assert ended.status == 74
    assert ended.err.startswith("softgrad: ")
    assert "Traceback" not in ended.err


def test_a_folder_is_not_replaced(tmp_path):
    ended = run("1", "2", "-t", "0", "-o", ".", cwd=tmp_path)
    assert ended.status == 74
    assert ended.err == "softgrad: .: Is a directory\n"


def test_a_device_is_written_to_rather_than_replaced():
    assert run("1", "2", "-t", "0", "-o", "/dev/null").status == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    ended = run("1", "2", "-t", "0", "-o", "/dev/full")
    assert ended.status == 74
    assert ended.err == "softgrad: /dev/full: No space left on device\n"


def test_dev_stdout_is_appended_to(tmp_path):
    script = f"(echo before; {' '.join(command())} 1 2 -t 0 -o /dev/stdout; echo after) > log"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment(), check=True)
    lines = (tmp_path / "log").read_text().splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("before", "2 classes, target 0", "after")


def test_a_file_name_may_look_like_a_negative_number(tmp_path):
    assert run("1", "2", "-t", "0", "-o", "-1.out", cwd=tmp_path).status == 0
    assert os.listdir(tmp_path) == ["-1.out"]


def test_a_dash_stands_for_standard_output():
    assert run("1", "2", "-t", "0", "-o", "-").out == run("1", "2", "-t", "0").out


def test_each_of_many_files_of_records_has_its_own_results(tmp_path):
    (tmp_path / "x").mkdir()
    good, bad = '{"logits": [0, 0], "target": 1}\n', '{"logits": [0, 0], "target": 2}\n'
    (tmp_path / "a.jsonl").write_text(good)
    (tmp_path / "x" / "b.jsonl").write_text(good + bad)
    ended = run("a.jsonl", "x/b.jsonl", "--output-dir", "out", cwd=tmp_path)
    assert ended.status == 3
    assert ended.err.splitlines()[-1] == "softgrad: 3 records: 1 rejected"
    for name, count in (("a.jsonl", 1), ("b.jsonl", 2)):
        lines = (tmp_path / "out" / name).read_text().splitlines()
        assert len(list(map(json.loads, lines))) == count
    ended = run("a.jsonl", "none.jsonl", "x/b.jsonl", "--output-dir", "two", cwd=tmp_path)
    assert ended.status == 74
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["a.jsonl", "b.jsonl"]


def test_results_in_a_folder_have_the_ending_of_their_format(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,target\n1,2,0\n")
    (tmp_path / "b.json").write_text('{"logits": [0, 0], "target": 1}\n')
    for more, names in (([], ["a.jsonl", "b.json"]), (["-f", "html"], ["a.html", "b.html"])):
        ended = run("a.csv", "b.json", "--output-dir", f"out{len(more)}", *more, cwd=tmp_path)
        assert ended.status == 0
        assert sorted(os.listdir(tmp_path / f"out{len(more)}")) == names


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("a.jsonl -f html -o a.jsonl", "a.jsonl"),
        ("a.jsonl --check --only-failures -o ./a.jsonl", "a.jsonl"),
        ("a.jsonl --check --only-failures --output-dir .", "a.jsonl"),
        ("explain a.jsonl -f latex -o a.jsonl", "a.jsonl"),
        ("verify a.npz -f html -o a.npz", "a.npz"),
        ("verify b.npz -t y.npy -f html -o y.npy", "y.npy"),
    ],
)
def test_results_that_lack_what_an_input_has_do_not_replace_it(tmp_path, words, name):
    arrays = {"logits": np.zeros((2, 2)), "loss": np.ones(2)}
    np.savez(tmp_path / "a.npz", target=np.zeros(2, int), **arrays)
    np.savez(tmp_path / "b.npz", **arrays)
    np.save(tmp_path / "y.npy", np.zeros(2, int))
    (tmp_path / "a.jsonl").write_text('{"logits": [0, 0], "target": 1}\n')
    before = (tmp_path / name).read_bytes()
    ended = run(*words.split(), cwd=tmp_path)
    assert (ended.status, ended.out) == (2, b"")
    assert f"refusing to overwrite {name}: it is one of the inputs" in ended.err
    assert (tmp_path / name).read_bytes() == before


def test_records_may_be_replaced_by_themselves_with_their_results(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 7, "logits": [0, 0], "target": 1}\n')
    assert run("a.jsonl", "-o", "a.jsonl", cwd=tmp_path).status == 0
    assert json.loads((tmp_path / "a.jsonl").read_text())["id"] == 7
