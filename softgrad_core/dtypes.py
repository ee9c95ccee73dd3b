"""The floating types that numbers are computed in: their spacing, and how they round."""

import math
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Dtype(StrEnum):
    """A floating type that numbers were computed in.

    Examples
    --------
    >>> Dtype("bfloat16").spacing(np.array([1.0, 100.0])).tolist()
    [0.0078125, 0.5]
    >>> Dtype("float16").round(np.array([0.1, 65519.0, 65520.0, 1e-8])).tolist()
    [0.0999755859375, 65504.0, inf, 0.0]
    """

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"

    @classmethod
    def of(cls, given: object) -> "Dtype":
        """Return the type of this name, NumPy type or framework's type, or raise ValueError."""
        name = str(getattr(given, "__name__", given)).rpartition(".")[2]
        if name not in list(cls):
            raise ValueError(f"expected a dtype out of {', '.join(cls)}, got {given!r}")
        return cls(name)

    @property
    def epsilon(self) -> float:
        """The spacing of numbers at 1."""
        return math.ldexp(1.0, 1 - _LAYOUTS[self].digits)

    @property
    def smallest(self) -> float:
        """The smallest subnormal number."""
        return math.ldexp(1.0, _LAYOUTS[self].smallest)

    @property
    def largest(self) -> float:
        """The largest number."""
        layout = _LAYOUTS[self]
        return math.ldexp(2.0 - math.ldexp(1.0, 1 - layout.digits), layout.largest - 1)

    @property
    def reference_ulp(self) -> float:
        """What the values that claims are compared with may be wrong by, in ulp of this type.

        They are of a wider type; for float64 the long double, which is no wider on some machines.
        """
        is_wider = self is not Dtype.FLOAT64 or np.finfo(np.longdouble).nmant >= 63
        return 2.0**-6 if is_wider else 8.0

    @property
    def rtol(self) -> float:
        """The relative tolerance of torch.testing.assert_close."""
        return _LAYOUTS[self].rtol

    @property
    def atol(self) -> float:
        """The absolute tolerance of torch.testing.assert_close."""
        return _LAYOUTS[self].atol

    @property
    def narrower(self) -> "list[Dtype]":
        """The types with fewer digits, the next one first."""
        by_digits = sorted(Dtype, key=lambda dtype: dtype.epsilon)
        return by_digits[by_digits.index(self) + 1 :]

    def spacing(self, values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Return the unit in the last place of each value, as float64.

        That of subnormal numbers and of 0 is the smallest subnormal number, that of what
        overflows is that of the largest number.
        """
        layout = _LAYOUTS[self]
        _, exponent = np.frexp(values)
        np.copyto(exponent, layout.largest, where=~np.isfinite(values))
        np.copyto(exponent, layout.smallest, where=values == 0)
        exponent -= layout.digits
        spacing: npt.NDArray[np.float64] = np.ldexp(
            1.0, exponent.clip(layout.smallest, layout.largest - layout.digits)
        )
        return spacing

    def round(self, values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """Return each value rounded to this type, half to even, and held as float64."""
        unit = self.spacing(values)
        rounded = np.asarray(np.rint(values / unit) * unit, dtype=np.float64)
        return np.where(np.abs(rounded) > self.largest, np.copysign(np.inf, values), rounded)


class _Layout(NamedTuple):
    digits: int
    """Binary digits, the leading one included."""
    smallest: int
    """The exponent of 2 that gives the smallest subnormal number."""
    largest: int
    """The exponent of 2 that gives the first number that is too large."""
    rtol: float
    atol: float


_LAYOUTS = {
    Dtype.FLOAT64: _Layout(53, -1074, 1024, 1e-7, 1e-7),
    Dtype.FLOAT32: _Layout(24, -149, 128, 1.3e-6, 1e-5),
    Dtype.BFLOAT16: _Layout(8, -133, 128, 1.6e-2, 1e-5),
    Dtype.FLOAT16: _Layout(11, -24, 16, 1e-3, 1e-5),
}
