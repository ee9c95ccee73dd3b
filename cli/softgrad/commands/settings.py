"""The options of the commands: what each is called, and what the help says of it.

A command has a settings class, made of the groups that it needs. `command_of` turns the class into
the parameters that Typer reads.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, fields
from typing import Annotated, Any, get_type_hints

import typer

from softgrad.exits import Exit
from softgrad.outputs.formats import Format
from softgrad.version import version_text
from softgrad_core.loss.options import OPTIONS


def option(*names: str, metavar: str = "", help: str, panel: str) -> Any:  # noqa: A002 - as Typer
    """Return an option of Typer."""
    return typer.Option(*names, metavar=metavar or None, help=help, rich_help_panel=panel)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_text())
        raise typer.Exit


@dataclass(frozen=True, kw_only=True)
class Common:
    """What every command has."""

    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a bug in softgrad.")
    ] = False
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True),
    ] = False


@dataclass(frozen=True, kw_only=True)
class Input(Common):
    """What is read: the same for every command that takes numbers.

    `loss` holds the options of the loss that are given, as text, or True for a flag.
    """

    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[LOGITS... | FILES...]",
            # What they may be is said in the text of each command.
            hidden=True,
        ),
    ] = None
    target: Annotated[
        str | None,
        option(
            *("--target", "-t"),
            metavar="Y",
            help="Class index or name, or probabilities.",
            panel="Input",
        ),
    ] = None
    classes: Annotated[
        str | None,
        option("--classes", metavar="NAME,…", help="The names of the classes.", panel="Input"),
    ] = None
    loss: Mapping[str, str | bool]


@dataclass(frozen=True, kw_only=True)
class Results:
    """How results are written, and where."""

    format: Annotated[
        str | None,
        option(
            *("--format", "-f"),
            metavar="FORMAT",
            help=f"{', '.join(form for form in Format if form is not Format.NPZ)}.",
            panel="Output",
        ),
    ] = None
    json: Annotated[bool, option("--json", help="Short for --format jsonl.", panel="Output")] = (
        False
    )
    standalone: Annotated[
        bool, option("--standalone", help="Write a whole LaTeX document.", panel="Output")
    ] = False
    output: Annotated[
        str | None,
        option(
            *("--output", "-o"),
            metavar="FILE",
            help="Replace FILE, in one step.",
            panel="Output",
        ),
    ] = None
    output_dir: Annotated[
        str | None,
        option(
            "--output-dir",
            metavar="DIR",
            help="One file of results for each input.",
            panel="Output",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Running:
    """How a run goes."""

    fail_fast: Annotated[
        bool, option("--fail-fast", help="Stop after the first failure.", panel="Run")
    ] = False
    jobs: Annotated[
        str | None,
        option(
            *("--jobs", "-j"),
            metavar="N",
            help="Work on N cores, 0 for all.",
            panel="Run",
        ),
    ] = None
    scheduler: Annotated[
        str | None,
        option("--scheduler", metavar="ADDRESS", help="Work on a Dask cluster.", panel="Run"),
    ] = None


def command_of(settings: type[Any], run: Callable[[Any], int]) -> Callable[..., None]:
    """Return the function that Typer makes a command of: its parameters are the settings' fields.

    The options of the loss come from their table in the core.
    """

    def call(context: typer.Context, **words: Any) -> None:
        if "inputs" in words and not words["inputs"] and (sys.stdin is None or sys.stdin.isatty()):
            with redirect_stdout(sys.stderr):
                typer.echo(context.get_help())
            raise typer.Exit(Exit.USAGE)
        if takes_loss:
            given = {name: words.pop(name) for name in OPTIONS}
            words["loss"] = {name: value for name, value in given.items() if value}
        raise typer.Exit(run(settings(**words)))

    hints = get_type_hints(settings, include_extras=True)
    takes_loss = hints.pop("loss", None) is not None
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", kind, annotation=typer.Context)]
    for field in fields(settings):
        if field.name == "loss":
            parameters += _loss_parameters()
        else:
            parameters.append(
                inspect.Parameter(
                    field.name, kind, default=field.default, annotation=hints[field.name]
                )
            )
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__doc__ = inspect.cleandoc(run.__doc__ or "")
    return call


def _loss_parameters() -> list[inspect.Parameter]:
    """Return the options of the loss; they come as text, but for flags."""
    parameters = []
    for name, entry in OPTIONS.items():
        words = f"--{name.replace('_', '-')}"
        declared = option(words, metavar=entry.metavar, help=f"{entry.help}.", panel="Loss")
        kind: Any = str | None if entry.metavar else bool
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if entry.metavar else False,
                annotation=Annotated[kind, declared],
            )
        )
    return parameters
