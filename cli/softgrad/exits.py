"""The exit statuses of the command, for scripts to tell outcomes apart; and signals that end it."""

import signal
from enum import IntEnum

ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""The signals that end a run as Ctrl-C does: of who stops it, and of a terminal that is closed."""


class Exit(IntEnum):
    """Why the command ended; the worst of a run is the one returned."""

    OK = 0
    CHECK_FAILED = 1
    USAGE = 2
    REJECTED = 3
    BUG = 70
    IO_FAILED = 74
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class StoppedError(Exception):
    """The run cannot go on, and why, in the user's words."""

    def __init__(self, status: Exit, reason: str) -> None:
        super().__init__(reason)
        self.status = status
