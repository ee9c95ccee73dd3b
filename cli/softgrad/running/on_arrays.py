"""A run on files of arrays."""

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
    """Takes the results of the blocks of one file, in order."""

    def write(self, results: Any) -> None:
        """Take the results of the next block."""

    def close(self) -> None:
        """Write what is known only at the end."""


Prepare = Callable[[ArraySource, Output], tuple[Pipeline, Writer]]
"""Returns what is done with the blocks of a file, and what takes their results."""


def run_on_arrays(  # noqa: PLR0913, PLR0917 - what, where from, where to, and who does it
    options: ArrayOptions,
    prepare: Prepare,
    places: Iterable[tuple[Sequence[str], str | None]],
    elements: int,
    report: Report,
    workers: Workers,
) -> Exit:
    """Work on all files; return the exit status.

    Parameters
    ----------
    options
        What the command line says about arrays.
    prepare
        See `Prepare`.
    places
        Files, and the place of their results; None is standard output.
    elements
        The logits in a block.
    report, workers
        What reports the run, and who does the work.
    """
    with closing(report), workers:
        for files, place in places:
            with Output(place) as output:
                for name in files:
                    source = open_arrays(name, options)
                    report.add(Outcome(near_claims=source.near_claims))
                    pipeline, writer = prepare(source, output)
                    blocks, size = source.blocks(elements), source.logits.size
                    for outcome in workers.outcomes_of_arrays(pipeline.process, blocks, size):
                        writer.write(outcome.results)
                        report.add(outcome)
                        source.release()
                        if report.is_over:
                            break
                    writer.close()
                    if report.is_over:
                        break
                if not report.is_over:
                    output.commit()
            if report.is_over:
                break
        report.summarize()
    return report.status
