"""Whether a file is still what it was when it was opened."""

import os
import stat
from typing import IO, Any


class Unchanged:
    """What is known of an open file, to be compared with what is known of it later.

    Pipes and devices never count as changed.
    """

    def __init__(self, file: IO[Any]) -> None:
        self._descriptor = file.fileno()
        self._before = os.fstat(self._descriptor)

    def broken_by(self) -> str:
        """Return how the file has changed; nothing if it has not."""
        before, now = self._before, os.fstat(self._descriptor)
        if not stat.S_ISREG(before.st_mode):
            return ""
        if now.st_size != before.st_size:
            sizes = f"from {before.st_size:,} to {now.st_size:,} bytes"
            return f"it changed while it was read, {sizes}; run again when nothing writes to it"
        if now.st_mtime_ns != before.st_mtime_ns:
            return "it changed while it was read; run again when nothing writes to it"
        return ""
