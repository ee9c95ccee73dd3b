"""A run: the outcomes of all blocks are written and reported, in order."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

from softgrad.exits import Exit, InputFailedError
from softgrad.outputs.file import Output
from softgrad.outputs.formats import Renderer
from softgrad.running.pipeline import Outcome
from softgrad.running.report import Report
from softgrad.running.workers import Workers

if TYPE_CHECKING:
    from softgrad_core.verification.summary import Summary


class Writer(Protocol):
    """Takes the results of blocks, in order."""

    def write(self, results: Any, summary: "Summary | None") -> None:
        """Take the results of the next block, and what its claims are, if it has some."""

    def close(self) -> None:
        """Write what comes at the end."""


class TextWriter:
    """Writes texts between the opening and the closing of their format."""

    def __init__(self, output: Output, renderer: Renderer) -> None:
        self._closing = renderer.closing
        self._output = output
        output.write(renderer.opening)

    def write(self, results: bytes, _: "Summary | None") -> None:
        """Write the text of a block."""
        self._output.write(results)

    def close(self) -> None:
        """Write what comes at the end."""
        self._output.write(self._closing)


Stream = tuple[Generator[Outcome], Writer]
"""Outcomes, and what writes their results."""

Places = Sequence[tuple[Sequence[str], str | None]]
"""Files, and the place of their results; None is standard output."""


def run(
    streams: Callable[[Sequence[str], Output], Iterator[Stream]],
    places: Places,
    report: Report,
    workers: Workers,
) -> Exit:
    """Work on all files, whose outcomes `streams` returns for one output; return the exit status.

    Results replace those of an earlier run only if all files of a place were read to their end.
    """
    with closing(report), workers:
        for files, place in places:
            unread = report.unread
            with Output(place) as output:
                for outcomes, writer in streams(files, output):
                    _write(outcomes, writer, report)
                    if report.is_over:
                        break
                if not report.is_over and report.unread == unread:
                    output.commit()
            if report.is_over:
                break
        report.summarize()
    return report.status


def _write(outcomes: Generator[Outcome], writer: Writer, report: Report) -> None:
    with closing(outcomes):
        try:
            for outcome in outcomes:
                writer.write(outcome.results, outcome.summary)
                report.add(outcome)
                if report.is_over:
                    break
        except InputFailedError as error:
            report.add_unread(error)
            return
    writer.close()
