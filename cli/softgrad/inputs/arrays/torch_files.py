"""Files of PyTorch, .pt: tensors. Nothing else that a pickle can do is done.

PyTorch maps them into memory, and so says where a tensor is in the file; its numbers are then read
from there. A mapped file that is cut short would end the process with SIGBUS.
"""

import os
import pickle
import sys
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from softgrad.exits import InputFailedError
from softgrad.inputs.arrays.contents import Contents, Stored
from softgrad.inputs.arrays.files import ALONE, ArrayFile, broken, needs
from softgrad.records.fields import OPTIONS
from softgrad_core.tensors import BITS, Packed, as_array

_MAPS = Path("/proc/self/maps")
"""Which files are mapped into memory, and where, on Linux."""

_WANTED = "a dictionary of tensors, as torch.save({'logits': ..., 'target': ...}, FILE) writes it"


def open_torch(name: str) -> ArrayFile:
    """Open a .pt file that holds one tensor, or tensors by name; inner names are joined by dots."""
    contents = Contents(name)
    try:
        import torch
    except ImportError:
        raise needs("reading .pt", "torch") from None
    content = _loaded(name, torch)
    if isinstance(content, torch.Tensor):
        return ArrayFile(name, {ALONE: partial(_array, contents, ALONE, content)}, contents)
    if not isinstance(content, Mapping):
        raise _broken(name, f"got {type(content).__name__}")
    members = dict(_members(content))
    tensors = {key: value for key, value in members.items() if isinstance(value, torch.Tensor)}
    arrays = {key: partial(_array, contents, key, tensor) for key, tensor in tensors.items()}
    others = {key: value for key, value in members.items() if key not in tensors}
    options = {key: others.pop(key) for key in OPTIONS if key in others}
    dtype = tensors["logits"].dtype if "logits" in tensors else torch.float64
    arrays |= {
        key: partial(_array, contents, key, numbers)
        for key, value in others.items()
        if (numbers := _tensor_of(value, dtype, torch)) is not None
    }
    return ArrayFile(name, arrays, contents, options)


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
    """Return what a file holds, or raise InputFailedError."""
    try:
        is_zip = zipfile.is_zipfile(name)
        if is_zip:
            with zipfile.ZipFile(name) as archive:
                if damaged := archive.testzip():
                    raise _broken(name, f"{damaged} is damaged")
        # Files of before PyTorch 1.6 are no ZIP archives, and cannot be mapped. Windows lets nobody
        # shorten a mapped file; elsewhere its place has to be known.
        is_mapped = is_zip and (sys.platform == "win32" or _MAPS.exists())
        return torch.load(name, map_location="cpu", weights_only=True, mmap=is_mapped)
    except pickle.UnpicklingError as error:
        refused = [line for line in str(error).splitlines() if "GLOBAL" in line]
        what = f"it would run code: {refused[0].strip()}" if refused else "it is damaged"
        raise _broken(name, what) from None
    except (InputFailedError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - a damaged pickle calls anything with anything
        reason, *_ = str(error).splitlines() or ["it breaks off"]
        raise _broken(name, f"it is damaged: {reason}") from None


def _members(content: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _members(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _array(contents: Contents, name: str, tensor: Any) -> Any:
    try:
        place = _place_of(tensor.data_ptr(), contents) if tensor.is_contiguous() else None
        if place is None:
            return as_array(tensor)
        none = as_array(tensor.reshape(-1)[:0])
    except TypeError as error:
        raise _broken(contents.name, f'"{name}": {error}') from None
    if isinstance(none, Packed):
        packed = none.dtype.name
        bits: Any = Stored(contents, place, tuple(tensor.shape), BITS[packed])
        return Packed(bits, packed)
    return Stored(contents, place, tuple(tensor.shape), none.dtype)


def _place_of(address: int, contents: Contents) -> int | None:
    """Return where in a file an address of its mapping is; None where that is not known."""
    inode = os.fstat(contents.file.fileno()).st_ino
    for line in _MAPS.read_text().splitlines() if _MAPS.exists() else ():
        addresses, _, offset, _, of_file, *_ = line.split()
        first, end = (int(part, 16) for part in addresses.split("-"))
        if first <= address < end and int(of_file) == inode:
            return address - first + int(offset, 16)
    return None


def _broken(name: str, reason: str) -> InputFailedError:
    return broken(name, f"{_WANTED}; {reason}")
