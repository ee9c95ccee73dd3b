"""What stands on the page of a record, and in which order. How it looks is for the formats."""

from collections.abc import Sequence

from softgrad.messages import printable
from softgrad.outputs.page.blocks import Block
from softgrad.records.records import Records
from softgrad.work import Batch, Verified


def page_of(records: Records, batch: Batch, record: int) -> Sequence[Block]:
    """Return the page of one record of a batch."""
    index = batch.examples.indices[record]
    place = "" if records.lines[index] is None else f"{printable(records.place(index))}: "
    if isinstance(batch, Verified):
        from softgrad.outputs.page.verdicts import verdicts_of

        return list(verdicts_of(batch, record, place))
    from softgrad.outputs.page.results import results_of

    return list(results_of(batch, record, place))
