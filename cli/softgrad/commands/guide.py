"""softgrad guide: the manual, a chapter at a time."""

import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from typing import Annotated

import typer

from softgrad.commands.settings import Common
from softgrad.exits import Exit, UsageError
from softgrad.outputs.file import Output

_CHAPTER = typer.Argument(metavar="[CHAPTER]", help="The chapter to show.")

EXAMPLES = """[bold]Examples[/bold]
  softgrad guide
  softgrad guide verify
  softgrad guide loss > loss.md"""


@dataclass(frozen=True, kw_only=True)
class Settings(Common):
    """The options of `softgrad guide`."""

    chapter: Annotated[str | None, _CHAPTER] = None


def run(settings: Settings) -> Exit:
    """Show a chapter of the manual; without a name, list the chapters.

    A chapter is shown through the pager of the terminal, or written as Markdown to a pipe.
    """
    folder = files("softgrad").joinpath("guide")
    chapters = {
        path.name.removesuffix(".md"): path.read_text(encoding="utf-8")
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if path.name.endswith(".md")
    }
    name = settings.chapter
    if name is None:
        # The sentence below the title of a chapter says what it is for.
        purposes = {name: text.split("\n\n", 2)[1] for name, text in chapters.items()}
        listed = (f"- `{name}`: {what}".replace("\n", " ") for name, what in purposes.items())
        _show("".join(f"{line}\n" for line in listed))
        return Exit.OK
    if name not in chapters:
        close = get_close_matches(name, chapters, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"the chapters are {', '.join(chapters)}"
        raise UsageError(f"there is no chapter {name!r}; {hint}")
    _show(chapters[name], paged=True)
    return Exit.OK


def _show(text: str, *, paged: bool = False) -> None:
    """Write Markdown to a pipe, or draw it on a terminal."""
    if sys.stdout is None or not sys.stdout.isatty():
        with Output(None) as output:
            output.write(text.encode())
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
