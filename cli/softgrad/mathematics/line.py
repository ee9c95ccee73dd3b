"""Formulas in one line of plain text, as programs write them."""

from collections.abc import Iterable, Sequence

from softgrad.mathematics import Notation

POWERS = {"2": "²", "T": "ᵀ"}

_GAPS = {"⋯": "…", "⋮": "…", "⋱": "…"}


class Line(Notation[str]):
    """Draws a formula in one line."""

    stacked = False

    def row(self, *parts: str) -> str:
        return "".join(parts)

    def letter(self, letter: str) -> str:
        return letter

    def word(self, word: str) -> str:
        return word

    def number(self, mantissa: str, exponent: str) -> str:
        return f"{mantissa}e{exponent}" if exponent else mantissa

    def negative(self, inner: str) -> str:
        return f"-{inner}"

    def sign(self, sign: str) -> str:
        return _GAPS.get(sign, sign)

    def between(self, sign: str) -> str:
        return sign if sign == " " else f" {sign} "

    def subscript(self, base: str, index: str) -> str:
        return f"{base}_{index}"

    def superscript(self, base: str, index: str) -> str:
        return base + POWERS.get(index, f"^{index}")

    def parentheses(self, inner: str) -> str:
        return f"({inner})"

    def fraction(self, numerator: str, denominator: str) -> str:
        return f"{numerator}/{denominator}"

    def sum(self, index: str, term: str) -> str:
        return f"Σ_{index if len(index) == 1 else f'({index})'} {term}"

    def array(self, rows: Sequence[Sequence[str]]) -> str:
        is_vector = all(len(row) == 1 for row in rows)
        return _listed(row[0] if is_vector else _listed(row) for row in rows)


def _listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(texts)}]"
