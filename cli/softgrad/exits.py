"""The exit statuses, by which scripts tell outcomes apart, and the signals that end a run."""

import signal
from enum import IntEnum

ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals that end a run as Ctrl-C does."""


class Exit(IntEnum):
    """Why the command ended. A run returns the worst status that it met: the largest."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    REJECTED = 3
    BUG = 70
    IO_FAILED = 74
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class StoppedError(Exception):
    """The run cannot go on, for a reason in the user's words."""

    def __init__(self, status: Exit, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class UsageError(StoppedError):
    """The command line asks for something that cannot be done."""

    def __init__(self, reason: str) -> None:
        super().__init__(Exit.USAGE, reason)
