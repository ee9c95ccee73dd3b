"""A Dask cluster gives the same bytes as one machine, even where a worker dies."""

import os
import signal
import socket
import time
from contextlib import contextmanager

import numpy as np
import orjson
import pytest
from support.command import run
from support.dasks import Started
from support.forked import Forked
from support.processes import unfinished

ROW = '{"logits": [1.0, 2.0], "target": 0}'

IMPATIENT = "from softgrad.running import cluster; cluster.CONNECT_SECONDS = 0.5"


def wait_for(condition):
    for _ in range(2400):
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it takes too long")


@contextmanager
def scheduling(folder):
    """Yield a scheduler's process and its address."""
    path = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with Started(folder, "scheduler", *options, "--scheduler-file", str(path)) as process:
        wait_for(lambda: path.exists() and path.stat().st_size)
        yield process, orjson.loads(path.read_bytes())["address"]


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


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Return the address of a scheduler with two workers."""
    folder = tmp_path_factory.mktemp("dask")
    with scheduling(folder) as (_, address), working(address, folder):
        yield address


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Return a file of a dozen blocks, with records among them that are rejected."""
    rng = np.random.default_rng(8)
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    with path.open("wb") as file:
        for place, row in enumerate((rng.normal(size=(30_000, 10)) * 3).tolist()):
            target = 10 if place % 9_973 == 0 else place % 10
            file.write(orjson.dumps({"id": place, "logits": row, "target": target}) + b"\n")
    return path


def test_a_cluster_gives_the_same_bytes_as_one_machine(scheduler, rows):
    here, there = run("-j", "1", str(rows)), run("--scheduler", scheduler, str(rows))
    assert there.out == here.out
    assert (there.status, there.err) == (here.status, here.err)


def test_a_worker_that_is_killed_costs_no_record(rows, tmp_path):
    few = tmp_path / "few.jsonl"
    few.write_bytes(b"\n".join(rows.read_bytes().split(b"\n")[:2_000]) + b"\n")
    here = run("-j", "2", "--check", str(few))
    with (
        scheduling(tmp_path) as (_, address),
        working(address, tmp_path) as (worker, _),
        Forked("--scheduler", address, "--check", str(few), cwd=tmp_path) as process,
    ):
        first = process.stdout.read(1 << 16)
        os.killpg(worker.pid, signal.SIGKILL)
        out, err = process.communicate(timeout=300)
    assert first + out == here.out
    assert (process.returncode, err.decode()) == (here.status, here.err)


def test_a_scheduler_that_is_lost_ends_the_run(rows, tmp_path):
    logits = np.random.default_rng(1).normal(size=(200_000, 50))
    np.savez(tmp_path / "a.npz", logits=logits, target=np.zeros(200_000, int))
    options = ["-o", "r.npz", "--label-smoothing", "0.1"]
    with (
        scheduling(tmp_path) as (process, address),
        working(address, tmp_path),
        Forked("--check", str(rows), "--scheduler", address, cwd=tmp_path) as of_records,
        Forked("a.npz", *options, "--scheduler", address, cwd=tmp_path) as of_arrays,
    ):
        # The first result, or the unfinished file, shows that the work has begun.
        of_records.stdout.read(1)
        wait_for(lambda: unfinished(of_arrays.pid, tmp_path))
        process.kill()
        for ended in (of_records, of_arrays):
            _, err = ended.communicate(timeout=120)
            # Messages about rejected rows come first.
            *_, last = err.decode().splitlines()
            assert last == (
                f"softgrad: {address}: the scheduler was lost; "
                "the results end before the records that it had"
            )
            assert ended.returncode == 74
    assert not (tmp_path / "r.npz").exists()


