"""Blocks -> what becomes of them, in order, on one process, several, or those of a cluster."""

import multiprocessing
import pickle
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from itertools import accumulate
from mmap import mmap
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Any, Self, TypeVar

from softgrad import version
from softgrad.exits import ENDINGS, Exit, StoppedError
from softgrad.messages import say
from softgrad.records.records import Block
from softgrad.running.pipeline import Outcome
from softgrad_core.loss.cross_entropy import cores

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    Submit = Callable[..., Future[Any]]
    Cluster = tuple[Submit, int]  # and how many tasks are worked on at a time

T = TypeVar("T")
R = TypeVar("R")

LONG_ENOUGH_SECONDS = 0.25
"""After so much work on one core, starting the others costs little of what they save."""

BLOCKS_AHEAD = 3
"""So many blocks for each worker are read, or kept until their turn comes."""

CONNECT_SECONDS = 10

SLOT_BYTES = 1 << 23
"""The room for the text of a block; memory is used only as far as it is written to."""


class Workers:
    """What works on blocks, for all files of a run; to be used as a context.

    They are the processes of a scheduler, if one is given, else so many of this machine, 0: one for
    each core. Where no number is given it is one at first, and one for each core once that has
    worked for long enough. Results are the same and in the same order.
    """

    def __init__(self, jobs: int | None, scheduler: str | None) -> None:
        self._most = jobs or cores()
        self._worked = 0.0 if jobs is None else LONG_ENOUGH_SECONDS
        self._scheduler = scheduler
        self._started = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._started.__exit__(*error)

    def outcomes(
        self, process: Callable[[Block], Outcome], blocks: Iterator[Block]
    ) -> Generator[Outcome]:
        """Yield what becomes of the blocks, in their order."""
        if self._scheduler is not None:
            submit, workers = self._cluster
            yield from in_order(submit, process, blocks, workers * BLOCKS_AHEAD)
            return
        while self._most == 1 or self._worked < LONG_ENOUGH_SECONDS:
            if (block := next(blocks, None)) is None:
                return
            started = time.perf_counter()
            outcome = process(block)
            self._worked += time.perf_counter() - started
            yield outcome
        submit, shared = self._processes
        if shared is None:
            yield from in_order(submit, process, blocks, self._most * BLOCKS_AHEAD)
            return
        work, ahead = partial(_work_in_slot, process), self._most * BLOCKS_AHEAD
        for finished in in_order(submit, work, shared.tasks(blocks), ahead):
            yield from shared.take(*finished)

    @cached_property
    def _cluster(self) -> "Cluster":
        return self._started.enter_context(cluster(str(self._scheduler)))

    @cached_property
    def _processes(self) -> "tuple[Submit, SharedTexts | None]":
        # Forked processes share memory and need not import anything; only on Linux that is safe.
        shared = SharedTexts(self._most * BLOCKS_AHEAD) if sys.platform == "linux" else None
        return self._started.enter_context(_processes(self._most, shared)).submit, shared


