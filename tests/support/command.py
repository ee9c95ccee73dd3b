"""Run the command as a process, as its users do."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from support.forked import WAIT_SECONDS, Forked

TIMEOUT_SECONDS = WAIT_SECONDS

# Where the tests run in the background they ignore Ctrl-C, and their children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# These would change the output, hide its buffering, or make every start compile softgrad again.
_UNSET = (
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR",
    "PYTHONUNBUFFERED",
    "PYTHONIOENCODING",
    "PYTHONDONTWRITEBYTECODE",
    "GITHUB_ACTIONS",
    "PY_COLORS",
    "PYTEST_ADDOPTS",
)

_LATE = {"COLUMNS", "NO_COLOR", "PAGER", "BROWSER", "PATH", "TMPDIR"}
"""The variables that a run reads when it needs them, after its imports."""


@dataclass(frozen=True)
class Ended:
    """How a run of the command ended."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of the output, each read as strict JSON."""
        return [json.loads(line, parse_constant=_refuse) for line in self.out.splitlines()]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "softgrad", *arguments]


def peak_of(*arguments: str, cwd: Any = None, stdin: str = "", status: int = 0) -> float:
    """Return the peak memory of a run that ends with this status, in MiB."""
    script = "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]);"
    script += (
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, file=sys.stderr);"
        "sys.exit(done.returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command(*arguments)],
        input=stdin.encode(),
        capture_output=True,
        env=environment(),
        check=False,
        cwd=cwd,
    )
    assert done.returncode == status, done.stderr
    return float(done.stderr.split()[-1])


def environment(**changes: str) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if name not in _UNSET}
    return {**plain, "TERM": "xterm-256color", **changes}


def run(
    *arguments: str,
    stdin: bytes | str = b"",
    env: Mapping[str, str] | None = None,
    cwd: object = None,
    is_new: bool = False,
) -> Ended:
    """Run `softgrad` with these arguments, its output and errors in pipes.

    The run is forked from the zygote, unless its environment has a say in how Python starts, or it
    is to be new.
    """
    text = stdin.encode() if isinstance(stdin, str) else stdin
    can_fork = (env or {}).keys() <= _LATE and not any("\0" in word for word in arguments)
    if can_fork and not is_new:
        with Forked(*arguments, cwd=cwd, env=dict(env or {})) as process:
            out, err = process.communicate(text)
        return Ended(process.wait(), out, err.decode(errors="replace"))
    done = subprocess.run(
        command(*arguments),
        input=text,
        capture_output=True,
        env=environment(**(env or {})),
        cwd=cwd,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def lines_of(*values: object) -> str:
    """Return the values as JSON Lines."""
    return "".join(json.dumps(value) + "\n" for value in values)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def shell(script: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a shell script in which $softgrad is the command."""
    return subprocess.run(
        ["bash", "-c", script],
        input=stdin,
        capture_output=True,
        env=environment(softgrad=" ".join(command())),
        check=False,
    )


def assert_full_disk_is_74(folder: Any, ending: str) -> None:
    """Write results of arrays to a file that may not grow so large: nothing is left of it."""
    np.save(folder / "a.npy", np.zeros((3_000, 20)))
    for kilobytes in (1, 100, 1_000):
        # Without this Python would leave half of a compiled module.
        script = f"cd {folder}; export PYTHONDONTWRITEBYTECODE=1; ulimit -f {kilobytes};"
        done = shell(f"{script} $softgrad a.npy -t 0 -o r.{ending}")
        assert done.returncode == 74, done.stderr
        assert done.stderr.decode() == f"softgrad: r.{ending}: {os.strerror(errno.EFBIG)}\n"
        assert os.listdir(folder) == ["a.npy"]
