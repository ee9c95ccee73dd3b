"""The page of a record that was verified: each number beside the exact one, and the mistake."""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from softgrad.outputs.page.blocks import (
    Block,
    Cell,
    Column,
    Heading,
    Paragraph,
    Pieces,
    Row,
    Table,
    Tone,
    Toned,
)
from softgrad.outputs.page.errors import DIGITS, MOST_NUMBERS, map_of
from softgrad.outputs.page.numbers import Classes, batch_title, choose_classes, short
from softgrad.records.fields import LOSSES
from softgrad.work import Verified
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verdicts import RANKED, Verdict
from softgrad_core.verification.summary import UNKNOWN

if TYPE_CHECKING:
    from softgrad_core.verification.comparison import Components
    from softgrad_core.verification.quantity import VerifiedQuantity


def verdicts_of(batch: Verified, record: int, place: str) -> Iterator[Block]:
    """Yield the blocks of a record; `place` stands before its heading."""
    examples = batch.examples
    rows_of_record = examples.rows(record)

    def classes(row: int) -> Classes:
        return Classes.of_row(examples, rows_of_record[row])

    title = batch_title(examples) if examples.are_batches else classes(0).title
    tolerance = batch.verification.tolerance
    yield Heading(f"{place}{title}", batch.verification.standard)
    for name, quantity in batch.verification.quantities.items():
        yield Paragraph((_verdict(name, quantity, record, str(tolerance.of(name).dtype)),))
        rows = rows_looked_at(quantity, record)
        components = quantity.components(record, rows)
        of_batch = examples.are_batches
        yield _table(name, quantity, components, rows, classes, of_batch=of_batch)
        if quantity.comparison.failed[record]:
            if quantity.size > 1 and name not in LOSSES:
                yield map_of(quantity, record, components, rows)
            lines = _diagnosis(quantity, record)
            if not examples.are_batches and (step := _step_of(quantity, record)):
                lines.append(f"  in the derivation: step {step}")
            yield Paragraph(tuple((line,) for line in lines))


def _verdict(name: str, quantity: "VerifiedQuantity", record: int, dtype: str) -> Pieces:
    """Return the verdict on a claim in one line."""
    comparison = quantity.comparison
    verdict = RANKED[comparison.ranks[record]]
    more = ""
    worst = float(comparison.max_error_ulp[record])
    if verdict is not Verdict.UNINFORMATIVE and not quantity.is_typed and math.isfinite(worst):
        more += f", worst {short(worst, 4)} ulp of {dtype}"
    if comparison.uninformative[record] and name not in LOSSES:
        more += f", {comparison.uninformative[record]:,} uninformative"
    return (Toned(name, Tone.STRONG), ": ", Toned(verdict, Tone(verdict)), more)


def rows_looked_at(quantity: "VerifiedQuantity", record: int) -> IndexArray:
    """Return the rows of a record whose numbers are shown: of a large batch the worst, and some."""
    worst, _ = quantity.place(int(quantity.comparison.worst[record]))
    return np.union1d(spread(quantity.size, quantity.numbers // quantity.size), [worst])


def spread(count: int, numbers: int) -> IndexArray:
    """Return rows out of `count` with so many numbers each: all, or of too many some."""
    most = max(1, MOST_NUMBERS // numbers)
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).astype(int)


def _table(  # noqa: PLR0913 - a claim, and which of its numbers are known
    name: str,
    quantity: "VerifiedQuantity",
    components: "Components",
    rows_of_components: IndexArray,
    classes: Callable[[int], Classes],
    *,
    of_batch: bool,
) -> Table:
    """Return a table of the numbers of a claim, the worst of many."""
    is_loss = name in LOSSES
    title = "row, class" if of_batch else "class"
    ulp = () if quantity.is_typed else ("ulp",)
    if is_loss:
        title = "row" if quantity.size > 1 else ""
    columns = [
        Column((title,), is_number=False),
        *(Column((title,)) for title in ("expected", "yours", "error", *ulp)),
        Column(("verdict",), is_number=False),
    ]
    ranks, errors = components.ranks, components.error_ulp
    worst_first = np.lexsort((-errors, -ranks.astype(int)))
    is_single = not is_loss and quantity.size == 1
    shown = choose_classes(worst_first, [classes(0).target] if is_single else [])
    rows = []
    for component in shown:
        place, c = quantity.place(component)
        row = int(rows_of_components[place])
        label = classes(row).label(c)
        if is_loss:
            label = str(row) if quantity.size > 1 else name
        elif of_batch:
            label = f"{row}, {label}"
        expected = float(components.expected[component])
        got = float(components.got[component])
        verdict = RANKED[ranks[component]]
        cells: list[Cell] = [
            label,
            short(expected, DIGITS),
            short(got, DIGITS) or "NaN",
            "0" if got == expected else short(got - expected, 2, sign="+") or "NaN",
            *(short(errors[component], 4) for _ in ulp),
            Toned(verdict, Tone(verdict)),
        ]
        rows.append(Row(cells, is_target=not is_loss and c == classes(row).target))
    if hidden := quantity.numbers - len(shown):
        rows.append(Row([f"{hidden:,} more", *[""] * (len(columns) - 1)], tone=Tone.DIM))
    return Table(columns, rows, are_classes=not is_loss)


def _diagnosis(quantity: "VerifiedQuantity", record: int) -> list[str]:
    """Return the mistakes that give the numbers of a claim, and what to do."""
    if not quantity.fits_by_row[record]:
        more = quantity.unexplained if len(quantity.records) == 1 else ""
        return [f"{UNKNOWN}; {more}" if more else UNKNOWN]
    first, *others = quantity.fits_by_row[record]
    lines = [
        f"{first.mistake.name}: it equals {quantity.formulas[record]}",
        f"  {first.mistake.explanation}",
        f"  to do: {first.mistake.remedy}",
    ]
    if others:
        lines.append(f"  or: {', '.join(fit.mistake.name for fit in others)}")
    return lines


def _step_of(quantity: "VerifiedQuantity", record: int) -> str:
    """Return the step of the derivation in which the mistake of a row is made, if there is one."""
    fits, claims = quantity.fits_by_row[record], quantity.claims
    if not fits or not (title := fits[0].mistake.step):
        return ""
    from softgrad_core.derivation.explain import explain_row

    row = int(quantity.records[record])
    logits = np.asarray(claims.rows[row], dtype=np.float64)
    steps = explain_row(logits, claims.objective.part([row]), None).steps
    numbers = [number for number, step in enumerate(steps, 1) if step.title == title]
    return f"{numbers[0]}, {title[0].lower()}{title[1:]}" if numbers else ""
