"""Run the command on a pseudo-terminal, and read what it shows there."""

import fcntl
import os
import pty
import re
import struct
import termios
from pathlib import Path

from support.forked import Forked


def on_terminal(
    *arguments: str,
    columns: int = 80,
    stdout: int | None = None,
    cwd: Path | None = None,
    **env: str,
) -> str:
    """Run the command on a terminal of its own and return what it shows there.

    With `stdout`, a file descriptor, its results go there, and the terminal shows the rest.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with Forked(
        *arguments,
        stdin=follower,
        stdout=follower if stdout is None else stdout,
        stderr=follower,
        env=env,
        cwd=cwd,
    ) as process:
        os.close(follower)
        shown = bytearray()
        while data := _read(leader):
            shown += data
    os.close(leader)
    assert process.returncode == 0, shown
    return shown.decode()


def without_escapes(shown: str) -> str:
    """Return what is shown without its escape codes."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)


def _read(leader: int) -> bytes:
    # On Linux, reading from a terminal that everybody has left is an error, not an end.
    try:
        return os.read(leader, 65536)
    except OSError:
        return b""
