"""Compute probabilities, loss and both gradients of a softmax output layer, block by block.

Rows of ordinary magnitude go to the direct kernel. All others go to the shifted kernel, which
subtracts the maximum first.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from softgrad_core.cores import cores
from softgrad_core.errors import InputError
from softgrad_core.loss.from_options import objective_of
from softgrad_core.loss.kernels.cancelling import divergences
from softgrad_core.loss.kernels.direct import compute_direct, elements_of_block
from softgrad_core.loss.kernels.shifted import (
    SHIFTED_ELEMENTS,
    compute_block,
    compute_weighted_block,
)
from softgrad_core.loss.logits import FloatArray, Rows, check_rows, given_rows
from softgrad_core.loss.objective import Objective
from softgrad_core.loss.options import LossOptions
from softgrad_core.loss.results import (
    BLOCK_FIELDS,
    LOSSES,
    SoftmaxCrossEntropy,
    check_fields,
    empty_results,
)
from softgrad_core.loss.sums import reduced
from softgrad_core.loss.targets import IndexArray, targets_by_rows

THREAD_ELEMENTS = 1 << 18
"""Minimum number of logits per thread: with fewer, a thread waits more than it helps."""


def softmax_cross_entropy(  # noqa: PLR0913 - keywords
    logits: "npt.ArrayLike",
    targets: "npt.ArrayLike",
    *,
    axis: int = -1,
    fields: Sequence[str] | None = None,
    out: SoftmaxCrossEntropy | None = None,
    threads: int | None = None,
    **options: Unpack[LossOptions],
) -> SoftmaxCrossEntropy:
    """Compute the softmax, the loss and both gradients, to 4 ulp over the whole float64 range.

    This holds with soft targets and options too, for each number by itself: where the terms of
    `grad_logits` or of a divergence cancel, they are computed with more digits.

    Parameters
    ----------
    logits
        Pre-activations of shape (C,) or (..., C): finite, or -infinity for a masked class. An array
        of NumPy, PyTorch, JAX, CuPy, MLX or TensorFlow, on any device.
    targets
        Class indices, counted from 0, of shape () or (...). Or target probabilities, of the same
        shape as `logits`.
    axis
        The axis that the classes are on, if it is not the last. All other axes are rows. Results
        have the shape of the logits.
    fields
        The results to compute: any of probs, loss, z_loss, grad_probs and grad_logits. Default: all
        that the loss has.
    out
        Results of an earlier call for logits of the same shape and type. Their arrays, except the
        losses, are overwritten and returned, which saves allocating large arrays. They must not
        share memory with the logits or with each other.
    threads
        Maximum number of threads. Each gets at least a quarter of a million logits. Default: the
        number of cores. The results do not depend on it.
    **options
        The options of the loss, see `LossOptions`: label_smoothing, class_weights, ignore_index,
        temperature, softcap, z_loss_scale, reduction, unnormalized_target, num_classes, loss_scale,
        denominator, kl_divergence. By default there is one loss per row.

    Returns
    -------
    SoftmaxCrossEntropy
        In the floating type of `logits` (computed in float64 and rounded once), or float64 for
        integer logits. A row has the same results alone as in any batch.

    Raises
    ------
    InputError
        If a row has no softmax, a target is not a class, or an option is invalid.

    Notes
    -----
    Where exp(a) is neither too large nor too small, nothing is subtracted from a, so there is no
    rounding error of a - max(a) to correct: see `direct.c`. Elsewhere a two-difference finds that
    error: see `shifted.py`. Either way nothing cancels: the loss is a sum of terms of one sign,
    and the numerator of 1 - f(x)_y is the sum of exponentials without the term of y.

    Examples
    --------
    >>> result = softmax_cross_entropy([2.0, 1.0, 0.1], 0)
    >>> print(f"{result.loss:.6f}")
    0.417030
    >>> print(result.grad_logits.round(6))
    [-0.340999  0.242433  0.098566]

    A confident prediction keeps all digits, although 1 - f(x)_y is far below the last place of 1:

    >>> print(f"{softmax_cross_entropy([40.0, 0.0], 0).loss:.12g}")
    4.24835425529e-18

    The mean over a batch, with label smoothing:

    >>> logits = [[2.0, 1.0, 0.1], [0.0, 0.0, 3.0]]
    >>> result = softmax_cross_entropy(logits, [0, 2], label_smoothing=0.1, reduction="mean")
    >>> float(result.loss.round(6)), result.divisor
    (0.40431, 2.0)
    """
    rows = given_rows(logits, axis=axis)
    is_moved = axis not in (-1, len(rows.shape) - 1)
    if is_moved and out is not None:
        raise InputError("out-with-axis", "expected the classes on the last axis beside `out`")
    targets = targets_by_rows(targets, rows.shape, axis)
    objective = objective_of(targets, rows.shape, **options)
    result = compute_rows(rows, objective, fields, out, threads)
    if len(rows.shape) > 2:
        result = result.in_shape(rows.shape, with_losses=objective.batches is None)
    if is_moved:
        result = result.with_classes_on(axis)
    chosen = 0 if rows.single else slice(None)
    if objective.batches is None:
        return result.part(chosen)
    is_mean = objective.divisor is not None
    divisor = float(objective.batches.denominators[0]) if is_mean else None
    return replace(result.part(chosen, losses=0), divisor=divisor)


def compute_rows(
    rows: Rows,
    objective: Objective,
    fields: Sequence[str] | None = None,
    out: SoftmaxCrossEntropy | None = None,
    threads: int | None = None,
) -> SoftmaxCrossEntropy:
    """Return the results for rows of logits, with one loss per row or per reduced batch.

    Raises InputError for the first row that has no softmax.
    """
    wanted = check_fields(fields)
    if objective.z_scale is None:
        wanted = tuple(name for name in wanted if name != "z_loss")
    result = empty_results(rows.values.shape, rows.dtype, wanted, out)
    if out is not None:
        _check_memory(rows.values, result)
    try:
        _compute_blocks(rows.values, objective, result, threads)
    except InputError as error:
        if rows.single:
            raise InputError(error.code, error.reason) from None
        raise
    losses: dict[str, Any] = dict.fromkeys(LOSSES)
    for name in LOSSES:
        if name in wanted:
            losses[name] = getattr(result, name)
            batches = objective.batches_of(name)
            if batches is not None and batches.reduced:
                losses[name] = reduced(batches, losses[name])
            with np.errstate(over="ignore", under="ignore"):
                losses[name] = losses[name].astype(rows.dtype, copy=False)
    return replace(result, **losses)


def _check_memory(logits: npt.NDArray[Any], result: SoftmaxCrossEntropy) -> None:
    """Raise InputError if results would overwrite the logits or each other."""
    arrays = {"the logits": logits} | {
        f"out.{name}": getattr(result, name) for name in BLOCK_FIELDS if name in result.fields
    }
    for (one, array), (other, beside) in combinations(arrays.items(), 2):
        if np.shares_memory(array, beside):
            raise InputError(
                "out-overlap", f"expected {other} in memory of its own, got some of {one}"
            )


def _compute_blocks(
    rows: npt.NDArray[Any], objective: Objective, result: SoftmaxCrossEntropy, threads: int | None
) -> None:
    """Compute the results block by block, on several threads if there are enough logits."""
    count, classes = rows.shape
    threads = max(1, min(threads or cores(), count, rows.size // THREAD_ELEMENTS))
    most_rows = max(1, elements_of_block(rows, result) // classes)
    # Every thread gets the same number of blocks, all of the same size.
    turns = max(1, -(-count // (most_rows * threads)))
    step = max(1, -(-count // (turns * threads)))
    starts = deque(range(0, count, step))

    def compute() -> None:
        _compute_some_blocks(starts, step, rows, objective, result)

    if threads == 1:
        compute()
    else:
        _run_on_threads(compute, starts, threads)


def _run_on_threads(compute: Callable[[], None], starts: deque[int], threads: int) -> None:
    """Run `compute`, which takes blocks from `starts`, on this thread and `threads - 1` others.

    Raises the error of the first bad row.
    """
    # Only the other threads change this list: Ctrl-C does not interrupt them.
    at_work: list[bool] = []
    errors: list[Exception] = []

    def compute_or_stop() -> None:
        try:
            compute()
        except Exception as error:  # noqa: BLE001 - raised again in the calling thread
            errors.append(error)
            starts.clear()

    def help_out() -> None:
        at_work.append(True)
        try:
            compute_or_stop()
        finally:
            at_work.pop()

    others = [threading.Thread(target=help_out) for _ in range(threads - 1)]
    try:
        # If the system refuses to start more threads, the running ones do all the work.
        with suppress(RuntimeError):
            for other in others:
                other.start()
        compute_or_stop()
        for other in others:
            if other.ident is not None:
                other.join()
    finally:
        # After Ctrl-C, start no further block, and return only when none is being written. Wait
        # for `at_work` instead of joining: Ctrl-C may come at any line above, so a running thread
        # may not be marked as started yet, or may be marked as joined.
        starts.clear()
        while at_work:
            time.sleep(0.001)
    if errors:
        # Blocks are started in order, and each is finished: these include the first bad row.
        raise min(errors, key=lambda error: getattr(error, "row", None) or 0)


def _compute_some_blocks(
    starts: deque[int],
    step: int,
    rows: npt.NDArray[Any],
    objective: Objective,
    result: SoftmaxCrossEntropy,
) -> None:
    """Compute blocks of rows until `starts`, which threads share, has no first row left."""
    # Overflow and underflow are valid results here; the NaN of (-inf) - (-inf) is replaced later.
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        while True:
            try:
                start = starts.popleft()  # Atomic: no two threads get the same block.
            except IndexError:
                return
            block = slice(start, start + step)
            block_objective, block_result = objective.part(block), result.part(block)
            left = compute_direct(rows[block], block_objective, block_result)
            if left.size:
                _compute_left(rows[block], left, block_objective, block_result, start)
            added = block_objective.neg_entropies(rows.shape[1])
            if added is not None and block_result.loss is not None:
                _add_entropies(rows[block], block_objective, block_result.loss, added)


def _add_entropies(
    rows: npt.NDArray[Any], objective: Objective, losses: npt.NDArray[Any], added: npt.NDArray[Any]
) -> None:
    """Add what makes losses divergences, in place: with more digits where the two cancel."""
    losses += added
    is_divergence = added != 0.0 if objective.is_divergence is None else objective.is_divergence
    close = np.flatnonzero(is_divergence & ~(losses > 2.0 * np.abs(added)))
    step = max(1, SHIFTED_ELEMENTS // rows.shape[1])
    for first in range(0, len(close), step):
        chosen = close[first : first + step]
        part = objective.part(chosen)
        values = np.ascontiguousarray(part.masked(rows[chosen]), dtype=np.float64)
        losses[chosen] = divergences(values, part)


def _compute_left(
    rows: npt.NDArray[Any],
    left: IndexArray,
    objective: Objective,
    result: SoftmaxCrossEntropy,
    start: int,
) -> None:
    """Compute the rows of a block that the direct kernel left, in smaller blocks."""
    step = max(1, SHIFTED_ELEMENTS // rows.shape[1])
    blocks = [block for name in BLOCK_FIELDS if (block := getattr(result, name)) is not None]
    are_float = bool(blocks) and all(block.dtype.itemsize < 8 for block in [rows, *blocks])
    compute = compute_block
    if not objective.is_plain:
        compute = partial(compute_weighted_block, are_float=are_float)
    for first in range(0, len(left), step):
        chosen = left[first : first + step]
        left_objective = objective.part(chosen)
        values = _checked(left_objective.masked(rows[chosen]), chosen + start)
        numbers = empty_results(values.shape, values.dtype, result.fields, None)
        compute(values, left_objective, numbers)
        result.put(chosen, numbers)


def _checked(rows: npt.NDArray[Any], places: IndexArray) -> FloatArray:
    """Return rows as float64, or raise InputError for the first one that has no softmax."""
    values = np.ascontiguousarray(rows, dtype=np.float64)
    try:
        check_rows(values)
    except InputError as error:
        row = None if error.row is None else int(places[error.row])
        raise InputError(error.code, error.reason, row) from None
    return values
