"""Formulas as trees: what they are made of, for others to draw them and to evaluate them.

Notation: a are the logits, f(x) = softmax(a) the output, y the true class, L = -log f(x)_y the
loss, 1_(y=c) the indicator: 1 where y = c, else 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, ClassVar

Index = str | int
"""A class: a letter that a point gives its number, or the number itself."""


class Formula:
    """A node of a tree; the operators build larger trees from smaller ones."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __add__(self, other: "Formula") -> "Formula":
        return Addition(self, other)

    def __neg__(self) -> "Formula":
        return Negative(self)

    def __sub__(self, other: "Formula") -> "Formula":
        return Difference(self, other)

    def __mul__(self, other: "Formula") -> "Formula":
        return Product(self, other)

    def __truediv__(self, other: "Formula") -> "Formula":
        return Fraction(self, other)


Words = tuple[str | Formula, ...]
"""Text with formulas in it."""


# What stands for a number of its own: drawn with numbers, it is one.


@dataclass(frozen=True, slots=True)
class Logit(Formula):
    """The pre-activation a_i, or z_i = a_i / T where there is a temperature.

    Without a letter it is what the softmax is of, whichever of the two that is.
    """

    index: Index
    letter: str = ""


@dataclass(frozen=True, slots=True)
class Largest(Formula):
    """The largest pre-activation, m."""


@dataclass(frozen=True, slots=True)
class Output(Formula):
    """The output f(x)_i."""

    index: Index


@dataclass(frozen=True, slots=True)
class Loss(Formula):
    """The loss L."""


@dataclass(frozen=True, slots=True)
class Constant(Formula):
    """A number that is given, and its letter."""

    letter: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Known(Formula):
    """One of the numbers that are given for the classes, such as the target weight q_i."""

    letter: str
    index: Index
    values: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class KnownVector(Formula):
    """The vector of such numbers."""

    letter: str
    values: tuple[Decimal, ...]


@dataclass(frozen=True, slots=True)
class Indicator(Formula):
    """1 where two classes are the same, else 0."""

    first: Index
    second: Index


@dataclass(frozen=True, slots=True)
class Exp(Formula):
    """The exponential of a number, or of each number of a vector."""

    of: Formula


@dataclass(frozen=True, slots=True)
class Sum(Formula):
    """The sum over the classes, named by `index`, of a term, without that of one class."""

    index: str
    term: Formula
    without: Index | None = None


@dataclass(frozen=True, slots=True)
class Derivative(Formula):
    """The partial derivative of a formula with respect to a logit or an output."""

    of: Formula
    by: "Logit | Output | Name"


@dataclass(frozen=True, slots=True)
class Logits(Formula):
    """The vector a, or z; see `Logit`."""

    letter: str = ""


@dataclass(frozen=True, slots=True)
class Outputs(Formula):
    """The vector f(x)."""


@dataclass(frozen=True, slots=True)
class OneHot(Formula):
    """The one-hot vector e(y) of the target."""


@dataclass(frozen=True, slots=True)
class Gradient(Formula):
    """The vector of the partial derivatives of the loss with respect to a or f(x)."""

    by: Logits | Outputs


@dataclass(frozen=True, slots=True)
class Jacobian(Formula):
    """The matrix J of the partial derivatives of f(x)_i, its rows, with respect to a_j."""

    transposed: bool = False


@dataclass(frozen=True, slots=True)
class Entries(Formula):
    """The matrix that has a formula of i and j in its row i and column j."""

    entry: Formula


# What is made of others: drawn with numbers, it keeps its form.


@dataclass(frozen=True, slots=True)
class Number(Formula):
    """A number, and how many digits of it are worth showing; NaN is one that does not exist."""

    value: Decimal
    digits: int = 6


@dataclass(frozen=True, slots=True)
class Name(Formula):
    """A letter that stands for any formula, in a rule."""

    letter: str


@dataclass(frozen=True, slots=True)
class Negative(Formula):
    """Minus a formula."""

    of: Formula


@dataclass(frozen=True, slots=True)
class Addition(Formula):
    """One formula plus another."""

    left: Formula
    right: Formula


@dataclass(frozen=True, slots=True)
class Difference(Formula):
    """One formula minus another."""

    left: Formula
    right: Formula


