"""How far each number of a claim may be off, beside how far it is: for pictures of errors."""

import numpy as np

from softgrad_core.loss.logits import FloatArray
from softgrad_core.loss.targets import IndexArray
from softgrad_core.verification.judging import Claims


def allowed_ulp(claims: Claims, name: str, rows: IndexArray) -> FloatArray:
    """Return the largest errors that pass, in units in the last place of the claims' dtype.

    They are of shape (n, C), for claims that have their own value in each of the rows.

    Examples
    --------
    >>> from softgrad_core import verify
    >>> result = verify([[0.0, 0.0]], [0], grad_logits=np.float32([[-0.5, 0.5]]))
    >>> claims = result.quantities["grad_logits"].claims
    >>> allowed_ulp(claims, "grad_logits", np.array([0])).round(1).tolist()
    [[16.7, 8.7]]
    """
    tolerance = claims.tolerance.of(name)
    with np.errstate(all="ignore"):
        exact = claims.exact(rows)
        expected = exact.values[name]
        unit = tolerance.dtype.spacing(expected)
        relative = tolerance.relative(np.abs(expected), unit, claims.rounding(name, exact))
        allowed = (relative + tolerance.absolute) / unit
    return np.asarray(allowed, dtype=np.float64).T
