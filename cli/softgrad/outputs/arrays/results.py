"""Results -> arrays for a file: block by block, in the type of the logits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from softgrad.exits import UsageError
from softgrad.outputs.arrays.npz import NpzFile, Shapes
from softgrad.outputs.file import Output
from softgrad.outputs.formats import Format
from softgrad.records.fields import LOSSES
from softgrad.work import Batch, Computed
from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError
from softgrad_core.loss.results import BLOCK_FIELDS
from softgrad_core.loss.sums import sum_of

Array = npt.NDArray[Any]

ROW = "row"
"""The array of the numbers of the rows, where not all rows are written."""


@dataclass(frozen=True, slots=True)
class ArrayResults:
    """Renders blocks of rows as arrays; rows that were rejected are NaN in them.

    Attributes
    ----------
    fields, dtype
        The results to write, and their type; uint16 stands for bfloat16.
    is_reduced
        Whether the losses are added up in the end, before they are rounded.
    only_failures
        Whether only rows that failed or were rejected are written, with their numbers.
    axis
        The axis of the classes in the file.
    """

    fields: Sequence[str]
    dtype: np.dtype[Any]
    is_reduced: bool
    only_failures: bool
    axis: int = -1

    def __call__(
        self, block: Any, batches: Sequence[Batch], errors: Mapping[int, InputError]
    ) -> Mapping[str, Array]:
        """Return the results of a block."""
        [batch] = batches
        assert isinstance(batch, Computed)  # noqa: S101 - claims are rendered as worst rows
        results = {name: getattr(batch.result, name) for name in self.fields}
        good = batch.examples.indices
        if errors:
            results = {name: _among(part, good, len(block)) for name, part in results.items()}
        chosen: Any = slice(None)
        if self.only_failures:
            chosen = sorted([*errors, *(good[row] for row in batch.failed)])
        rounded = {
            name: part if self.is_reduced and name in LOSSES else encoded(part[chosen], self.dtype)
            for name, part in results.items()
        }
        if self.only_failures:
            rounded[ROW] = block.start + np.array(chosen, int)
        return rounded


def result_dtype(logits: Any) -> np.dtype[Any]:
    """Return the type of the results for logits of a type; uint16 stands for bfloat16.

    It is that of the logits, float64 for integers, and float32 for float8, which has too few digits
    for results.
    """
    if logits.name == "bfloat16":
        return np.dtype(np.uint16)
    if logits.name.startswith("float8"):
        return np.dtype(np.float32)
    dtype: np.dtype[Any] = logits.newbyteorder("=") if logits.kind == "f" else np.dtype(np.float64)
    return dtype


def encoded(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return results rounded to a type; uint16 stands for bfloat16."""
    if dtype != np.uint16:
        with np.errstate(over="ignore", under="ignore"):
            return values.astype(dtype, copy=False)
    rounded = Dtype.BFLOAT16.round(values).astype(np.float32)
    return (rounded.view(np.uint32) >> 16).astype(np.uint16)


class ArraysFile(Protocol):
    """A file of arrays that grow side by side."""

    def __init__(self, file: BinaryIO, arrays: Shapes) -> None: ...

    def write(self, name: str, data: Array) -> None:
        """Write what comes next in an array."""

    def close(self) -> None:
        """Write what is known in the end only."""


def file_of(shown: Format) -> type[ArraysFile]:
    """Return what writes files of a format."""
    match shown:
        case Format.SAFETENSORS:
            from softgrad.outputs.arrays.safetensors import SafetensorsFile

            return SafetensorsFile
        case Format.PT:
            try:
                from softgrad.outputs.arrays.torch import TorchFile
            except ImportError:
                raise UsageError("writing .pt needs its library: pip install torch") from None

            return TorchFile
        case _:
            return NpzFile


