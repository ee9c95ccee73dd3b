"""What is tried, by name: the inputs that have broken losses before.

A new trial is one entry of a table here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.probing.inputs import BEFORE, LAYOUTS, Input, Plan

ROWS, CLASSES = 5, 10
"""The shape of what has no reason to have another one: with 4 rows N would be T² at T = 2."""

TYPICAL_SIZE = 2.0
"""The standard deviation of logits."""

SHARES = 128
"""Target probabilities are multiples of 1 / SHARES, which every type has."""

RANDOM = "random inputs"
"""The name of what is tried last."""

PLAIN = "plain rows"
PLAIN_FAMILY = "any"
"""The first trial, and its family. What fails there is wrong in general."""


class Entry(NamedTuple):
    """A trial: its name, the shape that it asks for, and what is special about it.

    Trials of one family break losses for similar reasons. `change` returns the changed input, or
    None where the trial means nothing for this function.
    """

    name: str
    family: str
    rows: int
    classes: int
    change: "Callable[[Draw, Input], Input | None]"


@dataclass(frozen=True)
class Draw:
    """Draws numbers of a type for a function of which a plan is known.

    Inputs of as many `rows` are drawn and changed together, one below the other.
    """

    rng: np.random.Generator
    dtype: Dtype
    plan: Plan
    rows: int = ROWS

    def shape(self, rows: int, classes: int) -> tuple[int, int]:
        """Return this shape, or one that there can be."""
        shapes = self.plan.shapes
        if shapes:
            return shapes[int(self.rng.integers(len(shapes)))]
        return rows, self.plan.columns(classes)

    def input(self, shape: tuple[int, int], sizes: FloatArray) -> Input:
        """Return random logits and targets, of one input of this shape for each size."""
        rows, columns = shape[0] * len(sizes), shape[1]
        logits = np.repeat(sizes, shape[0])[:, np.newaxis] * self.rng.standard_normal(
            (rows, columns)
        )
        return Input(self.rounded(logits), self.targets(rows, columns))

    def by_input(self, of_rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return what there is for each row with an axis for inputs before that for their rows."""
        return of_rows.reshape(-1, self.rows, *of_rows.shape[1:])

    def targets(self, rows: int, columns: int) -> npt.NDArray[Any]:
        """Return random targets: labels that count, or probabilities, some of them 0."""
        classes = self.plan.classes(columns)
        if self.plan.has_labels:
            ignored = self.plan.ignored
            if ignored is None or not 0 <= ignored < classes or classes == 1:
                return self.rng.integers(classes, size=rows)
            labels = self.rng.integers(classes - 1, size=rows)
            return labels + (labels >= ignored)
        shares = self.rng.dirichlet(np.ones(classes), rows)
        # About half of the classes of every other row have no share.
        is_left_out = self.rng.random(shares.shape) < 0.5
        is_left_out[1::2] = False
        is_left_out[np.arange(rows), shares.argmax(axis=1)] = False
        shares[is_left_out] = 0.0
        shares /= shares.sum(axis=1, keepdims=True)
        padding = np.zeros((rows, columns - classes))
        return np.concatenate([self.rng.multinomial(SHARES, shares) / SHARES, padding], axis=1)

    def rounded(self, values: FloatArray) -> FloatArray:
        """Return numbers of the type, the nearest to these; infinite ones stay masks."""
        if self.dtype is Dtype.FLOAT64:
            return np.asarray(values, dtype=np.float64)
        nearest = np.clip(self.dtype.round(values), -self.dtype.largest, self.dtype.largest)
        return np.where(np.isinf(values), values, nearest)

    def targets_of(self, given: Input) -> npt.NDArray[np.intp]:
        """Return a class of each row that has a share of its target."""
        if not given.has_labels:
            return np.asarray(given.targets.argmax(axis=1))
        ignored = self.plan.ignored
        return np.where(given.targets == ignored, 0, given.targets)


def _logits(change: Callable[[Draw, Input], FloatArray]) -> Callable[[Draw, Input], Input]:
    """Return a change of the logits alone."""

    def changed(draw: Draw, given: Input) -> Input:
        return replace(given, logits=draw.rounded(change(draw, given)))

    return changed


def _one_large(draw: Draw, given: Input, size: float, *, is_target: bool) -> FloatArray:
    """Return logits of 0 but for one of each row, that of the target or another."""
    rows, classes = given.logits.shape
    chosen = draw.targets_of(given) + (not is_target)
    logits = np.zeros((rows, classes))
    logits[np.arange(rows), chosen % draw.plan.classes(classes)] = size
    return logits


