"""softgrad probe: the inputs on which a loss function is wrong, and the mistakes that it makes."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from softgrad.commands import task, values
from softgrad.commands.settings import Common, Report, Text, option
from softgrad.exits import Exit, UsageError
from softgrad.messages import is_terminal, say
from softgrad.outputs.formats import Format
from softgrad_core.dtypes import Dtype
from softgrad_core.probing.probe import SECONDS, Probe

if TYPE_CHECKING:
    from softgrad.outputs.page.blocks import Block
    from softgrad.running.probing import Asked
    from softgrad_core.probing.events import Event, Finding

_FUNCTION = typer.Argument(metavar="[MODULE:FUNCTION]", hidden=True)
_COMMAND = option("--command", "PROGRAM", "A program instead: JSON Lines in, and out.")
_DTYPE = option("--dtype", "TYPE,…", "The types of the logits.")
_ARITHMETIC = option("--arithmetic", "TYPE", "The type computed in, if it is wider.")
_FRAMEWORK = option("--framework", "NAME", "Whose arrays it takes: numpy, torch, jax.")
_DEVICE = option("--device", "NAME", "The device of the arrays, such as cuda.")
_SOFT = option("--soft-targets", "", "Targets are probabilities of all classes.")
_SHAPES = option("--shapes", "NxC,…", "The only shapes that logits may have.")
_SKIP = option("--skip", "NAME,…", "Leave out trials, or mistakes, of these names.")
_SECONDS = option("--seconds", "S", f"How long to try: {SECONDS:g}.")
_SEED = option("--seed", "N", "Another seed, other random inputs.")
_TIMEOUT = option("--timeout", "S", "A call that takes longer hangs: 60.")
_WRITE_TEST = option("--write-test", "FILE", "Write a test for pytest that repeats it.")

LONGEST_COMMAND = 1000
"""Longer records are not shown on a page."""

EXAMPLES = """[bold]Examples[/bold]
  softgrad probe mykernel:loss --reduction mean --ignore-index -100
  softgrad probe mykernel:loss --dtype bfloat16 --arithmetic float32
  softgrad probe torch.nn.functional:cross_entropy --reduction mean
  softgrad probe --command ./kernel --seconds 30"""


@dataclass(frozen=True, kw_only=True)
class Settings(Report, Common):
    """The options of `softgrad probe`."""

    function: Annotated[Text, _FUNCTION] = None
    command: Annotated[Text, _COMMAND] = None
    dtype: Annotated[Text, _DTYPE] = None
    arithmetic: Annotated[Text, _ARITHMETIC] = None
    framework: Annotated[Text, _FRAMEWORK] = None
    device: Annotated[Text, _DEVICE] = None
    soft_targets: Annotated[bool, _SOFT] = False
    shapes: Annotated[Text, _SHAPES] = None
    skip: Annotated[Text, _SKIP] = None
    seconds: Annotated[Text, _SECONDS] = None
    seed: Annotated[Text, _SEED] = None
    timeout: Annotated[Text, _TIMEOUT] = None
    write_test: Annotated[Text, _WRITE_TEST] = None
    loss: Any


def run(settings: Settings) -> Exit:
    """Look for inputs on which a loss function is wrong, and name its mistakes.

    The function takes logits and targets, and returns the loss, or the loss and its gradient, as
    arrays of NumPy, PyTorch or JAX. Tell the loss by its options; those that the function takes as
    keywords are passed. What breaks losses is tried by name, then random inputs.
    """
    asked = _asked(settings)
    shown = values.parse_format(settings.format, json=settings.json, output=settings.output)
    if shown is not None and shown.is_of_arrays:
        raise UsageError(f"'softgrad probe' writes a report, not {shown}")
    result, status = Probe(asked.name), Exit.OK
    try:
        for event in _watched(asked):
            result.add(event)
    except KeyboardInterrupt:
        status = Exit.INTERRUPTED
    _write(settings, shown or Format.TABLE, result, asked)
    say(f"softgrad: {result.total()}{', then interrupted' if status else ''}")
    return status or (Exit.OK if result.passed else Exit.CHECK_FAILED)


def _asked(settings: Settings) -> "Asked":
    """Return what the command line asks for, or raise UsageError."""
    from softgrad.running.probing import Asked

    if (settings.function is None) == (settings.command is None):
        raise UsageError("expected either MODULE:FUNCTION, as in mykernel:loss, or --command")
    if settings.command and (settings.write_test or settings.framework or settings.device):
        raise UsageError("--write-test, --framework and --device need MODULE:FUNCTION")
    if settings.write_test is not None:
        _refuse_to_replace(settings.write_test)
    names = settings.dtype.split(",") if settings.dtype else ()
    types = [values.parse_word("--dtype", name, Dtype) for name in names]
    seconds = values.parse_number("--seconds", settings.seconds)
    return Asked(
        function=settings.function,
        command=settings.command,
        dtypes=[dtype for dtype in types if dtype] or None,
        arithmetic=values.parse_word("--arithmetic", settings.arithmetic, Dtype),
        framework=settings.framework,
        device=settings.device,
        shapes=_shapes(settings.shapes),
        soft_targets=settings.soft_targets,
        skip=[name.strip() for name in (settings.skip or "").split(",") if name.strip()],
        seconds=SECONDS if seconds is None else seconds,
        seed=values.parse_count("--seed", settings.seed) or 0,
        timeout=values.parse_number("--timeout", settings.timeout, above_zero=True) or 60.0,
        loss=values.parse_loss(settings.loss, None),
    )


def _refuse_to_replace(name: str) -> None:
    """Raise UsageError if a test would replace a file that is none, such as the module."""
    from softgrad.outputs.pytest_file import SIGN

    try:
        text = Path(name).read_bytes() if Path(name).is_file() else b""
    except OSError:
        return
    if text.strip() and SIGN.encode() not in text:
        raise UsageError(f"refusing to overwrite {name}: --write-test has not written it")


def _shapes(text: str | None) -> list[tuple[int, int]]:
    """Return the shapes in a text such as 128x1000,256x4096."""
    shapes = []
    for part in text.split(",") if text else ():
        found = re.fullmatch(r"\s*([1-9]\d{0,8})[x×]([1-9]\d{0,8})\s*", part, re.ASCII)
        if found is None:
            raise UsageError(f"expected --shapes to be ROWSxCLASSES, as in 128x1000, got {part!r}")
        shapes.append((int(found[1]), int(found[2])))
    return shapes


@contextmanager
def _progress(seconds: float) -> Iterator[Any]:
    """Yield what shows the name of a trial, beside a progress bar at a terminal."""
    if not is_terminal():
        yield lambda _: None
        return
    import sys

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        bar = progress.add_task("", total=seconds)

        def show(name: str) -> None:
            elapsed = progress.tasks[0].elapsed or 0.0
            progress.update(bar, description=name, completed=min(elapsed, seconds))

        yield show


def _watched(asked: "Asked") -> Iterator["Event"]:
    """Yield what happens while the function is probed, with a progress bar at a terminal."""
    from softgrad.running.probing import CannotProbeError, events_of
    from softgrad_core.probing.events import Upcoming

    with _progress(asked.seconds) as show:
        try:
            for event in events_of(asked):
                if isinstance(event, Upcoming):
                    show(event.trials[0].name)
                yield event
        except CannotProbeError as error:
            for line in error.traceback:
                say(line)
            raise


def _write(settings: Settings, shown: Format, result: Probe, asked: "Asked") -> None:
    """Write the report, and the test if one is asked for."""
    if settings.write_test is not None and result.findings:
        from softgrad.outputs.file import Output
        from softgrad.outputs.pytest_file import as_test

        told = {
            name: value
            for name, value in {
                "arithmetic": asked.arithmetic and str(asked.arithmetic),
                "framework": asked.framework,
                "device": asked.device,
                "soft_targets": asked.soft_targets,
                **asked.loss,
            }.items()
            if value
        }
        with Output(settings.write_test) as output:
            output.write(as_test(result, asked.name, told).encode())
            output.commit()
    if shown is Format.JSONL:
        from softgrad.outputs.json.probed import json_of

        task.write_text(settings, json_of(result))
        return
    from softgrad.outputs.page.probed import report_of

    blocks = report_of(result, partial(_numbers_of, asked=asked), partial(_command_of, asked=asked))
    task.write_page(settings, shown, blocks)


def _numbers_of(finding: "Finding", asked: "Asked") -> Sequence["Block"]:
    """Return the blocks that `softgrad verify` shows for the records of a finding."""
    from softgrad.inputs.records.interpretation import interpret
    from softgrad.outputs.json.probed import plain
    from softgrad.outputs.page import page_of
    from softgrad.records.records import Defaults, Records
    from softgrad.work import verify
    from softgrad_core.verification.tolerances import Tolerance

    arithmetic = _arithmetic_of(finding, asked)
    tolerance = Tolerance(finding.claim_dtype, arithmetic=arithmetic)
    blocks: list[Block] = []
    for value in finding.records():
        record = plain(value)
        records = Records("found")
        records.add(None, orjson.dumps(record), orjson.loads(orjson.dumps(record)))
        interpreted = interpret(records, Defaults(None, None, None, {}), with_claims=True)
        for examples in interpreted.examples:
            blocks += page_of(records, verify(examples, tolerance), 0)
    return blocks


def _arithmetic_of(finding: "Finding", asked: "Asked") -> Dtype | None:
    """Return the arithmetic that was told, if the claims that failed may have it."""
    arithmetic = asked.arithmetic
    is_wider = arithmetic is not None and arithmetic.epsilon <= finding.claim_dtype.epsilon
    return arithmetic if is_wider else None


def _command_of(finding: "Finding", asked: "Asked") -> str:
    """Return the command that verifies a finding again, or nothing if that would be long."""
    from softgrad.outputs.json.probed import plain

    text = b"\n".join(orjson.dumps(plain(record)) for record in finding.records()).decode()
    if not text or len(text) > LONGEST_COMMAND:
        return ""
    arithmetic = _arithmetic_of(finding, asked)
    options = f" --dtype {finding.claim_dtype}" * (finding.claim_dtype is not Dtype.FLOAT64)
    options += f" --arithmetic {arithmetic}" if arithmetic else ""
    return f"echo {shlex.quote(text)} | softgrad verify{options}"
