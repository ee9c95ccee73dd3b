"""Decimal arithmetic of 40 digits, and the limits of float64 in it."""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, DivisionByZero, InvalidOperation

DIGITS = 40
"""Twice the digits of float64, and some more for the errors of a few operations."""

# Overflow gives infinity and underflow 0, without an exception.
EXTENDED = Context(
    prec=DIGITS, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[InvalidOperation, DivisionByZero]
)

SMALLEST_NORMAL = EXTENDED.power(Decimal(2), -1022)
SMALLEST_SUBNORMAL = EXTENDED.power(Decimal(2), -1074)
LARGEST = Decimal((2**53 - 1) * 2**971)

SMALL = Decimal("1e-10")
"""Below this, tanh(x) is x - x³/3 in as many digits, and log(1 + x) a sum of four powers of x."""


def tanh(x: Decimal) -> Decimal:
    """Return the hyperbolic tangent, in the arithmetic that is current; small x keep their digits.

    Examples
    --------
    >>> float(tanh(Decimal("1e-30")))
    1e-30
    """
    if abs(x) < SMALL:
        return x * (1 - x * x / 3)
    e = (-2 * abs(x)).exp()
    return ((1 - e) / (1 + e)).copy_sign(x)
