"""Results -> text. A format is an entry of `Format` and a renderer; renderers write nothing."""

import shutil
from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol, TextIO

from softgrad.records.records import Defaults, Records
from softgrad.work import Batch
from softgrad_core.errors import InputError

PIPE_WIDTH = 80


class Format(StrEnum):
    """The formats of the output."""

    TABLE = "table"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    LATEX = "latex"
    HTML = "html"


class Renderer(Protocol):
    """Results -> text, with what stands before all of it, and after."""

    opening: bytes
    closing: bytes

    def accepted(self, records: Records, batch: Batch) -> bytes:
        """Return the text of the examples of a batch, one after another."""

    def rejected(self, records: Records, index: int, error: InputError) -> bytes:
        """Return the text that stands in the place of a record that was rejected."""


def renderer_for(
    chosen: Format,
    defaults: Defaults,
    screen: TextIO | None,
    fields: Sequence[str],
    *,
    standalone: bool,
) -> Renderer:
    """Return the renderer of a format; `screen` is what its text is shown on, if it is one.

    JSON Lines have these fields of the results, all others have all. LaTeX is a whole
    document where it is to stand alone.
    """
    match chosen:
        case Format.JSONL:
            from softgrad.outputs.json_lines import JsonLines

            return JsonLines(defaults, fields)
        case Format.MARKDOWN:
            from softgrad.outputs.documents.markdown import Markdown

            return Markdown()
        case Format.LATEX:
            from softgrad.outputs.documents.latex import Latex

            return Latex(standalone=standalone)
        case Format.HTML:
            from softgrad.outputs.documents.html import Html

            return Html()
        case Format.TABLE:
            return _terminal(screen)


def _terminal(screen: TextIO | None) -> Renderer:
    from softgrad.outputs.terminal import Terminal

    encoding = getattr(screen, "encoding", None) or "utf-8"
    if screen is None or not screen.isatty():
        return Terminal(shutil.get_terminal_size((PIPE_WIDTH, 0)).columns, encoding, colour=False)
    return Terminal(shutil.get_terminal_size().columns, encoding, colour=True)