def _half_sure(draw: Draw, given: Input) -> FloatArray:
    right = _one_large(draw, given, 1e4, is_target=True)
    wrong = _one_large(draw, given, 1e4, is_target=False)
    return np.where(np.arange(len(right))[:, np.newaxis] % 2 == 0, right, wrong)


def _tied(draw: Draw, given: Input) -> FloatArray:
    del draw
    logits: FloatArray = given.logits.copy()
    logits[:, :2] = logits.max(axis=1, keepdims=True)
    return logits


def _one_row_far_above(draw: Draw, given: Input) -> FloatArray:
    logits: FloatArray = given.logits.copy()
    draw.by_input(logits)[:, 0] += 1000.0
    return logits


def _huge(draw: Draw, given: Input) -> FloatArray:
    # Not the largest, so that no sum of thousands overflows, nor a division by T.
    size = draw.dtype.largest / 8192.0 * min(1.0, draw.plan.option("temperature", given))
    return np.asarray(np.sign(given.logits) * size)


def _overflowing(draw: Draw, given: Input) -> FloatArray:
    """Return logits of which some have an exponential that is infinite in the type."""
    beyond = 1.2 * np.log(draw.dtype.largest)
    return np.asarray(given.logits + beyond * (given.logits > 0))


def _masked(draw: Draw, given: Input, *, with_target: bool) -> Input:
    """Return rows with masked classes; in the first row the target is one, if asked for."""
    logits, targets = given.logits.copy(), draw.targets_of(given)
    rows, classes = logits.shape
    is_masked = draw.rng.random((rows, draw.plan.classes(classes))) < 0.4
    shares = np.arange(is_masked.shape[1]) == targets[:, np.newaxis]
    if not given.has_labels:
        shares = given.targets[:, : is_masked.shape[1]] > 0
    is_masked &= ~shares
    if with_target:
        # Some other class must be left.
        first = np.arange(0, rows, draw.rows)
        is_masked[first] = False
        is_masked[first, targets[first]] = True
    logits[:, : is_masked.shape[1]][is_masked] = -np.inf
    return replace(given, logits=logits)


def _one_class_left(draw: Draw, given: Input) -> Input | None:
    if not given.has_labels:
        return None
    logits = np.full(given.logits.shape, -np.inf)
    rows = np.arange(len(logits)), draw.targets_of(given)
    logits[rows] = given.logits[rows]
    return replace(given, logits=logits)


def _masked_target(draw: Draw, given: Input) -> Input | None:
    classes = draw.plan.classes(given.logits.shape[1])
    return _masked(draw, given, with_target=True) if classes > 1 else None


def _labels(choose: Callable[[Draw, int, int], Any]) -> Callable[[Draw, Input], Input | None]:
    """Return a change of the labels alone; `choose` gets the numbers of rows and classes."""

    def changed(draw: Draw, given: Input) -> Input | None:
        rows, columns = given.logits.shape
        labels = np.broadcast_to(choose(draw, rows, draw.plan.classes(columns)), rows).copy()
        if not given.has_labels:
            one_hot = np.zeros(given.logits.shape)
            one_hot[np.arange(rows), labels] = 1.0
            return replace(given, targets=one_hot)
        # A label that is ignored is a trial of its own.
        return None if (labels == draw.plan.ignored).any() else replace(given, targets=labels)

    return changed


def _ignored(chosen: int | slice) -> Callable[[Draw, Input], Input | None]:
    """Return a change that ignores some of the rows."""

    def changed(draw: Draw, given: Input) -> Input | None:
        if draw.plan.ignored is None or not given.has_labels:
            return None
        targets = given.targets.copy()
        draw.by_input(targets)[:, chosen] = draw.plan.ignored
        return replace(given, targets=targets)

    return changed


def _upstream(draw: Draw, given: Input) -> Input | None:
    """Return rows with a gradient from above that differs between them."""
    if draw.plan.is_reduced:
        return None
    # Powers of 2, so that multiplying by them loses nothing, and no quotients of row counts.
    return replace(given, upstream=np.resize([0.5, 8.0, 0.0625, 1.0], len(given.logits)))


def _with_option(name: str, value: Any) -> Callable[[Draw, Input], Input | None]:
    """Return a change of an option, if the function takes it as a keyword."""

    def changed(draw: Draw, given: Input) -> Input | None:
        has_it = name in draw.plan.keywords and value != draw.plan.options[name]
        return replace(given, options={name: value}) if has_it else None

    return changed


def _with(name: str, value: str) -> Callable[[Draw, Input], Input]:
    """Return a change of how the numbers are given."""
    return lambda _, given: replace(given, **{name: value})  # type: ignore[arg-type]


