"""Exit statuses, and what standard error says with each of them."""

import errno
import os
import signal
import time

import pytest
from support.command import assert_full_disk_is_74, lines_of, run, shell
from support.forked import Forked
from support.processes import linux, unfinished, wait_for

ROW = {"logits": [1.0, 2.0, 0.5], "target": 0}


def test_success_is_0():
    assert run(stdin=lines_of(ROW)).status == 0


def test_a_failed_check_is_1_and_a_rejected_record_is_3():
    failing = ["--check", "--tolerance", "1e-30"]
    ended = run(*failing, stdin=lines_of(ROW))
    assert ended.status == 1
    assert ended.err == (
        "<stdin>:1: the numerical check failed\nsoftgrad: 1 record: 1 failed the check\n"
    )
    ended = run(*failing, stdin=lines_of(ROW, {}))
    assert ended.status == 3
    assert ended.err.endswith("softgrad: 2 records: 1 rejected, 1 failed the check\n")


def test_an_unreadable_file_is_74_and_the_others_are_done(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines_of(ROW))
    (tmp_path / "folder").mkdir()
    ended = run("none.jsonl", "folder", "a.jsonl", cwd=tmp_path)
    assert ended.status == 74
    assert ended.err == "none.jsonl: No such file or directory\nfolder: Is a directory\n"
    assert len(ended.records) == 1


def test_fail_fast_stops_after_the_first_rejected_record():
    rows = [ROW, ROW, {"logits": [1]}, ROW, {}]
    ended = run("--fail-fast", stdin=lines_of(*rows))
    assert ended.status == 3
    assert ["error" in record for record in ended.records] == [False, False, True]
    assert len(ended.err.splitlines()) == 2


def test_fail_fast_stops_before_the_next_file(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(lines_of({"logits": [1, 2]}))
    ended = run("--fail-fast", "--output-dir", "out", "a.jsonl", "b.jsonl", cwd=tmp_path)
    assert ended.status == 3
    assert "a.jsonl:1: " in ended.err
    assert "b.jsonl" not in ended.err


def test_fail_fast_stops_after_the_first_failed_check():
    ended = run("--fail-fast", "--check", "--tolerance", "1e-30", stdin=lines_of(ROW, ROW))
    assert (ended.status, len(ended.records)) == (1, 1)


def test_a_closed_pipe_is_silent(tmp_path):
    (tmp_path / "rows.jsonl").write_text(lines_of(ROW) * 20_000)
    with Forked("rows.jsonl", cwd=tmp_path) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize("arguments", ["1 2 -t 0", "--help", "--version"])
def test_a_pipe_that_is_closed_before_anything_is_written_is_silent(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with Forked(*arguments.split(), stdout=writer) as process:
        assert process.stderr.read() == b""
    os.close(writer)
    assert process.returncode == 141


@pytest.fixture
def full():
    """Yield a file on a full disk."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("arguments", ["1 2 -t 0", "--help", "guide", "guide loss"])
def test_an_output_without_utf_8_is_no_bug(arguments):
    for setting in ("PYTHONIOENCODING=ascii", "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"):
        done = shell(f"{setting} $softgrad {arguments}")
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout


@pytest.mark.parametrize("arguments", ["1 2 -t 0", "--help", "--version", "rows.jsonl", "guide"])
def test_a_full_disk_is_74_and_named(tmp_path, arguments, full):
    (tmp_path / "rows.jsonl").write_text(lines_of(ROW))
    with Forked(*arguments.split(), stdout=full, cwd=tmp_path) as process:
        _, err = process.communicate()
    assert process.returncode == 74
    assert err.decode() == f"softgrad: standard output: {os.strerror(errno.ENOSPC)}\n"


@pytest.mark.parametrize("unbuffered", ["", "PYTHONUNBUFFERED=1"])
def test_output_over_the_file_size_limit_is_74_and_named(tmp_path, unbuffered):
    script = f"ulimit -f 50; {unbuffered} $softgrad > {tmp_path}/out"
    done = shell(script, lines_of(ROW).encode() * 2000)
    assert done.returncode == 74
    assert done.stderr.decode() == f"softgrad: standard output: {os.strerror(errno.EFBIG)}\n"


def test_reading_a_closed_standard_input_is_74():
    done = shell("$softgrad - <&-")
    assert (done.returncode, done.stderr) == (74, b"-: Bad file descriptor\n")


@pytest.mark.parametrize("arguments", ["1 2 -t 0", "guide", "guide loss"])
def test_a_closed_standard_output_is_74(arguments):
    done = shell(f"$softgrad {arguments} >&-")
    assert done.returncode == 74
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(("arguments", "status"), [("none.jsonl", 74), ("1 2 -t 2", 2), ("", 3)])
def test_an_unwritable_standard_error_changes_no_status(arguments, status, full):
    with Forked(*arguments.split(), stderr=full) as process:
        process.communicate(b"{}")
    assert process.returncode == status


def test_closed_standard_input_and_error_do_no_harm():
    assert shell("$softgrad 1 2 -t 0 <&- 2>&-").returncode == 0


@linux
@pytest.mark.parametrize("arguments", [[], ["--output", "results.jsonl"]])
def test_ctrl_c_is_silent_and_leaves_the_output_file_as_it_was(tmp_path, arguments):
    (tmp_path / "results.jsonl").write_text("before")
    with Forked(*arguments, cwd=tmp_path) as process:
        process.stdin.write(lines_of(ROW).encode())
        process.stdin.flush()
        if arguments:
            assert wait_for(lambda: unfinished(process.pid, tmp_path))
        else:
            process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        assert process.returncode == 130
        assert process.stderr.read() == b""
    assert os.listdir(tmp_path) == ["results.jsonl"]
    assert (tmp_path / "results.jsonl").read_text() == "before"


@linux
def test_ctrl_c_during_the_imports_is_silent(tmp_path):
    """NumPy's own modules turn it into an ImportError."""
    orjson = "import os, signal; os.kill(os.getpid(), signal.SIGINT)\n"
    orjson += "try: import time; time.sleep(0.3)\n"
    orjson += "except KeyboardInterrupt: raise ImportError('failed to import')"
    (tmp_path / "orjson.py").write_text(orjson)
    ended = run("1", "2", "-t", "0", env={"PYTHONPATH": str(tmp_path)})
    assert (ended.status, ended.err) == (130, "")


def test_too_little_memory_is_named_and_no_bug(tmp_path):
    (tmp_path / "orjson.py").write_text("raise MemoryError")
    ended = run("1", "2", "-t", "0", env={"PYTHONPATH": str(tmp_path)})
    assert ended.status == 74
    assert ended.err == "softgrad: out of memory; one process takes the least: -j 1\n"


def test_a_bug_is_70_and_debug_shows_its_traceback(tmp_path):
    # This orjson is imported in place of the real one, and breaks.
    (tmp_path / "orjson.py").write_text("raise RuntimeError('broken')")
    env = {"PYTHONPATH": str(tmp_path)}
    ended = run("1", "2", "-t", "0", env=env)
    assert ended.status == 70
    first, second = ended.err.splitlines()
    assert first == "softgrad: a bug in softgrad, not in your input: RuntimeError: broken"
    assert second == "softgrad: run it again with --debug to see where"
    ended = run("1", "2", "-t", "0", "--debug", env=env)
    assert ended.status == 70
    assert "Traceback" in ended.err


@linux
def test_a_disk_that_is_full_while_arrays_are_written_is_74(tmp_path):
    assert_full_disk_is_74(tmp_path, "npz")