@dataclass(frozen=True, slots=True)
class Product(Formula):
    """One formula times another."""

    left: Formula
    right: Formula


@dataclass(frozen=True, slots=True)
class Fraction(Formula):
    """One formula divided by another."""

    numerator: Formula
    denominator: Formula


@dataclass(frozen=True, slots=True)
class Square(Formula):
    """The square of a formula."""

    of: Formula


@dataclass(frozen=True, slots=True)
class Log(Formula):
    """The natural logarithm."""

    of: Formula


@dataclass(frozen=True, slots=True)
class Terms(Formula):
    """A sum written out, of which only some terms are drawn; None is a gap."""

    sum: Sum
    terms: tuple[Formula | None, ...]


@dataclass(frozen=True, slots=True)
class Column(Formula):
    """A vector written out, one entry for each class that is drawn; None is a gap."""

    entries: tuple[Formula | None, ...]


@dataclass(frozen=True, slots=True)
class Matrix(Formula):
    """A matrix written out, row by row, one for each class that is drawn; None is a gap."""

    rows: tuple[Formula | None, ...]


@dataclass(frozen=True, slots=True)
class Unequal(Formula):
    """Two formulas that are not equal."""

    left: Formula
    right: Formula


@dataclass(frozen=True, slots=True)
class Equation(Formula):
    """Formulas that are equal."""

    members: tuple[Formula, ...]


ONE = Number(Decimal(1))

_FORMS = (
    Negative,
    Addition,
    Difference,
    Product,
    Fraction,
    Square,
    Log,
    Terms,
    Column,
    Matrix,
    Equation,
)


def parts(formula: Formula) -> Iterator[Formula]:
    """Yield a formula and all that it is made of; a quantity is not taken apart."""
    yield formula
    if isinstance(formula, _FORMS):
        for part in _fields(formula):
            yield from parts(part)


def has_quantities(formula: Formula) -> bool:
    """Return whether anything in a formula is to be replaced by its number."""
    return any(not isinstance(part, (*_FORMS, Number)) for part in parts(formula))


def mentions(formula: Formula, letter: str) -> bool:
    """Return whether a letter stands for a class anywhere in a formula."""
    values = [getattr(formula, name) for name in formula.__dataclass_fields__]
    return letter in values or any(mentions(part, letter) for part in _fields(formula))


def narrowed(formula: Equation, places: Sequence[int]) -> Equation:
    """Return an equation whose vectors and matrices have these places only, and gaps between."""
    return Equation(tuple(_narrowed(member, places) for member in formula.members))


def _narrowed(formula: Formula, places: Sequence[int]) -> Formula:
    match formula:
        case Column(entries):
            return Column(_chosen(entries, places))
        case Matrix(rows):
            return Matrix(_chosen([row and _narrowed(row, places) for row in rows], places))
        case Negative(of):
            return Negative(_narrowed(of, places))
        case Addition(left, right) | Difference(left, right) | Product(left, right):
            return type(formula)(_narrowed(left, places), _narrowed(right, places))
        case _:
            return formula


def _chosen(entries: Sequence[Formula | None], places: Sequence[int]) -> tuple[Formula | None, ...]:
    """Return the entries of some places, with one None wherever others were between them."""
    chosen: list[Formula | None] = []
    last = -1
    for place in sorted(places):
        if place > last + 1:
            chosen.append(None)
        chosen.append(entries[place])
        last = place
    return tuple([*chosen, None] if last < len(entries) - 1 else chosen)


def _fields(formula: Formula) -> Iterator[Formula]:
    for name in formula.__dataclass_fields__:
        value = getattr(formula, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Formula):
                yield part


def lettered(formula: Formula, letter: str) -> Formula:
    """Return a formula with this letter for what the softmax is of."""
    if isinstance(formula, Logit | Logits):
        return formula if formula.letter else replace(formula, letter=letter)
    changes: dict[str, Any] = {}
    for name in formula.__dataclass_fields__:
        value = getattr(formula, name)
        if isinstance(value, Formula):
            changes[name] = lettered(value, letter)
        elif isinstance(value, tuple):
            changes[name] = tuple(
                lettered(part, letter) if isinstance(part, Formula) else part for part in value
            )
    return replace(formula, **changes) if changes else formula


def equation(*members: Formula) -> Equation:
    """Return the formula that says that these are equal."""
    return Equation(members)
