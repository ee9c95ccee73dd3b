"""Probing in a process of its own, so that a function that hangs or crashes is a finding."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from ctypes import Structure, c_double, c_long
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import softgrad_core
from softgrad.exits import ENDINGS, StoppedError, UsageError
from softgrad.inputs.functions import Program, load_function
from softgrad_core.dtypes import Dtype
from softgrad_core.probing.engine import Engine
from softgrad_core.probing.events import Event, Finding, Trial, Tried, Upcoming
from softgrad_core.probing.frameworks import Answer, Function, UnusableError, function_of, takes
from softgrad_core.probing.inputs import Input, Plan
from softgrad_core.probing.judging import CRASHES, HANGS, Kind
from softgrad_core.probing.probe import dtypes_of, plan_of

MOST_DEATHS = 3
"""After so many processes that hung or crashed, the probe ends."""

WATCHES = 8
"""How often a call is looked at before it hangs."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks for; see `softgrad_core.probe`.

    `function` is MODULE:FUNCTION, or else `command` is that of a program.
    """

    function: str | None
    command: str | None
    dtypes: Sequence[Dtype] | None
    arithmetic: Dtype | None
    framework: str | None
    device: str | None
    shapes: Sequence[tuple[int, int]]
    soft_targets: bool
    skip: Sequence[str]
    seconds: float
    seed: int
    timeout: float
    loss: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What is probed, as it was typed."""
        return self.function or self.command or ""


class CannotProbeError(UsageError):
    """The function cannot be called at all: the lines of its own traceback say why."""

    def __init__(self, reason: str, traceback: Sequence[str]) -> None:
        super().__init__(reason)
        self.traceback = traceback

    def __reduce__(self) -> tuple[type, tuple[str, Sequence[str]]]:
        """Let it go to other processes."""
        return CannotProbeError, (str(self), self.traceback)


def events_of(asked: Asked) -> Iterator[Event]:
    """Yield what happens while a function is probed, in another process.

    Raises UsageError if the function cannot be found, or cannot be called at all.
    """
    first, started = 0, time.monotonic()
    deadly: list[int] = []
    known: set[tuple[str, ...]] = set()
    while True:
        left = max(0.0, asked.seconds - (time.monotonic() - started))
        child = _Child(replace(asked, seconds=left), first, deadly)
        found: set[tuple[str, ...]] = set()
        try:
            for event in child.events():
                if isinstance(event, Tried):
                    first = event.number + 1
                if isinstance(event, Finding):
                    key = event.name, *event.failed
                    found.add(key)
                    if key in known:
                        continue  # An earlier process found it.
                yield event
        finally:
            child.end()
        kind, trial = child.stopped_by, child.trial
        if kind is None or (trial is None and deadly):
            return
        if trial is None:
            raise UsageError(f"{asked.name} {kind.name} as soon as it is loaded")
        if (kind.name, trial.family) not in known:
            yield _finding(kind, trial, asked)
        yield Tried(trial.number, trial.name, kind.name, 0.0)
        known |= found | {(kind.name, trial.family)}
        deadly.append(trial.number)
        if len(deadly) == MOST_DEATHS:
            return


def _finding(kind: Kind, trial: Trial, asked: Asked) -> Finding:
    detail = f"it did not return within {asked.timeout:g} s" if kind is HANGS else kind.explanation
    dtype = trial.dtype
    return Finding(*kind, trial.name, dtype, trial.given, {}, (), dtype, [detail], asked.loss)


class _Call(Structure):
    """The call that the process is at, which both processes see."""

    _fields_ = [("since", c_double), ("trial", c_long)]
    since: float
    """When it began, or 0 between calls."""
    trial: int
    """The number of the trial that it is for."""