def _unchanged(draw: Draw, given: Input) -> Input:
    del draw
    return given


def _entries(family: str, **changes: Any) -> Iterator[Entry]:
    for name, change in changes.items():
        yield Entry(name.replace("_", " "), family, ROWS, CLASSES, change)


_OFFSET = 1e4

NAMED: tuple[Entry, ...] = (
    Entry(PLAIN, PLAIN_FAMILY, ROWS, CLASSES, _unchanged),
    Entry("one row", "shape", 1, CLASSES, _unchanged),
    Entry("two classes", "shape", ROWS, 2, _unchanged),
    Entry("one class", "shape", ROWS, 1, _unchanged),
    *_entries(
        "values",
        small_logits=_logits(lambda _, given: given.logits / 1024.0),
        sure_and_right=_logits(lambda draw, x: _one_large(draw, x, 40.0, is_target=True)),
        sure_and_wrong=_logits(lambda draw, x: _one_large(draw, x, 40.0, is_target=False)),
        logits_of_10000=_logits(_half_sure),
        a_common_offset=_logits(lambda _, given: given.logits + 64.0),
        a_large_common_offset=_logits(lambda _, given: given.logits + _OFFSET),
        a_large_negative_offset=_logits(lambda _, given: given.logits - _OFFSET),
        one_row_far_above=_logits(_one_row_far_above),
        equal_logits=_logits(lambda _, given: np.zeros_like(given.logits)),
        a_tie_at_the_maximum=_logits(_tied),
        exponentials_that_overflow=_logits(_overflowing),
        subnormal_logits=_logits(lambda draw, x: np.rint(8 * x.logits) * draw.dtype.smallest),
        huge_logits=_logits(_huge),
    ),
    *_entries(
        "masks",
        masked_classes=lambda draw, given: _masked(draw, given, with_target=False),
        a_masked_target=_masked_target,
        one_class_not_masked=_one_class_left,
    ),
    *_entries(
        "labels",
        the_first_class=_labels(lambda _draw, _rows, _classes: 0),
        the_last_class=_labels(lambda _draw, _rows, classes: classes - 1),
        labels_in_order=_labels(lambda _draw, rows, classes: np.arange(rows) % classes),
        one_label_for_all=_labels(lambda draw, _, classes: int(draw.rng.integers(classes))),
    ),
    *_entries(
        "ignored",
        the_first_row_ignored=_ignored(0),
        the_last_row_ignored=_ignored(-1),
        every_other_row_ignored=_ignored(slice(None, None, 2)),
    ),
    Entry("all rows ignored", "ignored", ROWS, CLASSES, _ignored(slice(None))),
    Entry(
        "an upstream gradient of 0.5",
        "upstream",
        ROWS,
        CLASSES,
        lambda _, given: replace(given, upstream=np.array(0.5)),
    ),
    Entry("an upstream gradient for each row", "upstream", ROWS, CLASSES, _upstream),
    *(Entry(layout, "layout", ROWS, CLASSES, _with("layout", layout)) for layout in LAYOUTS),
    *(
        Entry(f"after a call with {what}", "state", ROWS, CLASSES, _with("before", what))
        for what in BEFORE
    ),
    *(
        Entry(f"{name} {value:g}", "options", ROWS, CLASSES, _with_option(name, value))
        for name, values in {
            "label_smoothing": (0.0, 0.5, 1.0),
            "temperature": (0.125, 8.0),
            "softcap": (1.0, 64.0),
            "z_loss_scale": (0.0, 1.0),
            "loss_scale": (0.25, 1024.0),
        }.items()
        for value in values
    ),
    Entry("an empty batch", "shape", 0, CLASSES, _unchanged),
    Entry("more rows than a block", "shape", 1030, 7, _unchanged),
    *(
        Entry(f"{classes} classes", "shape", rows, classes, _unchanged)
        for rows, classes in (
            *((ROWS, classes) for classes in (31, 33, 64, 127, 128, 129, 1000, 1025, 4097)),
            *((2, classes) for classes in (32_000, 50_257, 129_920)),
        )
    ),
)
"""The trials in their order: the simplest first."""


def input_of(entry: Entry, draw: Draw) -> Input | None:
    """Return the input of a trial, or None where it means nothing for the function."""
    shape = draw.shape(entry.rows, entry.classes)
    if entry.family == "shape" and shape != (entry.rows, entry.classes):
        return None
    draw = replace(draw, rows=shape[0])
    return entry.change(draw, draw.input(shape, np.array([TYPICAL_SIZE])))
