"""Formulas -> text in some notation: in a line, on a screen, in LaTeX, in MathML.

What a formula is made of, and where it needs parentheses, is the same in all of them and stands
here; a notation knows only how to draw each thing.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from typing import Generic, Self, TypeVar

from softgrad_core.derivation.formulas import (
    Addition,
    Column,
    Constant,
    Derivative,
    Difference,
    Entries,
    Equation,
    Exp,
    Formula,
    Fraction,
    Gradient,
    Index,
    Indicator,
    Jacobian,
    Known,
    KnownVector,
    Largest,
    Log,
    Logit,
    Logits,
    Loss,
    Matrix,
    Name,
    Negative,
    Number,
    OneHot,
    Output,
    Outputs,
    Product,
    Square,
    Sum,
    Terms,
    Unequal,
    Words,
    has_quantities,
)

T = TypeVar("T")

# How tightly a formula holds together: one that does less than its place asks for is put in
# parentheses.
_LOOSE, _SUM, _PRODUCT, _ATOM = range(4)

UNDEFINED = "undefined"

TIMES = "\N{INVISIBLE TIMES}"
"""What stands between factors that stand together, and is a small space in most notations."""


class Notation(ABC, Generic[T]):
    """How to draw the things that formulas are made of, as a T."""

    stacked = True
    """Whether a fraction holds together by its bar alone, and factors by standing together."""

    writes_powers = True
    """Whether a power of ten is written as one, as a factor of its number."""

    @property
    def in_fraction(self) -> Self:
        """The notation of numerators and denominators."""
        return self

    @abstractmethod
    def row(self, *parts: T) -> T:
        """Return the parts side by side."""

    @abstractmethod
    def letter(self, letter: str) -> T:
        """Return a letter that stands for something."""

    @abstractmethod
    def word(self, word: str) -> T:
        """Return the name of a function, or another word."""

    @abstractmethod
    def number(self, mantissa: str, exponent: str) -> T:
        """Return a number, as written, with its power of ten where that is not empty."""

    @abstractmethod
    def negative(self, inner: T) -> T:
        """Return something with a minus before it."""

    @abstractmethod
    def sign(self, sign: str) -> T:
        """Return a sign that stands alone, or before something."""

    @abstractmethod
    def between(self, sign: str) -> T:
        """Return a sign that stands between two things."""

    @abstractmethod
    def subscript(self, base: T, index: T) -> T:
        """Return something with an index."""

    @abstractmethod
    def superscript(self, base: T, index: T) -> T:
        """Return something with a power."""

    @abstractmethod
    def parentheses(self, inner: T) -> T:
        """Return something in parentheses as high as it is."""

    @abstractmethod
    def fraction(self, numerator: T, denominator: T) -> T:
        """Return a fraction."""

    @abstractmethod
    def sum(self, index: T, term: T) -> T:
        """Return a sum of a term over an index."""

    @abstractmethod
    def array(self, rows: Sequence[Sequence[T]]) -> T:
        """Return a vector or a matrix in brackets."""


def in_words(words: Words, notation: Notation[str]) -> str:
    """Return text with the formulas in it drawn."""
    return "".join(word if isinstance(word, str) else draw(word, notation) for word in words)


def draw(formula: Formula, notation: Notation[T]) -> T:
    """Return a formula in a notation."""
    n = notation
    match formula:
        case Equation(members):
            parts = [part for member in members for part in (n.between("="), draw(member, n))]
            return n.row(*parts[1:])
        case Unequal(left, right):
            return n.row(draw(left, n), n.between("≠"), draw(right, n))
        case Negative(of):
            return n.negative(_held(of, _PRODUCT, n))
        case Product(left, right):
            factors = _held(left, _PRODUCT, n), _held(right, _PRODUCT, n)
            is_shown = not n.stacked or not has_quantities(formula)
            return n.row(factors[0], n.between("·" if is_shown else TIMES), factors[1])
        case Fraction(numerator, denominator) if n.stacked:
            inside = n.in_fraction
            return n.fraction(draw(numerator, inside), draw(denominator, inside))
        case Fraction(numerator, denominator):
            return n.fraction(_held(numerator, _PRODUCT, n), _held(denominator, _ATOM, n))
        case Square(of):
            return n.superscript(_held(of, _ATOM, n), n.number("2", ""))
        case Log(of):
            return n.row(n.word("log"), n.between(" "), _held(of, _ATOM, n))
        case _:
            return _draw_listed(formula, n)


def _draw_listed(formula: Formula, n: Notation[T]) -> T:
    match formula:
        case Addition(left, right):
            return n.row(_held(left, _SUM, n), n.between("+"), _held(right, _PRODUCT, n))
        case Difference(left, right):
            return n.row(_held(left, _SUM, n), n.between("-"), _held(right, _PRODUCT, n))
        case Terms(_, terms):
            drawn = [n.sign("⋯") if term is None else _held(term, _SUM, n) for term in terms]
            return n.row(*[part for term in drawn for part in (n.between("+"), term)][1:])
        case Column(entries):
            return n.array([[_entry(entry, "⋮", n.in_fraction)] for entry in entries])
        case Matrix(rows):
            return n.array([_cells(row, rows, n) for row in rows])
        case _:
            return _draw_quantity(formula, n)


def _draw_quantity(formula: Formula, n: Notation[T]) -> T:
    match formula:
        case Number(value, digits):
            return _draw_number(value, digits, n)
        case Logit(index, letter):
            return n.subscript(n.letter(letter or "a"), _draw_index(index, n))
        case Known(letter, index):
            return n.subscript(n.letter(letter), _draw_index(index, n))
        case Output(index):
            return n.subscript(_applied(n.letter("f"), n.letter("x"), n), _draw_index(index, n))
        case Indicator(first, second):
            same = n.row(_draw_index(first, n), n.sign("="), _draw_index(second, n))
            return n.subscript(n.number("1", ""), n.parentheses(same))
        case Exp(of):
            return _applied(n.word("exp"), draw(of, n), n)
        case Sum(index, term, without):
            k = n.letter(index)
            if without is not None:
                k = n.row(k, n.sign("≠"), _draw_index(without, n))
            return n.sum(k, _held(term, _PRODUCT, n))
        case Derivative(of, by):
            return _draw_derivative(of, by, n)
        case _:
            return _draw_vector(formula, n)


def _draw_vector(formula: Formula, n: Notation[T]) -> T:
    match formula:
        case Gradient(by):
            inside = n.in_fraction
            return n.fraction(
                inside.row(inside.word("d"), inside.letter("L")),
                inside.row(inside.word("d"), draw(by, inside)),
            )
        case Entries(entry):
            return draw(entry, n)
        case Logits(letter):
            return n.letter(letter or "a")
        case Outputs():
            return _applied(n.letter("f"), n.letter("x"), n)
        case OneHot():
            return _applied(n.letter("e"), n.letter("y"), n)
        case Jacobian(transposed):
            j = n.letter("J")
            return n.superscript(j, n.word("T")) if transposed else j
        case _:
            return _draw_name(formula, n)


def _draw_name(formula: Formula, n: Notation[T]) -> T:
    match formula:
        case Name(letter) | Constant(letter) | KnownVector(letter):
            return n.letter(letter)
        case Loss():
            return n.letter("L")
        case Largest():
            return n.letter("m")
        case _:
            raise TypeError(f"no notation for {formula}")


def _draw_derivative(of: Formula, by: Formula, n: Notation[T]) -> T:
    inside = n.in_fraction
    denominator = inside.row(inside.sign("∂"), draw(by, inside))
    if isinstance(of, Loss | Output | Exp | Name):
        return n.fraction(inside.row(inside.sign("∂"), draw(of, inside)), denominator)
    operator = n.fraction(inside.sign("∂"), denominator)
    rank = _PRODUCT if n.stacked else _ATOM
    return n.row(operator, n.between(" "), _held(of, rank, n))


def _draw_number(value: Decimal, digits: int, n: Notation[T]) -> T:
    if value.is_nan():
        return n.word(UNDEFINED)
    if value.is_infinite():
        size = n.sign("∞")
    else:
        # Not abs, which would round to what the current arithmetic can hold.
        mantissa, _, exponent = as_written(value.copy_abs(), digits).partition("e")
        size = n.number(mantissa, exponent)
    return n.negative(size) if value < 0 else size


def as_written(value: Decimal, digits: int) -> str:
    """Return a number with so many digits, and no zeros at its end, however large it is.

    Examples
    --------
    >>> as_written(Decimal("0.66666666"), 6), as_written(Decimal("1.5e-435"), 6)
    ('0.666667', '1.5e-435')
    """
    if not value:
        return "0"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    if -5 < int(exponent) < digits:
        return f"{float(value):.{digits}g}"
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent):+03d}"


def _draw_index(index: Index, n: Notation[T]) -> T:
    return n.letter(index) if isinstance(index, str) else n.number(str(index), "")


def _applied(function: T, argument: T, n: Notation[T]) -> T:
    return n.row(function, n.parentheses(argument))


def _entry(entry: Formula | None, gap: str, n: Notation[T]) -> T:
    return n.sign(gap) if entry is None else draw(entry, n)


def _cells(row: Formula | None, rows: Sequence[Formula | None], n: Notation[T]) -> list[T]:
    if isinstance(row, Column):
        return [_entry(entry, "⋯", n) for entry in row.entries]
    # A gap of rows: dots below each column, and those on the diagonal where columns have a gap.
    return [n.sign("⋱" if other is None else "⋮") for other in rows]


def _held(formula: Formula, rank: int, n: Notation[T]) -> T:
    """Return a formula, in parentheses where it holds together less than this."""
    drawn = draw(formula, n)
    return drawn if _rank(formula, n) >= rank else n.parentheses(drawn)


def _rank(formula: Formula, n: Notation[T]) -> int:
    match formula:
        case Equation() | Unequal():
            return _LOOSE
        case Negative() | Addition() | Difference() | Terms():
            return _SUM
        case Number(value, digits):
            has_power = n.writes_powers and value.is_finite() and "e" in as_written(value, digits)
            return _SUM if value < 0 else _PRODUCT if has_power else _ATOM
        case Fraction() | Derivative() if n.stacked:
            return _PRODUCT if isinstance(formula, Derivative) else _ATOM
        case Product() | Fraction() | Derivative() | Sum() | Log():
            return _PRODUCT
        case _:
            return _ATOM
