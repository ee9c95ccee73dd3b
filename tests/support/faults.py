"""Do the command harm at random moments, and count what becomes of its output.

`python tests/support/faults.py 1000` prints the table that stands in the guide. A run must end with
the status that the guide gives, leave the old file or the new one whole, no unfinished file and no
process; what came through a pipe is the beginning of the right output.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

from support.command import command, environment
from support.processes import open_files, wait_for

OLD = b"what an earlier run wrote"
LONGEST_SECONDS = 1.2
SHORTEST_SECONDS = 0.1
"""Before this Python may not have begun the program, whose way of ending is then Python's own."""


@dataclass(frozen=True)
class Job:
    """A command that does no harm, its input and what it gives."""

    words: list[str]
    source: str
    data: bytes
    expected: bytes


@dataclass
class Run:
    """A command that is to suffer, in a folder of its own."""

    job: Job
    folder: Path
    process: "subprocess.Popen[bytes]"
    rng: random.Random

    def wait(self) -> None:
        """Wait for a random moment, or the end."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.rng.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))


def to_the_command(number: int) -> Callable[[Run], None]:
    """Return what sends a signal to the command."""

    def harm(run: Run) -> None:
        run.wait()
        run.process.send_signal(number)

    return harm


def to_a_worker(number: int) -> Callable[[Run], None]:
    """Return what sends a signal to one of the command's processes, if there is any."""

    def harm(run: Run) -> None:
        run.wait()
        others = [one for one in processes_of(run.process.pid) if one != run.process.pid]
        if others:
            with suppress(ProcessLookupError):
                os.kill(run.rng.choice(others), number)

    return harm


def shorten(run: Run) -> None:
    """Shorten the input while the command reads it."""
    path = run.folder / run.job.source
    if wait_for(lambda: run.process.poll() is not None or str(path) in _files_of(run.process)):
        time.sleep(run.rng.uniform(0, 0.3))
        os.truncate(path, run.rng.randrange(len(run.job.data)))


def nothing(_: Run) -> None:
    """Do no harm; there is a limit to what the command may write."""


KINDS: dict[str, tuple[Callable[[Run], None], set[int]]] = {
    "SIGKILL to the command": (to_the_command(signal.SIGKILL), {-signal.SIGKILL}),
    "SIGTERM to the command": (to_the_command(signal.SIGTERM), {-signal.SIGTERM}),
    "SIGINT to the command": (to_the_command(signal.SIGINT), {130}),
    "SIGKILL to a worker": (to_a_worker(signal.SIGKILL), {70}),
    "SIGTERM to a worker": (to_a_worker(signal.SIGTERM), {70}),
    "a full disk": (nothing, {74}),
    "a closed pipe": (nothing, {141}),
    "a shortened input": (shorten, {74}),
}
"""What harms a run, and the statuses with which it may then end, if not with 0."""

WHOLE_NEW, WHOLE_OLD, BEGINNING = "new file", "old file", "beginning"


def jobs() -> list[Job]:
    """Return the commands, each of which takes about a second."""
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(12_000, 10)) * 3).round(6).tolist()
    lines = "".join(
        f'{{"id": {n}, "logits": {row}, "target": {n % 10}}}\n' for n, row in enumerate(rows)
    )
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "a.npy"), rng.normal(size=(60_000, 20)))
        arrays = Path(folder, "a.npy").read_bytes()
    of_records = ["rows.jsonl", "--label-smoothing", "0.1"]
    made = [
        ([*of_records, "-j", "1"], "rows.jsonl", lines.encode()),
        ([*of_records, "-j", "2"], "rows.jsonl", lines.encode()),
        (["a.npy", "-t", "3", "--label-smoothing", "0.1", "-f", "npz"], "a.npy", arrays),
    ]
    return [Job(words, source, data, _done(words, source, data)) for words, source, data in made]


def _done(words: list[str], source: str, data: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, source).write_bytes(data)
        subprocess.run(command(*words, "-o", "r"), cwd=folder, env=environment(), check=True)
        return Path(folder, "r").read_bytes()


