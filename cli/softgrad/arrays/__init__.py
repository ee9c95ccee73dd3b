"""NumPy arrays: rows of logits from .npy and .npz files -> a .npz of results, or a verdict.

They are mapped, worked on block by block by threads, and written block by block, so that files may
be larger than memory.
"""

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softgrad.arrays.files import ALONE, ArrayFile, NpzFile
from softgrad.arrays.rows import (
    RowBlock,
    RowsDone,
    RowWork,
    WorstRow,
    encoded,
    shapes_of,
    worst_of,
)
from softgrad.exits import Exit, StoppedError
from softgrad.output import Output
from softgrad.records import CLAIMS, LOGITS, LOSS, REDUCTION, TARGET
from softgrad.report import Report
from softgrad.workers import BLOCKS_AHEAD, cluster, in_order
from softgrad_core.cross_entropy import THREAD_ELEMENTS, cores
from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError
from softgrad_core.logits import check_class_count
from softgrad_core.objective import Reduction, objective_of, sum_of, weight_of
from softgrad_core.targets import class_index
from softgrad_core.tolerances import Tolerance

if TYPE_CHECKING:
    from softgrad.workers import Submit

Array = npt.NDArray[Any]

COMPUTED_ELEMENTS = 1 << 18
"""Logits of a block that is computed; with its results it takes some 10 MiB."""

VERIFIED_ELEMENTS = 1 << 16
"""Logits of a block that is verified, which takes many times the memory that computing does."""


