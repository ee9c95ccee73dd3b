"""Fork runs of the command from a process that has imported it already.

Starting Python and importing the command takes ten times as long as most runs. The zygote imports
once and forks for each run. The child has its own pipes, folder, environment and arguments, and
exits as any run does. Tests of start-up itself start a new process instead. Runs with files of
tensors, or on a cluster, come from zygotes that have imported PyTorch or Dask too.

A test asks through `Forked`. A shell asks through the program that `script` writes.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import selectors
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

PIPE = subprocess.PIPE
WAIT_SECONDS = 120.0
OPTIONAL = ("softgrad.outputs.arrays.torch", "softgrad.outputs.arrays.safetensors")
"""Modules that import what may not be installed."""

SPECIAL = {
    "tensors": ((".pt", ".safetensors"), ("torch", "safetensors", *OPTIONAL)),
    "cluster": (("--scheduler",), ("distributed",)),
}
"""Kinds of runs, the words by which they are known, and what is imported for them."""

WARM = (
    ("2", "1", "0.1", "--target", "0", "--check"),
    ("verify", "2", "1", "0.1", "--target", "0", "--loss", "0.4"),
    ("explain", "2", "1", "0.1", "--target", "0"),
    ("--help",),
)
"""What the zygote runs before the first fork, for what is prepared at the first use."""

LENGTH = 1 << 20
"""The most bytes that a request may have."""


@cache
def address(kind: str) -> str:
    """Start a zygote, for any runs or for those of a special kind, and return where it listens."""
    from support.command import environment

    folder = tempfile.TemporaryDirectory(prefix="zygote-")
    path = os.path.join(folder.name, kind)
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, __file__, path, kind, str(theirs.fileno())],
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
    words = [sys.executable, "-I", "-S", __file__, address("any")]
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    os.chmod(path, stat.S_IRWXU)


def _ask(
    path: str, arguments: list[str], descriptors: list[int], **how: object
) -> tuple[socket.socket, int]:
    """Have the zygote fork a run; return the socket that will bring its status, and its number."""
    zygote = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    zygote.connect(path)
    request = json.dumps([how, arguments]).encode("utf-8", "surrogateescape")
    socket.send_fds(zygote, [request], descriptors)
    return zygote, int(zygote.recv(32))


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
        kinds = (kind for kind, (words, _) in SPECIAL.items() if any(one in text for one in words))
        self._status, self.pid = _ask(
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


def _import_all(kind: str) -> None:
    """Import what runs import, also what some of them import late."""
    import softgrad

    import softgrad_core

    for package in (softgrad, softgrad_core):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            # The compiled kernel is no module, though its name is that of one.
            if found.name not in OPTIONAL and "._" not in found.name:
                importlib.import_module(found.name)
    for name in ("numpy.random", "rich.markdown", "typer.rich_utils"):
        importlib.import_module(name)
    _, special = SPECIAL.get(kind, ((), ()))
    with suppress(ImportError):
        for name in special:
            importlib.import_module(name)


def _warm_up() -> None:
    """Run the command some times, its output nowhere."""
    from softgrad.commands.app import run_command

    kept = [os.dup(place) for place in range(3)]
    nowhere = os.open(os.devnull, os.O_RDWR)
    for place in range(3):
        os.dup2(nowhere, place)
    for words in WARM:
        sys.argv = ["softgrad", *words]
        with suppress(SystemExit):
            run_command()
        sys.stdout.flush()
    for place, descriptor in enumerate(kept):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.close(nowhere)
    # What is there already need not be looked through, nor copied, in each child.
    gc.collect()
    gc.freeze()


class _Zygote:
    """Forks for each request, and sends the number of the child and at last its status."""

    def __init__(self, path: str, parent: socket.socket) -> None:
        self.requests = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.requests.bind(path)
        self.requests.listen(16)
        self.parent = parent
        self.running: dict[int, socket.socket] = {}
        self.ended, wake_up = socket.socketpair()
        for end in (self.ended, wake_up):
            end.setblocking(False)
        self.wake_up = wake_up
        signal.set_wakeup_fd(wake_up.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        parent.send(b"!")

    def serve(self) -> None:
        """Serve until the parent closes its end."""
        selector = selectors.DefaultSelector()
        for one in (self.parent, self.requests, self.ended):
            selector.register(one, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if self.ended in ready:
                self.ended.recv(1024)
                self._report()
            if self.requests in ready:
                self._fork(*self.requests.accept())
            if self.parent in ready:
                return

    def _report(self) -> None:
        """Send the statuses of the children that have ended."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                with self.running.pop(found[0]) as client, suppress(OSError):
                    client.send(str(found[1]).encode())

    def _fork(self, client: socket.socket, _address: object) -> None:
        message, descriptors, _, _ = socket.recv_fds(client, LENGTH, 3)
        child = os.fork()
        if child == 0:
            self._run(message, descriptors, client)
        for descriptor in descriptors:
            os.close(descriptor)
        self.running[child] = client
        with suppress(OSError):
            client.send(str(child).encode())

    def _run(self, message: bytes, descriptors: list[int], client: socket.socket) -> None:
        """Be the command, in a child."""
        from softgrad.__main__ import main

        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        mine = (self.requests, self.parent, self.ended, self.wake_up, client)
        for one in (*mine, *self.running.values()):
            one.close()
        for place, descriptor in enumerate(descriptors):
            os.dup2(descriptor, place)
            os.close(descriptor)
        how, arguments = json.loads(message)
        os.chdir(how["cwd"])
        os.environ.update(how["env"])
        if how["session"]:
            os.setsid()
        sys.argv = ["softgrad", *arguments]
        exec(how["before"], {})  # noqa: S102 - it comes from a test
        main()


def _hand_over(path: str, arguments: list[str]) -> int:
    """Be the program of a shell: return the status of the run."""
    how = {"cwd": os.getcwd(), "env": dict(os.environ), "session": False, "before": ""}
    zygote, _ = _ask(path, arguments, [0, 1, 2], **how)
    return os.waitstatus_to_exitcode(int(zygote.recv(32)))


if __name__ == "__main__":
    if sys.flags.isolated:
        sys.exit(_hand_over(sys.argv[1], sys.argv[2:]))
    place, kind, parent = sys.argv[1:]
    # The folder of this file holds modules that no run should find.
    del sys.path[0]
    _import_all(kind)
    _warm_up()
    _Zygote(place, socket.socket(fileno=int(parent))).serve()
