"""A run on files of arrays: blocks of rows -> outcomes -> arrays, or the worst rows."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import Any, Protocol

from softgrad.exits import Exit
from softgrad.inputs.arrays.source import ArrayOptions, ArraySource, open_arrays
from softgrad.outputs.file import Output
from softgrad.running.pipeline import Outcome, Pipeline
from softgrad.running.report import Report
from softgrad.running.workers import Workers


class Writer(Protocol):
    """Takes the results of the blocks of one file."""

    def write(self, results: Any) -> None:
        """Take the results of the block that comes next."""

    def close(self) -> None:
        """Write what is known in the end only."""


def run_on_arrays(  # noqa: PLR0913, PLR0917 - what, where from, where to, and who does it
    options: ArrayOptions,
    prepare: Callable[[ArraySource, Output], tuple[Pipeline, Writer]],
    places: Iterable[tuple[Sequence[str], str | None]],
    elements: int,
    report: Report,
    workers: Workers,
) -> Exit:
    """Work on all files; return the exit status.

    Parameters
    ----------
    options
        What the command says of arrays.
    prepare
        Returns what is done with the blocks of a file, and what takes their results.
    places
        The files whose results go to one place, and that place; None is standard output.
    elements
        How many logits are in a block.
    report, workers
        What is said of the run, and who does the work.
    """
    with closing(report), workers:
        for files, place in places:
            with Output(place) as output:
                for name in files:
                    with open_arrays(name, options) as source:
                        pipeline, writer = prepare(source, output)
                        report.add(Outcome(near_claims=source.near_claims))
                        blocks = source.blocks(elements)
                        size = source.logits.size
                        outcomes = workers.outcomes_of_arrays(pipeline.process, blocks, size)
                        _write(outcomes, writer, source, report)
                    if report.is_over:
                        break
                if not report.is_over:
                    output.commit()
            if report.is_over:
                break
        report.summarize()
    return report.status


def _write(
    outcomes: Iterable[Outcome], writer: Writer, source: ArraySource, report: Report
) -> None:
    """Hand the results of each block on as soon as they are known."""
    for outcome in outcomes:
        writer.write(outcome.results)
        report.add(outcome)
        source.release()
        if outcome.is_last:
            break
    writer.close()
