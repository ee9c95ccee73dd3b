"""Messages on standard error, and text that is safe to show there."""

import os
import sys
from contextlib import suppress

_STYLES = {"red": "31", "bold": "1"}


def say(message: str, style: str = "") -> None:
    """Write one line to standard error, in colour on a terminal unless NO_COLOR is set."""
    line = printable(message)
    if style and is_terminal() and not os.environ.get("NO_COLOR"):
        line = f"\x1b[{_STYLES[style]}m{line}\x1b[0m"
    # If standard error is closed or full, there is no place left to report that.
    with suppress(OSError, AttributeError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def is_terminal() -> bool:
    """Return whether standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def printable(text: str) -> str:
    """Return `text` with a replacement character for each character that does not print."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
