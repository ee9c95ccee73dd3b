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
    """Yield the function that submits work, and how many tasks the cluster works on at a time.

    Raises StoppedError if the cluster cannot be used, or is lost.
    """

    def stopped(status: Exit, why: str) -> StoppedError:
        return StoppedError(status, f"{scheduler}: {why}")

    with _connected(scheduler) as client:
        from distributed import KilledWorker
        from distributed.core import CommClosedError

        try:
            workers = sum(client.nthreads().values())
            if not workers:
                say(f"softgrad: {scheduler}: there are no workers yet; waiting for some")
            yield partial(client.submit, _work_alike, version_text(), pure=False), max(1, workers)
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
