"""NumPy arrays: rows of logits from .npy and .npz files -> a .npz of results, or a verdict.

They are mapped, worked on block by block by threads, and written block by block, so that files may
be larger than memory.
"""

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from softgrad.exits import Exit, StoppedError
from softgrad.inputs.arrays import ALONE, ArrayFile, NpzFile
from softgrad.inputs.interpretation import near_claims
from softgrad.outputs.file import Output
from softgrad.outputs.worst import WorstRow, worst_of
from softgrad.records.fields import CLAIMS, CLASS_WEIGHTS, LOGITS, LOSS, OPTIONS, REDUCTION, TARGET
from softgrad.running.pipeline import Outcome
from softgrad.running.report import Report
from softgrad.running.rows import (
    RowBlock,
    RowsDone,
    RowWork,
    encoded,
    is_raw,
    shapes_of,
)
from softgrad.running.workers import BLOCKS_AHEAD, in_order
from softgrad_core.dtypes import Dtype
from softgrad_core.errors import InputError
from softgrad_core.loss.cross_entropy import THREAD_ELEMENTS, cores
from softgrad_core.loss.logits import check_class_count
from softgrad_core.loss.objective import Reduction, objective_of, sum_of, weight_of
from softgrad_core.loss.targets import class_index
from softgrad_core.verification.tolerances import Tolerance

if TYPE_CHECKING:
    from softgrad.running.workers import Cluster

Array = npt.NDArray[Any]

COMPUTED_ELEMENTS = 1 << 18
"""Logits of a block that is computed; with its results it takes some 10 MiB."""

VERIFIED_ELEMENTS = 1 << 16
"""Logits of a block that is verified, which takes many times the memory that computing does."""

