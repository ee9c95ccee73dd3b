"""What was computed for a record: its numbers, its loss, and the check of its gradients."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from softgrad.pipeline import Computed
from softgrad.renderers.page import (
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
from softgrad.renderers.page.numbers import (
    LOGIT_DIGITS,
    Classes,
    choose_classes,
    short,
    shown_sum,
)

if TYPE_CHECKING:
    from softgrad_core.comparison import Comparison, Component
    from softgrad_core.logits import FloatArray
    from softgrad_core.numerical import GradientCheck

PROBS, GRAD_PROBS, GRAD_LOGITS = Math("f(x)"), Math("dL/df(x)"), Math("dL/da")


class Results:
    """What is shown of one record of a batch."""

    def __init__(self, batch: Computed, row: int) -> None:
        examples, result = batch.examples, batch.result
        self._logits: FloatArray = examples.logits[row]
        self._classes = Classes(len(self._logits), int(examples.labels[row]), examples.names[row])
        self._probs: FloatArray = result.probs[row]
        self._loss = float(result.loss[row])
        self._grad_probs: FloatArray = result.grad_probs[row]
        self._grad_logits: FloatArray = result.grad_logits[row]
        self._check = batch.checks[row] if batch.checks else None
        self._shown = self._choose_classes()

    def blocks(self, place: str) -> Iterator[Block]:
        """Yield what the record is, its numbers, its loss, and its check."""
        all_shown = len(self._shown) == self._classes.count
        hint = "" if all_shown else "the most probable classes are shown; --json gives all"
        yield Heading(self._classes.title(place), hint)
        yield self._numbers()
        loss = Toned(repr(self._loss), Tone.STRONG)
        yield Paragraph((("loss ", Math("-log f(x)_y"), " = ", loss),))
        if self._check is not None:
            yield from self._checked(self._check)

    def _choose_classes(self) -> Sequence[int]:
        """Return the classes to show: all, or the most probable, the target, and the worst."""
        others = [self._classes.target]
        if self._check is not None:
            worst = self._check.grad_probs.worst_class, self._check.grad_logits.worst_class
            others += [c for c in worst if c is not None]
        return choose_classes(np.argsort(-self._probs, kind="stable"), others)

    def _numbers(self) -> Table:
        columns = [
            Column(("class",), is_number=False, footer="sum"),
            Column(("logit ", Math("a"))),
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
            short(self._probs[c]),
            short(self._grad_probs[c]),
            short(self._grad_logits[c]),
        ]
        shares = {
            2: float(self._probs[c]),
            3: -float(self._grad_probs[c] != 0),
            4: _share(self._grad_logits, c),
        }
        return Row(cells, is_target=c == self._classes.target, shares=shares)

    def _row_of_hidden(self) -> Row:
        """Return the sums over the classes that are not shown."""
        hidden = np.ones(self._classes.count, dtype=bool)
        hidden[self._shown] = False
        cells = [
            f"{hidden.sum():,} more",
            "",
            short(self._probs[hidden].sum()),
            "0",
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
    largest = float(np.abs(numbers).max())
    return float(numbers[c]) / largest if largest else 0.0


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
