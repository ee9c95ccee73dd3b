"""Runs of the command that are forked from a process that has imported it already.

Starting Python and importing the command takes ten times as long as most runs. The zygote imports
once and forks for each run. Tests of start-up itself start a new process instead. Runs with files
of tensors, or on a cluster, come from zygotes that have imported PyTorch or Dask too.

A test asks through `Forked`. A shell asks through the program that `script` writes.
"""

import atexit
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache, partial
from typing import Any

from support import hand_over

ZYGOTE = os.path.join(os.path.dirname(__file__), "zygote.py")
PIPE = subprocess.PIPE
WAIT_SECONDS = 120.0
KINDS = {"tensors": (".pt", ".safetensors"), "cluster": ("--scheduler",)}
"""The words by which runs of a special kind are known."""


@cache
def address(kind: str) -> str:
    """Start a zygote, for any runs or for those of a special kind, and return where it listens."""
    from support.command import environment

    folder = tempfile.TemporaryDirectory(prefix="zygote-")
    path = os.path.join(folder.name, kind)
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, ZYGOTE, path, kind, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        env=environment(),
    )
    theirs.close()
    assert ours.recv(1), "the zygote did not start"

    @atexit.register
    def end() -> None:
        # The zygote ends when this socket is closed.
        ours.close()
        process.wait()
        folder.cleanup()

    return path


def script(folder: os.PathLike[str]) -> None:
    """Write a program `softgrad` for shells: it hands its run to the zygote, and waits for it."""
    path = os.path.join(folder, "softgrad")
    words = [sys.executable, "-I", "-S", hand_over.__file__, address("any")]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    os.chmod(path, stat.S_IRWXU)


class Forked:
    """A run of the command, to be used as a `subprocess.Popen` is.

    `before` is Python to execute first, in place of what a test would change in its own process.
    """

    def __init__(
        self,
        *arguments: str,
        stdin: int = PIPE,
        stdout: int = PIPE,
        stderr: int = PIPE,
        cwd: object = None,
        env: dict[str, str] | None = None,
        start_new_session: bool = False,
        before: str = "",
    ) -> None:
        self.returncode: int | None = None
        self.stdin: Any
        self.stdout: Any
        self.stderr: Any
        given, mine, theirs = (stdin, stdout, stderr), [], []
        for place, descriptor in enumerate(given):
            ends = os.pipe() if descriptor == PIPE else (descriptor, descriptor)
            theirs.append(ends[place > 0])
            mine.append(ends[place == 0] if descriptor == PIPE else None)
        text = " ".join(arguments)
        kinds = (kind for kind, words in KINDS.items() if any(one in text for one in words))
        self._status, self.pid = hand_over.ask(
            address(next(kinds, "any")),
            [*arguments],
            theirs,
            cwd=str(cwd or os.getcwd()),
            env=env or {},
            session=start_new_session,
            before=before,
        )
        for descriptor, end in zip(given, theirs, strict=True):
            if descriptor == PIPE:
                os.close(end)
        self.stdin, self.stdout, self.stderr = (
            None if one is None else os.fdopen(one, mode)
            for one, mode in zip(mine, ("wb", "rb", "rb"), strict=True)
        )

    def wait(self, timeout: float = WAIT_SECONDS) -> int:
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                self.returncode = os.waitstatus_to_exitcode(int(self._status.recv(32)))
            except TimeoutError:
                self.kill()
                raise
            self._status.close()
        return self.returncode

    def communicate(self, data: bytes = b"", timeout: float = WAIT_SECONDS) -> tuple[bytes, bytes]:
        """Write the input, read both outputs to their ends, and wait for the end of the run."""
        outputs = [b"", b""]

        def read(place: int) -> None:
            outputs[place] = (self.stdout, self.stderr)[place].read()

        def write() -> None:
            with suppress(BrokenPipeError):
                self.stdin.write(data)
            _close(self.stdin)

        jobs = [partial(read, 0)] if self.stdout else []
        jobs += [partial(read, 1)] if self.stderr else []
        jobs += [write] if self.stdin and not self.stdin.closed else []
        threads = [threading.Thread(target=job) for job in jobs]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join()
        self.__exit__()
        return outputs[0], outputs[1]

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self.stdout, self.stderr, self.stdin):
            _close(file)
        self.wait()


def _close(file: Any) -> None:
    """Close a pipe, if there is one; nobody may be left to read what was written to it."""
    if file:
        with suppress(BrokenPipeError):
            file.close()
