"""What was computed for a record: its numbers, its loss, and the check of its gradients."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from softgrad.outputs.members import NO_ROWS_COUNT
from softgrad.outputs.page import (
    Bars,
    Block,
    Column,
    Heading,
    Math,
    Paragraph,
    Row,
    Table,
    Tone,
    Toned,
)
from softgrad.outputs.page.numbers import (
    LOGIT_DIGITS,
    Classes,
    choose_classes,
    short,
    shown_sum,
)
from softgrad.records.records import Examples
from softgrad.work import Computed

if TYPE_CHECKING:
    from softgrad_core.checking.check import GradientCheck
    from softgrad_core.checking.comparison import Comparison, Component
    from softgrad_core.loss.logits import FloatArray

PROBS, GRAD_PROBS, GRAD_LOGITS = Math("f(x)"), Math("dL/df(x)"), Math("dL/da")
LOSS, WEIGHT, WEIGHTED_LOSS = Math("-log f(x)_y"), Math("q"), Math("-sum_c q_c log f(x)_c")

MOST_ROWS = 10


def results_of(batch: Computed, record: int, place: str) -> Iterator[Block]:
    """Yield what is shown of one record of a batch: its rows, its loss, and the check."""
    examples = batch.examples
    rows = examples.rows(record)
    if not examples.are_batches:
        yield from Results(batch, rows[0]).blocks(place, _options(examples, rows[0]))
        return
    shown = rows[:MOST_ROWS]
    hint = (
        "" if len(shown) == len(rows) else f"the first {MOST_ROWS} rows are shown; --json has all"
    )
    title = f"a batch of {len(rows):,} rows, {examples.logits.shape[1]:,} classes"
    yield Heading(f"{place}{title}", hint)
    if options := _options(examples, rows[0]):
        yield Paragraph(((options,),))
    for number, row in enumerate(shown):
        yield from Results(batch, row).blocks(f"row {number}: ", "")
    batches = examples.objective.batches
    if batches is None or not batches.reduced:
        return
    denominator = float(batches.denominators[record])
    how = "sum of the losses of the rows"
    if examples.objective.divisor is not None:
        how = f"mean of the losses of the rows (their sum / {denominator:.12g})"
    loss = float(batch.result.loss[record])
    said = "NaN" if math.isnan(loss) else repr(loss)
    yield Paragraph(((f"loss, the {how} = ", Toned(said, Tone.STRONG)),))
    if not denominator:
        yield Paragraph(((Toned(f"warning: {NO_ROWS_COUNT}", Tone.FAIL),),))


def _options(examples: Examples, row: int) -> str:
    """Return which options the loss of a row has, beside the reduction."""
    objective = examples.objective
    options = []
    for name, values in (
        ("label smoothing", objective.smoothing),
        ("temperature", objective.temperature),
    ):
        if values is not None:
            options.append(f"{name} {values[row]:.12g}")
    if objective.class_weights is not None:
        options.append("class weights")
    return ", ".join(options)


class Results:
    """What is shown of one row."""

    def __init__(self, batch: Computed, row: int) -> None:
        examples, result = batch.examples, batch.result
        self._logits: FloatArray = examples.logits[row]
        self._classes = Classes.of_row(examples, row)
        self._probs: FloatArray = result.probs[row]
        objective = examples.objective
        self._is_plain = objective.is_plain
        self._weights: FloatArray = objective.part([row]).weights(self._classes.count)[0]
        is_reduced = objective.batches is not None and objective.batches.reduced
        self._loss = None
        if not (is_reduced and examples.are_batches):
            self._loss = float(result.loss[row])
        self._grad_probs: FloatArray = result.grad_probs[row]
        self._grad_logits: FloatArray = result.grad_logits[row]
        self._check = None
        if batch.checks:
            self._check = batch.checks[row // examples.size].rows[row % examples.size]
        self._shown = self._choose_classes()

    def blocks(self, place: str, options: str) -> Iterator[Block]:
        """Yield what the row is, its numbers, its loss, and its check."""
        all_shown = len(self._shown) == self._classes.count
        hint = "" if all_shown else "the most probable classes are shown; --json gives all"
        yield Heading(f"{place}{self._classes.title}", hint)
        if options:
            yield Paragraph(((options,),))
        yield self._numbers()
        if self._loss is not None:
            said = "NaN" if math.isnan(self._loss) else repr(self._loss)
            formula = LOSS if self._is_plain else WEIGHTED_LOSS
            yield Paragraph((("loss ", formula, " = ", Toned(said, Tone.STRONG)),))
        if self._check is not None:
            yield from self._checked(self._check)

    def _choose_classes(self) -> Sequence[int]:
        """Return the classes to show: all, or the most probable, the target, and the worst."""
        others = [] if self._classes.target is None else [self._classes.target]
        if self._check is not None:
            worst = self._check.grad_probs.worst_class, self._check.grad_logits.worst_class
            others += [c for c in worst if c is not None]
        return choose_classes(np.argsort(-self._probs, kind="stable"), others)

    def _numbers(self) -> Table:
        columns = [
            Column(("class",), is_number=False, footer="sum"),
            Column(("logit ", Math("a"))),
            *([] if self._is_plain else [Column(("weight ", WEIGHT), footer=self._sum())]),
            Column((PROBS,), bars=Bars.SHARE, footer=shown_sum(self._probs)),
            Column((GRAD_PROBS,), bars=Bars.SINGLE),
            Column((GRAD_LOGITS,), bars=Bars.SIGNED, footer=shown_sum(self._grad_logits)),
        ]
        rows = [self._row(c) for c in self._shown]
        if len(self._shown) < self._classes.count:
            rows.append(self._row_of_hidden())
        return Table(columns, rows)

    def _row(self, c: int) -> Row:
        cells = [
            self._classes.label(c),
            short(self._logits[c], LOGIT_DIGITS),
            *([] if self._is_plain else [short(self._weights[c])]),
            short(self._probs[c]),
            short(self._grad_probs[c]),
            short(self._grad_logits[c]),
        ]
        first = len(cells) - 3
        shares = {
            first: float(self._probs[c]),
            first + 1: self._share_of_output(c),
            first + 2: _share(self._grad_logits, c),
        }
        return Row(cells, is_target=c == self._classes.target, shares=shares)

    def _sum(self) -> str:
        """Return the sum of the target weights."""
        return f"{math.fsum(self._weights):.12g}"

    def _share_of_output(self, c: int) -> float:
        """Return what part of the largest number the gradient of an output is."""
        if self._is_plain:
            return -float(self._grad_probs[c] != 0)
        return _share(self._grad_probs, c)

    def _row_of_hidden(self) -> Row:
        """Return the sums over the classes that are not shown."""
        hidden = np.ones(self._classes.count, dtype=bool)
        hidden[self._shown] = False
        cells = [
            f"{hidden.sum():,} more",
            "",
            *([] if self._is_plain else [short(self._weights[hidden].sum())]),
            short(self._probs[hidden].sum()),
            "0" if self._is_plain else "",
            short(self._grad_logits[hidden].sum()),
        ]
        return Row(cells, tone=Tone.DIM)

    def _checked(self, check: "GradientCheck") -> Iterator[Block]:
        yield Heading(f"numerical check: {check.method}", level=2)
        for name, values, comparison in (
            (GRAD_PROBS, self._grad_probs, check.grad_probs),
            (GRAD_LOGITS, self._grad_logits, check.grad_logits),
        ):
            columns = [
                Column(("class",), is_number=False),
                *(Column((title,)) for title in (name, "numerical", "relative error")),
                Column(("verdict",), is_number=False),
            ]
            rows = []
            for c in self._shown:
                component = comparison.components[c]
                cells: list[str | Toned] = [
                    self._classes.label(c),
                    short(values[c]),
                    short(component.expected),
                    _error(component),
                    Toned(component.verdict, Tone(component.verdict)),
                ]
                rows.append(Row(cells, is_target=c == self._classes.target))
            yield Table(columns, rows)
            yield Paragraph(((name, f": {_summary(comparison)}"),))


def _share(numbers: "FloatArray", c: int) -> float:
    """Return what part of the largest number one of them is."""
    number, largest = float(numbers[c]), float(np.abs(numbers).max())
    if math.isinf(number):
        return math.copysign(1.0, number)
    return number / largest if largest else 0.0


def _error(component: "Component") -> str:
    judged = component.verdict != "uninformative"
    return f"{component.relative_error:.1e}" if judged else ""


def _summary(comparison: "Comparison") -> str:
    verdict = str(comparison.verdict)
    if comparison.max_relative_error is None:
        return f"{verdict}, no component could be judged"
    parts = [
        f"{verdict}, largest relative error {comparison.max_relative_error:.1e} "
        f"at class {comparison.worst_class}"
    ]
    if comparison.uninformative:
        parts.append(f"{comparison.uninformative:,} uninformative")
    return ", ".join(parts)
