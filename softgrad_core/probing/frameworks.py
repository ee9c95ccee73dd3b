"""How functions of NumPy, PyTorch and JAX are called: an input -> the claims that they make of it.

PyTorch and JAX are imported only for functions that need them.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from inspect import signature
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.probing.inputs import Input, Plan
from softgrad_core.tensors import as_array
from softgrad_core.verification.reference import QUANTITIES

FRAMEWORKS = ("numpy", "torch", "jax")


class Answer(NamedTuple):
    """What a function gave for an input.

    Attributes
    ----------
    claims
        What it returned, by the names of claims, as arrays of NumPy or `Packed` numbers.
    overwritten
        Whether it wrote to its logits or targets.
    is_differentiated
        Whether the gradient is that of automatic differentiation, so that there is one from above.
    """

    claims: Mapping[str, Any]
    overwritten: bool = False
    is_differentiated: bool = False


class UnusableError(ValueError):
    """The function cannot be probed at all, and why."""


class Function(Protocol):
    """A loss function that can be called with inputs."""

    default_dtype: Dtype
    has_strides: bool
    name: str

    def answer(self, given: Input, dtype: Dtype, plan: Plan) -> Answer:
        """Return what the function gives for an input; any error is its own."""


def function_of(
    function: Callable[..., Any], framework: str | None = None, device: str | None = None
) -> Function:
    """Return a function that can be called with inputs; `framework_of` finds out which if need be.

    Raises UnusableError if there is no such framework, or it is not installed.
    """
    if framework is None:
        framework = framework_of(function)
    if framework not in FRAMEWORKS:
        raise UnusableError(
            f"expected a framework out of {', '.join(FRAMEWORKS)}, got {framework!r}"
        )
    if device is not None and framework == "numpy":
        raise UnusableError("expected a framework with devices, torch or jax, got numpy")
    try:
        module = import_module(framework)
    except ImportError as error:
        raise UnusableError(f"{framework} is not installed: {error}") from None
    if framework == "torch":
        return _Torch(function, module, device)
    return _Jax(function, module, device) if framework == "jax" else _NumPy(function)


def framework_of(function: Callable[..., Any]) -> str:
    """Return the library of a function's arrays: that which its module uses, or else NumPy."""
    function = getattr(function, "__wrapped__", function)
    name = getattr(function, "__module__", None) or type(function).__module__
    values = vars(sys.modules[name]).values() if name in sys.modules else ()
    # A module that is imported has a name, and what is imported from it has a module.
    origins = {
        str(getattr(value, "__name__" if isinstance(value, ModuleType) else "__module__", ""))
        for value in values
    }
    used = [
        library
        for library in ("torch", "jax")
        if any(origin.partition(".")[0] == library for origin in (name, *origins))
    ]
    if len(used) > 1:
        raise UnusableError(f"the module {name} uses torch and jax; say which framework to use")
    return used[0] if used else "numpy"


class _NumPy:
    """Calls functions of NumPy arrays, which return their gradients themselves."""

    default_dtype, has_strides = Dtype.FLOAT64, True

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = name_of(function)
        self._function = function

    def answer(self, given: Input, dtype: Dtype, plan: Plan) -> Answer:
        """Return what the function gives for an input."""
        numbers = as_type(given.logits, dtype)
        logits, targets = laid_out(numbers, given.layout), given.targets.copy()
        if not plan.has_labels:
            targets = as_type(targets, dtype)
        words = keywords(plan, given)
        kept = targets.copy()
        with np.errstate(all="ignore"):
            for other in inputs_before(given):
                self._function(as_type(other.logits, dtype), other.targets.copy(), **words)
            returned = self._function(logits, targets, **words)
        claims = claims_of(returned, given, plan)
        arrays = {name: as_array(claim) for name, claim in claims.items()}
        is_same = np.array_equal(logits, numbers) and np.array_equal(targets, kept)
        return Answer(arrays, not is_same)


