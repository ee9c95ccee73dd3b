"""The exit statuses of the command, for scripts to tell outcomes apart."""

from enum import IntEnum


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
