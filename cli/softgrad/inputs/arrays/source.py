"""Arrays of logits, with their targets, claims and options -> blocks of rows -> examples."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad.exits import Exit, StoppedError
from softgrad.inputs.arrays.files import ALONE, ArrayFile
from softgrad.inputs.records.claims import near_claims
from softgrad.records.bfloat16 import decoded, is_raw
from softgrad.records.fields import (
    CLAIMS,
    CLASS_WEIGHTS,
    LOGITS,
    LOSS,
    OPTIONS,
    REDUCTION,
    TARGET,
)
from softgrad.records.records import Examples, Interpreted
from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError
from softgrad_core.loss.logits import as_rows, check_class_count, given_rows
from softgrad_core.loss.objective import Objective, objective_of, weight_of
from softgrad_core.loss.options import Reduction
from softgrad_core.loss.targets import SUM_TOLERANCE, class_index

Array = npt.NDArray[Any]

COMPUTED_ELEMENTS = 1 << 18
"""Logits in a block that is computed; with its results it takes some 10 MiB."""

VERIFIED_ELEMENTS = 1 << 16
"""Logits in a block that is verified, which takes many times the memory of computing."""

CHECKED_ELEMENTS = 1 << 10
"""Logits in a block that is checked numerically, which takes a thousand times as long."""

BATCH_ELEMENTS = 1 << 23
"""The most logits whose single loss is verified: all are in memory then, some 2 GB."""

SUFFIXES = (".npy", ".npz")
"""How the names of files of arrays end."""


class ArrayOptions(NamedTuple):
    """What the command says of arrays.

    Attributes
    ----------
    target
        A class, or the name of a .npy file with the targets; None where the .npz has them.
    loss
        The options of the loss; those in the file go before them.
    dtype
        The type of arrays that NumPy has no type for: bfloat16, as uint16.
    with_claims
        Whether the arrays are claims to verify.
    """

    target: int | str | None
    loss: Mapping[str, Any]
    dtype: Dtype | None
    with_claims: bool


@dataclass(frozen=True, slots=True, eq=False)
class RowBlock:
    """Consecutive rows of the arrays of one source, from row `start` on.

    Targets are labels or probabilities. `is_batch` says that all rows together are one record,
    whose loss is claimed.
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
    def size(self) -> int:
        """How many bytes of logits were read for it."""
        return 0 if self.is_batch else self.logits.nbytes

    def records(self) -> "RowBlock":
        """Return the block itself: arrays need no parsing."""
        return self

    def first(self, count: int) -> "RowBlock":
        """Return the first `count` rows."""
        rows = slice(count)
        claims = {name: claim[rows] for name, claim in self.claims.items()}
        return replace(self, logits=self.logits[rows], targets=self.targets[rows], claims=claims)

    def place(self, row: int) -> str:
        """Return where a row is, for a message."""
        return self.source if self.is_batch else f"{self.source}: row {self.start + row}"


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads blocks of rows.

    Attributes
    ----------
    options
        The options of the loss of each row, without the reduction.
    reduction, divisor
        What becomes of the losses of all rows; what the mean divides by, None for no mean.
    dtype, with_claims
        See `ArrayOptions`.
    """

    options: Mapping[str, Any]
    reduction: Reduction
    divisor: float | None
    dtype: Dtype | None
    with_claims: bool

    def __call__(self, block: RowBlock) -> Interpreted:
        """Return the rows of a block that can be used, and what is wrong with the others."""
        logits = decoded(block.logits, self.dtype)
        if block.is_batch:
            return self._batch(block, logits)
        errors = dict(self._errors(logits, block.targets))
        if self.with_claims and not block.claims:
            return Interpreted([], errors)
        some: Any = np.setdiff1d(range(len(logits)), [*errors]) if errors else slice(None)
        logits = given_rows(logits[some]).values
        objective = objective_of(block.targets[some], logits.shape, **self.options)
        if self.divisor is not None:
            objective = replace(objective, divisor=np.full(len(logits), self.divisor))
        indices = some.tolist() if errors else range(len(logits))
        return Interpreted([self._examples(block, indices, some, logits, objective)], errors)

    def _examples(
        self, block: RowBlock, indices: Sequence[int], some: Any, logits: Array, what: Objective
    ) -> Examples:
        claims = {
            name: decoded(claim[some], self.dtype)
            .astype(np.float64)
            .reshape(len(logits), 1 if name == LOSS else logits.shape[1])
            for name, claim in block.claims.items()
        }
        if self.with_claims:
            logits = logits.astype(np.float64)
        nothing = [None] * len(indices)
        return Examples(indices, logits, what, nothing, nothing, claims)

    def _batch(self, block: RowBlock, logits: Array) -> Interpreted:
        """Return all rows as one record with one loss."""
        try:
            rows = as_rows(logits).values
            options = {**self.options, REDUCTION: self.reduction}
            objective = objective_of(block.targets, rows.shape, **options)
        except InputError as error:
            reason = f"{LOSS}: not judged, since a row that it is of was rejected"
            return Interpreted([], {0: InputError(error.code, reason)})
        loss = decoded(block.claims[LOSS], self.dtype).astype(np.float64).reshape(1, 1)
        examples = Examples([0], rows, objective, [None], [None], {LOSS: loss}, are_batches=True)
        return Interpreted([examples], {})

    def _errors(self, logits: Array, targets: Array) -> Iterator[tuple[int, InputError]]:
        """Yield the rows that cannot be used, and what is wrong with each."""
        odd = np.zeros(len(logits), bool)
        with np.errstate(all="ignore"):
            # A sum shows cheaply that most blocks hold neither NaN nor infinity.
            if logits.size and not np.isfinite(logits.sum()):
                odd = ~np.isfinite(logits.max(axis=1))
            if targets.ndim == 1:
                is_class = (targets >= 0) & (targets < logits.shape[1])
                odd |= ~is_class & (targets != self.options.get("ignore_index"))
            else:
                sums = targets.sum(axis=1, dtype=np.float64)
                odd |= ~np.isfinite(sums) | (targets < 0).any(axis=1)
                if not self.options.get("unnormalized_target"):
                    odd |= ~(np.abs(sums - 1.0) <= SUM_TOLERANCE / 2)
        for row in np.flatnonzero(odd).tolist():
            try:
                as_rows(logits[row])
                objective_of(targets[row], logits.shape[1:], **self.options)
            except InputError as error:
                yield row, error


@dataclass(frozen=True, slots=True, eq=False)
class ArraySource:
    """The arrays of one file of logits: mapped, and of shapes that fit together.

    Attributes
    ----------
    options
        The options of the loss: those in the file before those of the command.
    claims
        What is claimed of each row.
    loss
        The claimed loss of all rows, where they are one batch and that is claimed.
    dtype
        See `ArrayOptions`.
    """

    name: str
    logits: Array
    targets: Array
    options: Mapping[str, Any]
    claims: Mapping[str, Array]
    loss: Array | None
    dtype: Dtype | None
    with_claims: bool
    files: Sequence[ArrayFile]

    @property
    def near_claims(self) -> Sequence[str]:
        """The names of arrays that look like claims but are none."""
        return near_claims([dict.fromkeys(self.files[0].names)]) if self.with_claims else ()

    @property
    def reduction(self) -> Reduction:
        """What becomes of the losses of all rows."""
        return Reduction(self.options.get(REDUCTION, Reduction.NONE))

    def reader(self) -> RowReader:
        """Return what reads the blocks."""
        options = {name: value for name, value in self.options.items() if name != REDUCTION}
        return RowReader(options, self.reduction, self._divisor(), self.dtype, self.with_claims)

    def blocks(self, elements: int) -> Iterator[RowBlock]:
        """Yield the rows, so many logits at a time; last of all the batch that they are."""
        step = max(1, elements // self.logits.shape[1])
        for start in range(0, len(self.logits), step):
            rows = slice(start, start + step)
            claims = {name: claim[rows] for name, claim in self.claims.items()}
            yield RowBlock(self.name, start, self.logits[rows], self.targets[rows], claims)
        if self.loss is not None:
            claim = {LOSS: self.loss}
            yield RowBlock(self.name, 0, self.logits, self.targets, claim, is_batch=True)

    def row(self, number: int) -> dict[str, Any]:
        """Return what a record of one row says, or raise StoppedError."""
        if not 0 <= number < len(self.logits):
            raise _refused(
                self.name, f"expected --row from 0 to {len(self.logits) - 1}, got {number}"
            )
        logits = decoded(self.logits[number], self.dtype).astype(np.float64)
        options = {name: value for name, value in self.options.items() if name != REDUCTION}
        return {LOGITS: logits.tolist(), TARGET: self.targets[number].tolist(), **options}

    def _divisor(self) -> float | None:
        """Return what the losses of all rows are divided by, None where they are not."""
        if self.reduction is not Reduction.MEAN:
            return None
        if self.targets.ndim > 1:
            return float(len(self.targets))
        weights = self.options.get(CLASS_WEIGHTS)
        labels = self.targets[self.targets != self.options.get("ignore_index")]
        # Rows with other labels are rejected.
        labels = labels[(labels >= 0) & (labels < self.logits.shape[1])]
        try:
            return weight_of(labels, None if weights is None else np.asarray(weights, np.float64))
        except InputError as error:
            raise _refused(self.name, error.reason) from None

    def release(self) -> None:
        """Let go of what was read."""
        for file in self.files:
            file.release()


@contextmanager
def open_arrays(name: str, given: ArrayOptions) -> Iterator[ArraySource]:
    """Yield the arrays of a file of logits, or raise StoppedError where they do not fit."""
    file = ArrayFile(name)
    logits = file.array(_name_among(file, LOGITS))
    if logits.ndim != 2:
        raise _refused(name, f"expected {LOGITS} of shape (N, C), got {logits.shape}")
    targets, files = _targets_of(file, logits, given)
    if targets.shape not in (logits.shape[:1], logits.shape):
        raise _refused(
            name,
            f"expected targets of shape {logits.shape[:1]}, or {logits.shape} for probabilities, "
            f"got {targets.shape}",
        )
    said = {name: file.array(name).tolist() for name in OPTIONS if name in file.names}
    claims = _claims_of(file) if given.with_claims else {}
    options = {**given.loss, **said}
    source = ArraySource(
        name, logits, targets, options, claims, None, given.dtype, given.with_claims, files
    )
    _check_types(source)
    _check_options(source, given.target)
    yield _with_fitting_claims(source)


def _targets_of(
    file: ArrayFile, logits: Array, given: ArrayOptions
) -> tuple[Array, Sequence[ArrayFile]]:
    """Return the targets of all rows, and the files that are open then."""
    if isinstance(given.target, str):
        labels = ArrayFile(given.target)
        return labels.array(_name_among(labels, TARGET)), [file, labels]
    if TARGET in file.names:
        return file.array(TARGET), [file]
    if given.target is not None:
        return np.full(len(logits), given.target), [file]
    what = f'; expected "{TARGET}" in {file.name}, got {", ".join(file.names)}'
    what = what if file.name.endswith(".npz") else ""
    raise StoppedError(Exit.USAGE, f"expected the targets as --target labels.npy{what}")


def _name_among(file: ArrayFile, wanted: str) -> str:
    """Return the name of an array: that of the only one of a .npy file, else the one wanted."""
    if file.names == [ALONE]:
        return ALONE
    if wanted not in file.names:
        got = ", ".join(file.names) or "none"
        raise _refused(file.name, f'expected an array "{wanted}", got {got}')
    return wanted


def _claims_of(file: ArrayFile) -> dict[str, Array]:
    """Return the claims in a file."""
    claims = {name: file.array(name) for name in CLAIMS if name in file.names}
    if not claims:
        got = ", ".join(name or "one array" for name in file.names)
        raise _refused(
            file.name, f"expected claims to verify, any of {', '.join(CLAIMS)}, got {got}"
        )
    return claims


def _with_fitting_claims(source: ArraySource) -> ArraySource:
    """Return the source with its claims about rows; the loss of a batch is kept apart."""
    claims, shape = dict(source.claims), source.logits.shape
    loss = None
    if source.reduction is not Reduction.NONE and LOSS in claims and claims[LOSS].size == 1:
        loss = claims.pop(LOSS)
        if source.logits.size > BATCH_ELEMENTS:
            raise _refused(
                source.name,
                f"expected at most {BATCH_ELEMENTS:,} logits for one loss, got "
                f"{source.logits.size:,}; verify the loss of each row, or the gradient alone",
            )
    for name, claim in claims.items():
        wanted = shape[:1] if name == LOSS else shape
        if claim.shape != wanted:
            hint = ""
            if name == LOSS and claim.size == 1:
                hint = "; say --reduction mean or sum if it is that of all rows"
            raise _refused(
                source.name, f"expected {name} of shape {wanted}, got {claim.shape}{hint}"
            )
    return replace(source, claims=claims, loss=loss)


def _check_types(source: ArraySource) -> None:
    """Raise StoppedError where arrays do not hold numbers of the right kind."""
    logits, targets, dtype = source.logits, source.targets, source.dtype
    if not source.with_claims and dtype is not None and not is_raw(logits.dtype):
        raise _refused(
            source.name, f"expected logits as the bits of {dtype}, uint16, got {logits.dtype}"
        )
    for what, array in {LOGITS: logits, **source.claims}.items():
        if is_raw(array.dtype) and dtype is not Dtype.BFLOAT16:
            raise _refused(
                source.name,
                f"{what} are of {array.dtype}: if that is bfloat16, say --dtype bfloat16",
            )
        if not is_raw(array.dtype) and (array.dtype.kind not in "fiu" or array.dtype.itemsize > 8):
            raise _refused(
                source.name, f"expected {what} as numbers, at most float64, got {array.dtype}"
            )
    kinds, what = ("iu", "whole numbers") if targets.ndim == 1 else ("fiu", "probabilities")
    if targets.dtype.kind not in kinds:
        raise _refused(source.name, f"expected targets as {what}, got {targets.dtype}")


def _check_options(source: ArraySource, target: int | str | None) -> None:
    """Raise StoppedError where the classes, the target or the options cannot be."""
    classes = source.logits.shape[1]
    some: Any = np.zeros(1, int) if source.targets.ndim == 1 else np.eye(1, classes)
    try:
        check_class_count(classes)
        if isinstance(target, int):
            class_index(target, classes)
        objective_of(some, (1, classes), **dict(source.options))
    except InputError as error:
        raise _refused(source.name, error.reason) from None


def _refused(name: str, reason: str) -> StoppedError:
    return StoppedError(Exit.REJECTED, f"{name}: {reason}")


def dtype_of_claims(names: Sequence[str]) -> Dtype:
    """Return the type of the claims in files, float64 where that is none of those known."""
    types: set[str] = set()
    for name in names:
        file = ArrayFile(name)
        types |= {file.array(claim).dtype.name for claim in CLAIMS if claim in file.names}
        known = sorted(types & {*Dtype})
        if len(known) > 1:
            raise _refused(
                name, f"expected claims of one dtype, or --dtype, got {', '.join(known)}"
            )
    return Dtype(known[0]) if known else Dtype.FLOAT64
