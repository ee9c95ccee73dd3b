"""The probe: what an input costs, what of that is softgrad's own, and false alarms."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from timing import Table

from softgrad_core.dtypes import Dtype
from softgrad_core.probing.engine import Engine
from softgrad_core.probing.events import Event, Finding, Tried
from softgrad_core.probing.frameworks import Answer, Function, function_of, takes
from softgrad_core.probing.inputs import Input, Plan
from softgrad_core.probing.probe import plan_of

FIRST, MORE = 1_000, 10_000
"""How many inputs are tried before times are taken, and how many then."""

TYPES = ("float32", "float64", "bfloat16")

SEEDS, INPUTS = 100, 500
"""How many times each right function is probed, and how many inputs are tried each time."""


class Timed:
    """A function, with the seconds of the process that it takes.

    `calls` are those of the function itself and of its gradient; `answers` also those of making its
    arrays and reading what it gives.
    """

    def __init__(self, function: Callable[..., Any], framework: str) -> None:
        self._called = function_of(self._timed(function), framework)
        self.default_dtype, self.has_strides = self._called.default_dtype, self._called.has_strides
        self.name = self._called.name
        self.calls = self.answers = 0.0

    def answer(self, given: Input, dtype: Dtype, plan: Plan) -> Answer:
        """Return what the function gives for an input."""
        started = time.process_time()
        answer = self._called.answer(given, dtype, plan)
        self.answers += time.process_time() - started
        return answer

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **words: Any) -> Any:
            started = time.process_time()
            returned = function(*arguments, **words)
            self.calls += time.process_time() - started
            return returned

        return call

    @contextmanager
    def gradients(self) -> Iterator[None]:
        """Count the time of PyTorch's gradients as that of calls."""
        torch: Any = sys.modules.get("torch")
        if torch is None:
            yield
            return
        original = torch.autograd.grad
        torch.autograd.grad = self._timed(original)
        try:
            yield
        finally:
            torch.autograd.grad = original


def events_of(
    function: Function, names: list[str], told: Mapping[str, Any], seed: int = 0
) -> Iterator[Event]:
    """Yield what happens in a probe, without end."""
    options = {name: value for name, value in told.items() if name not in OF_PROBE}
    of_plan = {name: told[name] for name in ("arithmetic", "soft_targets") if name in told}
    plan = plan_of(names, options, **of_plan)
    dtype = Dtype(told.get("dtype", function.default_dtype))
    return Engine(function, plan, [dtype], seconds=1e9, seed=seed).events()


OF_PROBE = {"dtype", "arithmetic", "soft_targets"}
"""What is told of a function beside the options of the loss."""


def measure() -> Iterator[Table]:
    """Yield the costs, and what is found in right functions."""
    yield _costs()
    yield _false_alarms()


def _costs() -> Table:
    rows: list[tuple[str, ...]] = [
        ("function", "an input", "with gradient", "with arrays", "softgrad's own"),
    ]
    for name, function, framework, told in _timed_functions():
        timed = Timed(function, framework)
        tried = (
            event
            for event in events_of(timed, ["reduction"] if told.get("reduction") else [], told)
            if isinstance(event, Tried)
        )
        with timed.gradients():
            list(islice(tried, FIRST))
            timed.calls = timed.answers = 0.0
            started = time.process_time()
            list(islice(tried, MORE))
            whole = time.process_time() - started
        parts = timed.calls, timed.answers, whole - timed.answers
        shares = (f"{part / whole:.0%}" for part in parts)
        rows.append((name, f"{whole / MORE * 1e6:.0f} us", *shares))
    return Table(f"Time of the process, {MORE:,} random inputs after the first {FIRST:,}", rows)


def _timed_functions() -> Iterator[tuple[str, Callable[..., Any], str, dict[str, Any]]]:
    from support.losses import plain

    yield "NumPy", plain, "numpy", {}
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
    for dtype in TYPES:
        for reduction in ("mean", "none"):
            told = {"dtype": dtype, "reduction": reduction}
            yield f"PyTorch, {dtype}, {reduction}", torch.nn.functional.cross_entropy, "torch", told


def _false_alarms() -> Table:
    rows = [("right function", "probes", "inputs", "findings")]
    for name, called, framework, told in _right_functions():
        inputs = alarms = 0
        for seed in range(SEEDS):
            function = function_of(called, framework)
            for event in events_of(function, takes(called), told, seed):
                alarms += isinstance(event, Finding)
                inputs += isinstance(event, Tried)
                if isinstance(event, Finding):
                    print(f"{name}, seed {seed}: {event.name}, {event.trial}", file=sys.stderr)
                if inputs >= (seed + 1) * INPUTS:
                    break
        rows.append((name, f"{SEEDS}", f"{inputs:,}", f"{alarms}"))
    return Table(f"False alarms in {INPUTS} inputs each", rows)


def _right_functions() -> Iterator[tuple[str, Callable[..., Any], str, dict[str, Any]]]:
    from support.losses import RIGHT

    for case in RIGHT:
        yield case.name, case.function, "numpy", case.told
    for name, function, framework, told in _timed_functions():
        if framework == "torch":
            yield name, function, framework, told


sys.path.insert(0, str(Path(__file__).parent.parent))
