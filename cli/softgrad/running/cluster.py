"""Work on the workers of a Dask cluster."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from softgrad.exits import Exit, StoppedError
from softgrad.messages import say
from softgrad.version import version_text

if TYPE_CHECKING:
    from distributed import Client

    Submit = Callable[..., Future[Any]]

T = TypeVar("T")
R = TypeVar("R")

CONNECT_SECONDS = 10

WORKER_SECONDS = 300.0
"""How long a cluster may be without workers, unless the user says otherwise."""

LOOK_SECONDS = 1.0
"""How long a result is waited for before the workers are looked at."""


class UnlikeError(Exception):
    """A worker runs another softgrad than the machine that its work comes from."""


class _Patience:
    """Waits for results as long as there are workers, and for so many seconds without any."""

    def __init__(self, client: "Client", scheduler: str, seconds: float) -> None:
        self._client = client
        self._scheduler = scheduler
        self._seconds = seconds
        self._without_since: float | None = None

    def result(self, future: "Future[Any]") -> Any:
        """Return the result of a task, or raise StoppedError if there are no workers for long."""
        while True:
            try:
                result = future.result(timeout=LOOK_SECONDS)
            except TimeoutError:
                self.look()
            else:
                self._without_since = None
                return result

    def look(self) -> None:
        """Say that there are no workers; raise StoppedError if there were none for long."""
        now = time.monotonic()
        if self._client.nthreads():
            self._without_since = None
        elif self._without_since is None:
            self._without_since = now
            say(f"softgrad: {self._scheduler}: no workers; waiting {self._seconds:g} s for one")
        elif now - self._without_since >= self._seconds:
            why = f"no worker came within {self._seconds:g} s (--worker-timeout)"
            what = f"{self._scheduler}: {why}; the results end before the records that are left"
            raise StoppedError(Exit.IO_FAILED, what)


class _Task(NamedTuple):
    """What the cluster works on, whose result is waited for with patience."""

    future: "Future[Any]"
    patience: _Patience

    def result(self) -> Any:
        """Return the result."""
        return self.patience.result(self.future)


@contextmanager
def cluster(scheduler: str, worker_seconds: float) -> "Iterator[tuple[Submit, int]]":
    """Yield the function that submits work, and how many tasks the cluster works on at a time.

    Raises StoppedError if the cluster cannot be used, is lost, or has no workers for so many
    seconds.
    """

    def stopped(status: Exit, why: str) -> StoppedError:
        return StoppedError(status, f"{scheduler}: {why}")

    with _connected(scheduler) as client:
        from distributed import KilledWorker
        from distributed.core import CommClosedError

        patience = _Patience(client, scheduler, worker_seconds)
        patience.look()

        def submit(work: Callable[[T], R], block: T) -> Any:
            future = client.submit(_work_alike, version_text(), work, block, pure=False)
            return _Task(future, patience)

        try:
            yield submit, max(1, sum(client.nthreads().values()))
        except (CancelledError, CommClosedError):
            why = "the scheduler was lost; the results end before the records that it had"
            raise stopped(Exit.IO_FAILED, why) from None
        except UnlikeError as error:
            raise stopped(Exit.IO_FAILED, f"results might differ: {error}") from None
        except ModuleNotFoundError as error:
            why = f"its workers need softgrad as well: {error}"
            raise stopped(Exit.IO_FAILED, why) from None
        except KilledWorker as error:
            why = f"several workers died, each with the same records: {error}"
            raise stopped(Exit.BUG, why) from None


def _connected(scheduler: str) -> "Client":
    """Return a client of the scheduler, or raise StoppedError if there is none."""
    try:
        from distributed import Client
    except ImportError:
        why = "--scheduler needs Dask: pip install 'softgrad[dask]'"
        raise StoppedError(Exit.USAGE, why) from None
    # Dask logs every worker that comes or goes. Several of its loggers have handlers and levels
    # of their own, so only this silences them all; what concerns the user is reported here.
    logging.disable(logging.CRITICAL)
    # A program that listens there and is no scheduler may never answer, and Dask would wait.
    thread = ThreadPoolExecutor(1)
    connecting = thread.submit(Client, scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    try:
        return connecting.result(2 * CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        why = str(error) or "nothing there answers as a scheduler does"
        reason = f"{scheduler}: no Dask scheduler could be reached: {why}"
        raise StoppedError(Exit.IO_FAILED, reason) from None
    finally:
        thread.shutdown(wait=False)


def _work_alike(here: str, work: Callable[[T], R], block: T) -> R:
    """Do the work if the worker has the same softgrad as the machine that sent it."""
    if (there := version_text()) != here:
        raise UnlikeError(f"a worker has {there}, and here it is {here}")
    return work(block)
