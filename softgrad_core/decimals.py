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
