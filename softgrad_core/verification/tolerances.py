"""How far a number may be from its exact value and still count as right."""

import math
from collections.abc import Mapping
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype, WideArray
from softgrad_core.verification.rounding import ROUNDINGS


class Like(StrEnum):
    """Somebody else's test, whose default tolerances can be asked for."""

    ASSERT_CLOSE = "assert_close"


class Tolerance:
    """The standard that a claim is held to: what rounding explains, or an inequality.

    Parameters
    ----------
    dtype
        The floating type of the claim.
    rtol, atol
        A claim x of an exact value e passes if |x - e| <= atol + rtol |e|. If one of them is given,
        the other is 0.
    ulp
        Instead of these, how many units in the last place of the dtype the claim may be off.
    arithmetic
        The type that the claim was computed in before it was rounded, if it is wider than `dtype`.
        Nothing computes in float8: for claims of it, this is bfloat16 if nothing is said.
    like
        "assert_close": the tolerances of torch.testing.assert_close for the dtype.
    dtypes
        The types of the quantities whose claims are not of `dtype`, by name.

    Attributes
    ----------
    is_rounding
        Whether the standard is what rounding in `arithmetic` explains: nothing else was asked for.
    absolute
        The error that is allowed however small the exact value is.
    largest_relative
        The largest relative error that is allowed on top of it, but for what rounding explains.

    Raises
    ------
    ValueError
        If one of them is invalid, or if two of them contradict each other.

    Examples
    --------
    >>> print(Tolerance("float32"))
    rounding in float32 explains its error
    >>> print(Tolerance("bfloat16", arithmetic="float32"))
    rounding in float32, and once to bfloat16, explains its error
    >>> print(Tolerance("float8_e4m3fn"))
    rounding in bfloat16, and once to float8_e4m3fn, explains its error
    >>> print(Tolerance("float32", like="assert_close"))
    |claim - exact| <= 1e-05 + 1.3e-06 |exact|
    >>> print(Tolerance("float32", ulp=4))
    |claim - exact| <= 4 ulp of float32
    """

    def __init__(  # noqa: PLR0913 - each is an option of the command
        self,
        dtype: object = Dtype.FLOAT64,
        rtol: float | None = None,
        atol: float | None = None,
        ulp: float | None = None,
        *,
        arithmetic: object = None,
        like: object = None,
        dtypes: Mapping[str, Dtype] | None = None,
    ) -> None:
        self.dtype = Dtype.of(dtype)
        usual = self.dtype if self.dtype.is_computed_in else Dtype.BFLOAT16
        self.arithmetic = usual if arithmetic is None else Dtype.of(arithmetic)
        self._is_asked = arithmetic is not None
        self._of = {
            name: Tolerance(own, rtol, atol, ulp, arithmetic=arithmetic, like=like)
            for name, own in (dtypes or {}).items()
        }
        _check(rtol, atol, ulp, like)
        self.is_rounding = rtol is None and atol is None and ulp is None and like is None
        if arithmetic is not None and not self.is_rounding:
            raise ValueError("expected either arithmetic, or a tolerance in its place, got both")
        if self.arithmetic.epsilon > self.dtype.epsilon:
            raise ValueError(
                f"expected the arithmetic of {self.dtype} claims to be {self.dtype} or a wider "
                f"type, got {self.arithmetic}"
            )
        if like is not None:
            rtol, atol = self.dtype.rtol, self.dtype.atol
        self.rtol, self.atol, self.ulp = rtol or 0.0, atol or 0.0, ulp
        self.absolute = self.dtype.smallest if self.is_rounding else self.atol
        self.largest_relative = self.rtol if ulp is None else ulp * self.dtype.epsilon

    def __str__(self) -> str:
        if self.is_rounding and self._of and not self._is_asked:
            return "rounding in its type explains its error"
        if self.is_rounding:
            final = "" if self.arithmetic is self.dtype else f", and once to {self.dtype},"
            return f"rounding in {self.arithmetic}{final} explains its error"
        if self.ulp is not None:
            return f"|claim - exact| <= {self.ulp:g} ulp of {self.dtype}"
        return f"|claim - exact| <= {self.atol:g}" + (self.rtol > 0) * f" + {self.rtol:g} |exact|"

    @property
    def widest(self) -> Dtype:
        """The type with the most digits of those that claims have."""
        return min(
            (self.dtype, *(own.dtype for own in self._of.values())), key=lambda dtype: dtype.epsilon
        )

    def of(self, quantity: str) -> "Tolerance":
        """Return the standard for the claims of a quantity."""
        return self._of.get(quantity, self)

    def relative(
        self, size: WideArray, unit: npt.NDArray[np.float64], rounding: WideArray | None
    ) -> WideArray:
        """Return what is allowed besides `absolute` for exact values of this size and spacing.

        `rounding` is what `rounding_size` gives; only a standard of rounding needs it.
        """
        # An error of the exact values themselves must not count against a claim.
        unsure = self.dtype.reference_ulp * unit
        if rounding is not None:
            return np.asarray(ROUNDINGS * rounding + 0.5 * unit + unsure)
        return unsure + (self.rtol * size if self.ulp is None else self.ulp * unit)


def _check(rtol: float | None, atol: float | None, ulp: float | None, like: object) -> None:
    for name, value in (("rtol", rtol), ("atol", atol), ("ulp", ulp)):
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"expected {name} to be a finite number, 0 or more, got {value}")
    if ulp is not None and (rtol is not None or atol is not None):
        raise ValueError("expected either ulp, or rtol and atol, got both")
    if like is not None:
        if like not in list(Like):
            raise ValueError(f"expected like to be one of {', '.join(Like)}, got {like!r}")
        if rtol is not None or atol is not None or ulp is not None:
            raise ValueError("expected either like, or a tolerance of your own, got both")