@dataclass(frozen=True, slots=True)
class ArrayTask:
    """What is asked of arrays.

    Attributes
    ----------
    target
        A class, or the name of a .npy file with the targets of all rows; None where they are in
        the .npz with the logits.
    options
        The options of the loss.
    dtype, fields, required
        See `RowWork`.
    jobs
        How many threads work, 0: one for each core. By default that many for large arrays only.
    scheduler
        The address of the Dask scheduler whose workers work instead, if any.
    """

    target: int | str | None
    options: Mapping[str, Any]
    fields: Sequence[str]
    dtype: Dtype | None
    required: Tolerance | None
    jobs: int | None
    scheduler: str | None

    def compute(self, name: str, results: Output, report: Report) -> None:
        """Compute what a file asks for, and write it as a .npz file."""
        with _open(name, self) as source:
            is_reduced = self._is_reduced
            shapes = shapes_of(source.logits, self.fields, self.dtype, reduced=is_reduced)
            with results.named_errors():
                file = NpzFile(results.seekable(), shapes)
            losses: list[float] = []
            for done in self._done(source, report):
                if is_reduced and LOSS in done.results:
                    losses.append(sum_of(done.results[LOSS]))
                with results.named_errors():
                    for field, values in done.results.items():
                        if not (is_reduced and field == LOSS):
                            file.write(field, values)
            with results.named_errors():
                if is_reduced and LOSS in self.fields:
                    is_mean_of_nothing = source.denominator(self.options) == 0.0
                    loss = math.nan if is_mean_of_nothing else sum_of(losses)
                    file.write(LOSS, encoded(np.array(loss), shapes[LOSS][1]))
                file.close()
        results.commit()

    def verify(self, name: str, report: Report) -> list[WorstRow]:
        """Verify the claims of a file; return the worst rows of each quantity."""
        worst: list[WorstRow] = []
        with _open(name, self) as source:
            for done in self._done(source, report):
                worst = worst_of([*worst, *done.worst])
        return worst

    @property
    def _is_reduced(self) -> bool:
        """Whether the losses of all rows become one."""
        return Reduction(self.options.get(REDUCTION, Reduction.NONE)) is not Reduction.NONE

    def _done(self, source: "Source", report: Report) -> Generator[RowsDone]:
        """Yield what becomes of the blocks of a source, in their order."""
        options = {name: value for name, value in self.options.items() if name != REDUCTION}
        divisor = source.denominator(self.options)
        work = RowWork(self.fields, options, self._is_reduced, divisor, self.dtype, self.required)
        elements = COMPUTED_ELEMENTS if self.required is None else VERIFIED_ELEMENTS
        with self._workers(source) as (submit, workers):
            blocks = source.blocks(elements)
            for done in in_order(submit, work.process, blocks, workers * BLOCKS_AHEAD):
                report.add(done.outcome)
                report.advance(source.row_bytes * done.outcome.records)
                yield done
                source.release()

    @contextmanager
    def _workers(self, source: "Source") -> "Iterator[tuple[Submit, int]]":
        """Yield what gives blocks to those who work on them, and on how many they do at a time."""
        if self.scheduler is not None:
            with cluster(self.scheduler) as submit_and_count:
                yield submit_and_count
            return
        from concurrent.futures import ThreadPoolExecutor

        jobs = self.jobs or cores()
        if self.jobs is None and source.logits.size < 2 * THREAD_ELEMENTS:
            jobs = 1
        threads = ThreadPoolExecutor(jobs)
        try:
            yield threads.submit, jobs
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The arrays of a file of logits: mapped, and of shapes that fit together."""

    name: str
    logits: Array
    targets: Array
    claims: Mapping[str, Array]
    files: Sequence[ArrayFile]

    @property
    def row_bytes(self) -> int:
        """How many bytes of logits a row has."""
        return int(self.logits.shape[1] * self.logits.itemsize)

    def blocks(self, elements: int) -> Iterator[RowBlock]:
        """Yield the rows, so many logits at a time."""
        step = max(1, elements // self.logits.shape[1])
        for start in range(0, len(self.logits), step):
            rows = slice(start, start + step)
            claims = {name: claim[rows] for name, claim in self.claims.items()}
            yield RowBlock(self.name, start, self.logits[rows], self.targets[rows], claims)

    def denominator(self, options: Mapping[str, Any]) -> float | None:
        """Return what the losses of all rows are divided by, None where they are not."""
        if Reduction(options.get(REDUCTION, Reduction.NONE)) is not Reduction.MEAN:
            return None
        if self.targets.ndim > 1:
            return float(len(self.targets))
        weights = options.get("class_weights")
        labels = self.targets[self.targets != options.get("ignore_index")]
        if weights is not None:
            weights = np.asarray(weights, dtype=np.float64)
            if labels.size and not 0 <= labels.min() <= labels.max() < len(weights):
                # The row is refused with a better message.
                return 1.0
        try:
            return weight_of(labels, weights)
        except InputError as error:
            raise _refused(self.name, error.reason) from None

    def release(self) -> None:
        """Let go of what was read."""
        for file in self.files:
            file.release()


@contextmanager
def _open(name: str, task: ArrayTask) -> Iterator[Source]:
    """Yield the arrays of a file of logits."""
    file = ArrayFile(name)
    files = [file]
    logits = file.array(_name_among(file, LOGITS))
    if logits.ndim != 2:
        raise _refused(name, f"expected {LOGITS} of shape (N, C), got {logits.shape}")
    targets: Array
    if isinstance(task.target, str):
        files.append(ArrayFile(task.target))
        targets = files[-1].array(_name_among(files[-1], TARGET))
    elif TARGET in file.names:
        targets = file.array(TARGET)
    elif task.target is not None:
        targets = np.full(len(logits), task.target)
    else:
        what = f'; expected "{TARGET}" in {name}, got {", ".join(file.names)}'
        what = what if name.endswith(".npz") else ""
        raise StoppedError(Exit.USAGE, f"expected the targets as --target labels.npy{what}")
    if targets.shape not in (logits.shape[:1], logits.shape):
        raise _refused(
            name,
            f"expected targets of shape {logits.shape[:1]}, or {logits.shape} for probabilities, "
            f"got {targets.shape}",
        )
    claims = {} if task.required is None else _claims(file, logits)
    _check_types(name, logits, targets, claims, task)
    yield Source(name, logits, targets, claims, files)


def _name_among(file: ArrayFile, wanted: str) -> str:
    """Return the name of an array: that of the only one of a .npy file, else the one wanted."""
    if file.names == [ALONE]:
        return ALONE
    if wanted not in file.names:
        got = ", ".join(file.names) or "none"
        raise _refused(file.name, f'expected an array "{wanted}", got {got}')
    return wanted


def _claims(file: ArrayFile, logits: Array) -> dict[str, Array]:
    """Return the claims that are beside the logits."""
    claims = {name: file.array(name) for name in CLAIMS if name in file.names}
    if not claims:
        got = ", ".join(name or "one array" for name in file.names)
        raise _refused(
            file.name, f"expected claims to verify, any of {', '.join(CLAIMS)}, got {got}"
        )
    for name, claim in claims.items():
        wanted = logits.shape[:1] if name == LOSS else logits.shape
        if claim.shape != wanted:
            hint = ""
            if name == LOSS and not claim.shape:
                hint = "; verify the loss of a batch with softgrad_core.verify, or from JSON"
            raise _refused(file.name, f"expected {name} of shape {wanted}, got {claim.shape}{hint}")
    return claims


def _check_types(
    name: str, logits: Array, targets: Array, claims: Mapping[str, Array], task: ArrayTask
) -> None:
    """Raise StoppedError where arrays are not of numbers, or options do not go with them."""
    are_raw = task.dtype is Dtype.BFLOAT16
    for what, array in {LOGITS: logits, **claims}.items():
        is_raw = array.dtype.itemsize == 2 and array.dtype.kind in "uV"
        if is_raw and not are_raw:
            raise _refused(
                name, f"{what} are of {array.dtype}: if that is bfloat16, say --dtype bfloat16"
            )
        if not is_raw and (array.dtype.kind not in "fiu" or array.dtype.itemsize > 8):
            raise _refused(name, f"expected {what} as numbers, at most float64, got {array.dtype}")
    if targets.ndim == 1 and targets.dtype.kind not in "iu":
        raise _refused(name, f"expected targets as whole numbers, got {targets.dtype}")
    try:
        check_class_count(logits.shape[1])
        if isinstance(task.target, int):
            class_index(task.target, logits.shape[1])
        some: Any = np.zeros(1, int) if targets.ndim == 1 else np.eye(1, logits.shape[1])
        objective_of(some, (1, logits.shape[1]), **dict(task.options))
    except InputError as error:
        raise _refused(name, error.reason) from None


def _refused(name: str, reason: str) -> StoppedError:
    return StoppedError(Exit.REJECTED, f"{name}: {reason}")


def dtype_of_claims(name: str) -> Dtype:
    """Return the type of the claims in a file, float64 where that is none of those known."""
    file = ArrayFile(name)
    names = {file.array(claim).dtype.name for claim in CLAIMS if claim in file.names}
    return Dtype(min(names)) if names and names <= {*Dtype} else Dtype.FLOAT64
