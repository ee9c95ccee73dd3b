"""MODULE:FUNCTION, or a program that answers records -> a loss function to call."""

import importlib
import os
import select
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from softgrad.exits import UsageError
from softgrad.records.records import json_number
from softgrad_core.dtypes import Dtype
from softgrad_core.probing.frameworks import Answer, UnusableError, claims_of
from softgrad_core.probing.inputs import Input, Plan
from softgrad_core.verification.reference import QUANTITIES

READ_BYTES = 1 << 16
"""How much of the answers of a program is read at once."""


def load_function(name: str) -> Callable[..., Any]:
    """Return the function MODULE:FUNCTION, of a module that is found from the current folder.

    Raises UsageError if there is no such function. What the module itself raises goes on.
    """
    module_name, colon, path = name.partition(":")
    if not (module_name and colon and path):
        hint = f"; write {_as_module(module_name)}:loss" if name else ""
        raise UsageError(f"expected MODULE:FUNCTION, as in mykernel:loss, got {name!r}{hint}")
    if module_name != _as_module(module_name):
        raise UsageError(
            f"expected MODULE:FUNCTION, got a file; write {_as_module(module_name)}:{path}"
        )
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        file = f"{module_name.replace('.', '/')}.py"
        raise UsageError(
            f"there is no module {module_name!r}: no {file} in {Path.cwd()}, nor is it installed"
        ) from None
    for part in path.split("."):
        if not hasattr(found, part):
            close = get_close_matches(part, dir(found), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UsageError(f"{module_name} has no {part!r}{hint}")
        found = getattr(found, part)
    if isinstance(found, type):
        raise UsageError(f"{name} is a class; name a function, or an instance that can be called")
    if not callable(found):
        raise UsageError(f"expected a function, {name} is {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _as_module(file: str) -> str:
    """Return the name of the module in a file."""
    return file.removeprefix("./").removesuffix(".py").replace("/", ".")


class Program:
    """A program that reads records, one a line, and answers each with one line of claims.

    One that does anything else is started again, so that its answers cannot get out of step.
    """

    default_dtype, has_strides = Dtype.FLOAT64, False

    def __init__(self, command: str, before_record: Callable[[], None] = lambda: None) -> None:
        self.name = command
        self._before_record = before_record
        self._unread = b""
        try:
            self._words = shlex.split(command)
            self._process: subprocess.Popen[bytes] | None = self._started()
        except OSError as error:
            raise UsageError(f"--command {command!r}: {error.strerror}") from None
        except (ValueError, IndexError):
            raise UsageError(f"expected --command to be a program, got {command!r}") from None

    def answer(self, given: Input, dtype: Dtype, plan: Plan) -> Answer:
        """Return what the program answers to the record of a batch, or to those of single rows."""
        del dtype
        options = plan.options_of(given)
        logits = [[json_number(number) for number in row] for row in given.logits.tolist()]
        targets = given.targets.tolist()
        if plan.is_reduced:
            replies = [self._reply({"logits": logits, "target": targets, **options})]
            claims = {name: _numbers(value) for name, value in replies[0].items()}
        else:
            rows = zip(logits, targets, strict=True)
            replies = [self._reply({"logits": row, "target": y, **options}) for row, y in rows]
            names = replies[0] if replies else ()
            claims = {name: _numbers([reply.get(name) for reply in replies]) for name in names}
        return Answer(claims_of(claims, given, plan) if replies else {})

    def _started(self) -> "subprocess.Popen[bytes]":
        self._unread = b""
        return subprocess.Popen(  # noqa: S603 - it is what the user asks for
            self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def _reply(self, record: dict[str, Any]) -> dict[str, Any]:
        """Return the claims in the answer to a record."""
        self._before_record()
        process = self._process = self._process or self._started()
        try:
            return self._claims(self._exchanged(process, orjson.dumps(record) + b"\n"), record)
        except RuntimeError:
            self._process = None
            process.kill()
            process.communicate()
            raise

    @staticmethod
    def _claims(reply: Any, record: dict[str, Any]) -> dict[str, Any]:
        """Return the claims in an answer to a record."""
        if not isinstance(reply, dict):
            raise RuntimeError(f"expected an object of claims, got {str(reply)[:60]!r}")
        if "error" in reply:
            raise RuntimeError(f"the program answered with an error: {reply['error']}")
        claims = {name: reply[name] for name in QUANTITIES if name in reply and name not in record}
        if not claims:
            got = ", ".join(reply)
            raise RuntimeError(f"expected some of {', '.join(QUANTITIES)} in the answer, got {got}")
        return claims

    def _exchanged(self, process: "subprocess.Popen[bytes]", record: bytes) -> Any:
        """Send a line, and return the value in the one that comes back."""
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise UnusableError("the program has no standard input or output")
        can_look = sys.platform != "win32"
        has_more = self._unread or (can_look and select.select([stdout], [], [], 0)[0])
        if has_more and (more := self._line(stdout.fileno())):
            raise RuntimeError(f"expected one line for each record, got {more[:60]!r} as well")
        with suppress(BrokenPipeError):
            stdin.write(record)
            stdin.flush()
        if not (line := self._line(stdout.fileno())):
            raise RuntimeError(f"the program ended with status {process.wait()}")
        try:
            return _parsed(line)
        except ValueError:
            raise RuntimeError(f"expected one line of JSON, got {line[:60]!r}") from None

    def _line(self, descriptor: int) -> bytes:
        """Return the next line of the program, or nothing if it has ended."""
        parts = [self._unread]
        while b"\n" not in parts[-1] and (data := os.read(descriptor, READ_BYTES)):
            parts.append(data)
        line, end, self._unread = b"".join(parts).partition(b"\n")
        return line + end


def _parsed(line: bytes) -> Any:
    """Return the value of a line of JSON; Python's own writer has NaN in it."""
    try:
        return orjson.loads(line)
    except ValueError:
        import json

        return json.loads(line)


def _numbers(values: Any) -> Any:
    """Return numbers, with null for NaN and strings for infinite ones, as an array."""
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        return values
