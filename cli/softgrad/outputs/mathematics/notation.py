"""What a notation has to know: how to draw each of the things that formulas are made of."""

from abc import ABC, abstractmethod
from collections.abc import Sequence, Sized
from typing import Generic, Self, TypeVar

from softgrad_core.derivation.formulas import Number

T = TypeVar("T", bound=Sized)

TIMES = "\N{INVISIBLE TIMES}"
"""The sign between factors that stand side by side: a small space in most notations."""


class Notation(ABC, Generic[T]):
    """Draws the parts of formulas as values of type T.

    The methods draw as programs write formulas, in one line. Each notation overrides those for
    what it draws differently.
    """

    stacked = True
    """Whether fractions have a horizontal bar, which holds them together without parentheses."""

    writes_powers = True
    """Whether 2e9 is written as 2 × 10⁹, and so needs parentheses in a power."""

    @property
    def in_fraction(self) -> Self:
        """The notation for numerators, denominators and the entries of vectors."""
        return self

    @abstractmethod
    def row(self, *parts: T) -> T:
        """Return the parts side by side."""

    @abstractmethod
    def text(self, text: str) -> T:
        """Return a short text, with the notation's own form of the signs in it."""

    @abstractmethod
    def array(self, rows: Sequence[Sequence[T]]) -> T:
        """Return a vector (rows of one entry) or a matrix."""

    def letter(self, letter: str) -> T:
        """Return a letter that stands for a quantity."""
        return self.text(letter)

    def word(self, word: str) -> T:
        """Return the name of a function, or another word."""
        return self.text(word)

    def number(self, mantissa: str, exponent: str) -> T:
        """Return a number; its power of ten may be empty."""
        return self.text(f"{mantissa}e{exponent}" if exponent else mantissa)

    def value(self, drawn: T, number: Number, tightness: int) -> T:  # noqa: ARG002
        """Return a number, drawn, that a formula has put in; its place may ask for tightness."""
        return drawn

    def between(self, sign: str) -> T:
        """Return a sign that stands between two things."""
        return self.text(" " if sign in {" ", TIMES} else f" {sign} ")

    def negative(self, inner: T) -> T:
        """Return something with a minus in front."""
        return self.row(self.text("-"), inner)

    def subscript(self, base: T, index: T) -> T:
        """Return something with an index."""
        return self.row(base, self.text("_"), index)

    def superscript(self, base: T, sign: str) -> T:
        """Return something with a raised sign: ² or ᵀ."""
        return self.row(base, self.text(sign))

    def parentheses(self, inner: T) -> T:
        """Return something in parentheses."""
        return self.row(self.text("("), inner, self.text(")"))

    def fraction(self, numerator: T, denominator: T) -> T:
        """Return a fraction."""
        return self.row(numerator, self.text("/"), denominator)

    def sum(self, index: T, term: T) -> T:
        """Return the sum of a term over an index."""
        if len(index) > 1:
            index = self.parentheses(index)
        return self.row(self.subscript(self.text("Σ"), index), self.text(" "), term)
