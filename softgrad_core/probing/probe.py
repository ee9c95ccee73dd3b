"""A loss function -> the mistakes that it makes, each with the smallest input that shows it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Unpack

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.options import LossOptions, check_options
from softgrad_core.probing.engine import Engine
from softgrad_core.probing.events import Event, Finding, Tried
from softgrad_core.probing.frameworks import Function, UnusableError, function_of, takes
from softgrad_core.probing.inputs import Input, Plan, keywords_of
from softgrad_core.tensors import as_plain_number

SECONDS = 10.0
"""How long random inputs are tried if nothing else is said."""

MOST_SHOWN = 64
"""Up to this many logits are shown in plain text."""


class ProbeError(AssertionError):
    """The function is wrong on some input; the message says on which, and what is wrong."""

    __module__ = "softgrad_core"


class Probe:
    """What was tried, and what was found.

    Attributes
    ----------
    name
        The name of the function.
    findings
        The mistakes, each once, in the order in which they were found.
    tried
        How many inputs were tried, by the names of the trials.
    failed
        How many of them showed a mistake, by the names of the trials.
    worst_ulp
        The largest error of what is right, by the names of the trials, in units of the last place.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.findings: list[Finding] = []
        self.tried: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.worst_ulp: dict[str, float] = {}
        self.found_by: dict[str, str] = {}

    def add(self, event: Event) -> None:
        """Add what happened."""
        if isinstance(event, Finding):
            self.findings.append(event)
        elif isinstance(event, Tried):
            name = event.name
            self.tried[name] += 1
            self.failed[name] += bool(event.found)
            if event.found:
                self.found_by.setdefault(name, event.found)
            self.worst_ulp[name] = max(self.worst_ulp.get(name, 0.0), event.worst_ulp)

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"<Probe of {self.name}: {self.total()}>"

    def total(self) -> str:
        """Return the line for all trials."""
        count = self.tried.total()
        found = len(self.findings)
        what = "no mistake" if not found else f"{found} mistake{'s' * (found > 1)}"
        return f"{count:,} inputs tried, {what} found"

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.total()}"]
        for finding in self.findings:
            lines += lines_of(finding)
        return "\n".join(lines)

    def raise_if_failed(self) -> None:
        """Raise an error that says what is wrong, and on which inputs.

        Raises
        ------
        ProbeError
            If a mistake was found.
        """
        # pytest shows the line of the test, not this one.
        __tracebackhide__ = True
        if self.findings:
            raise ProbeError(str(self))


def lines_of(finding: Finding) -> list[str]:
    """Return a finding in plain text."""
    return [
        f"{finding.name} ({finding.trial}, {finding.dtype})",
        f"  {finding.explanation}",
        f"  to do: {finding.remedy}",
        f"  input: {shown(finding.given)}",
        *(f"  {line}" for line in finding.details),
    ]


def shown(given: Input) -> str:
    """Return an input in plain text: its numbers, or the shape of many."""
    rows, classes = given.logits.shape
    if given.logits.size > MOST_SHOWN:
        return f"{rows:,} rows of {classes:,} classes"
    return str(given.as_dict())


def plan_of(
    names: Iterable[str],
    options: Mapping[str, Any],
    *,
    arithmetic: object = None,
    shapes: Sequence[tuple[int, int]] = (),
    soft_targets: bool = False,
) -> Plan:
    """Return what is known of a function that has parameters of these names."""
    checked = check_options(options)
    told = {
        name: checked[name].tolist() if hasattr(checked[name], "tolist") else checked[name]
        for name, value in options.items()
        if value is not None
    }
    return Plan(
        options={name: as_plain_number(value) for name, value in told.items()},
        keywords=keywords_of(list(names), told),
        arithmetic=None if arithmetic is None else Dtype.of(arithmetic),
        shapes=tuple(shapes),
        has_labels=not soft_targets,
    )


def probe(  # noqa: PLR0913 - each is an option of the command
    function: Callable[..., Any],
    *,
    dtype: object = None,
    arithmetic: object = None,
    framework: str | None = None,
    device: str | None = None,
    shapes: Sequence[tuple[int, int]] = (),
    soft_targets: bool = False,
    skip: Sequence[str] = (),
    seconds: float = SECONDS,
    seed: int = 0,
    inputs: Sequence[Mapping[str, Any]] | None = None,
    **options: Unpack[LossOptions],
) -> Probe:
    """Look for inputs on which a loss function is wrong.

    Parameters
    ----------
    function
        A function of logits, of shape (N, C), and targets, N labels. It returns the loss, or the
        loss and its gradient with respect to the logits, or a mapping with the names of the claims
        of `verify`. The gradient of a loss of PyTorch or JAX is that of its automatic
        differentiation.
    dtype
        The type of the logits, or several. By default float64 for NumPy, and float32 for others.
    arithmetic
        The type that the function computes in, if it is wider.
    framework
        "numpy", "torch" or "jax": whose arrays the function takes. By default those of the library
        that its module imported.
    device
        The device of the arrays, such as "cuda".
    shapes
        The only shapes that logits may have, if not all will do.
    soft_targets
        Whether targets are probabilities, of shape (N, C), in place of labels.
    skip
        The names of trials, and of mistakes, that are left out.
    seconds
        How long random inputs are tried after those that have a name, counted from the start.
    seed
        The same seed gives the same trials.
    inputs
        Inputs that are tried instead: mappings with `logits` and `targets`, as a finding has them.
    **options
        What the loss is, see `LossOptions`. Those that the function takes as keywords are passed.

    Returns
    -------
    Probe
        What was tried, and what was found.

    Raises
    ------
    ValueError
        If the function cannot be probed: it returns nothing that could be judged, or one loss for
        several rows without a reduction; or if an option is invalid.
    Exception
        What the function raises if it cannot be called with plain rows.

    Examples
    --------
    >>> import numpy as np
    >>> def loss(logits, targets):
    ...     p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ...     rows = np.arange(len(targets))
    ...     gradient = p.copy()
    ...     gradient[rows, targets] -= 1
    ...     return -np.log(p[rows, targets]), gradient
    >>> found = probe(loss, seconds=0)
    >>> found.findings[0].name
    'no-shift-by-the-maximum'
    """
    called = function_of(function, framework, device)
    plan = plan_of(
        takes(function), options, arithmetic=arithmetic, shapes=shapes, soft_targets=soft_targets
    )
    engine = Engine(called, plan, dtypes_of(called, dtype), seconds=seconds, seed=seed, skip=skip)
    given = None if inputs is None else [Input.of(one) for one in inputs]
    result = Probe(called.name)
    for event in engine.events(given=given):
        result.add(event)
    return result


def dtypes_of(function: Function, dtype: object) -> list[Dtype]:
    """Return the types that a function is tried with."""
    if dtype is None:
        return [function.default_dtype]
    given = dtype if isinstance(dtype, (list, tuple)) else [dtype]
    types = [Dtype.of(one) for one in given]
    if not types or not all(one.is_computed_in for one in types):
        raise UnusableError(
            f"expected types that are computed in, got {', '.join(types) or 'none'}"
        )
    return types
