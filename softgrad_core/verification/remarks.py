"""Claims that pass -> which step their kernel rounded to its type, where the digits show it.

That is right in the type, and wrong in a wider one, so the answer says it. A sample of rows is
looked at.
"""

from dataclasses import replace

import numpy as np

from softgrad_core.dtypes import Dtype
from softgrad_core.verification.comparison import FAIL
from softgrad_core.verification.diagnosing import case_of
from softgrad_core.verification.diagnosis.mistake import Mistake
from softgrad_core.verification.diagnosis.recognition import forms_of, shows
from softgrad_core.verification.judging import Claims, Judged
from softgrad_core.verification.tolerances import Tolerance

SAMPLE_ELEMENTS = 1 << 13
"""The numbers of the sample."""

ONCE_ULP = 1.5
"""Only rows with a larger error tell more than that they were rounded once, or twice."""

MOST = 0.8
"""The share of these rows that must show a rounded step."""


def rounded_step(claims: Claims, name: str, judged: Judged) -> Mistake | None:
    """Return the mistake that a rounded step is, or None if the digits show none."""
    own = claims.tolerance.of(name)
    if claims.half_units or claims.is_summed(name) or not own.is_rounding:
        return None
    if own.arithmetic is not own.dtype:
        return None
    more = wider(own.dtype)
    standard = Tolerance(own.dtype, arithmetic=more) if more else Tolerance(own.dtype, ulp=ONCE_ULP)
    strict = replace(claims, tolerance=standard)
    rows = claims.sample(SAMPLE_ELEMENTS)
    with np.errstate(all="ignore"):
        found = strict.components(name, rows)
        rows = rows[((found.ranks == FAIL) & (found.error_ulp > ONCE_ULP)).any(axis=0)]
        if not len(rows):
            return None
        case = case_of(strict, name, judged, rows)
        for mistake, form in forms_of(name):
            if mistake.is_rounding and shows(case, form).mean() >= MOST:
                return mistake
    return None


def wider(dtype: Dtype) -> Dtype | None:
    """Return the type that one would compute in for more digits than those of a type."""
    if dtype is Dtype.FLOAT64:
        return None
    return Dtype.FLOAT64 if dtype is Dtype.FLOAT32 else Dtype.FLOAT32
