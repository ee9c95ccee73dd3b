"""The results: probabilities, loss and gradients."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.errors import InputError
from softgrad_core.loss.logits import described

BLOCK_FIELDS = ("probs", "grad_probs", "grad_logits")
"""The results that have the shape of the logits."""

LOSSES = ("loss", "z_loss")
"""The results that have one number for each row, or for a reduced batch."""

FIELDS = ("probs", *LOSSES, "grad_probs", "grad_logits")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SoftmaxCrossEntropy:
    """The results for one row of C logits, or for N rows.

    Fields that were not requested are None.

    Attributes
    ----------
    probs
        The softmax f(x), of shape (C,) or (N, C).
    loss
        The negative log-likelihood -log f(x)_y in nats, or in general -sum_c q_c log f(x)_c: a
        NumPy scalar for one row or a reduced batch, else of shape (N,). The mean of no rows is NaN.
    z_loss
        The part of the loss that is its z-loss, ζ (log sum_c exp z_c)**2, of the same shape; None
        where there is none.
    grad_probs
        dL/df(x) = -e(y) / f(x)_y, in general -q / f(x), of the shape of `probs`.
    grad_logits
        dL/da = -(e(y) - f(x)), in general (s f(x) - q) / T, of the shape of `probs`.
    divisor
        The number that the sum over a batch was divided by for its mean; None without a mean.
    """

    probs: npt.NDArray[np.floating[Any]]
    loss: npt.NDArray[np.floating[Any]]
    grad_probs: npt.NDArray[np.floating[Any]]
    grad_logits: npt.NDArray[np.floating[Any]]
    z_loss: npt.NDArray[np.floating[Any]] | None = None
    divisor: float | None = None

    def __repr__(self) -> str:
        shape = next((getattr(self, name).shape for name in self.fields), ())
        return f"<SoftmaxCrossEntropy of shape {shape}: {', '.join(self.fields)}>"

    @property
    def fields(self) -> Sequence[str]:
        """The names of the fields that are not None."""
        return [name for name in FIELDS if getattr(self, name) is not None]

    def part(self, rows: Any, losses: Any = None) -> "SoftmaxCrossEntropy":
        """Return the results of some rows, as views if `rows` is a slice.

        `losses` selects the losses if there is not one per row.
        """
        parts: dict[str, Any] = dict.fromkeys(FIELDS)
        for name in self.fields:
            chosen = losses if name in LOSSES and losses is not None else rows
            parts[name] = getattr(self, name)[chosen]
        return SoftmaxCrossEntropy(**parts)

    def in_shape(self, shape: tuple[int, ...], *, with_losses: bool) -> "SoftmaxCrossEntropy":
        """Return these results of rows in the shape of the logits."""
        shapes = {name: shape for name in self.fields if name in BLOCK_FIELDS}
        if with_losses:
            shapes |= {name: shape[:-1] for name in self.fields if name in LOSSES}
        return replace(self, **{name: getattr(self, name).reshape(shapes[name]) for name in shapes})

    def with_classes_on(self, axis: int) -> "SoftmaxCrossEntropy":
        """Return these results with their last axis, that of the classes, in another place."""
        moved = {
            name: np.moveaxis(getattr(self, name), -1, axis)
            for name in self.fields
            if name in BLOCK_FIELDS
        }
        return replace(self, **moved)

    def put(self, rows: Any, numbers: "SoftmaxCrossEntropy") -> None:
        """Copy the results of some rows into the fields of this object, rounded to their types."""
        for name in self.fields:
            getattr(self, name)[rows] = getattr(numbers, name)


def check_fields(fields: Sequence[str] | None) -> tuple[str, ...]:
    """Return the requested names in the order of `FIELDS`, or raise InputError."""
    if fields is None:
        return FIELDS
    wanted = [fields] if isinstance(fields, str) else fields
    for name in wanted:
        if name not in FIELDS:
            raise InputError(
                "field-unknown",
                f"expected fields out of {', '.join(FIELDS)}, got {described(name)}",
            )
    return tuple(name for name in FIELDS if name in wanted)


def empty_results(
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    fields: Sequence[str],
    out: SoftmaxCrossEntropy | None,
) -> SoftmaxCrossEntropy:
    """Return results to write to: new arrays, or those of the earlier results `out`.

    Losses are float64 until the end. Raises InputError if `out` lacks a requested array.
    """
    blocks: dict[str, Any] = dict.fromkeys(BLOCK_FIELDS)
    for name in BLOCK_FIELDS:
        if name not in fields:
            continue
        if out is None:
            blocks[name] = (np.zeros if name == "grad_probs" else np.empty)(shape, dtype)
        else:
            blocks[name] = _reused(getattr(out, name), name, shape, dtype)
    if "z_loss" in fields:
        blocks["z_loss"] = np.empty(shape[0])
    return SoftmaxCrossEntropy(loss=np.empty(shape[0]), **blocks)


def _reused(
    block: npt.NDArray[Any] | None, name: str, shape: tuple[int, int], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Return an array of earlier results to write to, or raise InputError if it does not fit."""
    if block is None or np.atleast_2d(block).shape != shape or block.dtype != dtype:
        got = "none" if block is None else f"{block.dtype} of shape {block.shape}"
        raise InputError(
            "out-mismatch", f"expected out.{name} of {dtype} and shape {shape}, got {got}"
        )
    block = block.reshape(shape)
    if name == "grad_probs":
        block.fill(0.0)
    return block
