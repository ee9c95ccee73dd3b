"""A file of arrays: logits with their targets, claims and options, checked to fit together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from softgrad.exits import Exit, InputFailedError, StoppedError
from softgrad.inputs.arrays.files import ALIASES, ALONE, ArrayFile, is_raw
from softgrad.inputs.arrays.opening import open_file
from softgrad.inputs.arrays.rows import RowBlock, RowReader
from softgrad.inputs.records.claims import near_claims
from softgrad.records import fields
from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError
from softgrad_core.loss.from_options import objective_of, weight_of
from softgrad_core.loss.logits import check_class_count, classes_last
from softgrad_core.loss.options import Reduction, check_reduction
from softgrad_core.loss.targets import class_index
from softgrad_core.tensors import BITS, Packed, are_numbers, as_numpy

Array = npt.NDArray[Any]

COMPUTED_ELEMENTS = 1 << 18
"""Logits in a block that is computed; with its results it takes about 10 MiB."""

VERIFIED_ELEMENTS = 1 << 18
"""Logits in a block that is verified; most rows take no more memory than computing does."""

CHECKED_ELEMENTS = 1 << 10
"""Logits in a block that is checked numerically, which takes a thousand times as long."""


class ArrayOptions(NamedTuple):
    """What the command line says about arrays.

    The target is a class, or the name of a file. The type is that of arrays for which NumPy has
    none and that hold its bits. Options of the loss that stand in the file take precedence.
    `names` are those that arrays have in the file, by those that they have here. `axis` is that of
    the classes.
    """

    target: int | str | None
    loss: Mapping[str, Any]
    dtype: Dtype | None
    with_claims: bool
    names: Mapping[str, str]
    axis: int


@dataclass(frozen=True, slots=True, eq=False)
class ArraySource:
    """The arrays of one file of logits, with shapes that fit together.

    All are rows, of shape (N, C) or (N,); `shape` is that of the logits in the file. `claims` are
    about single rows, and `losses` are those that are claimed of the whole batch.
    """

    name: str
    shape: tuple[int, ...]
    logits: Array
    targets: Array
    options: Mapping[str, Any]
    claims: Mapping[str, Array]
    losses: Mapping[str, Array]
    given: ArrayOptions
    files: Sequence[ArrayFile]

    @property
    def near_claims(self) -> Sequence[str]:
        """The names of arrays that look like claims but are not read."""
        if not self.given.with_claims:
            return ()
        file = self.files[0]
        named = near_claims([dict.fromkeys(file.arrays)])
        known = {fields.LOGITS, fields.TARGET, *fields.CLAIMS, *self.given.names.values(), *named}
        others = [name for name in file.arrays if name not in known and not _is_alias(name)]
        return [*named, *(name for name in others if file.array(name).shape == self.shape)]

    @property
    def reduction(self) -> Reduction:
        """The reduction over all rows, which is the mean if its denominator is given."""
        default = Reduction.MEAN if fields.DENOMINATOR in self.options else Reduction.NONE
        return Reduction(self.options.get(fields.REDUCTION, default))

    @property
    def classes(self) -> int:
        """The number of columns that are classes, and not padding."""
        columns: int = self.logits.shape[1]
        return min(columns, self.options.get(fields.NUM_CLASSES) or columns)

    @property
    def row_options(self) -> dict[str, Any]:
        """The options of the loss of a row."""
        of_batch = {fields.REDUCTION, fields.DENOMINATOR}
        return {name: said for name, said in self.options.items() if name not in of_batch}

    def reader(self) -> RowReader:
        """Return what reads the blocks."""
        return RowReader(
            self.options,
            self.row_options,
            self.classes,
            self.reduction,
            self._divisor(),
            self._z_divisor(),
            self.given.with_claims,
        )

    def blocks(self, elements: int) -> Iterator[RowBlock]:
        """Yield the rows, so many logits at a time, and last the batch if its loss is claimed."""
        step = max(1, elements // self.logits.shape[1])
        for start in range(0, len(self.logits), step):
            rows = slice(start, start + step)
            claims = {name: claim[rows] for name, claim in self.claims.items()}
            yield RowBlock(self.name, start, self.logits[rows], self.targets[rows], claims)
        if self.losses:
            targets = np.asarray(self.targets)
            yield RowBlock(self.name, 0, self.logits, targets, self.losses, is_batch=True)

    def row(self, number: int) -> dict[str, Any]:
        """Return one row as a record, or raise StoppedError."""
        last = len(self.logits) - 1
        if not 0 <= number <= last:
            raise _refused(self.name, f"--row from 0 to {last}", number)
        logits = self.logits[number].astype(np.float64)
        target = self.targets[number].tolist()
        return {fields.LOGITS: logits.tolist(), fields.TARGET: target, **self.row_options}

    def _divisor(self) -> float | None:
        """Return the divisor of the mean over all rows; None for another reduction."""
        if self.reduction is not Reduction.MEAN:
            return None
        if fields.DENOMINATOR in self.options:
            return float(self.options[fields.DENOMINATOR])
        if self.targets.ndim > 1:
            return float(len(self.targets))
        weights = self.options.get(fields.CLASS_WEIGHTS)
        try:
            weights = None if weights is None else np.asarray(weights, np.float64)
            return weight_of(self._counted_labels(), weights)
        except InputError as error:
            raise InputFailedError(Exit.REJECTED, f"{self.name}: {error.reason}") from None

    def _z_divisor(self) -> float | None:
        """Return the divisor of the mean z-loss over all rows; None without one."""
        if self.reduction is not Reduction.MEAN or not self.options.get(fields.Z_LOSS_SCALE):
            return None
        if fields.DENOMINATOR in self.options or self.targets.ndim > 1:
            return self._divisor()
        return float(len(self._counted_labels()))

    def _counted_labels(self) -> Array:
        """Return the labels of the rows that count; rows with labels of no class are rejected."""
        labels = np.asarray(self.targets)
        labels = labels[labels != self.options.get(fields.IGNORE_INDEX)]
        counted: Array = labels[(labels >= 0) & (labels < self.classes)]
        return counted

    def check(self) -> None:
        """Raise InputFailedError if a file was changed since it was opened."""
        for file in self.files:
            file.contents.check()


def _is_alias(name: str) -> bool:
    return any(name in others for others in ALIASES.values())


def open_arrays(name: str, given: ArrayOptions) -> ArraySource:
    """Open a file of logits, or raise StoppedError if its arrays do not fit together."""
    file, dtype = open_file(name, given.names), given.dtype
    logits = file.array(_name_among(file, fields.LOGITS), dtype)
    if logits.ndim < 2:
        raise _refused(name, "logits of shape (N, C), or with more axes before", logits.shape)
    try:
        logits = classes_last(logits, given.axis)
        check_class_count(logits.shape[-1])
    except InputError as error:
        raise InputFailedError(Exit.REJECTED, f"{name}: {error.reason}") from None
    shape = logits.shape
    targets, files = _targets_of(file, shape, given)
    if targets.ndim == len(shape):
        targets = classes_last(targets, given.axis)
    options = _all_options(file, given)
    of_classes = (*shape[:-1], options.get(fields.NUM_CLASSES))
    if targets.shape not in (shape[:-1], shape, of_classes):
        shapes = f"{shape[:-1]}, or {shape} for probabilities"
        raise _refused(name, f"targets of shape {shapes}", targets.shape)
    claims = _claims_of(file, dtype) if given.with_claims else {}
    claims |= {
        name: classes_last(claim, given.axis)
        for name, claim in claims.items()
        if name not in fields.LOSSES and claim.ndim == len(shape)
    }
    if fields.Z_LOSS in claims and not options.get(fields.Z_LOSS_SCALE):
        raise _refused(name, f"--z-loss-scale beside the claim {fields.Z_LOSS}", "none")
    source = ArraySource(name, shape, logits, targets, options, claims, {}, given, files)
    _check_types(source)
    source = _in_rows(_with_fitting_claims(source))
    _check_options(source)
    return source


def _targets_of(
    file: ArrayFile, shape: tuple[int, ...], given: ArrayOptions
) -> tuple[Array, Sequence[ArrayFile]]:
    """Return the targets of all rows, and the files that are then open."""
    if isinstance(given.target, str):
        labels = open_file(given.target)
        return labels.array(_name_among(labels, fields.TARGET)), [file, labels]
    if fields.TARGET in file.arrays:
        return file.array(fields.TARGET), [file]
    if given.target is not None:
        return np.full(shape[:-1], given.target), [file]
    what = ""
    if ALONE not in file.arrays:
        what = f'; expected "{fields.TARGET}" in {file.name}, got {", ".join(file.arrays)}'
    raise StoppedError(Exit.USAGE, f"expected the targets as --target labels.npy{what}")


def _name_among(file: ArrayFile, wanted: str) -> str:
    """Return the name of an array: that of the only one in a .npy file, else the one wanted."""
    if wanted in file.arrays:
        return wanted
    if ALONE in file.arrays:
        return ALONE
    hint = f"; --map {wanted}=NAME says which it is" if file.arrays else ""
    got = f"{', '.join(file.arrays) or 'none'}{hint}"
    raise _refused(file.name, f'an array "{wanted}"', got)


def _claims_of(file: ArrayFile, dtype: Dtype | None) -> dict[str, Array]:
    """Return the claims in a file."""
    claims = {name: file.array(name, dtype) for name in fields.CLAIMS if name in file.arrays}
    if not claims:
        got = ", ".join(name or "one array" for name in file.arrays)
        raise _refused(file.name, f"claims to verify, any of {', '.join(fields.CLAIMS)}", got)
    return claims


def _with_fitting_claims(source: ArraySource) -> ArraySource:
    """Return the source with its claims checked, and the loss of a batch apart from the others."""
    claims, shape, losses = dict(source.claims), source.shape, {}
    for name in fields.LOSSES if source.reduction is not Reduction.NONE else ():
        if name in claims and claims[name].size == 1:
            losses[name] = claims.pop(name)
    if losses and 0 in shape:
        raise _refused(source.name, f"rows of logits for the {source.reduction}", "none")
    for name, claim in claims.items():
        wanted = shape[:-1] if name in fields.LOSSES else shape
        if claim.shape != wanted:
            got = f"{claim.shape}"
            if name in fields.LOSSES and claim.size == 1:
                got += "; use --reduction mean or sum if it is the loss of all rows"
            raise _refused(source.name, f"{name} of shape {wanted}", got)
    return replace(source, claims=claims, losses=losses)


def _in_rows(source: ArraySource) -> ArraySource:
    """Return the source with all its arrays as rows."""
    shape, targets = source.shape, source.targets
    of_targets = (-1, targets.shape[-1]) if targets.ndim == len(shape) else (-1,)
    return replace(
        source,
        logits=source.logits.reshape(-1, shape[-1]),
        targets=targets.reshape(of_targets),
        claims={
            name: claim.reshape((-1,) if name in fields.LOSSES else (-1, shape[-1]))
            for name, claim in source.claims.items()
        },
    )


def _check_types(source: ArraySource) -> None:
    """Raise StoppedError if the arrays do not hold numbers of the right kind."""
    targets, dtype = source.targets, source.given.dtype
    is_packed = isinstance(source.logits, Packed)
    if not source.given.with_claims and dtype is not None and not is_packed:
        size = np.dtype(BITS[dtype]).name
        raise _refused(source.name, f"logits as the bits of {dtype}, {size}", source.logits.dtype)
    for what, array in {fields.LOGITS: source.logits, **source.claims}.items():
        if isinstance(array, Packed):
            continue
        if is_raw(array.dtype):
            names = [
                name
                for name, bits in BITS.items()
                if np.dtype(bits).itemsize == array.dtype.itemsize
            ]
            hints = " or ".join(f"--dtype {name}" for name in names)
            got = f"{array.dtype}; if these are the bits of {names[0]}, use {hints}"
            raise _refused(source.name, f"{what} as numbers", got)
        if not are_numbers(array.dtype):
            raise _refused(source.name, f"{what} as numbers, at most float64", array.dtype)
    are_labels = targets.ndim < len(source.shape)
    kinds, what = ("iu", "whole numbers") if are_labels else ("fiu", "probabilities")
    if targets.dtype.kind not in kinds:
        raise _refused(source.name, f"targets as {what}", targets.dtype)


def _check_options(source: ArraySource) -> None:
    """Raise StoppedError if the classes, the target or the options are impossible."""
    classes, target = source.logits.shape[1], source.given.target
    some: Any = np.zeros(1, int) if source.targets.ndim == 1 else np.eye(1, classes)
    try:
        if isinstance(target, int):
            class_index(target, classes)
        objective_of(some, (1, classes), **dict(source.options))
    except InputError as error:
        raise InputFailedError(Exit.REJECTED, f"{source.name}: {error.reason}") from None


def _all_options(file: ArrayFile, given: ArrayOptions) -> dict[str, Any]:
    """Return the options of the command line and of a file, of which only the reduction is checked.

    Which claims are looked for depends on it.
    """
    arrays = [name for name in fields.OPTIONS if name in file.arrays]
    said = {name: as_numpy(file.array(name)).tolist() for name in arrays}
    options = {**given.loss, **file.options, **said}
    try:
        check_reduction(options.get(fields.REDUCTION, Reduction.NONE))
    except InputError as error:
        raise InputFailedError(Exit.REJECTED, f"{file.name}: {error.reason}") from None
    return options


def _refused(name: str, expected: str, got: object) -> InputFailedError:
    return InputFailedError(Exit.REJECTED, f"{name}: expected {expected}, got {got}")


def dtypes_of_claims(names: Sequence[str], renamed: Mapping[str, str]) -> dict[str, Dtype]:
    """Return the type of the claims of each quantity in these files; float64 if it is unknown."""
    dtypes: dict[str, Dtype] = {}
    for name in names:
        for claim, of_file in _types_of_claims(name, renamed).items():
            dtype = Dtype(of_file) if of_file in list(Dtype) else Dtype.FLOAT64
            if dtypes.setdefault(claim, dtype) is not dtype:
                got = f"{dtypes[claim]}, {dtype}"
                raise _refused(name, f"{claim} of one dtype in all files, or --dtype", got)
    return dtypes


def _types_of_claims(name: str, renamed: Mapping[str, str]) -> dict[str, str]:
    """Return the types of the claims in a file; none if it cannot be read, as is reported later."""
    try:
        file = open_file(name, renamed)
        claims = filter(file.arrays.__contains__, fields.CLAIMS)
        return {claim: file.array(claim).dtype.name for claim in claims}
    except InputFailedError:
        return {}
