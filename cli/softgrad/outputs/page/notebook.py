"""What stands below a cell of a notebook: a result, a verdict or a derivation of Python's."""

from collections.abc import Iterator, Sequence

import numpy as np

from softgrad.outputs.page.blocks import Bars, Block, Heading, Paragraph, Tone, Toned
from softgrad.outputs.page.errors import map_of
from softgrad.outputs.page.numbers import Classes, choose_classes
from softgrad.outputs.page.results import (
    GRAD_LOGITS,
    GRAD_PROBS,
    PROBS,
    Numbers,
    blocks_of_row,
    explained,
    loss_of,
    table_of,
)
from softgrad.outputs.page.verdicts import spread, verdicts_of
from softgrad.records.records import Examples
from softgrad.work import Verified, compute
from softgrad_core.derivation.explain import Derivation
from softgrad_core.loss.results import FIELDS, SoftmaxCrossEntropy
from softgrad_core.verification.verify import Verification

MOST_ROWS = 5
"""Of more rows, the first are shown."""

MOST_RECORDS = 3
"""Of more records that failed, the worst are shown number by number."""

RIGHT_DIGITS = {"float64": 12, "float32": 5}
"""To how many digits sums of results are shown, by their type; of others to 2."""

COLUMNS = {
    "probs": ((PROBS,), Bars.SHARE),
    "grad_probs": ((GRAD_PROBS,), Bars.MINOR),
    "grad_logits": ((GRAD_LOGITS,), Bars.SIGNED),
}


def blocks_of_result(result: SoftmaxCrossEntropy) -> Iterator[Block]:
    """Yield the numbers of the first rows, and the losses."""
    arrays = {name: np.asarray(getattr(result, name)) for name in result.fields}
    losses = arrays.pop("loss", np.empty(0)).reshape(-1)
    shape = next(iter(arrays.values())).shape if arrays else (*losses.shape, 0)
    classes = Classes(shape[-1], None, None)
    rows = {name: array.reshape(-1, shape[-1]) for name, array in arrays.items()}
    count = max(map(len, rows.values()), default=len(losses))
    hint = f"the first {MOST_ROWS} rows are shown" if count > MOST_ROWS else ""
    yield Heading(f"{count:,} rows" if len(shape) > 1 else f"{classes.count:,} classes", hint)
    for row in range(min(count, MOST_ROWS)):
        if len(shape) > 1:
            yield Heading(f"row {row}", level=2)
        if rows:
            columns = [
                Numbers(
                    title,
                    rows[name][row].astype(np.float64),
                    adds_up=name != "grad_probs",
                    bars=bars,
                    right_digits=RIGHT_DIGITS.get(rows[name].dtype.name, 2),
                )
                for name, (title, bars) in COLUMNS.items()
                if name in rows
            ]
            largest = np.argsort(-np.abs(columns[0].values), kind="stable")
            yield table_of(columns, classes, choose_classes(largest, []))
        if len(losses) == count:
            yield loss_of(("loss",), float(losses[row]))
    if len(losses) not in {0, count}:
        yield loss_of(("loss of all rows",), float(losses[0]))


def blocks_of_derivation(derivation: Derivation) -> Iterator[Block]:
    """Yield the numbers of the row, its curves and its steps."""
    logits = derivation.logits[np.newaxis]
    examples = Examples([0], logits, derivation.objective, [None], [None], {}, are_batches=False)
    batch = compute(FIELDS, examples)
    yield explained(blocks_of_row(batch, 0, ""), derivation)


def blocks_of_verification(verification: Verification) -> Iterator[Block]:
    """Yield the answer for all records, where their numbers are wrong, and the worst records."""
    *_, quantity = verification.quantities.values()
    claims, count = quantity.claims, len(verification.ranks)
    summary = verification.summary()
    said = Toned("passed", Tone.PASS) if summary.passed else Toned("not passed", Tone.FAIL)
    yield Paragraph(((said,),))
    yield Paragraph(tuple((line,) for line in summary.lines()))
    examples = Examples(
        range(count),
        claims.rows,
        claims.objective,
        [None] * count,
        [None] * count,
        claims={},
        are_batches=claims.objective.batches is not None,
    )
    if count > 1 and verification.failed:
        yield from _map_of_rows(verification, count)
    for record in _worst(verification) if count > 1 else [0]:
        place = f"row {record}: " if count > 1 else ""
        yield from verdicts_of(Verified(examples, verification), record, place)


def _worst(verification: Verification) -> Sequence[int]:
    """Return the records that failed with the largest errors."""
    failed = np.array(verification.failed, dtype=int)
    comparisons = [quantity.comparison for quantity in verification.quantities.values()]
    errors = np.max([np.where(c.failed, c.max_error_ulp, 0.0) for c in comparisons], axis=0)
    order = np.argsort(-errors[failed], kind="stable")
    worst: list[int] = failed[order[:MOST_RECORDS]].tolist()
    return worst


def _map_of_rows(verification: Verification, count: int) -> Iterator[Block]:
    """Yield where the numbers of rows that are records of their own are wrong."""
    for name, quantity in verification.quantities.items():
        if name == "loss" or quantity.size > 1 or not quantity.comparison.failed.any():
            continue
        places = quantity.records[spread(count, quantity.numbers)]
        yield Paragraph(((Toned(name, Tone.STRONG),),))
        yield map_of(quantity, None, quantity.claims.components(name, places).flat(), places)
