"""Files of PyTorch, .pt: tensors, mapped into memory. Nothing else that a pickle can do is done."""

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from softgrad.exits import StoppedError
from softgrad.inputs.arrays.files import ALONE, ArrayFile, broken, needs
from softgrad.records.fields import OPTIONS
from softgrad_core.tensors import as_array

_WANTED = "a dictionary of tensors, as torch.save({'logits': ..., 'target': ...}, FILE) writes it"


def open_torch(name: str) -> ArrayFile:
    """Open a .pt file that holds one tensor, or tensors by name; inner names are joined by dots."""
    with Path(name).open("rb"):
        pass  # An OSError is to be Python's own.
    try:
        import torch
    except ImportError:
        raise needs("reading .pt", "torch") from None
    content = _loaded(name, torch)
    if isinstance(content, torch.Tensor):
        return ArrayFile(name, {ALONE: partial(_array, name, ALONE, content)})
    if not isinstance(content, Mapping):
        raise _broken(name, f"got {type(content).__name__}")
    members = dict(_members(content))
    tensors = {key: value for key, value in members.items() if isinstance(value, torch.Tensor)}
    arrays = {key: partial(_array, name, key, tensor) for key, tensor in tensors.items()}
    others = {key: value for key, value in members.items() if key not in tensors}
    options = {key: others.pop(key) for key in OPTIONS if key in others}
    dtype = tensors["logits"].dtype if "logits" in tensors else torch.float64
    arrays |= {
        key: partial(_array, name, key, numbers)
        for key, value in others.items()
        if (numbers := _tensor_of(value, dtype, torch)) is not None
    }
    return ArrayFile(name, arrays, options)


def _tensor_of(value: Any, dtype: Any, torch: Any) -> Any:
    """Return numbers of Python as a tensor, in this type if it has them; None if they are none."""
    if not isinstance(value, (int, float, list, tuple)) or isinstance(value, bool):
        return None
    try:
        numbers = torch.tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    if not numbers.is_floating_point():
        return numbers
    # What item() returns of a narrow tensor is a number of its type.
    numbers = torch.tensor(value, dtype=torch.float64)
    narrow = numbers.to(dtype)
    return narrow if bool((narrow.to(torch.float64) == numbers).all()) else numbers


def _loaded(name: str, torch: Any) -> Any:
    """Return what a file holds, or raise StoppedError."""
    try:
        is_zip = zipfile.is_zipfile(name)
        if is_zip:
            with zipfile.ZipFile(name) as archive:
                if damaged := archive.testzip():
                    raise _broken(name, f"{damaged} is damaged")
        # Files of before PyTorch 1.6 are no ZIP archives, and cannot be mapped.
        return torch.load(name, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        refused = [line for line in str(error).splitlines() if "GLOBAL" in line]
        what = f"it would run code: {refused[0].strip()}" if refused else "it is damaged"
        raise _broken(name, what) from None
    except (RuntimeError, ValueError, EOFError, KeyError, OSError, zipfile.BadZipFile) as error:
        reason, *_ = str(error).splitlines() or ["it breaks off"]
        raise _broken(name, reason) from None


def _members(content: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _members(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _array(file: str, name: str, tensor: Any) -> Any:
    try:
        return as_array(tensor)
    except TypeError as error:
        raise _broken(file, f'"{name}": {error}') from None


def _broken(name: str, reason: str) -> StoppedError:
    return broken(name, f"{_WANTED}; {reason}")
