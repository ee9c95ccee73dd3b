"""The formats of the output. A format is an entry of `Format` and a renderer: results -> text."""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol, TextIO

from softgrad.records.records import Defaults, Records
from softgrad.work import Batch
from softgrad_core.errors import InputError

if TYPE_CHECKING:
    from softgrad.outputs.page.blocks import Block
    from softgrad.outputs.pictures import Pictures

PIPE_WIDTH = 80


class Format(StrEnum):
    """The formats of the output."""

    TABLE = "table"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    PANDOC = "pandoc"
    LATEX = "latex"
    HTML = "html"
    NPZ = "npz"
    SAFETENSORS = "safetensors"
    PT = "pt"

    @property
    def is_of_arrays(self) -> bool:
        """Whether it is a file of arrays, not text."""
        return self in {Format.NPZ, Format.SAFETENSORS, Format.PT}


class Renderer(Protocol):
    """Results -> text, with what stands before all of it, and after."""

    opening: bytes
    closing: bytes

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the text of the records of a batch, one after another."""

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return the text that stands in the place of a record that was rejected."""


class Pages(Renderer, Protocol):
    """A renderer that draws pages."""

    def page(self, blocks: "Iterable[Block]") -> bytes:
        """Return the text of the blocks of a page."""


@dataclass(frozen=True, slots=True)
class InOrder:
    """Renders a block of records in their order.

    With `only_failures`, only the records that failed or were rejected.
    """

    renderer: Renderer
    only_failures: bool

    def __call__(
        self, records: Records, batches: Sequence[Batch], errors: Mapping[int, InputError]
    ) -> bytes:
        """Return the text of a block."""
        return b"".join(self._texts(records, batches, errors))

    def _texts(
        self, records: Records, batches: Sequence[Batch], errors: Mapping[int, InputError]
    ) -> Iterator[bytes]:
        """Yield the texts, as much of one batch at once as there can be."""
        if len(batches) == 1 and not errors and not self.only_failures:
            yield self.renderer.accepted(records, batches[0])
            return
        # The index of a record, the number of its batch, or -1, and its row there.
        placed = [(index, -1, 0) for index in errors]
        for number, batch in enumerate(batches):
            rows = batch.failed if self.only_failures else range(len(batch.examples))
            placed += [(batch.examples.indices[row], number, row) for row in rows]
        for number, run in groupby(sorted(placed), key=itemgetter(1)):
            if number < 0:
                for index, _, _ in run:
                    yield self.renderer.rejected(records, index, errors[index])
            else:
                rows = [row for _, _, row in run]
                yield self.renderer.accepted(records, batches[number].part(rows))


def renderer_for(  # noqa: PLR0913 - what the formats differ in
    chosen: Format,
    defaults: Defaults,
    screen: TextIO | None,
    fields: Sequence[str],
    *,
    standalone: bool,
    moves: bool = False,
    pictures: "Pictures | None" = None,
) -> Renderer:
    """Return the renderer of a format.

    Parameters
    ----------
    chosen, defaults, fields
        The format; what the command line says; the results that JSON Lines have.
    screen
        What the text is shown on, where that is known.
    standalone, moves
        Whether LaTeX is a whole document, and whether HTML has a script that moves numbers.
    pictures
        Where Markdown puts pictures; None for letters.
    """
    if chosen is Format.JSONL:
        from softgrad.outputs.json.lines import JsonLines

        return JsonLines(defaults, fields)
    return pages_for(chosen, screen, standalone=standalone, moves=moves, pictures=pictures)


def pages_for(
    chosen: Format,
    screen: TextIO | None,
    *,
    standalone: bool,
    moves: bool = False,
    pictures: "Pictures | None" = None,
) -> Pages:
    """Return the renderer of a format of pages; see `renderer_for`."""
    match chosen:
        case Format.MARKDOWN:
            from softgrad.outputs.documents.markdown import Markdown

            return Markdown(pictures)
        case Format.PANDOC:
            from softgrad.outputs.documents.markdown import Pandoc

            return Pandoc(pictures)
        case Format.LATEX:
            from softgrad.outputs.documents.latex import Latex

            return Latex(standalone=standalone)
        case Format.HTML:
            from softgrad.outputs.documents.html import Html

            return Html(moves=moves)
        case _:
            return _terminal(screen)


def _terminal(screen: TextIO | None) -> Pages:
    from softgrad.outputs.terminal import Terminal

    encoding = getattr(screen, "encoding", None) or "utf-8"
    if screen is None or not screen.isatty():
        return Terminal(shutil.get_terminal_size((PIPE_WIDTH, 0)).columns, encoding, colour=False)
    return Terminal(shutil.get_terminal_size().columns, encoding, colour=True)
