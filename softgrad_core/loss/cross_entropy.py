"""Probabilities, loss and both gradients of a softmax output layer, block by block.

Rows of usual size take the direct kernel, all others the one that begins at the maximum.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from softgrad_core.errors import InputError
from softgrad_core.loss.kernels.direct import compute_direct, elements_of_block
from softgrad_core.loss.kernels.shifted import (
    SHIFTED_ELEMENTS,
    compute_block,
    compute_weighted_block,
)
from softgrad_core.loss.logits import FloatArray, Rows, check_rows, given_rows
from softgrad_core.loss.objective import Objective, objective_of
from softgrad_core.loss.options import LossOptions
from softgrad_core.loss.results import (
    BLOCK_FIELDS,
    SoftmaxCrossEntropy,
    check_fields,
    empty_results,
)
from softgrad_core.loss.targets import IndexArray

THREAD_ELEMENTS = 1 << 18
"""Logits for each thread, at least: with fewer it waits for the others more than it helps."""


def softmax_cross_entropy(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    fields: Sequence[str] | None = None,
    out: SoftmaxCrossEntropy | None = None,
    threads: int | None = None,
    **options: Unpack[LossOptions],
) -> SoftmaxCrossEntropy:
    """Compute the softmax, the loss and both gradients, to 4 ulp over the whole float64 range.

    With soft targets or options to 8 ulp; `grad_logits`, in which two terms may cancel, to 8 ulp
    of the larger of these: (s - q_c) f(x)_c / T and q_c (1 - f(x)_c) / T.

    Parameters
    ----------
    logits
        Pre-activations of shape (C,) or (N, C): finite, or -infinity for a masked class.
    targets
        The index of the true class, from 0: one integer, or N of them. Or the probabilities of
        all classes, of the shape of `logits`.
    fields
        The results to compute, out of probs, loss, grad_probs and grad_logits. Default: all.
    out
        Results of an earlier call for logits of this shape and type, whose arrays, but for the
        losses, are written to and returned, which saves the time that the system takes to hand out
        large ones. They must not share memory with the logits or with each other.
    threads
        How many blocks of rows are computed at a time, at most: one for each quarter of a million
        logits. Default: as many as there are cores. Results do not depend on it.
    **options
        The options of the loss, see `LossOptions`: label_smoothing, class_weights, ignore_index,
        temperature, reduction, unnormalized_target. By default each row has its own loss.

    Returns
    -------
    SoftmaxCrossEntropy
        In the floating type of `logits` (computed in float64, rounded once), float64 for
        whole numbers. A row's numbers are the same alone and in any block.

    Raises
    ------
    InputError
        Where a row has no softmax, a target is no class, or an option cannot be.

    Notes
    -----
    Where exp(a) is neither too large nor too small, nothing is subtracted from a, so that there is
    no rounding error of a - max(a) to be mended: see `direct.c`. Elsewhere that error is found by
    a two-difference: see `shifted.py`. Either way the loss is the sum of terms of one sign, and
    1 - f(x)_y the quotient of a sum without the term of y, so that nothing cancels.

    Examples
    --------
    >>> result = softmax_cross_entropy([2.0, 1.0, 0.1], 0)
    >>> print(f"{result.loss:.6f}")
    0.417030
    >>> print(result.grad_logits.round(6))
    [-0.340999  0.242433  0.098566]

    No digit is lost where the network is sure, though 1 - f(x)_y is far below the last place of 1:

    >>> print(f"{softmax_cross_entropy([40.0, 0.0], 0).loss:.12g}")
    4.24835425529e-18

    The mean over a batch, with its labels smoothed:

    >>> logits = [[2.0, 1.0, 0.1], [0.0, 0.0, 3.0]]
    >>> result = softmax_cross_entropy(logits, [0, 2], label_smoothing=0.1, reduction="mean")
    >>> float(result.loss.round(6)), result.denominator
    (0.40431, 2.0)
    """
    rows = given_rows(logits)
    shape = rows.values.shape[1:] if rows.single else rows.values.shape
    objective = objective_of(targets, shape, **options)
    result = compute_rows(rows, objective, check_fields(fields), out, threads)
    batches, at = objective.batches, 0 if rows.single else slice(None)
    is_mean = batches is not None and objective.divisor is not None
    denominator = float(batches.denominators[0]) if batches is not None and is_mean else None
    return replace(
        result.part(at, at if batches is None else 0),
        denominator=denominator,
    )


def compute_rows(
    rows: Rows,
    objective: Objective,
    fields: Sequence[str] | None = None,
    out: SoftmaxCrossEntropy | None = None,
    threads: int | None = None,
) -> SoftmaxCrossEntropy:
    """Return the numbers of rows: as many losses as there are rows, or reduced batches.

    Raises InputError for the first row that has no softmax.
    """
    wanted = check_fields(fields)
    result = empty_results(rows.values.shape, rows.dtype, wanted, out)
    if out is not None:
        _check_memory(rows.values, result)
    try:
        _compute_blocks(rows.values, objective, result, threads)
    except InputError as error:
        if rows.single:
            raise InputError(error.code, error.reason) from None
        raise
    if "loss" not in wanted:
        return replace(result, loss=None)  # type: ignore[arg-type]
    loss: FloatArray = result.loss  # type: ignore[assignment]
    if objective.batches is not None and objective.batches.reduced:
        loss = objective.batches.reduce(loss)
    with np.errstate(over="ignore", under="ignore"):
        return replace(result, loss=loss.astype(rows.dtype, copy=False))


def _check_memory(logits: npt.NDArray[Any], result: SoftmaxCrossEntropy) -> None:
    """Raise InputError where results would be written over logits or over each other."""
    arrays = {"the logits": logits} | {
        f"out.{name}": getattr(result, name) for name in BLOCK_FIELDS
    }
    there = {name: array for name, array in arrays.items() if array is not None}
    for (one, array), (other, beside) in combinations(there.items(), 2):
        if np.shares_memory(array, beside):
            raise InputError(
                "out-overlap", f"expected {other} in memory of its own, got some of {one}"
            )


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _compute_blocks(
    rows: npt.NDArray[Any], objective: Objective, result: SoftmaxCrossEntropy, threads: int | None
) -> None:
    """Fill in the results, block by block, on as many threads as there are blocks for."""
    count, classes = rows.shape
    threads = max(1, min(threads or cores(), count, rows.size // THREAD_ELEMENTS))
    most = max(1, elements_of_block(rows, objective, result) // classes)
    # Threads get as many blocks each, of the same size.
    turns = max(1, -(-count // (most * threads)))
    step = max(1, -(-count // (turns * threads)))
    starts = deque(range(0, count, step))
    if threads < 2:
        _compute_some_blocks(starts, step, rows, objective, result)
        return
    # Changed only by threads that Ctrl-C does not reach.
    at_work: list[bool] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            _compute_some_blocks(starts, step, rows, objective, result)
        except Exception as error:  # noqa: BLE001 - is raised again in the caller's thread
            errors.append(error)
            starts.clear()

    def help_out() -> None:
        at_work.append(True)
        try:
            work()
        finally:
            at_work.pop()

    others = [threading.Thread(target=help_out) for _ in range(threads - 1)]
    try:
        # Where the system has no more threads, those that there are do all.
        with suppress(RuntimeError):
            for other in others:
                other.start()
        work()
        for other in others:
            if other.ident is not None:
                other.join()
    finally:
        # After Ctrl-C no further block is begun, and none written to. It may have come in any of
        # these lines: a thread may run that does not count as started, or counts as joined.
        starts.clear()
        while at_work:
            time.sleep(0.001)
    if errors:
        # Blocks are begun in order, and finished: the first bad row is among these.
        raise min(errors, key=lambda error: getattr(error, "row", None) or 0)


def _compute_some_blocks(
    starts: deque[int],
    step: int,
    rows: npt.NDArray[Any],
    objective: Objective,
    result: SoftmaxCrossEntropy,
) -> None:
    """Fill in the blocks of rows that begin at `starts`, from which others may take as well."""
    # Overflow and underflow are results here, not accidents; (-inf) - (-inf) is mended.
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        while (start := _next_of(starts)) is not None:
            block = slice(start, start + step)
            part, whole = result.part(block), objective.part(block)
            left = compute_direct(rows[block], whole, part)
            if left.size:
                _compute_left(rows[block], left, whole, part, start)


def _next_of(starts: deque[int]) -> int | None:
    """Take the next one, None where there is none left; threads do not get the same one."""
    try:
        return starts.popleft()
    except IndexError:
        return None


def _compute_left(
    rows: npt.NDArray[Any],
    left: IndexArray,
    objective: Objective,
    result: SoftmaxCrossEntropy,
    start: int,
) -> None:
    """Fill in those rows of a block that are left, some at a time."""
    classes = rows.shape[1]
    step = max(1, SHIFTED_ELEMENTS // classes)
    for first in range(0, len(left), step):
        some = left[first : first + step]
        values, what = _checked(rows[some], some + start), objective.part(some)
        numbers = empty_results(values.shape, values.dtype, result.fields, None)
        compute = compute_block if objective.is_plain else compute_weighted_block
        compute(values, what, numbers)
        result.put(some, numbers)


def _checked(rows: npt.NDArray[Any], places: IndexArray) -> FloatArray:
    """Return rows as float64, or raise InputError for the first of them that has no softmax."""
    values = np.ascontiguousarray(rows, dtype=np.float64)
    try:
        check_rows(values)
    except InputError as error:
        row = None if error.row is None else int(places[error.row])
        raise InputError(error.code, error.reason, row) from None
    return values
