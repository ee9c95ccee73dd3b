"""How far a number may be from its exact value and still count as right."""

import math

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype, WideArray


class Tolerance:
    """The inequality that a claim is held to.

    Parameters
    ----------
    dtype
        The floating type that the claim was computed in.
    rtol, atol
        A claim x of an exact value e passes if |x - e| <= atol + rtol |e|. By default those of
        torch.testing.assert_close for the dtype.
    ulp
        Instead of these, how many units in the last place of the dtype the claim may be off.

    Attributes
    ----------
    absolute
        The error that is allowed however small the exact value is.
    largest_relative
        The largest relative error that is allowed on top of it.

    Raises
    ------
    ValueError
        If one of them is invalid, or if `ulp` is given together with another.

    Examples
    --------
    >>> print(Tolerance("float32"))
    |claim - exact| <= 1e-05 + 1.3e-06 |exact|
    >>> print(Tolerance("float32", ulp=4))
    |claim - exact| <= 4 ulp of float32
    """

    def __init__(
        self,
        dtype: object = Dtype.FLOAT64,
        rtol: float | None = None,
        atol: float | None = None,
        ulp: float | None = None,
    ) -> None:
        self.dtype = Dtype.of(dtype)
        for name, value in (("rtol", rtol), ("atol", atol), ("ulp", ulp)):
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"expected {name} to be a finite number, 0 or more, got {value}")
        if ulp is not None and (rtol is not None or atol is not None):
            raise ValueError("expected either ulp, or rtol and atol, got both")
        self.rtol = self.dtype.rtol if rtol is None else rtol
        self.atol = self.dtype.atol if atol is None else atol
        self.ulp = ulp
        self.absolute = self.atol if ulp is None else 0.0
        self.largest_relative = self.rtol if ulp is None else ulp * self.dtype.epsilon

    def __str__(self) -> str:
        if self.ulp is not None:
            return f"|claim - exact| <= {self.ulp:g} ulp of {self.dtype}"
        return f"|claim - exact| <= {self.atol:g} + {self.rtol:g} |exact|"

    def relative(self, size: WideArray, unit: npt.NDArray[np.float64]) -> WideArray:
        """Return what is allowed besides `absolute` for exact values of this size and spacing."""
        # An error of the exact values themselves must not count against a claim.
        unsure = self.dtype.reference_ulp * unit
        return unsure + (self.rtol * size if self.ulp is None else self.ulp * unit)
