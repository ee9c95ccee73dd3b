"""Several processes give the same bytes as one, and end the same way."""

import errno
import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import orjson
import pytest
from softgrad.running import workers
from softgrad.running.pipeline import Outcome
from support.command import command, environment, lines_of, run
from support.forked import Forked
from support.processes import children_of, is_running, linux, unfinished, wait_for
from support.sweeps import in_sweeps

from softgrad_core import softmax_cross_entropy

ROW = {"logits": [1.0, 2.0, 0.5], "target": 0}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of several blocks, with bad records of every kind in it."""
    rng = np.random.default_rng(5)
    odd = [b"", b"{", b'{"logits": [1, null], "target": 0}', b'{"logits": [1, 2], "target": 7}']
    odd += [orjson.dumps({"logits": [1, 2], "target": "dog", "classes": ["cat", "dog"]})]
    path = tmp_path_factory.mktemp("jobs") / "many.jsonl"
    with path.open("wb") as file:
        for place, row in enumerate((rng.normal(size=(12_000, 10)) * 3).tolist()):
            file.write(orjson.dumps({"id": place, "logits": row, "target": place % 10}) + b"\n")
            if place % 997 == 0:
                file.write(odd[place % 5] + b"\n")
    return path


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--check"],
        ["--fail-fast"],
        ["--only-failures", "--check"],
    ],
)
def test_any_number_of_processes_gives_the_same_bytes_and_messages(many, options, tmp_path):
    path = many
    if "--check" in options:
        path = tmp_path / "few.jsonl"
        path.write_bytes(b"\n".join(many.read_bytes().split(b"\n")[:800]))
    one = run("-j", "1", *options, str(path))
    for jobs in ("0", "3"):
        several = run("-j", jobs, *options, str(path))
        assert several.out == one.out
        assert (several.status, several.err) == (one.status, one.err)


@pytest.mark.parametrize(
    "text",
    [
        b'[{"logits":[1,2],"target":0},{"logits":[1\n',
        b'{"logits":\n[1,2}\n{"logits":\n[1,2],"target":0}\n',
        b"\x93NUMPY",
    ],
)
def test_unreadable_input_is_reported_alike(text):
    one, two = run("-j", "1", stdin=text), run("-j", "2", stdin=text)
    assert one.status == 3
    assert (two.status, two.out, two.err) == (one.status, one.out, one.err)


def test_messages_come_in_the_order_of_the_files(many):
    one, two = (run("-j", jobs, str(many), "none.jsonl", str(many)) for jobs in ("1", "2"))
    assert "none.jsonl: No such file or directory\n" in one.err
    assert (two.status, two.err, two.out) == (one.status, one.err, one.out)


@pytest.mark.parametrize("options", [["-j", "2"], []])
def test_many_files_share_the_workers(many, options, tmp_path):
    lines = many.read_bytes().split(b"\n")
    for place in range(40):
        name, part = tmp_path / f"{place}.jsonl", lines[place * 280 : (place + 1) * 280]
        name.write_bytes(b"\n".join([*part, b""]))
    files = sorted(path.name for path in tmp_path.iterdir())
    one = run("-j", "1", *files, "--output-dir", "one", cwd=tmp_path)
    several = run(*options, *files, "--output-dir", "several", cwd=tmp_path)
    assert (several.status, several.err) == (one.status, one.err)
    for name in files:
        assert (tmp_path / "several" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


@pytest.mark.parametrize("layout", ["array", "indented"])
def test_layouts_other_than_json_lines_give_the_same_bytes(layout):
    records = [dict(ROW, id=place) for place in range(3_000)]
    if layout == "array":
        text = orjson.dumps(records)
    else:
        text = b"\n".join(orjson.dumps(record, option=orjson.OPT_INDENT_2) for record in records)
    assert run("-j", "2", stdin=text).out == run("-j", "1", stdin=text).out


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    """Return a file of several blocks of claims, with mistakes that only many records show."""
    rng = np.random.default_rng(6)
    records = []
    for place, row in enumerate((rng.normal(size=(4_500, 10)) * 3).astype(np.float32).tolist()):
        e = np.exp(np.array(row))
        gradient = e / e.sum() - np.eye(10)[place % 10]
        factor = (1.0, 1 / 32, -1.0)[place % 3]
        record = {"logits": row, "target": place % 10, "grad_logits": (gradient * factor).tolist()}
        records.append(record | {"loss": 1.0} if place % 50 == 0 else record)
    path = tmp_path_factory.mktemp("claims") / "claims.jsonl"
    path.write_text(lines_of(*records))
    return path


def test_claims_are_summarised_alike(claims):
    one, two = (run("verify", "-j", jobs, str(claims)) for jobs in ("1", "2"))
    assert two.out == one.out
    assert (two.status, two.err) == (one.status, one.err)
    assert "mean-over-batch" in one.err
    assert one.status == 1


@pytest.mark.parametrize("size", [1, 5_000])
def test_claims_that_arrive_in_pieces_are_summarised_alike(size):
    """Only several losses together show that they have one factor."""
    rows = np.random.default_rng(6).normal(size=(100, 5)) * 3
    losses = 0.73 * softmax_cross_entropy(rows, np.zeros(100, int)).loss
    records = [
        {"logits": row, "target": 0, "loss": loss}
        for row, loss in zip(rows.tolist(), losses.tolist(), strict=True)
    ]
    data = lines_of(*records).encode()
    whole = run("verify", stdin=data)
    assert "constant-factor: all 100 equal" in whole.err
    with Forked("verify", "-o", os.devnull) as process:
        for piece in (data[:size], data[size : 2 * size]):
            process.stdin.write(piece)
            process.stdin.flush()
            # The command has to find the pipe empty once.
            time.sleep(0.4)
        _, err = process.communicate(data[2 * size :])
    assert (process.returncode, err.decode()) == (whole.status, whole.err)


def test_a_record_as_large_as_many_blocks_goes_through():
    text = lines_of({"logits": [0.5] * 800_000, "target": 3}, ROW)
    assert run("-j", "2", stdin=text).out == run("-j", "1", stdin=text).out


def test_a_result_comes_before_the_next_record_is_there():
    with Forked("-j", "2") as process:
        for place in range(3):
            process.stdin.write(lines_of(dict(ROW, id=place)).encode())
            process.stdin.flush()
            assert orjson.loads(process.stdout.readline())["id"] == place
        process.stdin.close()


@contextmanager
def endless(*options, folder=None):
    """Yield a run over endless input, with two processes unless options say otherwise."""
    feeder = subprocess.Popen(["yes", lines_of(ROW).strip()], stdout=subprocess.PIPE)
    words = options or ["-j", "2"]
    process = Forked(*words, stdin=feeder.stdout.fileno(), cwd=folder, start_new_session=True)
    feeder.stdout.close()
    try:
        yield process
    finally:
        feeder.kill()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        feeder.wait()
        process.__exit__()


@pytest.fixture
def running():
    """Yield a run whose two processes are at work."""
    with endless() as process:
        process.stdout.read(1 << 22)
        yield process


@linux
def test_a_worker_that_dies_ends_the_run_and_no_line_is_missing(running):
    worker = children_of(running)[0]
    os.kill(worker, signal.SIGKILL)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 70
    assert err.decode() == (
        "softgrad: a worker process died: it was killed, or out of memory (-j 1 takes less); the "
        "results end before the records that it had\n"
    )
    assert out.endswith(b"}\n")
    assert set(out.splitlines()[1:]) == {out.splitlines()[-1]}


@linux
def test_ctrl_c_stops_all_processes_silently(running):
    workers = children_of(running)
    assert len(workers) == 2
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (130, b"")
    assert wait_for(lambda: not any(map(is_running, workers)))


@linux
@pytest.mark.parametrize("delay", [0.0, 0.002, 0.008, *in_sweeps([0.001, 0.004, 0.012])])
def test_ctrl_c_while_workers_start_is_silent_too(delay):
    with endless() as process:
        children_of(process)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (130, b"")


@linux
@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_no_unfinished_file(tmp_path, jobs, number):
    with endless("-j", jobs, "-o", "results.jsonl", folder=tmp_path) as process:
        assert wait_for(lambda: any(unfinished(process.pid, tmp_path)))
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130 if number == signal.SIGINT else -number, b"")
    assert list(tmp_path.iterdir()) == []


@linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_do_not_outlive_the_run(running, number):
    workers = children_of(running)
    running.send_signal(number)
    running.communicate(timeout=30)
    assert wait_for(lambda: not any(map(is_running, workers)))


@linux
def test_a_closed_pipe_ends_all_processes(running):
    workers = children_of(running)
    running.stdout.close()
    assert running.wait(timeout=30) == 141
    assert wait_for(lambda: not any(map(is_running, workers)))


def with_limit(limit, *arguments):
    """Run the command with a limit of the shell's ulimit."""
    script = f"ulimit {limit}; exec {' '.join(command(*arguments))}"
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, env=environment(), check=False, text=True
    )


