"""Results -> text. A format is an entry of `Format` and a renderer; renderers write nothing."""

import shutil
from collections.abc import Sequence
from enum import StrEnum
from typing import TextIO

from softgrad.pipeline import Renderer
from softgrad.records import Defaults

PIPE_WIDTH = 80


class Format(StrEnum):
    """The formats of the output."""

    TABLE = "table"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    LATEX = "latex"
    HTML = "html"


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
            from softgrad.renderers.jsonl import JsonLines

            return JsonLines(defaults, fields)
        case Format.MARKDOWN:
            from softgrad.renderers.markdown import Markdown

            return Markdown()
        case Format.LATEX:
            from softgrad.renderers.latex import Latex

            return Latex(standalone=standalone)
        case Format.HTML:
            from softgrad.renderers.html import Html

            return Html()
        case Format.TABLE:
            return _terminal(screen)


def _terminal(screen: TextIO | None) -> Renderer:
    from softgrad.renderers.terminal import Terminal

    encoding = getattr(screen, "encoding", None) or "utf-8"
    if screen is None or not screen.isatty():
        return Terminal(shutil.get_terminal_size((PIPE_WIDTH, 0)).columns, encoding, colour=False)
    return Terminal(shutil.get_terminal_size().columns, encoding, colour=True)
