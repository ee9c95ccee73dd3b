"""Arrays of other libraries -> NumPy, by what they offer and without importing those libraries.

PyTorch, JAX, CuPy, MLX and TensorFlow are recognised by the methods of their arrays. NumPy has
neither bfloat16 nor float8: their bits are kept and become float32, which is exact, block by block.
"""

import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LARGEST_ITEM = 8
"""Bytes of float64: converting wider types would silently lose digits or range."""

BITS = {"bfloat16": np.uint16, "float8_e4m3fn": np.uint8, "float8_e5m2": np.uint8}
"""The types that NumPy lacks, and what their bits are held in."""


class PackedType(NamedTuple):
    """The type of `Packed` numbers, as far as it is asked for that of an array."""

    name: str
    itemsize: int
    kind: str = "f"

    def __str__(self) -> str:
        return self.name


class Packed:
    """Numbers of a type that NumPy lacks, of which a part becomes float32 when it is looked at.

    Examples
    --------
    >>> numbers = Packed(np.array([[0x3F80, 0x4000], [0xBF80, 0]], dtype=np.uint16), "bfloat16")
    >>> numbers.shape, numbers[:1].tolist()
    ((2, 2), [[1.0, 2.0]])
    """

    def __init__(self, bits: Array, name: str) -> None:
        self._bits = bits
        self.dtype = PackedType(name, bits.dtype.itemsize)
        self.shape, self.ndim, self.size = bits.shape, bits.ndim, bits.size

    def __len__(self) -> int:
        return len(self._bits)

    def __getitem__(self, part: Any) -> npt.NDArray[np.float32]:
        bits = self._bits[part]
        if self.dtype.name == "bfloat16":
            return np.asarray((bits.astype(np.uint32) << 16).view(np.float32))
        return np.asarray(_float8(self.dtype.name)[bits])

    def reshape(self, *shape: Any) -> "Packed":
        """Return the same numbers in another shape."""
        return Packed(self._bits.reshape(*shape), self.dtype.name)

    def with_last(self, axis: int) -> "Packed":
        """Return the same numbers with this axis last."""
        return Packed(np.moveaxis(self._bits, axis, -1), self.dtype.name)


def with_last(array: Any, axis: int) -> Any:
    """Return an array with this axis last."""
    return array.with_last(axis) if isinstance(array, Packed) else np.moveaxis(array, axis, -1)


def as_numpy(values: Any) -> Array:
    """Return an array of any library, a list or a number as a NumPy array.

    Numbers of bfloat16 and float8 become float32.

    Raises
    ------
    TypeError
        If a library's array cannot be read.
    ValueError
        If lists have several lengths.
    """
    return _unpacked(as_array(values))


def _unpacked(array: Any) -> Array:
    return array[...] if isinstance(array, Packed) else array


def as_plain_number(value: Any) -> Any:
    """Return the number of an array of no dimensions, and any other value as it is."""
    return value.item() if hasattr(value, "item") and not getattr(value, "ndim", 1) else value


def has_type(values: Any) -> bool:
    """Return whether numbers have a type of their own, as arrays have, and lists of arrays."""
    if isinstance(values, (list, tuple)):
        return bool(values) and has_type(values[0])
    return hasattr(values, "dtype")


def are_numbers(dtype: Any) -> bool:
    """Return whether arrays of a type have numbers, no wider than float64."""
    return dtype.kind in "fiu" and dtype.itemsize <= LARGEST_ITEM


def hint_for(dtype: Any) -> str:
    """Return what to do with an array of a type that holds no numbers, or too wide ones."""
    hints = {"c": "take its real part", "f": "convert it to float64", "V": "convert it to float32"}
    return f"{dtype}; {hints.get(dtype.kind, 'convert it to numbers')}"