def test_a_cluster_without_workers_is_waited_for_and_then_given_up(tmp_path):
    with scheduling(tmp_path) as (_, address):
        options = ["--scheduler", address, "--worker-timeout", "0.5", "-o", "r.jsonl"]
        ended = run(*options, stdin=ROW, cwd=tmp_path)
        assert ended.status == 74
        assert ended.err == (
            f"softgrad: {address}: no workers; waiting 0.5 s for one\n"
            f"softgrad: {address}: no worker came within 0.5 s (--worker-timeout); the results end "
            "before the records that are left\n"
        )
        assert not (tmp_path / "r.jsonl").exists()
        # Those that come in time do the work.
        with Forked("--scheduler", address, "rows", cwd=tmp_path) as process:
            (tmp_path / "rows").write_text(ROW)
            note = process.stderr.readline().decode()
            assert note == f"softgrad: {address}: no workers; waiting 300 s for one\n"
            with working(address, tmp_path):
                out, err = process.communicate(timeout=60)
        assert (process.returncode, b'"loss"' in out, err) == (0, True, b"")


def test_workers_that_all_die_are_waited_for_and_then_given_up(rows, tmp_path):
    options = ["--check", str(rows), "--worker-timeout", "1"]
    with (
        scheduling(tmp_path) as (_, address),
        working(address, tmp_path) as workers,
        Forked(*options, "--scheduler", address, cwd=tmp_path) as process,
    ):
        process.stdout.read(1)
        for worker in workers:
            os.killpg(worker.pid, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 74
    assert f"softgrad: {address}: no workers; waiting 1 s for one\n" in err.decode()
    assert f"softgrad: {address}: no worker came within 1 s " in err.decode()


def test_connecting_to_something_that_never_answers_times_out():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with Forked("--scheduler", address, before=IMPATIENT) as process:
            _, err = process.communicate(ROW.encode())
    assert process.returncode == 74
    assert f"softgrad: {address}: no Dask scheduler could be reached" in err.decode()


def test_dask_s_own_warnings_are_not_shown(scheduler):
    script = """
import logging, os, sys
from softgrad.running.cluster import cluster

with cluster(sys.argv[1], 60.0):
    logging.getLogger("distributed.client").warning("Couldn't gather 1 keys")
os._exit(0)
"""
    with Forked(scheduler, before=script) as process:
        _, err = process.communicate()
    assert (process.returncode, err) == (0, b"")


def test_arrays_in_many_files_are_computed_on_the_cluster_too(scheduler, tmp_path):
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
def test_workers_with_another_softgrad_are_refused(scheduler, tmp_path, name):
    (tmp_path / "rows.jsonl").write_text(ROW)
    np.savez(tmp_path / "rows.npz", logits=[[1.0, 2.0]], target=[0])
    # This process claims to be another version than the workers are.
    other = """
from softgrad.running import cluster

cluster.version_text = lambda: "softgrad 0.0.1, without the compiled kernel"
"""
    words = [name, "--scheduler", scheduler, "-o", "results"]
    with Forked(*words, cwd=tmp_path, before=other) as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (74, b"")
    assert err.decode() == (
        f"softgrad: {scheduler}: results might differ: a worker has {run('--version').text.strip()}"
        ", and here it is softgrad 0.0.1, without the compiled kernel\n"
    )
    assert not (tmp_path / "results").exists()


def test_a_scheduler_that_is_not_there_is_reported():
    with Forked("--scheduler", "tcp://127.0.0.1:9", before=IMPATIENT) as process:
        out, err = process.communicate(ROW.encode())
    assert (process.returncode, out) == (74, b"")
    [line] = err.decode().splitlines()
    assert line.startswith("softgrad: tcp://127.0.0.1:9: no Dask scheduler could be reached: ")


def test_a_missing_dask_is_reported_with_the_command_that_installs_it(tmp_path):
    (tmp_path / "distributed.py").write_text("raise ImportError")
    ended = run("--scheduler", "tcp://h:1", stdin=ROW, env={"PYTHONPATH": str(tmp_path)})
    assert ended.status == 2
    assert ended.err == "softgrad: --scheduler needs Dask: pip install 'softgrad[dask]'\n"