class _Torch:
    """Calls functions of PyTorch, whose gradients are those of autograd unless they return them."""

    default_dtype, has_strides = Dtype.FLOAT32, True

    def __init__(self, function: Callable[..., Any], torch: Any, device: str | None) -> None:
        self.name = name_of(function)
        self._function, self._torch, self._device = function, torch, device

    def answer(self, given: Input, dtype: Dtype, plan: Plan) -> Answer:
        """Return what the function gives for an input."""
        torch = self._torch
        numbers, kept = self._tensor(given.logits, dtype), self._targets(given, dtype)
        logits, targets = laid_out(numbers, given.layout).requires_grad_(), kept.clone()
        words = {
            name: self._tensor(np.asarray(value), dtype) if isinstance(value, list) else value
            for name, value in keywords(plan, given).items()
        }
        for other in inputs_before(given):
            before = self._tensor(other.logits, dtype).requires_grad_()
            result = self._function(before, self._targets(other, dtype), **words)
            if isinstance(result, torch.Tensor) and result.requires_grad:
                torch.autograd.grad(result.sum(), before)
        claims = claims_of(self._function(logits, targets, **words), given, plan)
        loss: Any = claims.get("loss")
        is_differentiated = "grad_logits" not in claims and isinstance(loss, torch.Tensor)
        if is_differentiated:
            if not loss.requires_grad:
                raise NoGradientError
            above = torch.ones_like(loss)
            if given.upstream is not None:
                above *= self._tensor(given.upstream, dtype)
            [claims["grad_logits"]] = torch.autograd.grad(loss, logits, above)
        is_same = torch.equal(logits.detach(), numbers) and torch.equal(targets, kept)
        arrays = {name: as_array(claim) for name, claim in claims.items()}
        return Answer(arrays, not is_same, is_differentiated)

    def _tensor(self, values: npt.NDArray[Any], dtype: Dtype) -> Any:
        # Exact: the numbers are of the type. It must not share the memory of the array.
        own = self._torch.from_numpy(np.array(values, dtype=np.float64))
        return own.to(device=self._device, dtype=getattr(self._torch, dtype))

    def _targets(self, given: Input, dtype: Dtype) -> Any:
        if not given.has_labels:
            return self._tensor(given.targets, dtype)
        return self._torch.from_numpy(given.targets.astype(np.int64)).to(self._device)


class _Jax:
    """Calls functions of JAX, whose gradients are those of jax.vjp unless they return them."""

    default_dtype, has_strides = Dtype.FLOAT32, False

    def __init__(self, function: Callable[..., Any], jax: Any, device: str | None) -> None:
        self.name = name_of(function)
        self._function, self._jax = function, jax
        self._device = jax.devices(device)[0] if device else None

    def answer(self, given: Input, dtype: Dtype, plan: Plan) -> Answer:
        """Return what the function gives for an input."""
        jnp = self._jax.numpy
        if self._jax.dtypes.canonicalize_dtype(dtype).name != dtype:
            raise UnusableError(f"JAX computes in {dtype} only with JAX_ENABLE_X64=1")
        logits = self._array(given.logits, dtype)
        words = {
            name: self._array(np.asarray(value), dtype) if isinstance(value, list) else value
            for name, value in keywords(plan, given).items()
        }

        def call(some: Input, a: Any) -> Any:
            targets = some.targets.astype(np.int32) if some.has_labels else some.targets
            y = jnp.asarray(targets) if some.has_labels else self._array(targets, dtype)
            return self._function(a, y, **words)

        for other in inputs_before(given):
            call(other, self._array(other.logits, dtype))
        returned, pull_back = self._jax.vjp(lambda a: _as_pair(call(given, a)), logits)
        claims = claims_of(returned, given, plan)
        is_differentiated = "grad_logits" not in claims and "loss" in claims
        if is_differentiated:
            loss = claims["loss"]
            above = self._jax.tree.map(jnp.zeros_like, returned)
            upstream = 1.0 if given.upstream is None else given.upstream
            above["loss"] = jnp.broadcast_to(jnp.asarray(upstream, dtype=loss.dtype), loss.shape)
            [claims["grad_logits"]] = pull_back(above)
        arrays = {name: as_array(claim) for name, claim in claims.items()}
        return Answer(arrays, is_differentiated=is_differentiated)

    def _array(self, values: npt.NDArray[Any], dtype: Dtype) -> Any:
        array = self._jax.numpy.asarray(values, dtype=dtype)
        return self._jax.device_put(array, self._device) if self._device else array


