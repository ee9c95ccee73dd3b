"""Who works on the blocks, in their order: one process, several, threads or a cluster."""

import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cached_property, partial
from threading import Thread
from typing import TYPE_CHECKING, Any, Self, TypeVar

from softgrad.exits import ENDINGS, Exit, StoppedError, shortage, signals_wait
from softgrad.messages import say
from softgrad.records.records import Block
from softgrad.running.pipeline import Outcome, Process
from softgrad_core.cores import cores
from softgrad_core.loss.cross_entropy import THREAD_ELEMENTS

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from softgrad.inputs.arrays.source import ArraySource
    from softgrad.running.shared_texts import InSlot, SharedTexts, Task

    Submit = Callable[..., Future[Any]]

T = TypeVar("T")
R = TypeVar("R")

LONG_ENOUGH_SECONDS = 0.25
"""After so much work on one core, starting the others costs little of what they save."""

BLOCKS_AHEAD = 3
"""How many blocks for each worker are in flight, read ahead or waiting for their turn."""


MOST_FOR_EACH_CORE = 32
"""More workers than so many for each core do nothing sooner, and take long to start."""


class Workers:
    """Those who work on the blocks of all files of a run; to be used as a context.

    The results and their order are the same whoever does the work.

    Parameters
    ----------
    jobs
        How many processes or threads; 0 for one on each core. None starts with one, and uses each
        core after `LONG_ENOUGH_SECONDS`.
    scheduler
        The address of a Dask scheduler that does the work instead.
    worker_seconds
        How long that may be without workers; None for the default.
    """

    def __init__(
        self, jobs: int | None, scheduler: str | None, worker_seconds: float | None = None
    ) -> None:
        self._jobs = jobs
        self._most = min(jobs or cores(), MOST_FOR_EACH_CORE * cores())
        self._worked = 0.0 if jobs is None else LONG_ENOUGH_SECONDS
        self._scheduler = scheduler
        self._worker_seconds = worker_seconds
        self._started = ExitStack()
        self._cluster: tuple[Submit, int] | None = None

    def __enter__(self) -> Self:
        # Without its cluster a run must not start, nor open a file for results.
        if self._scheduler is not None:
            from softgrad.running.cluster import WORKER_SECONDS, cluster

            seconds = WORKER_SECONDS if self._worker_seconds is None else self._worker_seconds
            self._cluster = self._started.enter_context(cluster(self._scheduler, seconds))
        return self

    def __exit__(self, *error: Any) -> None:
        self._started.__exit__(*error)

    def outcomes(self, process: Process, blocks: Iterator[Block | OSError]) -> Generator[Outcome]:
        """Yield the outcomes of blocks of text."""
        if self._cluster is not None:
            yield from in_order(*self._cluster, process, blocks)
            return
        while self._worked < LONG_ENOUGH_SECONDS or not self._has_processes:
            if (block := next(blocks, None)) is None:
                return
            started = time.perf_counter()
            outcome = process(block)
            self._worked += time.perf_counter() - started
            yield outcome
        submit, shared = self._processes
        if shared is None:
            yield from in_order(submit, self._most, process, blocks)
            return
        work = partial(_work_in_slot, process)
        for finished in in_order(submit, self._most, work, shared.tasks(blocks)):
            yield from shared.take(*finished)

    def outcomes_of_arrays(
        self, process: Process, source: "ArraySource", elements: int
    ) -> Generator[Outcome]:
        """Yield the outcomes of blocks of arrays, with so many logits in each, on threads."""
        from concurrent.futures import ThreadPoolExecutor

        is_small = self._jobs is None and source.logits.size < 2 * THREAD_ELEMENTS
        jobs = 1 if is_small else self._most
        threads = ThreadPoolExecutor(jobs)
        try:
            submit, workers = self._cluster or (threads.submit, jobs)
            yield from in_order(submit, workers, process, source.blocks(elements))
            source.check()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    @property
    def _has_processes(self) -> bool:
        """Whether other processes do the work; those that are wanted are started."""
        try:
            return self._most > 1 and bool(self._processes)
        except (OSError, RuntimeError, MemoryError) as error:
            what = f"{self._most} processes could not be started: {shortage(error) or error}"
            if self._jobs is not None:
                raise StoppedError(Exit.IO_FAILED, what) from None
            say(f"softgrad: {what}; going on with one")
            self._most = 1
            return False

    @cached_property
    def _processes(self) -> "tuple[Submit, SharedTexts | None]":
        shared = None
        # Forked processes share memory and import nothing, but forking is safe on Linux only.
        if sys.platform == "linux":
            from softgrad.running.shared_texts import SharedTexts

            shared = SharedTexts(self._most * BLOCKS_AHEAD)
        return self._started.enter_context(_processes(self._most, shared)).submit, shared


def in_order(
    submit: "Submit", workers: int, work: Callable[[T], R], blocks: Iterator[T]
) -> Generator[R]:
    """Yield the results of the blocks in order.

    `submit` is that of an executor with so many workers. A thread reads the blocks, so that no
    result waits for the next block to arrive.
    """
    from concurrent.futures import Future
    from queue import Queue

    submitted: Queue[Future[R] | None] = Queue(workers * BLOCKS_AHEAD)

    def submit_all() -> None:
        try:
            for block in blocks:
                submitted.put(submit(work, block))
            submitted.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where results are awaited
            failed: Future[R] = Future()
            failed.set_exception(error)
            submitted.put(failed)

    Thread(target=submit_all, daemon=True).start()
    while (future := submitted.get()) is not None:
        yield future.result()


@contextmanager
def _processes(count: int, shared: "SharedTexts | None") -> "Iterator[Executor]":
    """Yield an executor with so many processes; leaving the context ends them at once."""
    import multiprocessing
    from concurrent.futures import BrokenExecutor, ProcessPoolExecutor

    context = multiprocessing.get_context("spawn" if shared is None else "fork")
    executor = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(shared,))
    try:
        # The first task starts all processes, before there are threads.
        with nullcontext() if shared is None else signals_wait():
            executor.submit(cores).result()
        yield executor
    except BrokenExecutor:
        why = "a worker process died: it was killed, or out of memory (-j 1 takes less)"
        raise StoppedError(
            Exit.BUG, f"{why}; the results end before the records that it had"
        ) from None
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.kill()


_shared_texts: "SharedTexts | None" = None
"""The memory that this process shares with its parent, if it is a worker."""


def _work_in_slot(process: Process, task: "Task") -> "InSlot":
    assert _shared_texts is not None  # noqa: S101 - `_begin` has set it
    return _shared_texts.process(process, task)


def _begin(shared: "SharedTexts | None") -> None:
    """Prepare a worker: it leaves Ctrl-C to its parent, and ends when its parent does."""
    import signal

    from softgrad.running.process import prepare_for_stream

    global _shared_texts  # noqa: PLW0603 - a worker is a process of its own
    _shared_texts = shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in ENDINGS:
        signal.signal(number, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    prepare_for_stream()
    Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    import multiprocessing
    import os

    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(Exit.BUG)