BATCH_ELEMENTS = 1 << 23
"""Logits whose one loss is verified, at most: all of them are in memory then, some 2 GB."""


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
    """

    target: int | str | None
    options: Mapping[str, Any]
    fields: Sequence[str]
    dtype: Dtype | None
    required: Tolerance | None
    jobs: int | None

    def compute(
        self, name: str, results: Output, report: Report, workers: "Cluster | None"
    ) -> None:
        """Compute what a file asks for, and write it as a .npz file."""
        with _open(name, self) as source:
            work = self._work(source)
            is_reduced = work.is_reduced
            shapes = shapes_of(source.logits, self.fields, self.dtype, reduced=is_reduced)
            with results.named_errors():
                file = NpzFile(results.seekable(), shapes)
            losses: list[float] = []
            for done in self._done(source, work, report, workers):
                if is_reduced and LOSS in done.results:
                    losses.append(sum_of(done.results[LOSS]))
                with results.named_errors():
                    for field, values in done.results.items():
                        if not (is_reduced and field == LOSS):
                            file.write(field, values)
            with results.named_errors():
                if is_reduced and LOSS in self.fields:
                    loss = math.nan if work.divisor == 0.0 else sum_of(losses)
                    file.write(LOSS, encoded(np.array([loss]), shapes[LOSS][1]))
                file.close()
        results.commit()

    def verify(self, name: str, report: Report, workers: "Cluster | None") -> list[WorstRow]:
        """Verify the claims of a file; return the worst rows of each quantity."""
        worst: list[WorstRow] = []
        with _open(name, self) as source:
            work = self._work(source)
            names = dict.fromkeys(source.files[0].names)
            report.add(Outcome(near_claims=near_claims([names])))
            for done in self._done(source, work, report, workers):
                worst = worst_of([*worst, *done.worst])
            if source.loss is not None:
                batch = RowBlock(name, 0, source.logits, source.targets, {LOSS: source.loss})
                report.add(work.process_batch(batch, source.reduction))
        return worst

    def _done(
        self, source: "Source", work: RowWork, report: Report, cluster: "Cluster | None"
    ) -> Generator[RowsDone]:
        """Yield what becomes of the blocks of a source, in their order."""
        elements = COMPUTED_ELEMENTS if self.required is None else VERIFIED_ELEMENTS
        threads = self._threads(source) if cluster is None else nullcontext(cluster)
        with threads as (submit, workers):
            blocks = source.blocks(elements)
            for done in in_order(submit, work.process, blocks, workers * BLOCKS_AHEAD):
                report.add(done.outcome)
                yield done
                source.release()

    def _work(self, source: "Source") -> RowWork:
        """Return what is done with the rows of a source."""
        options = {name: value for name, value in source.options.items() if name != REDUCTION}
        is_reduced = source.reduction is not Reduction.NONE
        divisor = source.denominator()
        return RowWork(self.fields, options, is_reduced, divisor, self.dtype, self.required)

    @contextmanager
    def _threads(self, source: "Source") -> "Iterator[Cluster]":
        """Yield what gives blocks to threads, and how many these are."""
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
    """The arrays of a file of logits: mapped, and of shapes that fit together.

    Attributes
    ----------
    options
        The options of the loss: those in the file, and the task's for what it does not have.
    claims
        What is claimed of each row.
    loss
        The claimed loss of all rows, where they are one batch and that is claimed.
    """

    name: str
    logits: Array
    targets: Array
    options: Mapping[str, Any]
    claims: Mapping[str, Array]
    loss: Array | None
    files: Sequence[ArrayFile]

    def blocks(self, elements: int) -> Iterator[RowBlock]:
        """Yield the rows, so many logits at a time."""
        step = max(1, elements // self.logits.shape[1])
        for start in range(0, len(self.logits), step):
            rows = slice(start, start + step)
            claims = {name: claim[rows] for name, claim in self.claims.items()}
            yield RowBlock(self.name, start, self.logits[rows], self.targets[rows], claims)

    @property
    def reduction(self) -> Reduction:
        """What becomes of the losses of all rows."""
        return Reduction(self.options.get(REDUCTION, Reduction.NONE))

    def denominator(self) -> float | None:
        """Return what the losses of all rows are divided by, None where they are not."""
        if self.reduction is not Reduction.MEAN:
            return None
        if self.targets.ndim > 1:
            return float(len(self.targets))
        weights = self.options.get(CLASS_WEIGHTS)
        labels = self.targets[self.targets != self.options.get("ignore_index")]
        # Rows of other labels are refused.
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
    said = {name: file.array(name).tolist() for name in OPTIONS if name in file.names}
    options = {**task.options, **said}
    claims = {} if task.required is None else _claims(file)
    _check_types(name, logits, targets, claims, options, task)
    source = Source(name, logits, targets, options, claims, None, files)
    yield source if task.required is None else _with_fitting_claims(source)


def _name_among(file: ArrayFile, wanted: str) -> str:
    """Return the name of an array: that of the only one of a .npy file, else the one wanted."""
    if file.names == [ALONE]:
        return ALONE
    if wanted not in file.names:
        got = ", ".join(file.names) or "none"
        raise _refused(file.name, f'expected an array "{wanted}", got {got}')
    return wanted


def _claims(file: ArrayFile) -> dict[str, Array]:
    """Return the claims that are in a file."""
    claims = {name: file.array(name) for name in CLAIMS if name in file.names}
    if not claims:
        got = ", ".join(name or "one array" for name in file.names)
        raise _refused(
            file.name, f"expected claims to verify, any of {', '.join(CLAIMS)}, got {got}"
        )
    return claims


def _with_fitting_claims(source: Source) -> Source:
    """Return a source whose claims are of each row, but the loss of a batch, which is apart."""
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


def _check_types(  # noqa: PLR0913, PLR0917 - what is read of a file
    name: str,
    logits: Array,
    targets: Array,
    claims: Mapping[str, Array],
    options: Mapping[str, Any],
    task: ArrayTask,
) -> None:
    """Raise StoppedError where arrays are not of numbers, or options do not go with them."""
    if task.required is None and task.dtype is not None and not is_raw(logits.dtype):
        raise _refused(
            name, f"expected logits as the bits of {task.dtype}, uint16, got {logits.dtype}"
        )
    for what, array in {LOGITS: logits, **claims}.items():
        if is_raw(array.dtype) and task.dtype is not Dtype.BFLOAT16:
            raise _refused(
                name, f"{what} are of {array.dtype}: if that is bfloat16, say --dtype bfloat16"
            )
        if not is_raw(array.dtype) and (array.dtype.kind not in "fiu" or array.dtype.itemsize > 8):
            raise _refused(name, f"expected {what} as numbers, at most float64, got {array.dtype}")
    kinds, what = ("iu", "whole numbers") if targets.ndim == 1 else ("fiu", "probabilities")
    if targets.dtype.kind not in kinds:
        raise _refused(name, f"expected targets as {what}, got {targets.dtype}")
    try:
        check_class_count(logits.shape[1])
        if isinstance(task.target, int):
            class_index(task.target, logits.shape[1])
        some: Any = np.zeros(1, int) if targets.ndim == 1 else np.eye(1, logits.shape[1])
        objective_of(some, (1, logits.shape[1]), **dict(options))
    except InputError as error:
        raise _refused(name, error.reason) from None


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
