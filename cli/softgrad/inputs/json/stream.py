"""A byte stream, cut into blocks where a line or an object may end."""

import re
from collections.abc import Callable
from io import BufferedReader

BLOCK_BYTES = 1 << 19
"""The bytes read at once: smaller blocks cost more calls, larger ones more memory."""

SMALL_BLOCK_BYTES = 1 << 16
"""The same for slow work, so that every core has something to do sooner."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

LONG_LINE_BYTES = 1 << 20
"""A line with several objects that is longer than this is read object by object."""

LONGEST_LINE_BYTES = 1 << 26
"""The same for any line: it may be damage, or no text at all, without an end."""

MOST_BETWEEN = 1 << 8
"""How much of the part before is looked at for the end of an object."""

_OBJECTS_IN_A_ROW = re.compile(rb"\}[ \t\r]*\{")

LINES = b"\n"
LINES_AND_OBJECTS = b"\n}"


class BlockStream:
    """The blocks of a file; a byte-order mark at its start is skipped.

    They come as soon as their bytes arrive; or, if `are_full`, when there are enough of these, so
    that it does not matter how they arrive.
    """

    def __init__(
        self, file: BufferedReader, block_bytes: int = BLOCK_BYTES, *, are_full: bool = False
    ) -> None:
        self._read_some = file.read if are_full else file.read1
        self._block_bytes = block_bytes
        self._pending = b""
        while len(self._pending) < len(BYTE_ORDER_MARK) and self._read_more():
            pass
        self._pending = self._pending.removeprefix(BYTE_ORDER_MARK)

    def first_line(self, is_enough: Callable[[bytes], bool] = bool) -> bytes:
        """Return the first line that is not blank, which stays in the stream.

        If it begins an array, seems to have several objects of which there is enough, or is very
        long and no object, only its beginning: the line may be as long as the whole stream.
        """
        while (not self._pending or self._pending.isspace()) and self._read_more():
            pass
        start, least = self._pending.lstrip(), 0
        blank = self._pending[: len(self._pending) - len(start)]
        most = None if start.startswith(b"{") else LONGEST_LINE_BYTES
        while b"\n" not in start and not start.startswith(b"["):
            size = len(start)
            start = self._to_end_of_line(start, least, most)
            if is_enough(start) or (least and len(start) == size):
                break
            least = 2 * len(start) + 1
        self._pending = blank + start
        return b"".join(start.partition(b"\n")[:2])

    def take(self, ends: bytes) -> bytes:
        """Return the next block, up to one of the bytes `ends`; nothing after the last block."""
        parts = [self._pending]
        self._pending = b""
        while not (end := max(parts[-1].rfind(byte) for byte in ends) + 1):
            if not (data := self._read()):
                return b"".join(parts)
            parts.append(data)
        self._pending = parts[-1][end:]
        parts[-1] = parts[-1][:end]
        return b"".join(parts)

    def take_lines(self) -> bytes:
        """Return the next whole lines, or else the beginning of a long one."""
        text = self._to_end_of_line(self._pending, LONG_LINE_BYTES, LONGEST_LINE_BYTES)
        end = text.rfind(b"\n") + 1 or len(text)
        self._pending = text[end:]
        return text[:end]

    def take_rest_of_line(self) -> bytes:
        """Return the next part of a line, up to its end at most; nothing after the last byte."""
        text = self._pending or self._read()
        end = text.find(b"\n") + 1 or len(text)
        self._pending = text[end:]
        return text[:end]

    def _to_end_of_line(self, beginning: bytes, least: int, most: int | None) -> bytes:
        """Return what follows up to the end of a line, perhaps with others.

        It ends earlier where so many bytes have several objects, or it has the most.
        """
        parts, size, is_row = [beginning], len(beginning), False
        while b"\n" not in parts[-1] and (most is None or size < most):
            # One may end with a part, and the next begin with the following one.
            latest = parts[-2][-MOST_BETWEEN:] + parts[-1] if parts[1:] else beginning
            is_row = is_row or _OBJECTS_IN_A_ROW.search(latest) is not None
            if (is_row and size >= least) or not (data := self._read()):
                break
            parts.append(data)
            size += len(data)
        return b"".join(parts)

    def _read_more(self) -> bool:
        data = self._read()
        self._pending += data
        return bool(data)

    def _read(self) -> bytes:
        return self._read_some(self._block_bytes)