@contextmanager
def cluster(scheduler: str) -> "Iterator[Cluster]":
    """Yield what gives work to a Dask cluster, and how many tasks that works on at a time."""
    try:
        from distributed import Client, KilledWorker
        from distributed.core import CommClosedError
    except ImportError:
        raise StoppedError(
            Exit.USAGE, "--scheduler needs Dask: pip install 'softgrad[dask]'"
        ) from None
    import logging

    # What concerns the user is said here; of workers that come and go the scheduler's logs tell.
    # Several of Dask's loggers have handlers and levels of their own.
    logging.disable(logging.CRITICAL)
    from concurrent.futures import CancelledError, ThreadPoolExecutor

    # What listens there and is no scheduler may never answer, which Dask does not look out for.
    thread = ThreadPoolExecutor(1)
    connecting = thread.submit(Client, scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    try:
        client = connecting.result(2 * CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        why = error if str(error) else "nothing that is one answers"
        reason = f"{scheduler}: no Dask scheduler could be reached: {why}"
        raise StoppedError(Exit.IO_FAILED, reason) from None
    finally:
        thread.shutdown(wait=False)
    with client:
        try:
            workers = sum(client.nthreads().values())
            if not workers:
                say(f"softgrad: {scheduler}: there are no workers yet; waiting for some")
            same = partial(client.submit, _work_alike, version.version_text(), pure=False)
            yield same, max(1, workers)
        except (CancelledError, CommClosedError):
            reason = f"{scheduler}: the scheduler was lost; results end before the records it had"
            raise StoppedError(Exit.IO_FAILED, reason) from None
        except UnlikeError as error:
            reason = f"{scheduler}: results might differ: {error}"
            raise StoppedError(Exit.IO_FAILED, reason) from None
        except ModuleNotFoundError as error:
            reason = f"{scheduler}: its workers need softgrad as well: {error}"
            raise StoppedError(Exit.IO_FAILED, reason) from None
        except KilledWorker as error:
            reason = f"{scheduler}: workers died over and over with the same records: {error}"
            raise StoppedError(Exit.BUG, reason) from None


class UnlikeError(Exception):
    """A worker has another softgrad than the machine that its work comes from."""


def _work_alike(here: str, work: Callable[[T], R], block: T) -> R:
    """Return what comes of a block, if this softgrad is the one that it comes from."""
    if (there := version.version_text()) != here:
        raise UnlikeError(f"a worker has {there}, and here it is {here}")
    return work(block)


def in_order(
    submit: "Submit", work: Callable[[T], R], blocks: Iterator[T], ahead: int
) -> Generator[R]:
    """Yield what comes of the blocks, in their order, at most `ahead` at a time.

    The `submit` of any executor will do, whose futures have a `result()`. Blocks are read on a
    thread, so that a result need not wait for the next block to come.
    """
    from concurrent.futures import Future

    submitted: Queue[Future[R] | None] = Queue(ahead)

    def submit_all() -> None:
        try:
            for block in blocks:
                submitted.put(submit(work, block))
            submitted.put(None)
        except BaseException as error:  # noqa: BLE001 - is raised again where results are awaited
            failed: Future[R] = Future()
            failed.set_exception(error)
            submitted.put(failed)

    Thread(target=submit_all, daemon=True).start()
    while (future := submitted.get()) is not None:
        yield future.result()


class SharedTexts:
    """Memory that processes share, by which texts go to workers and come from them.

    It is cut into slots, one for each block that is ahead. A text that is too long for its slot
    goes as all else does.
    """

    def __init__(self, slots: int) -> None:
        self._memory = [mmap(-1, SLOT_BYTES) for _ in range(slots)]
        self._free: Queue[int] = Queue()
        for slot in range(slots):
            self._free.put(slot)

    def tasks(self, blocks: Iterable[Block]) -> Iterator["Task"]:
        """Yield each block with a slot that has its text, as soon as one is free."""
        for block in blocks:
            slot = self._free.get()
            buffers: list[pickle.PickleBuffer] = []
            pickled = pickle.dumps(block, protocol=5, buffer_callback=buffers.append)
            sizes = [buffer.raw().nbytes for buffer in buffers]
            if sum(sizes) > SLOT_BYTES:
                yield slot, pickle.dumps(block, protocol=5), []
                continue
            with memoryview(self._memory[slot]) as memory:
                memory[: sum(sizes)] = b"".join(buffers)
            yield slot, pickled, sizes

    def block(self, slot: int, pickled: bytes, sizes: list[int]) -> Block:
        """Return the block of a task."""
        memory, ends = memoryview(self._memory[slot]), list(accumulate(sizes))
        buffers = [memory[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        block: Block = pickle.loads(pickled, buffers=buffers)  # noqa: S301 - it is our own
        return block

    def put(self, slot: int, outcome: Outcome) -> "InSlot":
        """Return an outcome without its text, which is in the slot, and how long that is."""
        size = len(outcome.text)
        if size > SLOT_BYTES:
            return slot, 0, outcome
        self._memory[slot][:size] = outcome.text
        return slot, size, replace(outcome, text=b"")

    def take(self, slot: int, size: int, outcome: Outcome) -> Iterator[Outcome]:
        """Yield an outcome with its text, and free the slot after that."""
        with memoryview(self._memory[slot]) as memory, memory[:size] as text:
            yield replace(outcome, text=text) if size else outcome
        self._free.put(slot)


Task = tuple[int, bytes, list[int]]
"""A slot, a block without its texts, and how long these are in the slot."""

InSlot = tuple[int, int, Outcome]
"""A slot, the length of the text in it, and the outcome that this is the text of."""

_shared_texts: SharedTexts | None = None


def _work_in_slot(process: Callable[[Block], Outcome], task: Task) -> InSlot:
    assert _shared_texts is not None  # noqa: S101 - `_begin` has set it
    return _shared_texts.put(task[0], process(_shared_texts.block(*task)))


@contextmanager
def _processes(count: int, shared: SharedTexts | None) -> "Iterator[Executor]":
    """Yield an executor with so many processes, which end with it, whatever they are doing."""
    from concurrent.futures import BrokenExecutor, ProcessPoolExecutor

    context = multiprocessing.get_context("spawn" if shared is None else "fork")
    executor = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(shared,))
    try:
        # They are started here, before there are threads.
        with nullcontext() if shared is None else _signals_wait():
            executor.submit(cores).result()
        yield executor
    except BrokenExecutor:
        raise StoppedError(
            Exit.BUG,
            "a worker process died: killed, or out of memory; results end before the records "
            "that it had",
        ) from None
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for worker in multiprocessing.active_children():
            worker.kill()


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Let Ctrl-C come once processes are forked: what it raises in a hook of that is lost."""
    import signal

    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *ENDINGS})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


def _begin(shared: SharedTexts | None) -> None:
    """Prepare a worker: it leaves Ctrl-C to its parent, and does not outlive it."""
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
    import os

    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(Exit.BUG)
