"""Results -> tables for people: numbers, sums to check, and bars for the eye."""

import io

from rich.console import Console

from softgrad.messages import printable
from softgrad.pipeline import Batch, Computed
from softgrad.records import Records
from softgrad.renderers.tables.style import Screen
from softgrad_core.errors import InputError

WIDER_THAN_ANY = 10_000


class Tables:
    """Renders tables as wide as what they are shown on."""

    def __init__(self, width: int, encoding: str, *, colour: bool) -> None:
        self._screen = Screen(width, _is_encodable("█▌▐→…", encoding))
        self._encoding = encoding
        self._colour = colour

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the tables of each record of the batch."""
        return b"".join(self._tables(records, batch, row) for row in range(len(batch.examples)))

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return a line that stands for the record."""
        line = f"{records.place(index)}: rejected: {error.reason}"
        return f"{printable(line)}\n\n".encode(self._encoding, "replace")

    def _tables(self, records: Records, batch: Batch, row: int) -> bytes:
        index = batch.examples.indices[row]
        place = "" if records.lines[index] is None else f"{printable(records.place(index))}: "
        page = _Page(self._encoding)
        console = Console(
            file=page,
            # Tables are made to fit; what does not fit overflows, and no number is broken.
            width=WIDER_THAN_ANY,
            force_terminal=self._colour,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        if isinstance(batch, Computed):
            from softgrad.renderers.tables.results import ResultTables

            ResultTables(batch, row, self._screen).draw(console, place)
        else:
            from softgrad.renderers.tables.verdicts import VerdictTables

            VerdictTables(batch, row, self._screen).draw(console, place)
        lines = (line.rstrip() for line in page.getvalue().split("\n"))
        return "\n".join(lines).encode(self._encoding, "replace")


class _Page(io.StringIO):
    """Text in memory for a screen of a given encoding, which rich draws boxes for."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


def _is_encodable(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
