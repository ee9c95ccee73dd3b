"""Fork runs of the command from a process that has imported it already.

Starting Python and importing the command takes ten times as long as most runs. The zygote imports
once and forks for each run. The child has its own pipes, folder and arguments, and exits as any run
does. Tests of the environment or of start-up itself start a new process instead. Runs with files of
tensors come from a second zygote, which has imported PyTorch too, where it is installed.
"""

import atexit
import importlib
import json
import os
import pkgutil
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from functools import cache

WAIT_SECONDS = 120
TENSORS = (".pt", ".safetensors")
OPTIONAL = ("softgrad.outputs.arrays.torch", "softgrad.outputs.arrays.safetensors")
"""Modules that import what may not be installed."""


@cache
def _zygote(kind: str) -> socket.socket:
    """Start a zygote, for any runs or for those with tensors.

    It ends when the other end of its socket is closed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    from support.command import environment

    process = subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno()), kind],
        pass_fds=[theirs.fileno()],
        env=environment(),
    )
    theirs.close()
    ours.settimeout(WAIT_SECONDS)

    @atexit.register
    def end() -> None:
        ours.close()
        process.wait()

    return ours


def run(
    arguments: tuple[str, ...], stdin: bytes, cwd: str, width: str | None = None
) -> tuple[int, bytes, bytes]:
    """Run the command; return its status, and what it wrote to standard output and error."""
    pipes = [os.pipe() for _ in range(3)]
    children = [pipes[0][0], pipes[1][1], pipes[2][1]]
    zygote = _zygote("tensors" if any(name in " ".join(arguments) for name in TENSORS) else "any")
    request = json.dumps([cwd, width, *arguments]).encode("utf-8", "surrogateescape")
    socket.send_fds(zygote, [request], children)
    for descriptor in children:
        os.close(descriptor)
    outputs: list[bytes] = [b"", b""]

    def read(place: int) -> None:
        with open(pipes[place + 1][0], "rb") as file:
            outputs[place] = file.read()

    def write() -> None:
        try:
            with open(pipes[0][1], "wb") as file:
                file.write(stdin)
        except BrokenPipeError:
            pass

    threads = [threading.Thread(target=read, args=(place,)) for place in (0, 1)]
    threads.append(threading.Thread(target=write))
    for thread in threads:
        thread.start()
    status = os.waitstatus_to_exitcode(int(zygote.recv(32)))
    for thread in threads:
        thread.join()
    return status, outputs[0], outputs[1]


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
    if kind == "tensors":
        with suppress(ImportError):
            for name in ("torch", "safetensors", *OPTIONAL):
                importlib.import_module(name)


def _serve(requests: socket.socket) -> None:
    """Fork for each request, until the other end is closed."""
    from softgrad.__main__ import main

    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1 << 20, 3)
        if not message:
            return
        child = os.fork()
        if child == 0:
            requests.close()
            for place, descriptor in enumerate(descriptors):
                os.dup2(descriptor, place)
                os.close(descriptor)
            cwd, width, *arguments = json.loads(message)
            os.chdir(cwd)
            if width:
                os.environ["COLUMNS"] = width
            sys.argv = ["softgrad", *arguments]
            main()
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        requests.send(str(status).encode())


if __name__ == "__main__":
    _import_all(sys.argv[2])
    _serve(socket.socket(fileno=int(sys.argv[1])))