def suffer(kind: str, job: Job, rng: random.Random) -> str:
    """Let a command suffer, and return what became of its output; AssertionError if it is wrong."""
    harm, statuses = KINDS[kind]
    is_piped = kind == "a closed pipe"
    had_one = rng.random() < 0.7
    limit = rng.randrange(len(job.expected)) if kind == "a full disk" else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / job.source).write_bytes(job.data)
        if had_one:
            (folder / "r").write_bytes(OLD)
        process = subprocess.Popen(
            command(*job.words, *([] if is_piped else ["-o", "r"])),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment(),
            start_new_session=True,
            preexec_fn=None if limit is None else lambda: _limit(limit),  # noqa: PLW1509
        )
        harm(Run(job, folder, process, rng))
        out = process.stdout.read(rng.randrange(len(job.expected))) if is_piped else b""
        if is_piped:
            process.stdout.close()
        err = process.stderr.read().decode()
        status = process.wait(60)
        what = f"{kind}, {job.words}: status {status}: {err}"
        assert status in {0, *statuses}, what
        assert wait_for(lambda: not processes_of(process.pid)), f"{what}: a process is left"
        if status < 0 or status in {130, 141}:
            assert err == "", what
        else:
            assert bool(err) == bool(status), what
        process.stderr.close()
        process.stdout.close()
        left = {path.name: path.read_bytes() for path in folder.iterdir()} | {job.source: b""}
        return _judged(left, job, status, what, out=out if is_piped else None, had_one=had_one)


def _judged(
    left: dict[str, bytes], job: Job, status: int, what: str, *, out: bytes | None, had_one: bool
) -> str:
    """Return what became of the output of a run, from the files that it left."""
    old = {job.source: b""} | ({"r": OLD} if had_one else {})
    if out is not None:
        assert out == job.expected[: len(out)], f"{what}: records were lost or doubled"
        assert left == old, f"{what}: {left.keys()}"
        return BEGINNING
    if left == {job.source: b"", "r": job.expected}:
        assert status <= 0 or status == 130, what
        return WHOLE_NEW
    assert left == old, f"{what}: left {sorted(left)}"
    assert status != 0, what
    return WHOLE_OLD


def processes_of(group: int) -> list[int]:
    """Return the processes of a group that are running; zombies are not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, of_group, *_ = path.read_text().rpartition(") ")[2].split()
            if int(of_group) == group and state != "Z":
                found.append(int(path.parent.name))
    return found


def _files_of(process: "subprocess.Popen[bytes]") -> dict[str, os.stat_result]:
    with suppress(FileNotFoundError, PermissionError, ProcessLookupError):
        return open_files(process.pid)
    return {}


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def suffer_often(count: int, seed: int) -> tuple[Counter[tuple[str, str]], list[str]]:
    """Return how often each output came of each kind of harm, and what went wrong."""
    rng, given = random.Random(seed), jobs()
    counts, wrong = Counter[tuple[str, str]](), []
    for number in range(count):
        kind = list(KINDS)[number % len(KINDS)]
        possible = [job for job in given if "-j" in job.words] if "pipe" in kind else given
        if "worker" in kind:
            possible = [job for job in given if job.words[-1] == "2"]
        try:
            counts[kind, suffer(kind, rng.choice(possible), rng)] += 1
        except (AssertionError, subprocess.TimeoutExpired) as error:
            wrong.append(f"{kind}: {error}")
    return counts, wrong


def table(counts: Counter[tuple[str, str]]) -> str:
    """Return the counts as a table of Markdown."""
    lines = [
        "| fault | old file whole | new file whole | beginning, in order |",
        "|---|---|---|---|",
    ]
    for kind in KINDS:
        cells = [counts[kind, what] or "" for what in (WHOLE_OLD, WHOLE_NEW, BEGINNING)]
        lines.append(f"| {kind} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    how_many, *seeds = map(int, sys.argv[1:])
    happened, problems = suffer_often(how_many, seeds[0] if seeds else 0)
    print(table(happened))
    print(*problems, f"{len(problems)} of {how_many} went wrong", sep="\n")
