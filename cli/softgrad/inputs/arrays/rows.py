"""Blocks of rows of arrays, read as examples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad.inputs.arrays.contents import Stored
from softgrad.records import fields
from softgrad.records.records import Examples, Interpreted
from softgrad_core.errors import InputError
from softgrad_core.loss.from_options import objective_of
from softgrad_core.loss.logits import as_rows, check_rows, given_rows
from softgrad_core.loss.options import Reduction
from softgrad_core.loss.targets import SUM_TOLERANCE
from softgrad_core.tensors import as_numpy

Array = npt.NDArray[Any]

CHECKED_ELEMENTS = 1 << 18
"""The logits of a batch that are looked at together."""


@dataclass(frozen=True, slots=True, eq=False)
class RowBlock:
    """Consecutive rows of the arrays of one file, from row `start` on.

    Targets are labels or probabilities. `is_batch` says that all rows are one record, whose loss
    is claimed.
    """

    source: str
    start: int
    logits: Array
    targets: Array
    claims: Mapping[str, Array]
    is_batch: bool = False

    def __len__(self) -> int:
        return 1 if self.is_batch else len(self.logits)

    @property
    def are_first(self) -> bool:
        """Whether they are the first rows of their file."""
        return self.start == 0

    @property
    def size(self) -> int:
        """How many bytes of logits were read for it."""
        return 0 if self.is_batch else self.logits.nbytes

    def records(self) -> "RowBlock":
        """Return the block itself: arrays need no parsing."""
        return self

    def first(self, count: int) -> "RowBlock":
        """Return the first `count` rows."""
        claims = {name: claim[:count] for name, claim in self.claims.items()}
        return replace(
            self, logits=self.logits[:count], targets=self.targets[:count], claims=claims
        )

    def place(self, index: int) -> str:
        """Return where a row is, for a message."""
        return self.source if self.is_batch else f"{self.source}: row {self.start + index}"


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads blocks of rows.

    `options` are those of the loss, and `of_row` those of the loss of a row, without the reduction
    over all rows. Columns of logits from `classes` on are padding. `divisor` is that of a mean,
    else None, and `z_divisor` that of a mean z-loss.
    """

    options: Mapping[str, Any]
    of_row: Mapping[str, Any]
    classes: int
    reduction: Reduction
    divisor: float | None
    z_divisor: float | None
    with_claims: bool

    def __call__(self, block: RowBlock) -> Interpreted:
        """Return the usable rows of a block, and the errors of the others."""
        logits = block.logits
        if block.is_batch:
            return self._batch(block)
        errors = dict(self._errors(logits, block.targets))
        if self.with_claims and not block.claims:
            return Interpreted([], errors)
        some: Any = np.setdiff1d(range(len(logits)), [*errors]) if errors else slice(None)
        logits = given_rows(logits[some]).values
        objective = objective_of(block.targets[some], logits.shape, **self.of_row)
        if self.divisor is not None:
            objective = replace(objective, divisor=np.full(len(logits), self.divisor))
        if self.z_divisor is not None:
            objective = replace(objective, z_divisor=np.full(len(logits), self.z_divisor))
        claims = {
            name: claim[some]
            .astype(np.float64)
            .reshape(len(logits), 1 if name in fields.LOSSES else logits.shape[1])
            for name, claim in block.claims.items()
        }
        if self.with_claims:
            logits = logits.astype(np.float64)
        indices: Sequence[int] = some.tolist() if errors else range(len(logits))
        nothing = [None] * len(indices)
        return Interpreted([Examples(indices, logits, objective, nothing, nothing, claims)], errors)

    def _batch(self, block: RowBlock) -> Interpreted:
        """Return all rows as one record with one loss."""
        try:
            # What is in a file stays there, and is read block by block.
            in_file = isinstance(block.logits, Stored)
            rows = block.logits if in_file else given_rows(block.logits, packed=True).values
            step = max(1, CHECKED_ELEMENTS // rows.shape[1])
            for start in range(0, len(rows), step):
                check_rows(rows[start : start + step][:, : self.classes])
            options = {**self.options, fields.REDUCTION: self.reduction}
            objective = objective_of(block.targets, rows.shape, **options)
        except InputError as error:
            reason = f"{fields.LOSS}: not judged, because a row of its batch was rejected"
            return Interpreted([], {0: InputError(error.code, reason)})
        claims = {
            name: as_numpy(claim).astype(np.float64).reshape(1, 1)
            for name, claim in block.claims.items()
        }
        examples = Examples([0], rows, objective, [None], [None], claims, are_batches=True)
        return Interpreted([examples], {})

    def _errors(self, logits: Array, targets: Array) -> Iterator[tuple[int, InputError]]:
        """Yield the rows that cannot be used, each with its error."""
        odd, of_classes = np.zeros(len(logits), bool), logits[:, : self.classes]
        with np.errstate(all="ignore"):
            # A finite sum shows cheaply that a block has neither NaN nor infinity.
            if logits.size and not np.isfinite(of_classes.sum()):
                odd = ~np.isfinite(of_classes.max(axis=1))
            if targets.ndim == 1:
                is_class = (targets >= 0) & (targets < self.classes)
                odd |= ~is_class & (targets != self.options.get(fields.IGNORE_INDEX))
            else:
                sums = targets.sum(axis=1, dtype=np.float64)
                odd |= ~np.isfinite(sums) | (targets < 0).any(axis=1)
                # Padding has no share.
                odd |= targets[:, self.classes :].any(axis=1)
                if not self.options.get("unnormalized_target"):
                    odd |= ~(np.abs(sums - 1.0) <= SUM_TOLERANCE / 2)
        for row in np.flatnonzero(odd).tolist():
            try:
                as_rows(of_classes[row])
                objective_of(targets[row], logits.shape[1:], **self.of_row)
            except InputError as error:
                yield row, error
