"""What a loss function is given in a trial, and what it is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.options import OPTIONS, Reduction, check_options
from softgrad_core.loss.targets import IndexArray

LAYOUTS = ("columns with a stride", "rows with a stride", "transposed")
"""How the logits may lie in memory, other than row by row without gaps."""

BEFORE = ("itself", "another")
"""What the function may be called with before the call that counts."""


@dataclass(frozen=True, eq=False)
class Input:
    """What a loss function is given in one trial.

    Attributes
    ----------
    logits
        Numbers of the type of the trial, of shape (N, C).
    targets
        N labels, or probabilities of shape (N, C).
    upstream
        The gradient that comes from above: None for 1, a number, or one for each row.
    layout
        One of `LAYOUTS`, or empty for rows without gaps.
    before
        One of `BEFORE`, or empty if there is no other call before.
    options
        Options of the loss that this trial has instead of those that were told.
    """

    logits: FloatArray
    targets: npt.NDArray[Any]
    upstream: FloatArray | None = None
    layout: str = ""
    before: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Input":
        """Return an input from what `as_dict` gives."""
        known = {field.name for field in fields(cls)}
        if not {"logits", "targets"} <= given.keys() <= known:
            expected = f"expected an input with logits and targets, and perhaps {', '.join(known)}"
            raise ValueError(f"{expected}; got {', '.join(given)}")
        arrays = {
            name: np.array(given[name], dtype=np.float64)
            for name in ("logits", "upstream")
            if given.get(name) is not None
        }
        targets = np.array(given["targets"], dtype=None if len(given["targets"]) else np.intp)
        return cls(**{**given, **arrays, "targets": targets})

    def as_dict(self) -> dict[str, Any]:
        """Return what there is to tell as lists and numbers; `of` makes an input of it again."""
        said = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in said.items()
            if isinstance(value, np.ndarray) or value
        }

    @property
    def has_labels(self) -> bool:
        """Whether targets are labels."""
        return self.targets.ndim == 1

    @property
    def is_plain(self) -> bool:
        """Whether nothing but its numbers is special about it."""
        return self.upstream is None and not self.layout and not self.before

    def plain(self) -> "Input":
        """Return the same numbers, given in the plain way."""
        return replace(self, upstream=None, layout="", before="")

    def rows(self, chosen: IndexArray | slice) -> "Input":
        """Return some of the rows."""
        upstream = self.upstream
        if upstream is not None and upstream.ndim:
            upstream = upstream[chosen]
        of_rows = self.logits[chosen], self.targets[chosen], upstream
        return Input(*of_rows, self.layout, self.before, self.options)

    def columns(self, chosen: IndexArray, ignored: int | None) -> "Input":
        """Return some of the classes, those of labels among them, with labels renumbered."""
        if not self.has_labels:
            return replace(self, logits=self.logits[:, chosen], targets=self.targets[:, chosen])
        place = np.zeros(self.logits.shape[1], dtype=np.intp)
        place[chosen] = np.arange(len(chosen))
        is_label = self.targets != ignored if ignored is not None else np.True_
        labels = np.where(is_label, place[np.where(is_label, self.targets, 0)], self.targets)
        return replace(self, logits=self.logits[:, chosen], targets=labels)


@dataclass(frozen=True, eq=False)
class Plan:
    """What is known of a loss function, which says what is right and what can be tried.

    Attributes
    ----------
    options
        The options of the loss that were told, checked.
    keywords
        Those of them that the function takes as keywords, and the names that these have there.
    arithmetic
        The type that is computed in, if it is wider than that of the logits.
    shapes
        The only shapes that logits may have; empty for any.
    has_labels
        Whether targets are labels, or else probabilities.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    keywords: Mapping[str, str] = field(default_factory=dict)
    arithmetic: Dtype | None = None
    shapes: Sequence[tuple[int, int]] = ()
    has_labels: bool = True

    def option(self, name: str, given: Input | None = None) -> Any:
        """Return the value of an option, in a trial or in general."""
        if given is not None and given.options:
            return check_options(self.options_of(given))[name]
        return self._checked[name]

    @cached_property
    def _checked(self) -> Mapping[str, Any]:
        """All options, checked once: they are asked for many times in each trial."""
        return check_options(self.options)

    def options_of(self, given: Input) -> dict[str, Any]:
        """Return the options of a trial that are not the usual ones."""
        return {**self.options, **given.options}

    @property
    def is_reduced(self) -> bool:
        """Whether there is one loss for all rows."""
        return (
            self.option("reduction") is not Reduction.NONE or self.option("denominator") is not None
        )

    @property
    def ignored(self) -> int | None:
        """The label of rows that do not count."""
        label: int | None = self.option("ignore_index")
        return label

    def columns(self, wanted: int) -> int:
        """Return how many columns logits have where so many are wanted, but fewer are no classes.

        Weights of classes are for one number of classes alone.
        """
        weights = self.option("class_weights")
        if weights is not None:
            return len(weights)
        return max(wanted, self.classes(wanted))

    def have_softmax(self, given: Input) -> npt.NDArray[np.bool]:
        """Return which rows have a class that is not masked, of shape (N,)."""
        rows, columns = given.logits.shape
        classes = self.classes(columns)
        if classes > columns:
            return np.zeros(rows, dtype=bool)
        return np.asarray(np.isfinite(given.logits[:, :classes]).any(axis=1))

    def classes(self, columns: int) -> int:
        """Return how many of the columns are classes."""
        count = self.option("num_classes")
        return columns if count is None else int(count)


def keywords_of(names: Sequence[str], options: Mapping[str, Any]) -> dict[str, str]:
    """Return which options a function with parameters of these names takes, and their names there.

    Examples
    --------
    >>> keywords_of(["input", "target", "weight", "reduction"], {"class_weights": [1, 2]})
    {'class_weights': 'weight'}
    """
    return {
        option: name
        for option in OPTIONS
        for name in (option, *_OTHER_NAMES.get(option, ()))
        if name in names and option in options
    }


_OTHER_NAMES = {
    "class_weights": ("weight",),
    "z_loss_scale": ("lse_square_scale", "z_loss"),
    "softcap": ("logit_softcap",),
}
"""Other names that libraries have for options."""
