"""Files of arrays: what is in one, by name. Each kind of file has a module that opens it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad.exits import Exit, InputFailedError, StoppedError
from softgrad.inputs.arrays.contents import Contents
from softgrad.records import fields
from softgrad_core.tensors import BITS, Packed

Array = npt.NDArray[Any]

ALONE = ""
"""The name of the only array of a file whose arrays have no names, as in .npy."""

ALIASES = {fields.TARGET: ("targets", "labels")}
"""Other names that an array is found by, unless there is one of its own name."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayFile:
    """The arrays of an open file, by name.

    Attributes
    ----------
    name
        The name of the file.
    arrays
        What returns each array: `Stored` in the file where it can be, of NumPy, or `Packed`.
    contents
        The bytes of the file.
    options
        The options of the loss that stand in the file beside the arrays.
    """

    name: str
    arrays: Mapping[str, Callable[[], Any]]
    contents: Contents
    options: Mapping[str, Any] = field(default_factory=dict)

    def array(self, name: str, bits_of: str | None = None) -> Any:
        """Return an array; bits of a type that NumPy lacks are taken for numbers of that type."""
        array = self.arrays[name]()
        if isinstance(array, Packed):
            return array
        if bits_of in BITS and is_raw(array.dtype) and array.dtype.itemsize == _size(bits_of):
            return Packed(array.view(BITS[bits_of]), bits_of)
        # Of the types of two bytes that NumPy lacks, only bfloat16 is in use.
        return Packed(array.view(np.uint16), "bfloat16") if array.dtype.str[1:] == "V2" else array

    def with_names(self, names: Mapping[str, str]) -> "ArrayFile":
        """Return the file with its arrays under other names, given as theirs by ours."""
        arrays = {name: array for name, array in self.arrays.items() if name not in names.values()}
        for ours, theirs in names.items():
            if theirs not in self.arrays:
                got = ", ".join(self.arrays)
                raise broken(self.name, f'an array "{theirs}", got {got}', Exit.REJECTED)
            arrays[ours] = self.arrays[theirs]
        for ours, others in ALIASES.items():
            found = [name for name in others if name in arrays]
            if ours not in arrays and len(found) > 1:
                both = " and ".join(f'"{name}"' for name in found)
                raise broken(self.name, f'one array "{ours}", got {both}', Exit.REJECTED)
            if ours not in arrays and found:
                arrays[ours] = arrays[found[0]]
        return replace(self, arrays=arrays)


def _size(name: str | None) -> int:
    return np.dtype(BITS[str(name)]).itemsize


def is_raw(dtype: Any) -> bool:
    """Return whether numbers of this type may be the bits of a type that NumPy lacks."""
    return dtype.kind in "uV" and 1 <= dtype.itemsize <= 2 and dtype != np.uint8


def broken(name: str, expected: str, status: Exit = Exit.IO_FAILED) -> InputFailedError:
    """Return the error for a file that is not what was expected."""
    return InputFailedError(status, f"{name}: expected {expected}")


def needs(what: str, package: str) -> StoppedError:
    """Return the error for a kind of file whose library is not installed."""
    return StoppedError(Exit.USAGE, f"{what} needs its library: pip install {package}")
