"""The exit statuses, and the signals and errors that end a run."""

import errno
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals that end a run as Ctrl-C does."""


@contextmanager
def signals_wait() -> Iterator[None]:
    """Delay Ctrl-C, and what ends a run as it does: inside an import or a fork it would be lost."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *ENDINGS})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


class Exit(IntEnum):
    """Why the command ended. A run returns the largest status that it met."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    REJECTED = 3
    BUG = 70
    IO_FAILED = 74
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class StoppedError(Exception):
    """The run cannot go on; the reason is shown to the user."""

    def __init__(self, status: Exit, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class UsageError(StoppedError):
    """The command line asks for something that cannot be done."""

    def __init__(self, reason: str) -> None:
        super().__init__(Exit.USAGE, reason)


class InputFailedError(StoppedError):
    """One input cannot be used; the run can go on with the others."""


_FILES = "too many open files; raise the limit with ulimit -n, or use one process: -j 1"
_MEMORY = "out of memory; one process takes the least: -j 1"
_PROCESSES = "too many processes; raise the limit with ulimit -u, or use one: -j 1"

_SHORTAGES = {
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: _PROCESSES,
}
"""What the system is short of where it refuses more with these errors."""


def shortage(error: BaseException) -> str:
    """Return what ran out, and what to do about it; nothing if the error says no such thing."""
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return _PROCESSES
    return _SHORTAGES.get(getattr(error, "errno", None) or 0, "")
