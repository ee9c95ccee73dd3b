"""What stands on the page of a record, whatever was done with it."""

from collections.abc import Sequence

from softgrad.messages import printable
from softgrad.pipeline import Batch, Computed
from softgrad.records import Records
from softgrad.renderers.page import Block


def blocks_of(records: Records, batch: Batch, row: int) -> Sequence[Block]:
    """Return what is shown of one record of a batch."""
    index = batch.examples.indices[row]
    place = "" if records.lines[index] is None else f"{printable(records.place(index))}: "
    if isinstance(batch, Computed):
        from softgrad.renderers.page.results import Results

        blocks = [*Results(batch, row).blocks(place)]
        if batch.derivations:
            from softgrad.renderers.page.steps import steps_of

            blocks += steps_of(batch.derivations[row], batch.examples.names[row])
        return blocks
    from softgrad.renderers.page.verdicts import Verdicts

    return [*Verdicts(batch, row).blocks(place)]
