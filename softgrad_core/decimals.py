"""Decimal arithmetic with twice the digits of float64, and float64's limits in it."""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, DivisionByZero, InvalidOperation

DIGITS = 40
"""Digits of the decimals: twice what float64 has, and a few for the errors of some operations."""

# What overflows is infinite, and what underflows is 0, instead of an exception.
EXTENDED = Context(
    prec=DIGITS, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[InvalidOperation, DivisionByZero]
)

SMALLEST_NORMAL = EXTENDED.power(Decimal(2), -1022)
SMALLEST_SUBNORMAL = EXTENDED.power(Decimal(2), -1074)
LARGEST = Decimal((2**53 - 1) * 2**971)
