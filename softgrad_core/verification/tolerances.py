"""How far a number may be from what it should be and still count as right."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype


class Tolerance:
    """The inequality that a claim is held to.

    Parameters
    ----------
    dtype
        The floating type in which the claim was computed.
    rtol, atol
        The claim x of an exact value e passes where |x - e| <= atol + rtol |e|. By default those
        of torch.testing.assert_close for the dtype.
    ulp
        Instead of these, the number of units in the last place of the dtype that it may be off.

    Raises
    ------
    ValueError
        Where one of them cannot be, or where `ulp` comes with another.

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
                raise ValueError(f"expected {name} to be a number from 0 on, got {value}")
        if ulp is not None and (rtol is not None or atol is not None):
            raise ValueError("expected ulp or rtol and atol, got both; ulp has no other slack")
        self.rtol = self.dtype.rtol if rtol is None else rtol
        self.atol = self.dtype.atol if atol is None else atol
        self.ulp = ulp

    def __str__(self) -> str:
        if self.ulp is not None:
            return f"|claim - exact| <= {self.ulp:g} ulp of {self.dtype}"
        return f"|claim - exact| <= {self.atol:g} + {self.rtol:g} |exact|"

    @property
    def absolute(self) -> float:
        """What is allowed however small the exact value is."""
        return self.atol if self.ulp is None else 0.0

    @property
    def largest_relative(self) -> float:
        """The largest relative error that is allowed beside `absolute`."""
        return self.rtol if self.ulp is None else self.ulp * self.dtype.epsilon

    def relative(
        self, size: npt.NDArray[np.floating[Any]], unit: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.floating[Any]]:
        """Return what is allowed beside `absolute`, for exact values of this size and spacing."""
        # What the exact values themselves may be wrong by is nobody's error.
        unsure = self.dtype.reference_ulp * unit
        return unsure + (self.rtol * size if self.ulp is None else self.ulp * unit)
