"""The exact values that claims are compared with, in a wider type than theirs.

Shares no code with cross_entropy.py, whose own results can be claims as well. Notation as there:
a are the logits, m = max(a), d = a - m, S = sum(exp(d)), rest = S - 1. Arrays are of shape (C, N),
one column for each record.
"""

from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from softgrad_core.dtypes import Dtype
from softgrad_core.logits import FloatArray
from softgrad_core.targets import IndexArray

WideArray = npt.NDArray[np.floating[Any]]

QUANTITIES = ("probs", "log_probs", "loss", "grad_probs", "grad_logits")
"""What can be claimed of a row: its softmax, the logarithm of that, its loss, the gradients."""

NARROW = 32
"""Up to this many classes operations run along the records, above it along the classes."""


def by_class(rows: FloatArray) -> FloatArray:
    """Return (N, C) rows as an array of shape (C, N), in memory as is fastest."""
    return np.ascontiguousarray(rows.T) if rows.shape[1] <= NARROW else rows.T


def reference(a: FloatArray, y: IndexArray, dtype: Dtype) -> dict[str, WideArray]:
    """Return all quantities, to a small part of an ulp of `dtype`.

    They are computed in float64 for narrower types, and for float64 in NumPy's long double:
    64 bits or more on most machines. Where that is no wider than float64 (Windows, macOS on ARM)
    they are good to a few ulp. `loss` has the shape (1, N), the others that of `a`.

    Parameters
    ----------
    a
        Checked logits, of shape (C, N).
    y
        The true class of each column.
    dtype
        The type of what they are compared with.

    Examples
    --------
    >>> values = reference(np.array([[0.0], [0.0]]), np.array([1]), Dtype.FLOAT32)
    >>> values["grad_logits"].tolist(), values["grad_probs"].tolist()
    ([[0.5], [-0.5]], [[0.0], [-2.0]])
    """
    wide: WideArray = a.astype(np.longdouble if dtype is Dtype.FLOAT64 else np.float64)
    columns = np.arange(a.shape[1])
    with np.errstate(all="ignore"):
        d, d_error = _subtract(wide, wide.max(axis=0))
        e = np.exp(d)
        e += e * d_error
        # The loss of the class of the maximum is log1p(rest), and nothing cancels.
        top = wide.argmax(axis=0)
        e[top, columns] = 0.0
        rest = _sum_classes(e)
        e[top, columns] = 1.0
        total = 1.0 + rest

        probs = e / total
        log_probs = d + (d_error - np.log1p(rest))
        grad_logits = probs.copy()
        others = np.where(top == y, rest / total, 1.0 - probs[y, columns])
        grad_logits[y, columns] = 0.0 - others
        grad_probs = np.zeros_like(probs)
        d_y, d_y_error = d[y, columns], d_error[y, columns]
        grad_probs[y, columns] = -total * np.exp(-d_y) * (1.0 - d_y_error)
    return {
        "probs": probs,
        "log_probs": log_probs,
        "loss": 0.0 - log_probs[y, columns][np.newaxis],
        "grad_probs": grad_probs,
        "grad_logits": grad_logits,
    }


def _sum_classes(e: WideArray) -> WideArray:
    """Return the sums of the columns, which do not depend on how many there are."""
    return reduce(np.add, e) if len(e) <= NARROW else np.asarray(e.sum(axis=0))


def _subtract(a: WideArray, m: WideArray) -> tuple[WideArray, WideArray]:
    """Return a - m as rounded, and what rounding took from it (Knuth's two-difference)."""
    d = a - m
    minus_m = d - a
    error = (a - (d - minus_m)) - (m + minus_m)
    # NaN beside infinities; and where d has no place after the point, its exp is 0 or infinite.
    error[~(np.abs(error) < 0.5)] = 0.0
    return d, error
