"""bfloat16 in arrays: NumPy has no such type, so files hold its bits as uint16."""

from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype

Array = npt.NDArray[Any]


def is_raw(dtype: np.dtype[Any]) -> bool:
    """Return whether numbers of this type may be the bits of bfloat16."""
    return dtype.itemsize == 2 and dtype.kind in "uV"


def decoded(values: Array, dtype: Dtype | None) -> Array:
    """Return the bits of bfloat16 as float32, and any other numbers unchanged."""
    if dtype is not Dtype.BFLOAT16 or not is_raw(values.dtype):
        return values
    bits = values.view(np.uint16) if values.dtype.kind == "V" else values
    return (bits.astype(np.uint32) << 16).view(np.float32)


def encoded(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return results rounded to a type; uint16 stands for bfloat16."""
    if dtype != np.uint16:
        with np.errstate(over="ignore", under="ignore"):
            return values.astype(dtype, copy=False)
    rounded = Dtype.BFLOAT16.round(values).astype(np.float32)
    return (rounded.view(np.uint32) >> 16).astype(np.uint16)


def result_dtype(logits: np.dtype[Any], dtype: Dtype | None) -> np.dtype[Any]:
    """Return the type of the results: that of the logits, or float64 for integers."""
    if dtype is Dtype.BFLOAT16 and is_raw(logits):
        return np.dtype(np.uint16)
    return logits.newbyteorder("=") if logits.kind == "f" else np.dtype(np.float64)
