"""A new file that takes the place of another one in one step, or leaves nothing behind."""

import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl


class Replacement:
    """An unfinished file in the folder of the one that it is to replace.

    On Linux it has no name on most file systems, so that it is gone however the process ends. It
    gets one only for the moment in which it replaces an older file. Elsewhere it always has one.
    The next run that writes the same file removes what a killed one has left under such a name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name: Path | None = None
        self.file = _nameless(path.parent) or self._named()

    def commit(self) -> None:
        """Finish: move the file to its place, with the rights that the older one has there."""
        with suppress(OSError):
            mode = self._path.stat().st_mode
            os.chmod(self._name or self.file.fileno(), mode)  # noqa: PTH101 - it may have no path
        with ExitStack() as held:
            descriptor = -1
            if sys.platform != "win32":
                # Closing may report that something was not written, and would end the lock.
                descriptor = os.dup(self.file.fileno())
                held.callback(os.close, descriptor)
            self.file.close()
            if self._name is None and not os.path.lexists(self._path):
                with suppress(FileExistsError):
                    _link(descriptor, self._path)
                    return
            names = _free_names(self._path)
            while self._name is None:
                self._name = next(names)
                try:
                    _link(descriptor, self._name)
                except FileExistsError:
                    self._name = None
            self._name.replace(self._path)
            self._name = None

    def discard(self) -> None:
        """Remove the file, if it has a name."""
        with suppress(OSError):
            self.file.close()
        if self._name is not None:
            self._name.unlink(missing_ok=True)

    def _named(self) -> BinaryIO:
        """Return the file, with a name that no other run takes away."""
        for name in _free_names(self._path):
            self._name = name
            try:
                file = name.open("x+b")
            except FileExistsError:
                continue
            if sys.platform == "win32":
                return file
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            # Another run may have taken it for an abandoned one before it was locked.
            with suppress(FileNotFoundError):
                if os.path.samestat(name.stat(), os.fstat(file.fileno())):
                    return file
            file.close()
        raise AssertionError("there is always one more name")


def _nameless(folder: Path) -> BinaryIO | None:
    """Return a new file without a name, if the file system has such files."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
    except OSError:
        return None
    file = os.fdopen(descriptor, "w+b")
    if not os.path.exists(_place_of(descriptor)):  # noqa: PTH110 - no path of ours
        file.close()
        return None
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _place_of(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _link(descriptor: int, name: Path) -> None:
    """Give an open file a name."""
    # Any folder makes Python follow the link; its number is not looked at.
    os.link(_place_of(descriptor), name, src_dir_fd=descriptor, follow_symlinks=True)


def _free_names(path: Path) -> Iterator[Path]:
    """Yield names for the unfinished file, without those that other runs are using."""
    mark = zlib.crc32(os.fsencode(path.name))
    for number in count():
        name = path.with_name(f".softgrad-{mark:08x}-{number}.part")
        if _is_free(name):
            yield name


def _is_free(name: Path) -> bool:
    """Return whether there is no file of this name; one that no run is using is removed."""
    try:
        if sys.platform == "win32":
            # Windows removes no file that is open.
            name.unlink()
            return True
        with name.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            name.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
