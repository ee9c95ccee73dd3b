"""What other processes are doing, as Linux tells it in /proc."""

import os
import time
from pathlib import Path

import pytest

linux = pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux's /proc")


def wait_for(condition):
    """Wait until a condition holds, and return what it gives; nothing if it takes too long."""
    for _ in range(6_000):
        if found := condition():
            return found
        time.sleep(0.005)
    return None


def children_of(process) -> list[int]:
    """Wait until the process has children, and return their numbers."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(30_000):
        if numbers := [int(number) for number in path.read_text().split()]:
            return numbers
        time.sleep(0.001)
    raise AssertionError("no process was started")


def is_running(number: int) -> bool:
    """Return whether a process is running; a zombie is not."""
    try:
        return ") Z " not in Path(f"/proc/{number}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def open_files(number: int) -> dict[str, os.stat_result]:
    """Return the files that a process has open, those without a name too."""
    files = {}
    for descriptor in Path(f"/proc/{number}/fd").iterdir():
        try:
            files[os.readlink(descriptor)] = descriptor.stat()
        except FileNotFoundError:
            continue
    return files


def unfinished(number: int, folder) -> list[int]:
    """Return the sizes of the files that a process writes in a folder before it puts them there."""
    return [
        state.st_size
        for name, state in open_files(number).items()
        if name.startswith(f"{folder}/") and (" (deleted)" in name or "/.softgrad-" in name)
    ]