def _among(values: Array, good: Sequence[int], count: int) -> Array:
    """Return the values of the good rows among as many rows as there are; the others are NaN."""
    whole = np.full((count, *values.shape[1:]), np.nan, values.dtype)
    whole[good] = values
    return whole


class ArrayWriter:
    """Writes the arrays of one source to a file, block by block.

    Parameters
    ----------
    output
        The file to write to.
    shown
        The format of the file.
    results
        What renders the blocks.
    shape
        The shape of the logits, with the classes last.
    is_empty_mean
        Whether the loss is the mean of no rows, which is NaN.
    """

    def __init__(
        self,
        output: Output,
        shown: Format,
        results: ArrayResults,
        shape: tuple[int, ...],
        *,
        is_empty_mean: bool,
    ) -> None:
        self._output = output
        self._kind = file_of(shown)
        self._results = results
        self._shape = shape
        self._losses: dict[str, list[float]] = {name: [] for name in LOSSES}
        self._is_empty_mean = is_empty_mean
        # Nobody knows beforehand how many rows will fail: these few are kept until the end. So are
        # all if the classes are not last in the file.
        self._kept: list[Mapping[str, Array]] = []
        self._axis = (-1 if results.only_failures else results.axis) % len(shape)
        is_moved = self._axis < len(shape) - 1
        self._file = None if results.only_failures or is_moved else self._open(shape)

    def write(self, results: Mapping[str, Array], _: object = None) -> None:
        """Write the results of the block that comes next."""
        for name in LOSSES if self._results.is_reduced else ():
            if name not in results:
                continue
            # What rounding takes from the sum of a block is added up as well, so that the sum of
            # all does not depend on how many rows a block has.
            total = sum_of(results[name])
            self._losses[name].append(total)
            if np.isfinite(total):
                self._losses[name].append(math.fsum([*results[name].tolist(), -total]))
        if self._results.is_reduced:
            results = {name: values for name, values in results.items() if name not in LOSSES}
        if self._file is None:
            self._kept.append(results)
        else:
            self._write(self._file, results)

    def close(self) -> None:
        """Write what is known in the end only."""
        file = self._file
        if file is None and self._results.only_failures:
            count = sum(len(part[ROW]) for part in self._kept)
            file = self._open((count, self._shape[-1]))
        elif file is None:
            file = self._open(self._shape)
            self._kept = [self._moved()]
        for part in self._kept:
            self._write(file, part)
        for name in self._results.fields:
            if self._results.is_reduced and name in LOSSES:
                loss = np.nan if self._is_empty_mean else sum_of(self._losses[name])
                self._write(file, {name: encoded(np.array([loss]), self._results.dtype)})
        with self._output.named_errors():
            file.close()

    def _moved(self) -> Mapping[str, Array]:
        """Return all results, with the classes on their axis."""
        names = [name for name in self._results.fields if name in self._kept[0]]
        whole = {name: np.concatenate([part[name] for part in self._kept]) for name in names}
        return {
            name: np.moveaxis(values.reshape(self._shape), -1, self._axis)
            if name in BLOCK_FIELDS
            else values
            for name, values in whole.items()
        }

    def _write(self, file: ArraysFile, results: Mapping[str, Array]) -> None:
        with self._output.named_errors():
            for name, values in results.items():
                file.write(name, values)

    def _open(self, shape: tuple[int, ...]) -> ArraysFile:
        """Open the file for results of logits of this shape."""
        dtype, rows = self._results.dtype, shape[:-1]
        shapes = {ROW: (rows, np.dtype(int))} if self._results.only_failures else {}
        for name in self._results.fields:
            if name in BLOCK_FIELDS:
                moved = list(shape[:-1])
                moved.insert(min(self._axis, len(moved)), shape[-1])
                shapes[name] = tuple(moved), dtype
            else:
                shapes[name] = () if self._results.is_reduced else rows, dtype
        with self._output.named_errors():
            return self._kind(self._output.seekable(), shapes)
