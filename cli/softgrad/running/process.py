"""Settings of the process that let a long stream of records pass quickly."""

import gc
from contextlib import suppress

import numpy as np

PIPE_BYTES = 1 << 20


def prepare_for_stream() -> None:
    """Tune the collector, the allocator and the pipes for many blocks of short-lived data."""
    # None of the data is cyclic, so a frequent search for cycles is wasted time.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    # glibc returns the memory of each block to the system, only to ask for it again, until it has
    # seen a large block being freed. Blocks above 32 MiB do not count.
    np.empty(1 << 24, dtype=np.uint8)
    # A pipe of Linux holds 64 KiB, an eighth of a block, unless it is asked to hold more.
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        for descriptor in (0, 1):
            with suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
