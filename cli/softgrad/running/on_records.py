"""A run on JSON records, or on numbers given as arguments."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing

from softgrad.exits import Exit
from softgrad.outputs.file import Output
from softgrad.outputs.formats import Renderer
from softgrad.records.records import Block
from softgrad.running.pipeline import Pipeline
from softgrad.running.report import Report
from softgrad.running.workers import Workers


def run_on_records(
    pipeline: Pipeline,
    renderer: Renderer,
    sources: Iterable[tuple[Callable[[], Iterator[Block]], str | None]],
    report: Report,
    workers: Workers,
) -> Exit:
    """Work on all records; return the exit status.

    Parameters
    ----------
    pipeline, renderer
        What is done with each block, and what stands before and after their texts.
    sources
        Functions that read blocks, and the file for their results; None is standard output.
    report, workers
        What reports the run, and who does the work.
    """
    with closing(report), workers:
        for read, place in sources:
            unread = report.unread
            with (
                closing(workers.outcomes(pipeline.process, read())) as outcomes,
                Output(place) as output,
            ):
                output.write(renderer.opening)
                for outcome in outcomes:
                    output.write(outcome.results)
                    report.add(outcome)
                    if report.is_over:
                        break
                output.write(renderer.closing)
                if not report.is_over and report.unread == unread:
                    output.commit()
            if report.is_over:
                break
        report.summarize()
    return report.status


def blocks_of(files: Sequence[str], *, slow: bool) -> Iterator[Block]:
    """Return the blocks of the files, small ones if each record takes long."""
    from softgrad.inputs.json.stream import BLOCK_BYTES, SMALL_BLOCK_BYTES
    from softgrad.inputs.sources import read
    from softgrad.running.process import prepare_for_stream

    prepare_for_stream()
    return read(files, SMALL_BLOCK_BYTES if slow else BLOCK_BYTES)
