"""The one place that writes results: standard output, or a file that is replaced in one step."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from softgrad.messages import say
from softgrad.outputs.replacement import Replacement

STANDARD_OUTPUT = (None, "-", "/dev/stdout")


class Output:
    """A binary output, to be used as a context.

    A regular file is replaced by `commit`; without that, it stays as it was. Devices and pipes are
    written to directly. What `commit` calls `after` that writes files that belong to this one.
    """

    def __init__(self, name: str | None) -> None:
        self.after: list[Callable[[], None]] = []
        self._name = name
        self._replacement: Replacement | None = None
        with self.named_errors():
            self._file = self._open(name)

    def _open(self, name: str | None) -> BinaryIO:
        if name in STANDARD_OUTPUT:
            return standard_output()
        path = Path(str(name))
        if path.exists() and not path.is_file():
            return path.open("wb")
        # Where the name is a link, it is the file behind it that is replaced.
        self._path = Path(os.path.realpath(path))
        self._replacement = Replacement(self._path)
        return self._replacement.file

    def __enter__(self) -> Self:
        return self

    def write(self, text: bytes | memoryview) -> None:
        """Write, so that who reads on has it at once."""
        with self.named_errors():
            self._file.write(text)
            self._file.flush()

    def seekable(self) -> BinaryIO:
        """Return the file for who writes not from beginning to end, or raise OSError."""
        if self._replacement is None:
            raise OSError(errno.ESPIPE, "arrays are written to a regular file", self._name)
        return self._file

    def commit(self) -> None:
        """Finish: move the file to its place, with the rights that it had there."""
        if self._replacement is None:
            return
        with self.named_errors():
            self._replacement.commit()
        self._replacement = None
        for write in self.after:
            write()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._replacement is None:
            return
        self._replacement.discard()
        if kind is None:
            what = "is left as it was" if self._path.exists() else "is not written"
            say(f"softgrad: {self._name} {what}")

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """Let errors bear the name of the output as the user gave it."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._name) from None


def standard_output() -> BinaryIO:
    """Return standard output, or raise OSError where the caller closed it."""
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    # Not sys.stdout.buffer, which writes a part only, and says so, where Python is unbuffered.
    return open(sys.stdout.fileno(), "wb", closefd=False)