def as_array(values: Any) -> Any:
    """Return an array of any library as one of NumPy, or as `Packed` numbers; see `as_numpy`."""
    if isinstance(values, (np.ndarray, Packed)):
        return _packed(values, values.dtype.name)
    module = sys.modules.get(type(values).__module__.partition(".")[0])
    try:
        if hasattr(values, "detach") and hasattr(values, "cpu"):
            return _of_torch(values, module)
        if hasattr(values, "__cuda_array_interface__") and hasattr(values, "get"):
            return _packed(values.get(), str(values.dtype))
        if type(values).__module__.startswith("mlx."):
            return _of_mlx(values, sys.modules.get(type(values).__module__, np))
        if hasattr(values, "numpy") and not hasattr(values, "detach"):
            array = values.numpy()
        elif hasattr(values, "__dlpack__") and not hasattr(values, "__array__"):
            array = np.from_dlpack(values)
        elif isinstance(values, (list, tuple)) and _are_arrays(values):
            return stacked([as_array(value) for value in values])
        else:
            array = np.asarray(values)
    except (TypeError, RuntimeError, BufferError) as error:
        kind = f"{type(values).__module__}.{type(values).__name__}"
        reason, *_ = str(error).splitlines()
        if kind.startswith("jax.") and kind.endswith("Tracer"):
            reason = (
                "it is traced and has no numbers yet; call this outside of jax.jit and jax.grad"
            )
        raise TypeError(f"got {kind}: {reason}") from None
    return _packed(array, array.dtype.name)


def _are_arrays(values: Any) -> bool:
    return bool(values) and hasattr(values[0], "dtype") and not isinstance(values[0], np.generic)


def stacked(arrays: Sequence[Any]) -> Any:
    """Return arrays of one shape, of NumPy or of `Packed` numbers, as one."""
    if isinstance(arrays[0], Packed) and len({array.dtype for array in arrays}) == 1:
        return Packed(np.stack([array._bits for array in arrays]), arrays[0].dtype.name)
    return np.stack([_unpacked(array) for array in arrays])


def _of_torch(tensor: Any, torch: Any) -> Any:
    tensor = tensor.detach()
    if str(getattr(tensor, "layout", "torch.strided")) != "torch.strided":
        raise TypeError(f"its layout is {tensor.layout}; to_dense() gives a plain one")
    if getattr(tensor, "is_meta", False):
        raise TypeError("it is on the device meta, which holds no numbers")
    tensor = tensor.cpu()
    name = str(tensor.dtype).rpartition(".")[2]
    if name not in BITS:
        if name.startswith("float8") or getattr(tensor, "is_quantized", False):
            raise TypeError(f"its type is {tensor.dtype}; convert it to float32 first")
        return tensor.resolve_conj().resolve_neg().numpy()
    # The bits as integers of the same size, which NumPy has.
    bits = tensor.view(torch.int16 if BITS[name] is np.uint16 else torch.uint8).numpy()
    return Packed(bits.view(BITS[name]), name)


def _of_mlx(values: Any, mlx: Any) -> Any:
    name = str(values.dtype).rpartition(".")[2]
    if name in BITS:
        return Packed(np.array(values.view(mlx.uint16)), name)
    return np.array(values)


def _packed(array: Any, name: str) -> Any:
    """Return arrays of the types of ml_dtypes, which NumPy knows by name alone, as packed ones."""
    is_packed = isinstance(array, Packed) or name not in BITS
    return array if is_packed else Packed(array.view(BITS[name]), name)


@cache
def _float8(name: str) -> npt.NDArray[np.float32]:
    """Return the values of all 256 numbers of a type of 8 bits."""
    exponent_bits, has_infinity = _FLOAT8[name]
    mantissa_bits = 7 - exponent_bits
    bias = 2 ** (exponent_bits - 1) - 1
    codes = np.arange(128)
    exponent, mantissa = codes >> mantissa_bits, codes & (2**mantissa_bits - 1)
    is_normal = exponent > 0
    fraction = mantissa / 2.0**mantissa_bits + is_normal
    values = fraction * 2.0 ** (np.where(is_normal, exponent, 1) - bias)
    if has_infinity:
        values[exponent == 2**exponent_bits - 1] = np.nan
        values[(exponent == 2**exponent_bits - 1) & (mantissa == 0)] = np.inf
    else:
        values[-1] = np.nan
    return np.concatenate([values, -values]).astype(np.float32)


_FLOAT8 = {"float8_e4m3fn": (4, False), "float8_e5m2": (5, True)}
"""How many bits their exponents have, and whether they have infinities."""
