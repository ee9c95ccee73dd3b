"""A byte stream, cut into blocks where a line or an object may end."""

import re
from io import BufferedReader

BLOCK_BYTES = 1 << 19
"""The bytes read at once: smaller blocks cost more calls, larger ones more memory."""

SMALL_BLOCK_BYTES = 1 << 16
"""The same for slow work, so that every core has something to do sooner."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

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

    def first_line(self) -> bytes:
        """Return the first line that is not blank, which stays in the stream.

        If it begins an array, or seems to have several objects, only its beginning: the line may be
        as long as the whole stream.
        """
        while (not self._pending or self._pending.isspace()) and self._read_more():
            pass
        start = self._pending.lstrip()
        if b"\n" not in start and not start.startswith(b"["):
            parts = [self._pending]
            while not _OBJECTS_IN_A_ROW.search(parts[-1]) and (data := self._read()):
                parts.append(data)
                if b"\n" in data:
                    break
            self._pending = b"".join(parts)
        return self._pending.lstrip().partition(b"\n")[0].rstrip()

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

    def _read_more(self) -> bool:
        data = self._read()
        self._pending += data
        return bool(data)

    def _read(self) -> bytes:
        return self._read_some(self._block_bytes)
