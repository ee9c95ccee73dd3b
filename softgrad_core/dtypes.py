"""The floating types that numbers are computed in: their spacing, and how they round."""

import math
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

WideArray = npt.NDArray[np.floating[Any]]
"""Numbers of any floating type, long double included."""


class Dtype(StrEnum):
    """A floating type that numbers were computed in.

    Attributes
    ----------
    epsilon
        The spacing of numbers at 1.
    smallest, smallest_normal, largest
        The smallest subnormal and normal numbers, and the largest number.
    is_computed_in
        Whether kernels compute in it; float8 only stores numbers. Where a number is too large for
        it, libraries store the largest one, infinity or NaN.
    rtol, atol
        The tolerances of torch.testing.assert_close.

    Examples
    --------
    >>> Dtype("bfloat16").spacing(np.array([1.0, 100.0])).tolist()
    [0.0078125, 0.5]
    >>> Dtype("float16").round(np.array([0.1, 65519.0, 65520.0, 1e-8])).tolist()
    [0.0999755859375, 65504.0, inf, 0.0]
    """

    # The number of binary digits, the exponents of the smallest subnormal number and of the first
    # power of 2 that is too large, the tolerances, and whether kernels compute in it.
    FLOAT64 = "float64", 53, -1074, 1024, 1e-7, 1e-7, True
    FLOAT32 = "float32", 24, -149, 128, 1.3e-6, 1e-5, True
    BFLOAT16 = "bfloat16", 8, -133, 128, 1.6e-2, 1e-5, True
    FLOAT16 = "float16", 11, -24, 16, 1e-3, 1e-5, True
    FLOAT8_E4M3FN = "float8_e4m3fn", 4, -9, 9, 0.0, 0.0, False
    FLOAT8_E5M2 = "float8_e5m2", 3, -16, 16, 0.0, 0.0, False

    def __new__(cls, name: str, *columns: Any) -> "Dtype":
        """Return the member of a line of this table."""
        self = str.__new__(cls, name)
        self._value_ = name
        digits, lowest, highest, self.rtol, self.atol, self.is_computed_in = columns
        self.epsilon = math.ldexp(1.0, 1 - digits)
        self.smallest = math.ldexp(1.0, lowest)
        self.smallest_normal = self.smallest / self.epsilon
        # Where the largest number of all would be, float8_e4m3fn has NaN.
        last = 2.0 * self.epsilon if name == "float8_e4m3fn" else self.epsilon
        self.largest = math.ldexp(2.0 - last, highest - 1)
        self._digits, self._lowest, self._highest = digits, lowest, highest
        return self

    epsilon: float
    smallest: float
    smallest_normal: float
    largest: float
    rtol: float
    atol: float
    is_computed_in: bool
    _digits: int
    _lowest: int
    _highest: int

    @classmethod
    def of(cls, given: object) -> "Dtype":
        """Return the type of this name, NumPy type or framework's type, or raise ValueError."""
        name = str(getattr(given, "__name__", given)).rpartition(".")[2]
        if name not in list(cls):
            raise ValueError(f"expected a dtype out of {', '.join(cls)}, got {given!r}")
        return cls(name)

    @property
    def reference_ulp(self) -> float:
        """The error of the exact values that claims are compared with, in ulp of this type.

        They have a wider type. For float64 it is the long double, which is no wider than float64 on
        some machines.
        """
        is_wider = self is not Dtype.FLOAT64 or np.finfo(np.longdouble).nmant >= 63
        return 2.0**-6 if is_wider else 8.0

    @property
    def narrower(self) -> "list[Dtype]":
        """The types with fewer digits that kernels compute in, the next one first."""
        narrower = [d for d in Dtype if d.epsilon > self.epsilon and d.is_computed_in]
        return sorted(narrower, key=lambda dtype: dtype.epsilon)

    def spacing(self, values: WideArray) -> npt.NDArray[np.float64]:
        """Return the unit in the last place of each value.

        For subnormal numbers and 0 it is the smallest subnormal number; for values that overflow
        it is that of the largest number.
        """
        _, exponent = np.frexp(values)
        np.copyto(exponent, self._highest, where=~np.isfinite(values))
        np.copyto(exponent, self._lowest, where=values == 0)
        exponent -= self._digits
        spacing: npt.NDArray[np.float64] = np.ldexp(
            1.0, exponent.clip(self._lowest, self._highest - self._digits)
        )
        return spacing

    def round(self, values: WideArray) -> npt.NDArray[np.float64]:
        """Return each value rounded to this type, half to even, as float64."""
        unit = self.spacing(values)
        rounded = np.asarray(np.rint(values / unit) * unit, dtype=np.float64)
        return np.where(np.abs(rounded) > self.largest, np.copysign(np.inf, values), rounded)

    def with_infinities(
        self, given: npt.NDArray[np.float64], rounded: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """Return numbers given in this type, with infinity for what it stores in its place.

        `rounded` is what `round` makes of the exact values.
        """
        if self.is_computed_in:
            return given
        stands_for = np.isinf(rounded) & (
            np.isnan(given) | (given == np.copysign(self.largest, rounded))
        )
        return np.where(stands_for, rounded, given)