class _Child:
    """The process that calls the function.

    Attributes
    ----------
    stopped_by
        Why it was stopped or ended before it was done: it hangs, or crashed.
    """

    def __init__(self, asked: Asked, first: int, without: Sequence[int]) -> None:
        self.stopped_by: Kind | None = None
        self._timeout = asked.timeout
        self._upcoming: Sequence[Trial] = ()
        # A forked process imports nothing again, but forking is safe on Linux only.
        context: Any = get_context("fork" if sys.platform == "linux" else "spawn")
        self._call: _Call = context.RawValue(_Call)
        self._connection, other = context.Pipe()
        told = other, self._call, asked, first, without
        self._process = context.Process(target=_work, args=told)
        self._process.start()
        other.close()

    @property
    def trial(self) -> Trial | None:
        """The trial that it is at."""
        return next((one for one in self._upcoming if one.number == self._call.trial), None)

    def events(self) -> Iterator[Event]:
        """Yield what happens, until all is done or the process is."""
        while True:
            if not self._connection.poll(self._timeout / WATCHES):
                since = self._call.since
                if since and time.monotonic() - since > self._timeout:
                    self.stopped_by = HANGS
                    return
                continue
            try:
                said = self._connection.recv()
            except (EOFError, ConnectionError):
                self.stopped_by = CRASHES
                return
            if said is None:
                return
            if isinstance(said, StoppedError):
                raise said
            for event in said:
                if isinstance(event, Upcoming):
                    self._upcoming = event.trials
                yield event

    def end(self) -> None:
        """End the process, and those that it started."""
        pid = self._process.pid
        if pid is not None and hasattr(os, "killpg"):
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._connection.close()


class _Watched:
    """A function, of whose calls the other process knows, and what happened before each.

    Attributes
    ----------
    engine
        What calls it.
    events
        What happened since the last call.
    """

    engine: Engine

    def __init__(self, function: Function, connection: Connection, call: _Call) -> None:
        self.default_dtype, self.name = function.default_dtype, function.name
        self.has_strides = function.has_strides
        self._function, self._connection, self._call = function, connection, call
        self.events: list[Event] = []

    def answer(self, given: Input, dtype: Dtype, plan: Plan) -> Answer:
        """Return what the function gives for an input."""
        self.tell()
        self._call.trial, self._call.since = self.engine.at, time.monotonic()
        try:
            return self._function.answer(given, dtype, plan)
        finally:
            self._call.since = 0.0

    def tell(self) -> None:
        """Tell the other process what happened."""
        if self.events:
            self._connection.send(self.events)
            self.events = []


def _work(
    connection: Connection, call: _Call, asked: Asked, first: int, without: Sequence[int]
) -> None:
    """Call the function, and tell what happens, in a process of its own."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C is for the parent process.
    for number in ENDINGS:
        signal.signal(number, signal.SIG_DFL)
    # Whatever the function prints is no result.
    with suppress(OSError):
        os.dup2(2, 1)
    try:
        watched = _watched(connection, call, asked)
        for event in watched.engine.events(first, without):
            watched.events.append(event)
        watched.tell()
        connection.send(None)
    except (BrokenPipeError, ConnectionError):
        pass  # The parent process has ended.
    except StoppedError as error:
        connection.send(error)
    except (UnusableError, softgrad_core.InputError) as error:
        connection.send(UsageError(str(error)))
    except BaseException as error:  # noqa: BLE001 - whatever a module raises when it is loaded
        connection.send(
            CannotProbeError(f"{asked.name} cannot be called", own_traceback(error).splitlines())
        )


def _give_more_time(call: _Call) -> None:
    """Let the time that a call may take begin anew, for the next record of a program."""
    call.since = time.monotonic()


def _watched(connection: Connection, call: _Call, asked: Asked) -> _Watched:
    """Return the function that is asked for, with the engine that calls it."""
    names: Sequence[str] = ()
    function: Function
    if asked.command is not None:
        function = Program(asked.command, before_record=partial(_give_more_time, call))
    else:
        loaded = load_function(asked.function or "")
        names = takes(loaded)
        function = function_of(loaded, asked.framework, asked.device)
    plan = plan_of(
        names,
        asked.loss,
        arithmetic=asked.arithmetic,
        shapes=asked.shapes,
        soft_targets=asked.soft_targets,
    )
    watched = _Watched(function, connection, call)
    watched.engine = Engine(
        watched,
        plan,
        dtypes_of(function, asked.dtypes),
        seconds=asked.seconds,
        seed=asked.seed,
        skip=asked.skip,
    )
    return watched


def own_traceback(error: BaseException) -> str:
    """Return the traceback of an error without the frames of softgrad and installed libraries."""
    ours = str(Path(softgrad_core.__file__).parent), str(Path(__file__).parents[1])
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((*ours, "<frozen"))]
    outside = [frame for frame in own if "site-packages" not in frame.filename]
    said = "".join(traceback.format_exception_only(error)).rstrip()
    return f"{''.join(traceback.format_list(outside or own))}{said}"