@linux
@pytest.mark.parametrize(
    ("limit", "jobs", "what"),
    [("-n 12", 2, "too many open files"), ("-v 300000", 40, "out of memory")],
)
def test_processes_that_cannot_be_started_are_named_with_what_ran_out(many, limit, jobs, what):
    ended = with_limit(limit, "-j", str(jobs), str(many))
    assert (ended.returncode, ended.stdout) == (74, "")
    assert ended.stderr.startswith(f"softgrad: {jobs} processes could not be started: {what}; ")
    assert ended.stderr.endswith("-j 1\n")


def test_one_process_goes_on_where_nobody_asked_for_more(monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.EMFILE, "")

    monkeypatch.setattr(workers, "_processes", refuse)
    monkeypatch.setattr(workers, "LONG_ENOUGH_SECONDS", 0.0)
    monkeypatch.setattr(workers, "cores", lambda: 3)
    outcomes = workers.Workers(None, None).outcomes(
        lambda block: Outcome(records=block), iter("abc")
    )
    assert [outcome.records for outcome in outcomes] == ["a", "b", "c"]
    what = "too many open files; raise the limit with ulimit -n, or use one process: -j 1"
    assert capsys.readouterr().err == (
        f"softgrad: 3 processes could not be started: {what}; going on with one\n"
    )


def test_a_negative_number_of_jobs_is_a_usage_error():
    ended = run("--jobs", "-2", stdin=lines_of(ROW))
    assert ended.status == 2
    assert "--jobs" in ended.err


def test_more_processes_than_cores_can_use_are_not_started():
    ended = run("-j", "100000", stdin='{"logits": [1, 2], "target": 0}')
    assert (ended.status, ended.out.count(b'"loss"')) == (0, 1)
