"""The page of a record that was computed: its numbers, its loss, and the check of its gradients."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from softgrad.outputs.page.blocks import (
    Bars,
    Block,
    Cell,
    Column,
    Heading,
    Math,
    Moving,
    Paragraph,
    Pieces,
    Row,
    Table,
    Tone,
    Toned,
)
from softgrad.outputs.page.numbers import (
    DIGITS,
    LOGIT_DIGITS,
    Classes,
    batch_title,
    choose_classes,
    short,
    shown_sum,
)
from softgrad.records.fields import NO_ROWS_COUNT
from softgrad.records.records import Examples
from softgrad.work import Computed
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.objective import Objective

if TYPE_CHECKING:
    from softgrad_core.checking.comparison import Comparison
    from softgrad_core.derivation.explain import Derivation

PROBS, GRAD_PROBS, GRAD_LOGITS = Math("f(x)"), Math("dL/df(x)"), Math("dL/da")
LOSS, WEIGHT, WEIGHTED_LOSS = Math("-log f(x)_y"), Math("q"), Math("-sum_c q_c log f(x)_c")
DIVERGENCE = Math("sum_c q_c log q_c - sum_c q_c log f(x)_c")

MOST_ROWS = 10


def results_of(batch: Computed, record: int, place: str) -> Iterator[Block]:
    """Yield the blocks of a record; `place` stands before its heading."""
    examples = batch.examples
    rows = examples.rows(record)
    options = _options(examples, rows[0])
    if not examples.are_batches:
        yield from _explained(batch, record, 0, blocks_of_row(batch, rows[0], place, options))
        return
    hint = f"the first {MOST_ROWS} rows are shown; --json gives all"
    yield Heading(f"{place}{batch_title(examples)}", hint if len(rows) > MOST_ROWS else "")
    if options:
        yield Paragraph(((options,),))
    for number, row in enumerate(rows):
        blocks: Iterable[Block] = ()
        if number < MOST_ROWS:
            blocks = blocks_of_row(batch, row, f"row {number}: ")
        yield from _explained(batch, record, number, blocks)
    batches = examples.objective.batches
    if batches and batches.reduced:
        denominator = float(batches.denominators[record])
        how = "sum over its rows"
        if examples.objective.divisor is not None:
            how = f"mean over its rows (sum / {denominator:.12g})"
        yield loss_of((f"loss of the batch, the {how}",), batch.result.loss[record], "batch")
        if batch.result.z_loss is not None:
            yield loss_of(("of this the z-loss",), batch.result.z_loss[record], "batch")
        if not denominator:
            yield Paragraph(((Toned(f"warning: {NO_ROWS_COUNT}", Tone.FAIL),),))


def _explained(
    batch: Computed, record: int, number: int, blocks: Iterable[Block]
) -> Iterator[Block]:
    """Yield the blocks of a row, with its derivation if there is one."""
    if not batch.derivations:
        yield from blocks
        return
    of = f" for row {number}" if batch.examples.are_batches else ""
    derivation, names = batch.derivations[record][number], batch.examples.names[record]
    yield explained(blocks, derivation, names, of=of)


def explained(
    blocks: Iterable[Block],
    derivation: "Derivation",
    names: Sequence[str] | None = None,
    *,
    of: str = "",
) -> Moving:
    """Return the blocks of a row with its curves and its derivation."""
    from softgrad.outputs.page.plots import plots_of
    from softgrad.outputs.page.steps import steps_of

    steps = steps_of(derivation, names, of=of)
    return Moving([*blocks, *plots_of(derivation, names), *steps], derivation, names)


def _options(examples: Examples, row: int) -> str:
    """Return the options that the loss of a row has."""
    objective = examples.objective
    options = [
        f"{name} {values[row]:.12g}"
        for name, values in (
            ("label smoothing", objective.smoothing),
            ("soft cap", objective.softcap),
            ("temperature", objective.temperature),
            ("z-loss scale", objective.z_scale),
            ("loss scale", objective.scale),
            ("number of classes", objective.num_classes),
            # A batch says what its mean divides by beside the loss.
            ("divided by", None if examples.are_batches else objective.divisor),
        )
        if values is not None
    ]
    if objective.class_weights is not None:
        options.append("class weights")
    if objective.is_divergence is not None:
        options.append("Kullback-Leibler divergence")
    return ", ".join(options)


def loss_of(what: Pieces, loss: float, key: str = "") -> Paragraph:
    """Return the line of a loss."""
    said = "NaN" if math.isnan(loss) else repr(float(loss))
    return Paragraph(((*what, " = ", Toned(said, Tone.STRONG)),), key)


class Numbers(NamedTuple):
    """A column of the table of results: a number for each class.

    Where the numbers do not add up to anything, `rest` is shown for the classes left out. The sum
    is 0 where it is so to as many digits as are right, `right_digits`. The longest bar has the
    length `unit`, or of the largest number if that is 0.
    """

    title: Pieces
    values: FloatArray
    adds_up: bool = False
    bars: Bars | None = None
    digits: int = DIGITS
    rest: str = ""
    right_digits: int = 12
    key: str = ""
    unit: float = 0.0

    def head(self) -> Column:
        """Return the head and the foot of the column."""
        footer = shown_sum(self.values, self.right_digits) if self.adds_up else ""
        return Column(self.title, bars=self.bars, footer=footer, key=self.key)

    def share(self, c: int) -> float:
        """Return the number of a class as a share of the longest bar."""
        number, longest = float(self.values[c]), self.unit or float(np.abs(self.values).max())
        if self.bars is Bars.SHARE:
            return number
        if math.isinf(number):
            return math.copysign(1.0, number)
        return min(max(number / longest, -1.0), 1.0) if longest else 0.0


def blocks_of_row(batch: Computed, row: int, place: str, options: str = "") -> Iterator[Block]:
    """Yield the heading of a row, its numbers, its loss, and its check."""
    examples, result = batch.examples, batch.result
    classes = Classes.of_row(examples, row)
    check = batch.checks[row // examples.size].rows[row % examples.size] if batch.checks else None
    also = [classes.target]
    if check is not None:
        also += [check.grad_probs.worst_class, check.grad_logits.worst_class]
    shown = choose_classes(np.argsort(-result.probs[row], kind="stable"), also)
    all_shown = len(shown) == classes.count
    hint = "" if all_shown else "the most probable classes are shown; --json gives all"
    yield Heading(f"{place}{classes.title}", hint)
    if options:
        yield Paragraph(((options,),), "options")
    yield table_of(_numbers_of(batch, row), classes, shown)
    batches = examples.objective.batches
    if not (examples.are_batches and batches and batches.reduced):
        what = _loss_in_words(examples.objective)
        if result.z_loss is None:
            yield loss_of(what, result.loss[row], "loss")
        else:
            yield loss_of((*what, ", with its z-loss"), result.loss[row], "loss")
            yield loss_of(("of this the z-loss",), result.z_loss[row], "z_loss")
    if check is not None:
        yield Heading(f"numerical check: {check.method}", level=2)
        for name, gradient, comparison in (
            (GRAD_PROBS, result.grad_probs[row], check.grad_probs),
            (GRAD_LOGITS, result.grad_logits[row], check.grad_logits),
        ):
            yield _table_of_check(name, gradient, comparison, classes, shown)
            yield Paragraph(((name, f": {_summary(comparison)}"),))


def _loss_in_words(objective: Objective) -> Pieces:
    """Return what the loss of a row is."""
    if objective.is_divergence is None:
        return "loss ", LOSS if objective.is_plain else WEIGHTED_LOSS
    # The weights that are shown have the factor and the divisor in them, and q log q has not.
    has_factor = objective.scale is not None or objective.divisor is not None
    return ("loss, the divergence times m / D",) if has_factor else ("loss ", DIVERGENCE)


def _numbers_of(batch: Computed, row: int) -> Sequence[Numbers]:
    """Return the columns of the table of a row."""
    logits, result = batch.examples.logits[row], batch.result
    objective = batch.examples.objective.part([row])
    weights = objective.weights(len(logits))[0]
    weight = Numbers(("weight ", WEIGHT), weights, adds_up=True, key="q")
    # So large dL/da can be, if no z-loss adds to it: f(x) and dL/da have bars of one scale.
    temperature = 1.0 if objective.temperature is None else float(objective.temperature[0])
    unit = float(weights.sum()) / temperature
    return [
        Numbers(("logit ", Math("a")), logits, digits=LOGIT_DIGITS, key="a"),
        *([] if objective.is_plain else [weight]),
        Numbers((PROBS,), result.probs[row], adds_up=True, bars=Bars.SHARE, key="p"),
        Numbers(
            (GRAD_PROBS,),
            result.grad_probs[row],
            bars=Bars.MINOR,
            # With a label, the output of every other class has a gradient of 0.
            rest="0" if objective.is_plain else "",
            key="dp",
        ),
        Numbers(
            (GRAD_LOGITS,),
            result.grad_logits[row],
            adds_up=True,
            bars=Bars.SIGNED,
            key="da",
            unit=unit if math.isfinite(unit) else 0.0,
        ),
    ]


def table_of(columns: Sequence[Numbers], classes: Classes, shown: Sequence[int]) -> Table:
    """Return the table of a row, with the classes that are not shown summed up in one row."""
    rows = []
    for c in shown:
        cells = [short(column.values[c], column.digits) for column in columns]
        shares = {place: column.share(c) for place, column in enumerate(columns, 1) if column.bars}
        rows.append(Row([classes.label(c), *cells], c == classes.target, shares, of_class=c))
    hidden = np.ones(classes.count, dtype=bool)
    hidden[shown] = False
    if hidden.any():
        # Sums of huge gradients may overflow, and those of infinite ones may have no value.
        with np.errstate(over="ignore", invalid="ignore"):
            cells = [
                short(column.values[hidden].sum()) if column.adds_up else column.rest
                for column in columns
            ]
        rows.append(Row([f"{hidden.sum():,} more", *cells], tone=Tone.DIM))
    first = Column(("class",), is_number=False, footer="sum")
    return Table([first, *(column.head() for column in columns)], rows)


def _table_of_check(
    name: Math,
    gradient: FloatArray,
    comparison: "Comparison",
    classes: Classes,
    shown: Sequence[int],
) -> Table:
    """Return a table of a gradient beside the differences of the loss."""
    columns = [
        Column(("class",), is_number=False),
        *(Column((title,)) for title in (name, "numerical", "relative error")),
        Column(("verdict",), is_number=False),
    ]
    rows = []
    for c in shown:
        component = comparison.components[c]
        judged = component.verdict != "uninformative"
        cells: list[Cell] = [
            classes.label(c),
            short(gradient[c]),
            short(component.expected),
            f"{component.relative_error:.1e}" if judged else "",
            Toned(component.verdict, Tone(component.verdict)),
        ]
        rows.append(Row(cells, is_target=c == classes.target))
    return Table(columns, rows)


def _summary(comparison: "Comparison") -> str:
    """Return the verdict on a gradient in one line."""
    if comparison.max_relative_error is None:
        return f"{comparison.verdict}, no component could be judged"
    said = (
        f"{comparison.verdict}, largest relative error {comparison.max_relative_error:.1e} "
        f"at class {comparison.worst_class}"
    )
    others = comparison.uninformative
    return f"{said}, {others:,} uninformative" if others else said
