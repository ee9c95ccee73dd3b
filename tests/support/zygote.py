"""The zygote: a process that has imported the command, and forks for each run.

`support.forked` starts it, and asks it for runs. The child has its own pipes, folder, environment
and arguments, and exits as any run does.
"""

import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
from contextlib import suppress

OPTIONAL = ("softgrad.outputs.arrays.torch", "softgrad.outputs.arrays.safetensors")
"""Modules that import what may not be installed."""

SPECIAL = {
    "any": (),
    "tensors": ("torch", "safetensors", *OPTIONAL),
    "cluster": ("distributed",),
}
"""What is imported too, for each kind of zygote."""

WARM = (
    ("2", "1", "0.1", "--target", "0", "--check"),
    ("verify", "2", "1", "0.1", "--target", "0", "--loss", "0.4"),
    ("explain", "2", "1", "0.1", "--target", "0"),
    ("--help",),
)
"""What the zygote runs before the first fork, for what is prepared at the first use."""

LENGTH = 1 << 20
"""The most bytes that a request may have."""


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
    with suppress(ImportError):
        for name in SPECIAL[kind]:
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


if __name__ == "__main__":
    place, kind, parent = sys.argv[1:]
    # The folder of this file holds modules that no run should find.
    del sys.path[0]
    _import_all(kind)
    _warm_up()
    _Zygote(place, socket.socket(fileno=int(parent))).serve()
