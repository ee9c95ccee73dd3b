"""A byte stream cut into blocks that end where a line, or an object, may end."""

from io import BufferedReader

BLOCK_BYTES = 1 << 19
"""What is read at once: smaller blocks cost more calls and messages, larger ones more memory."""

SMALL_BLOCK_BYTES = 1 << 16
"""The same where each record takes long: there is something for every core sooner."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

LINES = b"\n"
LINES_AND_OBJECTS = b"\n}"


class BlockStream:
    """Blocks of `file`, as soon as they arrive.

    A byte-order mark at the very start is passed over.
    """

    def __init__(self, file: BufferedReader, block_bytes: int = BLOCK_BYTES) -> None:
        self._file = file
        self._block_bytes = block_bytes
        self._pending = b""
        while len(self._pending) < len(BYTE_ORDER_MARK) and self._read_more():
            pass
        self._pending = self._pending.removeprefix(BYTE_ORDER_MARK)

    def first_line(self) -> bytes:
        """Return the first line that is not blank, which is still to be taken.

        Of one that begins an array, which may be as long as the whole stream, the beginning.
        """
        while (not self._pending or self._pending.isspace()) and self._read_more():
            pass
        start = self._pending.lstrip()
        if b"\n" not in start and not start.startswith(b"["):
            parts = [self._pending]
            while (data := self._read()) and b"\n" not in data:
                parts.append(data)
            self._pending = b"".join([*parts, data])
        return self._pending.lstrip().partition(b"\n")[0].rstrip()

    def take(self, ends: bytes) -> bytes:
        """Return the next block, which ends after one of the bytes `ends`.

        The last one of the stream may end anywhere; after it there is nothing.
        """
        parts = [self._pending]
        self._pending = b""
        while (end := _end_of(parts[-1], ends)) == 0 and (data := self._read()):
            parts.append(data)
        if end:
            self._pending = parts[-1][end:]
            parts[-1] = parts[-1][:end]
        return b"".join(parts)

    def _read_more(self) -> bool:
        data = self._read()
        self._pending += data
        return bool(data)

    def _read(self) -> bytes:
        return self._file.read1(self._block_bytes)


def _end_of(data: bytes, ends: bytes) -> int:
    """Return the place after the last of the bytes `ends`, or 0."""
    return max(data.rfind(end) for end in ends) + 1
