"""Settings of the process itself that let a long stream of records pass fast."""

import gc
from contextlib import suppress

import numpy as np

PIPE_BYTES = 1 << 20


def prepare_for_stream() -> None:
    """Set the collector, the allocator and pipes up for many blocks of short-lived data."""
    # None of the data is cyclic, so searching for cycles often is wasted time.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    # glibc returns the memory of each block to the system, only to ask for it again, until it has
    # seen something large being freed. What is larger than 32 MiB does not count.
    np.empty(1 << 24, dtype=np.uint8)
    # A pipe of Linux holds 64 KiB, an eighth of a block, unless it is asked to hold more.
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        for descriptor in (0, 1):
            with suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
