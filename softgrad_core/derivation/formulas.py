"""Formulas as trees: what the derivation says, for others to evaluate and to draw.

Notation: a are the logits, f(x) = softmax(a) is the output, y the true class, L = -log f(x)_y the
loss, and 1_(y=c) the indicator, which is 1 where y = c and 0 elsewhere.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, ClassVar, TypeVar, dataclass_transform

Index = str | int
"""A class: its number, or a letter that stands for it."""


@dataclass_transform(frozen_default=True)
class Formula:
    """A node of the tree: every kind is a frozen dataclass. Operators build larger formulas."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True)(cls)

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


class Compound(Formula):
    """A formula made of others, such as a product.

    Putting numbers into it replaces its parts; any other formula is replaced as a whole.
    """


Words = tuple[str | Formula, ...]
"""Text with formulas in it."""

F = TypeVar("F", bound=Formula)
T = TypeVar("T")


# Quantities. Putting numbers into a formula replaces each of them by its value.


class Logit(Formula):
    """A logit: "a" as it is given, "z" as the softmax takes it, capped or over a temperature.

    Without a letter it is the one that the softmax takes, whichever that is.
    """

    index: Index
    letter: str = ""


class Largest(Formula):
    """The largest logit, M."""


class Output(Formula):
    """The output f(x)_i."""

    index: Index


class Loss(Formula):
    """The loss L. Where it is `is_whole`, the z-loss is part of it."""

    is_whole: bool = False


class Constant(Formula):
    """A given number that has a letter, such as the temperature T."""

    letter: str
    value: Decimal


class Known(Formula):
    """An entry of a given vector, such as the target weight q_i."""

    letter: str
    index: Index
    values: tuple[Decimal, ...]


class KnownVector(Formula):
    """A given vector, one number a class, such as the target weights q."""

    letter: str
    values: tuple[Decimal, ...]

    def entry(self, index: Index) -> Known:
        """Return the number of one class."""
        return Known(self.letter, index, self.values)


class Indicator(Formula):
    """1 where two classes are the same, 0 elsewhere."""

    first: Index
    second: Index


class Exp(Formula):
    """The exponential of a number, or of each entry of a vector."""

    of: Formula


class Sum(Formula):
    """The sum of a term over all classes `index`, but for the class `without`."""

    index: str
    term: Formula
    without: Index | None = None


class Derivative(Formula):
    """The partial derivative of a formula with respect to a logit or an output."""

    of: Formula
    by: "Logit | Output | Name"


class Logits(Formula):
    """The vector of the logits, a or z; see `Logit`."""

    letter: str = ""


class Outputs(Formula):
    """The vector f(x)."""


class OneHot(Formula):
    """The one-hot vector e(y) of the target."""


class Gradient(Formula):
    """The gradient of the loss with respect to the logits or to f(x)."""

    by: Logits | Outputs


class Jacobian(Formula):
    """The Jacobian J of the softmax: row i, column j is the derivative of f(x)_i by a_j."""

    transposed: bool = False


class Entries(Formula):
    """A matrix, by the formula of its entry in row i and column j."""

    entry: Formula


# Numbers, and what is made of other formulas.


class Number(Formula):
    """A number, shown with so many digits; NaN where there is no value.

    A number that was put in for a formula says which: it is the value `of` that formula.
    """

    value: Decimal
    digits: int = 6
    of: Formula | None = None


class Name(Formula):
    """A letter in a text, such as the g and h of the quotient rule."""

    letter: str


class Negative(Compound):
    """Minus a formula."""

    of: Formula


class Binary(Compound):
    """An operation on two formulas."""

    left: Formula
    right: Formula


class Addition(Binary):
    """One formula plus another."""


class Difference(Binary):
    """One formula minus another."""


class Product(Binary):
    """One formula times another."""


class Fraction(Binary):
    """One formula divided by another."""


class Tanh(Compound):
    """The hyperbolic tangent of a number."""

    of: Formula


class Square(Compound):
    """The square of a formula."""

    of: Formula


class Log(Compound):
    """The natural logarithm."""

    of: Formula


class Terms(Compound):
    """A sum with some of its terms written out; None is a gap."""

    sum: Sum
    terms: tuple[Formula | None, ...]


