"""A Dask cluster gives the same bytes as one machine, even if a worker dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson
import pytest
from support.command import command, environment, run

ROW = '{"logits": [1.0, 2.0], "target": 0}'

IMPATIENT = """
from softgrad.running import cluster
from softgrad.__main__ import main

cluster.CONNECT_SECONDS = 0.5
main()
"""


def wait_for(condition):
    for _ in range(2400):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it takes too long")


@contextmanager
def scheduling(folder):
    """Yield the process of a scheduler, and its address."""
    path = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with Started(folder, "scheduler", *options, "--scheduler-file", str(path)) as process:
        wait_for(lambda: path.exists() and path.stat().st_size)
        yield process, orjson.loads(path.read_bytes())["address"]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Return the address of a scheduler."""
    with scheduling(tmp_path_factory.mktemp("dask")) as (_, address):
        yield address


class Started:
    """A process of Dask and its children; leaving the context kills them."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment(),
        )

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def working(scheduler, tmp_path):
    """Yield two workers of the scheduler."""
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
    with (
        Started(tmp_path, "worker", scheduler, *options) as one,
        Started(tmp_path, "worker", scheduler, *options) as two,
    ):
        from distributed import Client

        with Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        yield one, two


@pytest.fixture
def workers(scheduler, tmp_path):
    """Return two workers of the scheduler."""
    with working(scheduler, tmp_path) as two:
        yield two


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Return a file of dozens of blocks, some of whose records are rejected."""
    rng = np.random.default_rng(8)
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    with path.open("wb") as file:
        for place, row in enumerate((rng.normal(size=(60_000, 10)) * 3).tolist()):
            target = 10 if place % 9_973 == 0 else place % 10
            file.write(orjson.dumps({"id": place, "logits": row, "target": target}) + b"\n")
    return path


def test_a_cluster_gives_the_same_bytes_as_one_machine(scheduler, workers, rows):
    assert workers
    here, there = run("-j", "1", str(rows)), run("--scheduler", scheduler, str(rows))
    assert there.out == here.out
    assert (there.status, there.err) == (here.status, here.err)


def test_a_killed_worker_loses_no_record(scheduler, workers, rows, tmp_path):
    few = tmp_path / "few.jsonl"
    few.write_bytes(b"\n".join(rows.read_bytes().split(b"\n")[:5_000]) + b"\n")
    here = run("-j", "2", "--check", str(few))
    with subprocess.Popen(
        command("--scheduler", scheduler, "--check", str(few)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout
        first = process.stdout.read(1 << 16)
        os.killpg(workers[0].pid, signal.SIGKILL)
        out, err = process.communicate(timeout=300)
    assert first + out == here.out
    assert (process.returncode, err.decode()) == (here.status, here.err)


@pytest.mark.parametrize("of_arrays", [False, True])
def test_losing_the_scheduler_ends_the_run(rows, tmp_path, of_arrays):
    words = ["--check", str(rows)]
    if of_arrays:
        logits = np.random.default_rng(1).normal(size=(400_000, 50))
        np.savez(tmp_path / "a.npz", logits=logits, target=np.zeros(400_000, int))
        words = ["a.npz", "-o", "r.npz", "--label-smoothing", "0.1"]
    with (
        scheduling(tmp_path) as (process, address),
        working(address, tmp_path),
        subprocess.Popen(
            command(*words, "--scheduler", address),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd=tmp_path,
        ) as run_of_softgrad,
    ):
        # The file for the results, or the first result, shows that the work has begun.
        if of_arrays:
            wait_for(lambda: [*tmp_path.glob(".softgrad-*")])
        else:
            run_of_softgrad.stdout.read(1)
        process.kill()
        _, err = run_of_softgrad.communicate(timeout=120)
    # Rejected rows are reported before.
    *_, last = err.decode().splitlines()
    assert last == (
        f"softgrad: {address}: the scheduler was lost; "
        "the results end before the records that it had"
    )
    assert run_of_softgrad.returncode == 74
    assert not (tmp_path / "r.npz").exists()


def test_a_listener_that_is_not_a_scheduler_times_out():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        ended = subprocess.run(
            [sys.executable, "-c", IMPATIENT, "--scheduler", address],
            input=ROW.encode(),
            capture_output=True,
            env=environment(),
            timeout=60,
            check=False,
        )
    assert ended.returncode == 74
    assert f"softgrad: {address}: no Dask scheduler could be reached" in ended.stderr.decode()


def test_dask_s_own_log_is_silent(scheduler, workers):
    assert workers
    script = """if True:
        import logging, sys
        from softgrad.running.cluster import cluster

        with cluster(sys.argv[1]):
            logging.getLogger("distributed.client").warning("Couldn't gather 1 keys")
    """
    ended = subprocess.run(
        [sys.executable, "-c", script, scheduler], capture_output=True, timeout=60, check=True
    )
    assert ended.stderr == b""


def test_arrays_and_many_files_go_to_the_cluster_too(scheduler, workers, tmp_path):
    assert workers
    rng = np.random.default_rng(9)
    for name in ("a", "b"):
        logits, targets = rng.normal(size=(40_000, 20)), rng.integers(20, size=40_000)
        np.savez(tmp_path / f"{name}.npz", logits=logits, target=targets)
    files = ["a.npz", "b.npz"]
    assert run(*files, "--output-dir", "here", cwd=tmp_path).status == 0
    ended = run(*files, "--output-dir", "there", "--scheduler", scheduler, cwd=tmp_path)
    assert (ended.status, ended.err) == (0, "")
    for name in files:
        here, there = tmp_path / "here" / name, tmp_path / "there" / name
        assert there.read_bytes() == here.read_bytes()


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.npz"])
def test_workers_with_another_version_are_refused(scheduler, workers, tmp_path, name):
    assert workers
    (tmp_path / "rows.jsonl").write_text(ROW)
    np.savez(tmp_path / "rows.npz", logits=[[1.0, 2.0]], target=[0])
    # The process here claims to be another version than the workers.
    script = """if True:
        import sys
        from softgrad import version
        from softgrad.__main__ import main

        version.version_text = lambda: "softgrad 0.0.1, without the compiled kernel"
        sys.argv[0] = "softgrad"
        main()
    """
    words = [name, "--scheduler", scheduler, "-o", "results"]
    ended = subprocess.run(
        [sys.executable, "-c", script, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=300,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (74, "")
    assert ended.stderr == (
        f"softgrad: {scheduler}: results might differ: a worker has {run('--version').text.strip()}"
        ", and here it is softgrad 0.0.1, without the compiled kernel\n"
    )
    assert not (tmp_path / "results").exists()


def test_an_unreachable_scheduler_is_an_input_output_error():
    ended = subprocess.run(
        [sys.executable, "-c", IMPATIENT, "--scheduler", "tcp://127.0.0.1:9"],
        input=ROW,
        capture_output=True,
        env=environment(),
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (74, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("softgrad: tcp://127.0.0.1:9: no Dask scheduler could be reached: ")


def test_without_dask_the_error_says_how_to_install_it(tmp_path):
    (tmp_path / "distributed.py").write_text("raise ImportError")
    ended = run("--scheduler", "tcp://h:1", stdin=ROW, env={"PYTHONPATH": str(tmp_path)})
    assert ended.status == 2
    assert ended.err == "softgrad: --scheduler needs Dask: pip install 'softgrad[dask]'\n"
