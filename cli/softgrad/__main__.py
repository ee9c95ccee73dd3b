"""The entry point, which turns every way a run can end into an exit status."""

import gc
import os
import signal
import sys
from io import TextIOWrapper
from typing import TextIO

from softgrad.exits import ENDINGS, Exit, StoppedError, shortage, signals_wait
from softgrad.messages import say


class _Ended(BaseException):
    """A signal ended the run; unfinished output files must go."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def main() -> None:
    """Run the command and exit."""
    ending: int | None = None
    try:
        status = _run()
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        status = Exit.INTERRUPTED
    except _Ended as ended:
        status, ending = Exit.INTERRUPTED, ended.number
    except BrokenPipeError:
        status = Exit.PIPE_CLOSED
    except OSError as error:
        why = f"{error.filename or 'standard output'}: {error.strerror or error}"
        say(f"softgrad: {shortage(error) or why}", "red")
        status = Exit.IO_FAILED
    except StoppedError as error:
        say(f"softgrad: {error}", "red")
        status = error.status
    except Exception as error:  # noqa: BLE001 - all that is left is a shortage, or a bug
        status = _failed(error)
    _drain(sys.stdout, 1)
    _drain(sys.stderr, 2)
    if ending is not None:
        # The parent process should see that a signal ended this one.
        signal.signal(ending, signal.SIG_DFL)
        os.kill(os.getpid(), ending)
    # Everything is written. Taking the interpreter apart would be a tenth of a short run.
    os._exit(status)


def _failed(error: Exception) -> Exit:
    """Report an error that nothing expected, and return the status for it."""
    if "--debug" in sys.argv:
        sys.excepthook(type(error), error, error.__traceback__)
    if what := shortage(error):
        say(f"softgrad: {what}", "red")
        return Exit.IO_FAILED
    say(f"softgrad: a bug in softgrad, not in your input: {type(error).__name__}: {error}")
    if "--debug" not in sys.argv:
        say("softgrad: run it again with --debug to see where")
    return Exit.BUG


def _end(number: int, _frame: object) -> None:
    raise _Ended(number)


def _drain(stream: TextIO | None, descriptor: int) -> None:
    """Flush a stream; discard what cannot be written, which was reported already."""
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _run() -> int:
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        # The help has characters that others lack.
        sys.stdout.reconfigure(errors="replace")
    for number in ENDINGS:
        # A signal that the caller ignores, as nohup does, stays ignored.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    # Importing here keeps Ctrl-C silent during start-up. Imports create no garbage, and looking
    # for some would be a tenth of their time.
    gc.disable()
    with signals_wait():
        from softgrad.commands.app import run_command
    gc.enable()
    return run_command()


if __name__ == "__main__":
    main()
