"""Work on the workers of a Dask cluster."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from softgrad.exits import Exit, StoppedError
from softgrad.messages import say
from softgrad.version import version_text

if TYPE_CHECKING:
    from distributed import Client

    Submit = Callable[..., Future[Any]]

T = TypeVar("T")
R = TypeVar("R")

CONNECT_SECONDS = 10


class UnlikeError(Exception):
    """A worker runs another softgrad than the machine that its work comes from."""


@contextmanager
def cluster(scheduler: str) -> "Iterator[tuple[Submit, int]]":
    """Yield what gives work to the cluster, and how many tasks it works on at a time.

    Raises StoppedError where the cluster cannot be used, or is lost.
    """
    with _connected(scheduler) as client:
        from distributed import KilledWorker
        from distributed.core import CommClosedError

        try:
            workers = sum(client.nthreads().values())
            if not workers:
                say(f"softgrad: {scheduler}: there are no workers yet; waiting for some")
            yield partial(client.submit, _work_alike, version_text(), pure=False), max(1, workers)
        except (CancelledError, CommClosedError):
            why = "the scheduler was lost; results end before the records it had"
            raise StoppedError(Exit.IO_FAILED, f"{scheduler}: {why}") from None
        except UnlikeError as error:
            why = f"results might differ: {error}"
            raise StoppedError(Exit.IO_FAILED, f"{scheduler}: {why}") from None
        except ModuleNotFoundError as error:
            why = f"its workers need softgrad as well: {error}"
            raise StoppedError(Exit.IO_FAILED, f"{scheduler}: {why}") from None
        except KilledWorker as error:
            why = f"workers died over and over with the same records: {error}"
            raise StoppedError(Exit.BUG, f"{scheduler}: {why}") from None


def _connected(scheduler: str) -> "Client":
    """Return a client of the scheduler, or raise StoppedError where there is none."""
    try:
        from distributed import Client
    except ImportError:
        why = "--scheduler needs Dask: pip install 'softgrad[dask]'"
        raise StoppedError(Exit.USAGE, why) from None
    # What concerns the user is said here; the scheduler's own logs tell of workers that come and
    # go. Several of Dask's loggers have handlers and levels of their own.
    logging.disable(logging.CRITICAL)
    # A program that listens there and is no scheduler may never answer, and Dask would wait.
    thread = ThreadPoolExecutor(1)
    connecting = thread.submit(Client, scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    try:
        return connecting.result(2 * CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        why = str(error) or "nothing that is one answers"
        reason = f"{scheduler}: no Dask scheduler could be reached: {why}"
        raise StoppedError(Exit.IO_FAILED, reason) from None
    finally:
        thread.shutdown(wait=False)


def _work_alike(here: str, work: Callable[[T], R], block: T) -> R:
    """Do the work if this softgrad is the one that it comes from."""
    if (there := version_text()) != here:
        raise UnlikeError(f"a worker has {there}, and here it is {here}")
    return work(block)