class Column(Compound):
    """A vector with the entries of some classes written out; None is a gap."""

    entries: tuple[Formula | None, ...]


class Matrix(Compound):
    """A matrix with the rows of some classes written out; None is a gap."""

    rows: tuple[Formula | None, ...]


class Unequal(Formula):
    """Two formulas that are not equal."""

    left: Formula
    right: Formula


class Equation(Compound):
    """Formulas that are equal."""

    members: tuple[Formula, ...]


ONE = Number(Decimal(1))

_INDICES = ("index", "first", "second")
"""The fields of formulas that hold a class."""


def equation(*members: Formula) -> Equation:
    """Return the formula that says that these are equal."""
    return Equation(members)


def parts(formula: Formula) -> Iterator[Formula]:
    """Yield a formula and what it is made of, down to its quantities and numbers."""
    yield formula
    if isinstance(formula, Compound):
        for child in _children(formula):
            yield from parts(child)


def has_quantities(formula: Formula) -> bool:
    """Return whether a formula has anything but numbers in it."""
    return any(not isinstance(part, (Compound, Number)) for part in parts(formula))


def mentions(formula: Formula, letter: str) -> bool:
    """Return whether a letter stands for a class anywhere in a formula."""
    values = [getattr(formula, name) for name in formula.__dataclass_fields__]
    return letter in values or any(mentions(child, letter) for child in _children(formula))


def _children(formula: Formula) -> Iterator[Formula]:
    for name in formula.__dataclass_fields__:
        value = getattr(formula, name)
        for child in value if isinstance(value, tuple) else (value,):
            if isinstance(child, Formula):
                yield child


def with_children(formula: F, change: Callable[[Formula], Formula]) -> F:
    """Return a formula in which each direct part is replaced by what `change` makes of it."""
    changes: dict[str, Any] = {}
    for name in formula.__dataclass_fields__:
        value = getattr(formula, name)
        if isinstance(value, Formula):
            changes[name] = change(value)
        elif isinstance(value, tuple):
            changes[name] = tuple(change(v) if isinstance(v, Formula) else v for v in value)
    return replace(formula, **changes)


def with_letter(formula: F, letter: str) -> F:
    """Return a formula in which this letter names the logits that the softmax takes."""
    if getattr(formula, "letter", None) == "":
        return replace(formula, letter=letter)
    return with_children(formula, lambda child: with_letter(child, letter))


def with_class(formula: Formula, letter: str, c: int) -> Formula:
    """Return a formula with the number of a class in place of its letter."""
    names = [name for name in _INDICES if getattr(formula, name, None) == letter]
    changed = with_children(formula, lambda child: with_class(child, letter, c))
    return replace(changed, **dict.fromkeys(names, c))


def narrowed(formula: Equation, places: Sequence[int]) -> Equation:
    """Return an equation whose vectors and matrices show only the entries at these places."""
    return with_children(formula, lambda member: _narrowed(member, places))


def _narrowed(formula: Formula, places: Sequence[int]) -> Formula:
    match formula:
        case Column(entries):
            return Column(with_gaps(entries, places))
        case Matrix(rows):
            return Matrix(with_gaps([row and _narrowed(row, places) for row in rows], places))
        case Compound():
            return with_children(formula, lambda child: _narrowed(child, places))
        case _:
            return formula


def with_short_sums(formula: Equation, last: slice) -> Equation:
    """Return an equation whose sums that are written out have their first and these last terms."""

    def shortened(part: Formula) -> Formula:
        match part:
            case Terms(whole, terms) if len(terms) > 2:
                return Terms(whole, (terms[0], None, *terms[last]))
            case Compound():
                return with_children(part, shortened)
            case _:
                return part

    return with_children(formula, shortened)


def with_gaps(entries: Sequence[T | None], places: Iterable[int]) -> tuple[T | None, ...]:
    """Return the entries at some places, with one None for all that are left out between them."""
    chosen: list[T | None] = []
    last = -1
    for place in sorted(places):
        chosen += [None, entries[place]] if place > last + 1 else [entries[place]]
        last = place
    return tuple([*chosen, None] if last < len(entries) - 1 else chosen)
