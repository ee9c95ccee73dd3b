"""softgrad explain: the derivation of both gradients, step by step, with the user's numbers."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

import orjson

from softgrad.commands import task, values
from softgrad.commands.opening import opened
from softgrad.commands.settings import RAW_DTYPE, Text, has_no_input, option
from softgrad.commands.together import Command, Kind, format_of, refuse
from softgrad.exits import Exit, UsageError
from softgrad.outputs.formats import Format
from softgrad.outputs.json.members import writable
from softgrad.records.records import Records
from softgrad.work import compute
from softgrad_core.dtypes import Dtype
from softgrad_core.loss.results import FIELDS

_OTHER = option("--other", "CLASS", "The class to show beside the target.")
_ROW = option("--row", "N", "The row of the arrays, from 0.")
_OPEN = option("--open", "", "Show a page in the browser, to move numbers in.")

EXAMPLES = """[bold]Examples[/bold]
  softgrad explain 2.0 1.0 0.1 --target 0
  softgrad explain 2.0 1.0 0.1 --classes cat,dog,bird -t dog --other bird
  softgrad explain 2.0 1.0 0.1 -t 0 --open
  softgrad explain 2.0 1.0 0.1 -t 0 --format html -o page.html
  softgrad explain 2.0 1.0 0.1 -t 0 --standalone -o page.tex
  softgrad explain logits.npy --target labels.npy --row 17"""


@dataclass(frozen=True, kw_only=True)
class Settings(task.Settings):
    """The options of `softgrad explain`."""

    works_without_input = True

    other: Annotated[Text, _OTHER] = None
    row: Annotated[Text, _ROW] = None
    open: Annotated[bool, _OPEN] = False
    dtype: Annotated[Text, RAW_DTYPE] = None


def run(settings: Settings) -> Exit:
    """Derive both gradients step by step, with your numbers in every formula.

    Each equality of the derivation is evaluated on both sides. Derivatives are shown for two
    classes: the target, and one other. Without logits, the derivation is in symbols alone.
    """
    if settings.open:
        return opened(settings, run)
    if has_no_input(settings.inputs):
        return _in_symbols(settings)
    given = task.Task.of(Command.EXPLAIN, settings)
    other = values.parse_class("--other", settings.other, given.names)
    row = _row_of_arrays(given) if given.kind is Kind.ARRAYS else None
    work = partial(compute, FIELDS, explained=True)
    return given.run_on_records(work, other=other, slow=True, moves=True, row=row)


def _in_symbols(settings: Settings) -> Exit:
    """Show the derivation without numbers, for a loss with the options that are given."""
    from softgrad.outputs.page.steps import in_symbols

    for name in ("target", "other", "row"):
        if getattr(settings, name) is not None:
            raise UsageError(f"expected logits beside --{name}")
    asked = values.parse_format(settings.format, json=settings.json, output=settings.output)
    shown = format_of(Command.EXPLAIN, Kind.NUMBERS, asked)
    if shown is Format.JSONL:
        raise UsageError("expected logits to explain; without them --json has nothing to say")
    refuse(Command.EXPLAIN, Kind.NUMBERS, shown, settings)
    return task.write_page(settings, shown, in_symbols(values.parse_loss(settings.loss, None)))


def _row_of_arrays(given: task.Task) -> Records:
    """Return one row of the arrays in a file as a record."""
    from softgrad.inputs.arrays.source import ArrayOptions, open_arrays

    settings: Settings = given.settings
    number = values.parse_count("--row", settings.row) or 0
    dtype = values.parse_word("--dtype", settings.dtype, Dtype)
    options = ArrayOptions(
        given.array_target(),
        given.loss,
        dtype,
        with_claims=False,
        names=given.renamed,
        axis=values.parse_axis(settings.axis),
    )
    if len(given.files) > 1:
        raise UsageError("--row needs one file of arrays")
    [name] = given.files
    row = open_arrays(name, options).row(number)
    text = orjson.dumps({key: writable(value) for key, value in row.items()})
    return Records(f"{name}: row {number}", [None], [text], [row])