class NoGradientError(Exception):
    """A loss that does not depend on the logits, for autograd."""

    def __str__(self) -> str:
        return "the loss has no gradient: it was detached, or computed outside of autograd"


def _as_pair(returned: Any) -> dict[str, Any]:
    """Return what a function of JAX returned as a mapping, which jax.vjp differentiates."""
    if isinstance(returned, Mapping):
        return dict(returned)
    if isinstance(returned, tuple) and len(returned) == 2:
        return {"loss": returned[0], "grad_logits": returned[1]}
    return {"loss": returned}


def claims_of(returned: Any, given: Input, plan: Plan) -> dict[str, Any]:
    """Return what a function returned by the names of claims, or raise UnusableError."""
    if isinstance(returned, Mapping):
        claims = {name: returned[name] for name in QUANTITIES if returned.get(name) is not None}
        others = [str(name) for name in returned if name not in QUANTITIES]
        if others or not claims:
            got = ", ".join(others) or "an empty one"
            expected = f"expected a mapping with some of {', '.join(QUANTITIES)}"
            raise UnusableError(f"{expected}; got {got}")
    elif isinstance(returned, tuple):
        if len(returned) != 2:
            raise UnusableError(
                f"expected the loss, or (loss, gradient), got {len(returned)} values"
            )
        claims = dict(zip(("loss", "grad_logits"), returned, strict=True))
    elif returned is None:
        raise UnusableError("expected the loss, or (loss, gradient), got None")
    else:
        claims = {"loss": returned}
    has_losses = not plan.is_reduced and len(given.logits) > 1 and "loss" in claims
    if has_losses and not np.shape(claims["loss"]):
        raise UnusableError(
            f"the function returned one loss for {len(given.logits)} rows; "
            "say which: reduction mean or sum"
        )
    return claims


def keywords(plan: Plan, given: Input) -> dict[str, Any]:
    """Return the options that the function takes, under its own names for them."""
    options = plan.options_of(given)
    words = {name: options[option] for option, name in plan.keywords.items()}
    return {name: str(value) if isinstance(value, str) else value for name, value in words.items()}


def inputs_before(given: Input) -> list[Input]:
    """Return what the function is called with before the call that counts."""
    if given.before == "itself":
        return [given]
    if given.before == "another":
        # As many columns, since weights may belong to them.
        more = np.concatenate([given.logits, given.logits[:1]])[::-1] + 1.0
        targets = np.concatenate([given.targets, given.targets[:1]])
        return [replace(given.plain(), logits=more, targets=targets)]
    return []


def as_type(values: npt.NDArray[Any], dtype: Dtype) -> npt.NDArray[Any]:
    """Return numbers in a type of NumPy, or raise UnusableError if it has none of the name."""
    if dtype not in {Dtype.FLOAT64, Dtype.FLOAT32, Dtype.FLOAT16}:
        raise UnusableError(f"NumPy has no {dtype}; the framework torch or jax has it")
    return np.array(values, dtype=dtype)


def laid_out(values: Any, layout: str) -> Any:
    """Return a copy of a matrix of NumPy or PyTorch, laid out in memory in this way."""
    (rows, columns), is_array = values.shape, isinstance(values, np.ndarray)
    if not layout:
        return values.copy() if is_array else values.clone()

    def zeros(*shape: int) -> Any:
        return np.zeros(shape, values.dtype) if is_array else values.new_zeros(shape)

    if layout == "columns with a stride":
        laid = zeros(rows, 2 * columns)[:, ::2]
    elif layout == "rows with a stride":
        laid = zeros(2 * rows, columns + 3)[::2, 1 : columns + 1]
    else:
        laid = zeros(columns, rows).T
    laid[...] = values
    return laid


def takes(function: Callable[..., Any]) -> list[str]:
    """Return the names of a function's parameters; none if they cannot be known."""
    try:
        return list(signature(function).parameters)
    except (TypeError, ValueError):
        return []


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, as a message calls it."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))
