"""The options that commands share, and how a settings class becomes the parameters of a command."""

import inspect
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_type_hints

import typer

from softgrad.exits import Exit
from softgrad.outputs.formats import Format
from softgrad.version import version_text
from softgrad_core.loss.options import OPTIONS

Text = str | None
"""The text of an option; None if it is not given."""


def option(
    names: str,
    metavar: str,
    help: str,  # noqa: A002 - as Typer
    panel: str | None = None,
    complete: Callable[[str], list[str]] | None = None,
) -> Any:
    """Return an option of Typer, or a flag if there is no metavar; rare ones have no help.

    A shell asks `complete` for the values that begin as a word does.
    """
    return typer.Option(
        *names.split(),
        metavar=metavar or None,
        help=help,
        rich_help_panel=panel,
        hidden=not help,
        autocompletion=complete,
    )


def _formats(incomplete: str) -> list[str]:
    return [form for form in Format if form.startswith(incomplete)]


def _first_words(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the commands that begin so, and then files too; shells find files alone themselves."""
    from softgrad.commands.app import COMMANDS

    commands = [command for command in COMMANDS if command.startswith(incomplete)]
    if ctx.params.get("inputs") or ctx.command.name != NAMELESS or not commands:
        return []
    with suppress(OSError):
        files = sorted(path.name for path in Path().iterdir())
        commands += [name for name in files if name.startswith(incomplete)]
    return commands


NAMELESS = "softgrad"
"""What Typer calls the command without a name."""


RUN = "Output and run"
"""The panel of the help that has the options of results and of the run."""


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_text())
        raise typer.Exit


# Hidden, as everybody knows it.
_VERSION = typer.Option("--version", callback=_print_version, is_eager=True, hidden=True)
# The message about a bug names it.
_DEBUG = option("--debug", "", "")
# Hidden, because the text of each command says what the arguments may be.
_INPUTS = typer.Argument(metavar="[LOGITS... | FILES...]", hidden=True, autocompletion=_first_words)
_TARGET = option("--target -t", "Y", "Class index or name, or probabilities.")
_CLASSES = option("--classes", "NAME,…", "The names of the classes.")
_MAP = option("--map", "NAME=X,…", "Names in files: logits=out,target=y.")
_AXIS = option("--axis", "N", "The axis of classes in arrays; else the last.")
RAW_DTYPE = option("--dtype", "bfloat16", "The uint16 arrays hold bfloat16.")
_UNNAMED = {Format.PANDOC}  # In the guide: a second flavour of Markdown.
_FORMATS = ", ".join(form for form in Format if not form.is_of_arrays and form not in _UNNAMED)
_FORMAT = option("--format -f", "FORMAT", f"{_FORMATS}", RUN, _formats)
_JSON = option("--json", "", "Short for --format jsonl.", RUN)
# The part of a document that LaTeX gets without it says so.
_STANDALONE = option("--standalone", "", "")
_OUTPUT = option("--output -o", "FILE", "Replace FILE, in one step.", RUN)
_OUTPUT_DIR = option("--output-dir", "DIR", "One file of results for each input.", RUN)
_FAIL_FAST = option("--fail-fast", "", "Stop after the first failure.", RUN)
_JOBS = option("--jobs -j", "N", "Work on N cores, 0 for all.", RUN)
_SCHEDULER = option("--scheduler", "ADDRESS", "Work on a Dask cluster.", RUN)
# The message about a cluster without workers names it, and the guide.
_WORKER_TIMEOUT = option("--worker-timeout", "SECONDS", "", RUN)
ONLY_FAILURES = option("--only-failures", "", "Write what fails or is rejected.", RUN)


def has_no_input(inputs: list[str] | None) -> bool:
    """Return whether there are neither arguments nor anything that is piped into the command."""
    return not inputs and (sys.stdin is None or sys.stdin.isatty())


@dataclass(frozen=True, kw_only=True)
class Common:
    """The options of every command; whether it does without logits is the command's own."""

    works_without_input: ClassVar[bool] = False

    debug: Annotated[bool, _DEBUG] = False
    version: Annotated[bool, _VERSION] = False


@dataclass(frozen=True, kw_only=True)
class Input(Common):
    """What is read.

    `loss` holds the options of the loss that are given, as text, or True for a flag.
    """

    inputs: Annotated[list[str] | None, _INPUTS] = None
    target: Annotated[Text, _TARGET] = None
    classes: Annotated[Text, _CLASSES] = None
    map: Annotated[Text, _MAP] = None
    axis: Annotated[Text, _AXIS] = None
    loss: Mapping[str, str | bool]


@dataclass(frozen=True, kw_only=True)
class Report:
    """How one report is written, and where."""

    format: Annotated[Text, _FORMAT] = None
    json: Annotated[bool, _JSON] = False
    standalone: Annotated[bool, _STANDALONE] = False
    output: Annotated[Text, _OUTPUT] = None


@dataclass(frozen=True, kw_only=True)
class Results(Report):
    """How results are written, and where."""

    output_dir: Annotated[Text, _OUTPUT_DIR] = None


@dataclass(frozen=True, kw_only=True)
class Running:
    """How the run goes."""

    fail_fast: Annotated[bool, _FAIL_FAST] = False
    jobs: Annotated[Text, _JOBS] = None
    scheduler: Annotated[Text, _SCHEDULER] = None
    worker_timeout: Annotated[Text, _WORKER_TIMEOUT] = None


def command_of(settings: type[Any], run: Callable[[Any], int]) -> Callable[..., None]:
    """Return the function that Typer makes a command of; its parameters are the settings' fields.

    The options of the loss come from their table in the core.
    """

    def call(context: typer.Context, **words: Any) -> None:
        if "inputs" in words and has_no_input(words["inputs"]) and not settings.works_without_input:
            with redirect_stdout(sys.stderr):
                typer.echo(context.get_help())
            raise typer.Exit(Exit.USAGE)
        if "loss" in hints:
            given = {name: words.pop(name) for name in OPTIONS}
            said = {name: value for name, value in given.items() if value not in (None, False)}
            words["loss"] = said
        raise typer.Exit(run(settings(**words)))

    hints = get_type_hints(settings, include_extras=True)
    parameters = [_parameter("context", typer.Context)]
    for field in fields(settings):
        if field.name != "loss":
            parameters.append(_parameter(field.name, hints[field.name], field.default))
            continue
        for name, entry in OPTIONS.items():
            kind, default = (Text, None) if entry.metavar else (bool, False)
            words = f"--{name.replace('_', '-')}"
            declared = option(words, entry.metavar, entry.help and f"{entry.help}.", "Loss")
            parameters.append(_parameter(name, Annotated[kind, declared], default))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__doc__ = inspect.cleandoc(run.__doc__ or "")
    return call


def _parameter(
    name: str, annotation: Any, default: Any = inspect.Parameter.empty
) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)
