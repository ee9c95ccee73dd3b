"""softgrad guide: the manual, a chapter at a time."""

import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from typing import Annotated, NamedTuple

import typer

from softgrad.commands.settings import Common
from softgrad.exits import Exit, UsageError

EXAMPLES = """[bold]Examples[/bold]
  softgrad guide
  softgrad guide verify
  softgrad guide loss > loss.md"""


@dataclass(frozen=True, kw_only=True)
class Settings(Common):
    """The options of `softgrad guide`."""

    chapter: Annotated[
        str | None, typer.Argument(metavar="[CHAPTER]", help="The chapter to show.")
    ] = None


class Chapter(NamedTuple):
    """A chapter of the manual."""

    name: str
    text: str

    @property
    def purpose(self) -> str:
        """The sentence below the title."""
        return self.text.split("\n\n", 2)[1].replace("\n", " ")


def chapters() -> list[Chapter]:
    """Return the chapters, in alphabetical order."""
    return [
        Chapter(path.name.removesuffix(".md"), path.read_text(encoding="utf-8"))
        for path in sorted(files("softgrad").joinpath("guide").iterdir(), key=lambda p: p.name)
        if path.name.endswith(".md")
    ]


def run(settings: Settings) -> Exit:
    """Show a chapter of the manual; without a name, list the chapters.

    A chapter is shown through the pager of the terminal, or written as Markdown to a pipe.
    """
    found = {chapter.name: chapter for chapter in chapters()}
    if settings.chapter is None:
        _show("".join(f"- `{chapter.name}`: {chapter.purpose}\n" for chapter in found.values()))
        return Exit.OK
    if settings.chapter not in found:
        close = get_close_matches(settings.chapter, found, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the chapters are {', '.join(found)}"
        raise UsageError(f"there is no chapter {settings.chapter!r}; {hint}")
    _show(found[settings.chapter].text, paged=True)
    return Exit.OK


def _show(text: str, *, paged: bool = False) -> None:
    """Write Markdown to a pipe, or draw it on a terminal."""
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    if not paged:
        console.print(Markdown(text))
        return
    # less shows colours only if it is told to.
    os.environ.setdefault("LESS", "-RF")
    with console.pager(styles=not os.environ.get("NO_COLOR")):
        console.print(Markdown(text))
