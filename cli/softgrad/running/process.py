"""What the process itself is told, for a long stream of records to pass through it fast."""

import gc
from contextlib import suppress

import numpy as np

PIPE_BYTES = 1 << 20


def prepare_for_stream() -> None:
    """Set collector, allocator and pipes up for many blocks of short-lived data."""
    # None of the data is cyclic: looking for cycles often costs time for nothing.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    # glibc gives the memory of each block back, page by page, only to ask for it again, until it
    # has once seen something large being freed; what is larger than 32 MiB does not count.
    np.empty(1 << 24, dtype=np.uint8)
    # A pipe of Linux holds 64 KiB, half a block, unless it is asked to hold more.
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        for descriptor in (0, 1):
            with suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
