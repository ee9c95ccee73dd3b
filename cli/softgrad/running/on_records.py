"""A run on JSON records, or on numbers: blocks -> outcomes -> text, in one file or several."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing

from softgrad.exits import Exit
from softgrad.outputs.file import Output
from softgrad.outputs.formats import Renderer
from softgrad.records.records import Block
from softgrad.running.pipeline import Outcome, Pipeline
from softgrad.running.report import Report
from softgrad.running.workers import Workers

Blocks = Callable[[], Iterator[Block]]


def run_on_records(
    pipeline: Pipeline,
    renderer: Renderer,
    sources: Iterable[tuple[Blocks, str | None]],
    report: Report,
    workers: Workers,
) -> Exit:
    """Work on all records; return the exit status.

    Parameters
    ----------
    pipeline, renderer
        What is done with each block, and what stands before and after the texts.
    sources
        What reads blocks, and the file that their results go to; None is standard output.
    report, workers
        What is said of the run, and who does the work.
    """
    with closing(report), workers:
        for read, place in sources:
            with closing(workers.outcomes(pipeline.process, read())) as outcomes:
                if _write(outcomes, renderer, place, report):
                    break
        report.summarize()
    return report.status


def _write(
    outcomes: Iterable[Outcome], renderer: Renderer, place: str | None, report: Report
) -> bool:
    """Write the text of each block as soon as it is known; return whether the run stops here."""
    unread = report.unread
    with Output(place) as output:
        output.write(renderer.opening)
        for outcome in outcomes:
            output.write(outcome.results)
            report.add(outcome)
            if outcome.is_last:
                break
        output.write(renderer.closing)
        is_last = report.is_over
        if not is_last and report.unread == unread:
            output.commit()
    return is_last


def blocks_of(files: Sequence[str], *, slow: bool) -> Iterator[Block]:
    """Return the records of the files, in small blocks where each record takes long."""
    from softgrad.inputs.json.stream import BLOCK_BYTES, SMALL_BLOCK_BYTES
    from softgrad.inputs.sources import read
    from softgrad.running.process import prepare_for_stream

    prepare_for_stream()
    return read(files, SMALL_BLOCK_BYTES if slow else BLOCK_BYTES)
