"""The command line, understood: what it asks for, and a run that does it."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import orjson

from softgrad.commands import values
from softgrad.commands.settings import Input, Results, Running
from softgrad.commands.together import Command, Kind, format_of, refuse
from softgrad.exits import Exit, InputFailedError, UsageError
from softgrad.inputs.arrays import SUFFIXES
from softgrad.inputs.numbers import numbers_or_files
from softgrad.inputs.records.interpretation import interpret
from softgrad.messages import say
from softgrad.outputs.file import STANDARD_OUTPUT, Output
from softgrad.outputs.formats import Format, InOrder, Pages, pages_for, renderer_for
from softgrad.outputs.pictures import Pictures
from softgrad.records.fields import LOGITS
from softgrad.records.records import Block, Defaults, Examples, Records, json_number
from softgrad.running.pipeline import Outcome, Pipeline
from softgrad.running.report import Report
from softgrad.running.run import Places, Stream, TextWriter, Writer, run
from softgrad.running.workers import Workers
from softgrad.work import Batch
from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError
from softgrad_core.loss.results import FIELDS
from softgrad_core.loss.targets import SUM_TOLERANCE, class_index

if TYPE_CHECKING:
    from softgrad.inputs.arrays.source import ArraySource
    from softgrad.outputs.page.blocks import Block as PageBlock
    from softgrad_core.verification.tolerances import Tolerance


@dataclass(frozen=True, kw_only=True)
class Settings(Running, Results, Input):
    """The options that all commands that read logits have."""


class Task(NamedTuple):
    """What a command line asks for.

    `settings` are the options as they were typed. Either there are rows of logits or files.
    `asked` is the format that is asked for, if any, and `shown` the one that is written.
    """

    settings: Any
    rows: list[list[float]]
    files: list[str]
    kind: Kind
    asked: Format | None
    shown: Format
    names: list[str] | None
    loss: Mapping[str, Any]

    @classmethod
    def of(cls, command: Command, settings: Any) -> "Task":
        """Return the task of a command, or raise UsageError if its words do not go together."""
        rows, files = numbers_or_files(settings.inputs or ["-"])
        arrays = [name for name in files if name.endswith(SUFFIXES)]
        if arrays and len(arrays) < len(files):
            other = next(name for name in files if name not in arrays)
            raise UsageError(f"expected arrays or JSON, got {arrays[0]!r} and {other!r}")
        if any(map(_are_like_probabilities, rows)):
            hint = "for the loss of these probabilities, give their logarithms"
            say(f"softgrad: these look like probabilities, and are taken for logits; {hint}")
        kind = Kind.NUMBERS if rows else Kind.ARRAYS if arrays else Kind.RECORDS
        asked = values.parse_format(settings.format, json=settings.json, output=settings.output)
        shown = format_of(command, kind, asked)
        refuse(command, kind, shown, settings)
        names = values.parse_classes(settings.classes)
        loss = values.parse_loss(settings.loss, names)
        return cls(settings, rows, files, kind, asked, shown, names, loss)

    def places(self, suffix: Callable[[str], str] | None = None) -> Places:
        """Return the places of the results: one for all files, or one for each.

        In a folder results have the names of their files, with the suffix that is returned for
        them, or by default that of their format.
        """
        folder = self.settings.output_dir
        suffix = suffix or partial(values.ending_beside, shown=self.shown)
        if folder is None:
            places: Places = [(self.files, self.settings.output)]
            self._refuse_to_replace(places)
            return places
        if "-" in self.files:
            raise UsageError("--output-dir needs files")
        names = [Path(file).with_suffix(suffix(file)).name for file in self.files]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"--output-dir: two files would be written to {twice[0]!r}")
        Path(folder).mkdir(parents=True, exist_ok=True)
        paths = [str(Path(folder, name)) for name in names]
        places = [([file], path) for file, path in zip(self.files, paths, strict=True)]
        self._refuse_to_replace(places)
        return places

    def _refuse_to_replace(self, places: Places) -> None:
        """Raise UsageError if results would replace an input; JSON Lines keep all of a record."""
        is_kept = self.kind is Kind.RECORDS and self.shown is Format.JSONL
        if is_kept and not getattr(self.settings, "only_failures", False):
            return
        for file in (*self.files, self.settings.target or "-"):
            if any(_is_same_file(file, place) for _, place in places):
                raise UsageError(f"refusing to overwrite {file}: it is one of the inputs")

    def run_on_records(  # noqa: PLR0913 - what the commands differ in
        self,
        work: Callable[[Examples], Batch],
        *,
        other: int | str | None = None,
        fields: Sequence[str] = FIELDS,
        required: "Tolerance | None" = None,
        typed: bool = False,
        claims: Mapping[str, str] | None = None,
        only_failures: bool = False,
        slow: bool = False,
        moves: bool = False,
        row: Records | None = None,
    ) -> Exit:
        """Do the work on numbers, or on the records of files; return the exit status.

        Parameters
        ----------
        work
            Computes or verifies examples.
        other
            The class that is shown beside the target.
        fields
            The results that JSON Lines have.
        required
            The standard for claims, if they are verified.
        typed
            Whether claims with few digits are held to these.
        claims
            The claims that are options, as they were typed.
        only_failures
            Whether to write only records that failed or were rejected.
        slow
            Whether each record takes long, so that blocks are small.
        moves
            Whether the numbers of a page can be moved.
        row
            The row of arrays that is read instead of files.
        """
        settings = self.settings
        target = None if row else values.parse_target(settings.target, self.names)
        defaults = Defaults(target, self.names, other, self.loss)
        records = _records_of_arguments(self.rows, defaults, claims) if self.rows else row
        screen = screen_of(settings)
        pictures = self._pictures()
        renderer = renderer_for(
            self.shown,
            defaults,
            screen,
            fields,
            standalone=settings.standalone,
            moves=moves,
            pictures=pictures,
        )
        read = partial(interpret, defaults=defaults, with_claims=required is not None, typed=typed)
        render = InOrder(renderer, only_failures)
        pipeline = Pipeline(read, work, render, required, settings.fail_fast)
        workers = self._workers()

        def streams(files: Sequence[str], output: Output) -> Iterator[Stream]:
            blocks: Iterator[Block | OSError] = iter([records] if records else ())
            if not records:
                # Mistakes are found in blocks: where these end must not depend on a pipe.
                is_verified = required is not None
                blocks = _blocks_of(files, self.renamed, slow=slow, in_full_blocks=is_verified)
            if pictures is not None:
                output.after.append(pictures.write)
            yield workers.outcomes(pipeline.process, blocks), TextWriter(output, renderer)

        may_draw = screen is None or not screen.isatty()
        report = Report(self.files, may_draw=may_draw, required=required)
        return run(streams, self.places(), report, workers)

    def run_on_arrays(  # noqa: PLR0913, PLR0917 - what the commands differ in
        self,
        prepare: "Callable[[ArraySource, Output], tuple[Pipeline, Writer]]",
        places: Places,
        elements: int,
        dtype: Dtype | None,
        required: "Tolerance | None" = None,
        pages: Pages | None = None,
    ) -> Exit:
        """Do the work on files of arrays; return the exit status.

        Parameters
        ----------
        prepare
            Returns what is done with the blocks of a file, and what writes their results.
        places
            Files, and the place of their results.
        elements
            The logits in a block.
        dtype
            The type of arrays for which NumPy has no type.
        required
            The standard for claims, if they are verified.
        pages
            The format of pages that the results of all files of a place stand in.
        """
        from softgrad.inputs.arrays.source import ArrayOptions, open_arrays

        with_claims = required is not None
        options = ArrayOptions(
            self.array_target(), self.loss, dtype, with_claims, self.renamed, self.axis
        )
        report = Report(self.files, may_draw=True, required=required)
        workers = self._workers()

        def streams(files: Sequence[str], output: Output) -> Iterator[Stream]:
            output.write(pages.opening if pages else b"")
            for name in files:
                try:
                    source = open_arrays(name, options)
                    pipeline, writer = prepare(source, output)
                except InputFailedError as error:
                    report.add_unread(error)
                    continue
                report.add(Outcome(near_claims=source.near_claims))
                yield workers.outcomes_of_arrays(pipeline.process, source, elements), writer
            output.write(pages.closing if pages else b"")

        return run(streams, places, report, workers)

    def _pictures(self) -> Pictures | None:
        """Return the files beside a file of Markdown; a cluster cannot fill them."""
        output = self.settings.output
        is_file = output not in STANDARD_OUTPUT and not self.settings.scheduler
        is_markdown = self.shown in {Format.MARKDOWN, Format.PANDOC}
        return Pictures(output) if is_file and is_markdown else None

    @property
    def renamed(self) -> dict[str, str]:
        """The names that arrays and columns have in files, by those that they have here."""
        return values.parse_map(self.settings.map)

    @property
    def axis(self) -> int:
        """The axis of the classes in arrays."""
        return values.parse_axis(self.settings.axis)

    def _workers(self) -> Workers:
        jobs = values.parse_count("--jobs", self.settings.jobs)
        # Of the formats of records, only JSON Lines gain from more than one process.
        if self.kind is not Kind.ARRAYS and self.shown is not Format.JSONL:
            jobs = 1
        seconds = values.parse_number("--worker-timeout", self.settings.worker_timeout)
        return Workers(jobs, self.settings.scheduler, seconds)

    def array_target(self) -> int | str | None:
        """Return the target of all rows of arrays: a class, or the file that has their targets."""
        text = self.settings.target
        if text is None or text.endswith(SUFFIXES):
            return str(text) if text else None
        target = values.parse_class("--target", text, self.names)
        if isinstance(target, int):
            return target
        try:
            return class_index(target, len(self.names or ()), self.names)
        except InputError:
            expected = "expected --target to be a class or a file of arrays"
            raise UsageError(f"{expected}, got {text!r}") from None


def _is_same_file(one: str, other: str | None) -> bool:
    try:
        return other is not None and Path(one).is_file() and Path(one).samefile(other)
    except (OSError, ValueError):
        return False


def write_page(settings: Any, shown: Format, blocks: "Iterable[PageBlock]") -> Exit:
    """Write a page that is made of no records; return the exit status."""
    renderer = pages_of(settings, shown)
    return write_text(settings, renderer.opening + renderer.page(blocks) + renderer.closing)


def pages_of(settings: Any, shown: Format) -> Pages:
    """Return the renderer of a format of pages."""
    return pages_for(shown, screen_of(settings), standalone=settings.standalone)


def write_text(settings: Any, text: bytes) -> Exit:
    """Write a whole text where the results go; return the exit status."""
    with Output(settings.output) as output:
        output.write(text)
        output.commit()
    return Exit.OK


def screen_of(settings: Any) -> TextIO | None:
    """Return what results are shown on, where that is known."""
    return sys.stdout if settings.output is None else None


def _blocks_of(
    files: Sequence[str], columns: Mapping[str, str], *, slow: bool, in_full_blocks: bool
) -> Iterator[Block | OSError]:
    """Return the blocks of files of records, small ones if each record takes long."""
    from softgrad.inputs.json.stream import BLOCK_BYTES, SMALL_BLOCK_BYTES
    from softgrad.inputs.sources import read
    from softgrad.running.process import prepare_for_stream

    prepare_for_stream()
    size = SMALL_BLOCK_BYTES if slow else BLOCK_BYTES
    return read(files, size, columns, in_full_blocks=in_full_blocks)


def _are_like_probabilities(logits: list[float]) -> bool:
    return len(logits) > 1 and min(logits) >= 0 and abs(sum(logits) - 1) <= SUM_TOLERANCE


def _records_of_arguments(
    rows: list[list[float]], defaults: Defaults, claims: Mapping[str, str] | None = None
) -> Records:
    """Return the arguments as records, a row each, or raise UsageError."""
    said = {name: values.as_written(name, claim) for name, claim in (claims or {}).items()}
    if said and len(rows) > 1:
        raise UsageError(f"expected one row of logits beside claims, got {len(rows)} lines")
    records = Records("arguments")
    for logits in rows:
        text = orjson.dumps({LOGITS: [json_number(number) for number in logits]})
        if said:
            members = b"".join(b',"%b":%b' % (name.encode(), claim) for name, claim in said.items())
            text = text[:-1] + members + b"}"
        records.add(None, text, orjson.loads(text) | {LOGITS: logits})
    errors = interpret(records, defaults, with_claims=bool(said)).errors
    if not errors:
        return records
    error = errors[min(errors)]
    reason = error.reason
    if error.code == "target-missing":
        reason = f"expected --target, the true class: an index from 0 to {len(rows[0]) - 1}"
    raise UsageError(values.as_typed(reason))
