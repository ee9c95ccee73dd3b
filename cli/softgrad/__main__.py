"""The entry point: every way in which a run can end gets its exit status here."""

import gc
import os
import signal
import sys
from typing import TextIO

from softgrad.exits import ENDINGS, Exit, StoppedError
from softgrad.messages import say


def main() -> None:
    """Run the command and exit."""
    ending: int | None = None
    _let_endings_raise()
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
        say(f"softgrad: {error.filename or 'standard output'}: {error.strerror or error}", "red")
        status = Exit.IO_FAILED
    except StoppedError as error:
        say(f"softgrad: {error}", "red")
        status = error.status
    except Exception as error:  # noqa: BLE001 - this is where bugs end
        say(f"softgrad: a bug in softgrad, not in your input: {type(error).__name__}: {error}")
        if "--debug" in sys.argv:
            sys.excepthook(type(error), error, error.__traceback__)
        else:
            say("softgrad: run it again with --debug to see where")
        status = Exit.BUG
    _let_go(sys.stdout, 1)
    _let_go(sys.stderr, 2)
    if ending is not None:
        # Who waits for this process is to see that a signal ended it.
        signal.signal(ending, signal.SIG_DFL)
        os.kill(os.getpid(), ending)
    # All is written and closed: taking the interpreter apart would be a tenth of a short run.
    os._exit(status)


class _Ended(BaseException):
    """A signal ends the run; nothing is to stay that has not become a result."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def _let_endings_raise() -> None:
    for number in ENDINGS:
        # Who ignores one, as nohup does, goes on.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _frame: object) -> None:
    raise _Ended(number)


def _let_go(stream: TextIO | None, descriptor: int) -> None:
    """See to it that what cannot be written does not fail once more at the exit."""
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _run() -> int:
    # Imported here, so that Ctrl-C during start-up is silent too. Imports leave no garbage, and
    # looking for it among all that they make is a tenth of their time.
    gc.disable()
    from softgrad.commands.app import run_command

    gc.enable()
    return run_command()


if __name__ == "__main__":
    main()
