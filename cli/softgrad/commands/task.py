"""From the words of a command line to what is asked for, and to a run on it."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softgrad.commands import values
from softgrad.commands.settings import Input, Results, Running
from softgrad.commands.together import Command, Kind, format_of, refuse
from softgrad.exits import Exit, UsageError
from softgrad.inputs.numbers import numbers_or_files
from softgrad.inputs.records.interpretation import interpret
from softgrad.outputs.formats import Format, InOrder, renderer_for
from softgrad.records.records import Block, Defaults, Examples, Records, record_of
from softgrad.running.on_records import blocks_of, run_on_records
from softgrad.running.pipeline import Pipeline
from softgrad.running.report import Report
from softgrad.running.workers import Workers
from softgrad.work import Batch
from softgrad_core.errors import InputError
from softgrad_core.loss.results import FIELDS
from softgrad_core.loss.targets import class_index

if TYPE_CHECKING:
    from softgrad.inputs.arrays.source import ArrayOptions, ArraySource
    from softgrad.outputs.file import Output
    from softgrad.running.on_arrays import Writer
    from softgrad_core.verification.tolerances import Tolerance

ARRAY_SUFFIXES = (".npy", ".npz")

Work = Callable[[Examples], Batch]


@dataclass(frozen=True, kw_only=True)
class Settings(Running, Results, Input):
    """What the commands that read logits have in common."""


@dataclass(frozen=True)
class Task:
    """What a command line asks for, once its words are understood.

    Attributes
    ----------
    command, settings
        The command, and its options as they were typed.
    logits, files
        The numbers, or the names of the files; the other is empty.
    kind, shown
        What is read, and the format that is written.
    names, loss
        The names of the classes, and the options of the loss.
    """

    command: Command
    settings: Any
    logits: list[float]
    files: list[str]
    kind: Kind
    shown: Format
    names: list[str] | None
    loss: Mapping[str, Any]

    @classmethod
    def of(cls, command: Command, settings: Any) -> "Task":
        """Return the task of a command, or raise UsageError where its words do not go together."""
        logits, files = numbers_or_files(settings.inputs or ["-"])
        kind = Kind.NUMBERS if logits else _kind_of(files)
        asked = values.parse_format(settings.format, json=settings.json)
        shown = format_of(command, kind, asked)
        refuse(command, kind, shown, settings)
        names = values.parse_classes(settings.classes)
        loss = values.parse_loss(settings.loss, names)
        return cls(command, settings, logits, files, kind, shown, names, loss)

    def places(self, suffix: str | None = None) -> list[tuple[list[str], str | None]]:
        """Return where the results of which files go: all to one place, or each to its own.

        With a suffix, that ends the names in a folder.
        """
        folder = self.settings.output_dir
        if folder is None:
            return [(self.files, self.settings.output)]
        if not self.files or "-" in self.files:
            raise UsageError("--output-dir needs files")
        names = [Path(file).with_suffix(suffix or Path(file).suffix).name for file in self.files]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"--output-dir: two files would be written to {twice[0]!r}")
        Path(folder).mkdir(parents=True, exist_ok=True)
        paths = [str(Path(folder, name)) for name in names]
        return [([file], path) for file, path in zip(self.files, paths, strict=True)]

    def run_on_records(  # noqa: PLR0913 - what the commands differ in
        self,
        work: Work,
        *,
        other: int | str | None = None,
        fields: Sequence[str] = FIELDS,
        required: "Tolerance | None" = None,
        only_failures: bool = False,
        slow: bool = False,
        records: Records | None = None,
    ) -> Exit:
        """Do the work on numbers, or on the records of files; return the exit status.

        Parameters
        ----------
        work
            What is done with examples.
        other
            The class that is shown beside the target.
        fields
            The results that JSON Lines have.
        required
            The standard that claims are held to, where these are verified.
        only_failures
            Whether only records that failed or were rejected are written.
        slow
            Whether each record takes long, so that blocks are small.
        records
            Records that are read already.
        """
        settings = self.settings
        target = None if records else values.parse_target(settings.target, self.names)
        defaults = Defaults(target, self.names, other, self.loss)
        if self.logits:
            records = _record_of_arguments(self.logits, defaults)
        screen = sys.stdout if settings.output is None else None
        renderer = renderer_for(
            self.shown, defaults, screen, fields, standalone=settings.standalone
        )
        read = partial(interpret, defaults=defaults, with_claims=required is not None)
        render = InOrder(renderer, only_failures)
        pipeline = Pipeline(read, work, render, required, settings.fail_fast)
        sources: list[tuple[Callable[[], Iterator[Block]], str | None]]
        sources = [(partial(blocks_of, files, slow=slow), place) for files, place in self.places()]
        if records:
            sources = [(lambda: iter([records]), settings.output)]
        may_draw = screen is None or not screen.isatty()
        # Only JSON Lines are worth more than one process.
        jobs = self.jobs()
        workers = Workers(jobs if self.shown is Format.JSONL else 1, settings.scheduler)
        report = Report(self.files, may_draw=may_draw, required=required)
        return run_on_records(pipeline, renderer, sources, report, workers)

    def run_on_arrays(
        self,
        options: "ArrayOptions",
        prepare: "Callable[[ArraySource, Output], tuple[Pipeline, Writer]]",
        places: Sequence[tuple[Sequence[str], str | None]],
        elements: int,
        required: "Tolerance | None" = None,
    ) -> Exit:
        """Do the work on files of arrays; return the exit status. See `running.on_arrays`."""
        from softgrad.running.on_arrays import run_on_arrays

        report = Report(self.files, may_draw=True, required=required)
        workers = Workers(self.jobs(), self.settings.scheduler)
        return run_on_arrays(options, prepare, places, elements, report, workers)

    def jobs(self) -> int | None:
        """Return how many cores to use, if that is said."""
        return values.parse_count("--jobs", self.settings.jobs)

    def array_target(self) -> int | str | None:
        """Return the target of all rows of arrays: a class, or the file that has their targets."""
        text = self.settings.target
        if text is None or text.endswith(ARRAY_SUFFIXES):
            return str(text) if text else None
        target = values.parse_class("--target", text, self.names)
        try:
            if isinstance(target, int):
                return target
            return class_index(target, len(self.names or ()), self.names)
        except InputError:
            raise UsageError(
                f"expected --target to be a class or a .npy file for arrays, got {text!r}"
            ) from None


def _kind_of(files: list[str]) -> Kind:
    """Return whether files hold arrays or records; some of each are an error."""
    arrays = [name for name in files if name.endswith(ARRAY_SUFFIXES)]
    if not arrays:
        return Kind.RECORDS
    if len(arrays) < len(files):
        other = next(name for name in files if name not in arrays)
        raise UsageError(f"expected arrays or JSON, got {arrays[0]!r} and {other!r}")
    return Kind.ARRAYS


def _record_of_arguments(logits: list[float], defaults: Defaults) -> Records:
    """Return the record of the arguments; what is wrong with it is wrong usage."""
    record = record_of(logits, "arguments")
    _, errors, _ = interpret(record, defaults, with_claims=False)
    if not errors:
        return record
    reason = errors[0].reason
    if errors[0].code == "target-missing":
        reason = f"expected --target, the true class: an index from 0 to {len(logits) - 1}"
    raise UsageError(reason)
