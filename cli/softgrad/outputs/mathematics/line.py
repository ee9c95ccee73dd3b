"""Formulas in one line of plain text, as programs write them."""

from collections.abc import Iterable, Sequence

from softgrad.outputs.mathematics import TIMES, Notation

POWERS = {"2": "²", "T": "ᵀ"}

ASCII = {
    "∂": "d",
    "Σ": "sum",
    "·": "*",
    "≠": "!=",
    "∞": "inf",
    "⋯": "...",
    "⋮": ":",
    "⋱": ":",
    "─": "-",
    "²": "^2",
    "ᵀ": "^T",
    "…": "...",
}
"""What stands for signs where there are none but those of ASCII."""

_GAPS = {"⋯": "…", "⋮": "…", "⋱": "…"}


class Line(Notation[str]):
    """Draws a formula in one line."""

    stacked = False
    writes_powers = False

    def __init__(self, *, has_signs: bool = True) -> None:
        self._has_signs = has_signs

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
        return self._sign(_GAPS.get(sign, sign))

    def between(self, sign: str) -> str:
        return " " if sign in {" ", TIMES} else f" {self._sign(sign)} "

    def subscript(self, base: str, index: str) -> str:
        return f"{base}_{index}"

    def superscript(self, base: str, index: str) -> str:
        return base + self._sign(POWERS.get(index, f"^{index}"))

    def parentheses(self, inner: str) -> str:
        return f"({inner})"

    def fraction(self, numerator: str, denominator: str) -> str:
        return f"{numerator}/{denominator}"

    def sum(self, index: str, term: str) -> str:
        return f"{self._sign('Σ')}_{index if len(index) == 1 else f'({index})'} {term}"

    def array(self, rows: Sequence[Sequence[str]]) -> str:
        is_vector = all(len(row) == 1 for row in rows)
        return _listed(row[0] if is_vector else _listed(row) for row in rows)

    def _sign(self, sign: str) -> str:
        return sign if self._has_signs else ASCII.get(sign, sign)


def _listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(texts)}]"
