"""softgrad LOGITS... | FILES...: the softmax, the loss and both gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import orjson

from softgrad.commands import task, values
from softgrad.commands.settings import ONLY_FAILURES, RAW_DTYPE, RUN, Text, option
from softgrad.commands.together import Command, Kind
from softgrad.exits import Exit, UsageError
from softgrad.outputs.file import STANDARD_OUTPUT, Output
from softgrad.outputs.formats import Format
from softgrad.records.fields import (
    DENOMINATOR,
    IGNORE_INDEX,
    LOGITS,
    NUM_CLASSES,
    PROBS,
    REDUCTION,
    Z_LOSS,
    Z_LOSS_SCALE,
)
from softgrad.records.records import json_number
from softgrad.running.pipeline import Pipeline
from softgrad.running.run import Places
from softgrad.work import compute
from softgrad_core.checking import CHECK_TOLERANCE
from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError
from softgrad_core.loss.cross_entropy import softmax_cross_entropy
from softgrad_core.loss.options import Reduction
from softgrad_core.loss.results import FIELDS, check_fields
from softgrad_core.loss.targets import check_class_names
from softgrad_core.tensors import BITS, Packed

if TYPE_CHECKING:
    from softgrad.inputs.arrays.source import ArraySource
    from softgrad.outputs.arrays.results import ArrayWriter

_FIELDS = option("--fields", "NAME,…", "Write these results only.", RUN)
_CHECK = option("--check", "", "Check both gradients numerically.", RUN)
_TOLERANCE = option("--tolerance", "ERROR", f"Relative error that fails: {CHECK_TOLERANCE:g}.", RUN)

OF_LABELS = (REDUCTION, DENOMINATOR, IGNORE_INDEX)
"""The options of the loss that mean nothing without a target."""

MOST_TARGETS = 1000
"""Of more classes, none is shown as the target for want of one."""

EXAMPLES = """[bold]Examples[/bold]
  softgrad 2.0 1.0 0.1 --target 0
  softgrad 2.0 1.0 0.1 --classes cat,dog,bird -t dog --check
  echo '{"logits": [2.0, 1.0, 0.1], "target": 0}' | softgrad
  softgrad rows.jsonl -o results.jsonl
  softgrad logits.npy --target labels.npy -o results.npz"""


@dataclass(frozen=True, kw_only=True)
class Settings(task.Settings):
    """The options of the command without a name."""

    dtype: Annotated[Text, RAW_DTYPE] = None
    fields: Annotated[Text, _FIELDS] = None
    check: Annotated[bool, _CHECK] = False
    tolerance: Annotated[Text, _TOLERANCE] = None
    only_failures: Annotated[bool, ONLY_FAILURES] = False


def run(settings: Settings) -> Exit:
    """Compute the softmax, the loss and both gradients of an output layer.

    For logits a and the true class y: f(x) = softmax(a), L = -log f(x)_y,
    dL/df(x) = -e(y)/f(x)_y and dL/da = -(e(y) - f(x)). Classes count from 0. Arguments that are
    numbers are logits; others are files of JSON records or arrays (.npy, .npz,
    .safetensors, .pt); - is standard input.
    """
    given = task.Task.of(Command.COMPUTE, settings)
    try:
        names = None if settings.fields is None else settings.fields.split(",")
        fields = check_fields(names and [name for name in names if name])
    except InputError as error:
        raise UsageError(f"--fields: {error.reason}") from None
    tolerance = None
    if settings.check:
        tolerance = values.parse_number("--tolerance", settings.tolerance, above_zero=True)
        tolerance = CHECK_TOLERANCE if tolerance is None else tolerance
    if given.kind is Kind.ARRAYS:
        return _run_on_arrays(given, fields, tolerance)
    if given.kind is Kind.NUMBERS and settings.target is None:
        return _run_without_target(given)
    # The check looks at both gradients, whatever is written.
    work = partial(compute, fields if tolerance is None else FIELDS, check_tolerance=tolerance)
    return given.run_on_records(
        work, fields=fields, only_failures=settings.only_failures, slow=settings.check
    )


def _run_without_target(given: task.Task) -> Exit:
    """Show the softmax of the arguments, and for each class the loss if it were the target."""
    from softgrad.outputs.page.untargeted import blocks_without_target

    [row, *others] = given.rows
    count, why = given.loss.get(NUM_CLASSES, len(row)), ""
    if count > MOST_TARGETS or given.settings.check or others:
        why = "the check" if given.settings.check else f"more than {MOST_TARGETS:,} logits"
        why = f"a table of {len(given.rows)} rows" if others else why
    elif needing := [name for name in given.loss if name in OF_LABELS]:
        why = f"--{needing[0].replace('_', '-')}"
    if why:
        raise UsageError(f"{why} needs --target, the true class: an index from 0 to {count - 1}")
    try:
        if given.names is not None:
            check_class_names(given.names, count)
        tiled = np.tile(np.array(row), (count, 1))
        result = softmax_cross_entropy(tiled, np.arange(count), **given.loss)
        # Padding cannot be the target.
        losses = np.append(result.loss, np.full(len(row) - count, np.inf))
    except InputError as error:
        raise UsageError(values.as_typed(error.reason)) from None
    logits, probs = np.array(row), result.probs[0]
    if given.shown is Format.JSONL:
        rows = {LOGITS: logits, PROBS: probs, "losses": losses}
        plain = {name: [json_number(x) for x in row.tolist()] for name, row in rows.items()}
        return task.write_text(given.settings, orjson.dumps(plain) + b"\n")
    blocks = blocks_without_target(logits, probs, losses, given.names)
    return task.write_page(given.settings, given.shown, blocks)


def _run_on_arrays(given: task.Task, fields: Sequence[str], tolerance: float | None) -> Exit:
    """Compute the results of files of arrays, and write a file of arrays for each."""
    from softgrad.inputs.arrays import source as arrays
    from softgrad.outputs.arrays.results import ArrayResults, ArrayWriter, result_dtype

    settings: Settings = given.settings
    dtype = values.parse_word("--dtype", settings.dtype, Dtype)
    if dtype is not None and dtype not in BITS:
        raise UsageError(f"--dtype {dtype} is for 'softgrad verify': results have the logits' type")
    places = given.places(lambda file: f".{_format_for(given, file)}")
    _refuse_no_file(places, is_asked=settings.format is not None)

    def prepare(source: "ArraySource", output: Output) -> tuple[Pipeline, "ArrayWriter"]:
        reader = source.reader()
        is_reduced = reader.reduction is not Reduction.NONE
        is_packed = isinstance(source.logits, Packed)
        # A result that the loss does not have is no array.
        has_z_loss = bool(source.options.get(Z_LOSS_SCALE))
        written = [name for name in fields if has_z_loss or name != Z_LOSS]
        if not written:
            raise UsageError(f"--fields {Z_LOSS} needs --z-loss-scale")
        work = partial(
            compute,
            written if tolerance is None else FIELDS,
            check_tolerance=tolerance,
            # Results that are checked or added up are rounded afterwards.
            in_float64=is_reduced or is_packed or tolerance is not None,
        )
        results = ArrayResults(
            written,
            result_dtype(source.logits.dtype),
            is_reduced,
            settings.only_failures,
            given.axis,
        )
        pipeline = Pipeline(reader, work, results, None, settings.fail_fast)
        is_empty_mean = reader.divisor == 0.0
        shown = _format_for(given, source.name)
        return pipeline, ArrayWriter(
            output, shown, results, source.shape, is_empty_mean=is_empty_mean
        )

    elements = arrays.COMPUTED_ELEMENTS if tolerance is None else arrays.CHECKED_ELEMENTS
    return given.run_on_arrays(prepare, places, elements, dtype)


def _format_for(given: task.Task, file: str) -> Format:
    """Return the format of the results of a file: what is asked for, or that of the file."""
    if given.asked is not None:
        return given.asked
    of_file = values.format_of_ending(file)
    return of_file if of_file is not None and of_file.is_of_arrays else Format.NPZ


def _refuse_no_file(places: Places, *, is_asked: bool) -> None:
    """Raise UsageError if there is no file for the results."""
    for sources, place in places:
        if len(sources) > 1:
            raise UsageError("several files of arrays need --output-dir")
        if place in STANDARD_OUTPUT:
            raise UsageError("arrays need a file for the results: -o results.npz")
        ending = Path(str(place)).suffix
        if ending and values.format_of_ending(str(place)) is None and not is_asked:
            raise UsageError(f"expected results in .npz, .safetensors or .pt, got {ending!r}")
