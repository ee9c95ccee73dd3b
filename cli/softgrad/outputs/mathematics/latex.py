"""Formulas in LaTeX, with the commands of amsmath."""

from collections.abc import Sequence

from softgrad.outputs.mathematics.notation import TIMES, Notation

_SIGNS = {
    "∂": r"\partial ",
    "∞": r"\infty",
    "ε": r"\varepsilon",
    "ζ": r"\zeta",
    "κ": r"\kappa",
    "≠": r" \neq ",
    "⋯": r"\cdots",
    "⋮": r"\vdots",
    "⋱": r"\ddots",
    "·": r" \cdot ",
    "²": "^{2}",
    "ᵀ": r"^{\mathrm{T}}",
    " ": " ",
    TIMES: r" \, ",
}


class Latex(Notation[str]):
    """Draws a formula as it stands between dollar signs; `stacked=False` is for running text."""

    def __init__(self, *, stacked: bool = True) -> None:
        self.stacked = stacked

    def row(self, *parts: str) -> str:
        return "".join(parts)

    def text(self, text: str) -> str:
        return _SIGNS.get(text, text)

    def word(self, word: str) -> str:
        return f"\\{word}" if word in {"exp", "log"} else f"\\mathrm{{{word}}}"

    def number(self, mantissa: str, exponent: str) -> str:
        if not exponent:
            return mantissa
        power = f"10^{{{int(exponent)}}}"
        return power if mantissa == "1" else f"{mantissa} \\times {power}"

    def between(self, sign: str) -> str:
        return _SIGNS.get(sign, f" {sign} ")

    def subscript(self, base: str, index: str) -> str:
        return f"{base}_{{{index}}}"

    def parentheses(self, inner: str) -> str:
        is_high = self.stacked and any(f"\\{high}" in inner for high in ("frac", "sum", "left["))
        return f"\\left( {inner} \\right)" if is_high else f"({inner})"

    def fraction(self, numerator: str, denominator: str) -> str:
        if not self.stacked:
            return super().fraction(numerator, denominator)
        return f"\\frac{{{numerator}}}{{{denominator}}}"

    def sum(self, index: str, term: str) -> str:
        return f"\\sum_{{{index}}} {term}"

    def array(self, rows: Sequence[Sequence[str]]) -> str:
        columns = f"@{{}}{'r' * len(rows[0])}@{{}}"
        body = r" \\ ".join(" & ".join(row) for row in rows)
        return f"\\left[ \\begin{{array}}{{{columns}}} {body} \\end{{array}} \\right]"
