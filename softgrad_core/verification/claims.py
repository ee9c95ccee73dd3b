"""The arrays that somebody claims -> rows of float64 and the type that they were computed in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.loss.results import LOSSES
from softgrad_core.tensors import as_array, has_type, hint_for, with_last

Arrays = Mapping[str, npt.NDArray[Any]]
DtypesByName = Mapping[str, Dtype]


def as_claim(name: str, claim: Any) -> Any:
    """Return a claim as an array of NumPy or `Packed` numbers, or raise ValueError."""
    try:
        return as_array(claim)
    except (TypeError, ValueError) as error:
        raise ValueError(f"expected {name} as an array of numbers, {error}") from None


def dtypes_of(
    claims: Mapping[str, Any], arrays: Arrays, of_logits: Dtype
) -> tuple[Dtype, DtypesByName]:
    """Return the narrowest type of the claims, and the types of those that have another one.

    Python's numbers and integers have no type of their own: they are held to that of the claims
    beside them, or to float32 if they are no numbers of a narrower one, as the loss is of a kernel
    that writes bfloat16. Without such claims they are held to the type of the logits if all are
    numbers of it, as those of a tensor's item() are, or else to float64.
    """
    own = {
        name: Dtype(array.dtype.name)
        for name, array in arrays.items()
        if has_type(claims[name]) and array.dtype.name in list(Dtype)
    }
    if not own and all(_are_of(array, of_logits) for array in arrays.values()):
        return of_logits, {}
    narrowest, _ = narrowest_of(own)
    if narrowest.epsilon > Dtype.FLOAT32.epsilon:
        untyped = {name: array for name, array in arrays.items() if name not in own}
        wide = [name for name, array in untyped.items() if not _are_of(array, narrowest)]
        own |= dict.fromkeys(wide, Dtype.FLOAT32)
    return narrowest_of(own)


def _are_of(array: npt.NDArray[Any], dtype: Dtype) -> bool:
    """Return whether all are numbers of a type."""
    if array.dtype.kind not in "iuf":
        return False
    numbers = np.atleast_1d(array.astype(np.float64))
    return bool((numbers == dtype.round(numbers)).all())


def narrowest_of(own: DtypesByName) -> tuple[Dtype, DtypesByName]:
    """Return the narrowest of some types, float64 for none, and those that are not it."""
    narrowest = max(own.values(), key=lambda dtype: dtype.epsilon, default=Dtype.FLOAT64)
    return narrowest, {name: dtype for name, dtype in own.items() if dtype is not narrowest}


def refuse_bits(arrays: Arrays) -> None:
    """Raise ValueError if integers may be the bits of bfloat16 numbers."""
    for name, array in arrays.items():
        if array.dtype == np.uint16:
            raise ValueError(
                f"expected {name} as numbers, got uint16, which may be the bits of bfloat16; "
                f"as numbers they are ({name}.astype(numpy.uint32) << 16).view(numpy.float32)"
            )


def moved_claim(name: str, array: Any, shape: tuple[int, ...], axis: int) -> Any:
    """Return a claim with the axis of the classes last, for logits of this shape, or raise."""
    if array.ndim != len(shape):
        raise ValueError(f"expected {name} with {len(shape)} axes, got shape {array.shape}")
    return with_last(array, axis)


def as_rows_of(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return a claim of this shape as rows, or raise ValueError."""
    # NumPy has no bfloat16; the types that other libraries add for it have that name.
    if array.dtype.kind not in "iu" and array.dtype.name not in list(Dtype):
        raise ValueError(f"expected {name} as an array of numbers, got {hint_for(array.dtype)}")
    if array.shape != shape:
        hint = ""
        if shape and not array.ndim:
            hint = '; for the loss of the whole batch pass reduction="mean" or "sum"'
        raise ValueError(f"expected {name} of shape {shape}, got {array.shape}{hint}")
    columns = 1 if name in LOSSES else shape[-1]
    return array.reshape(-1, columns)
