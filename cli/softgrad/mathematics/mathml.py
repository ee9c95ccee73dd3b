"""Formulas in MathML Core, the part of MathML that browsers draw by themselves."""

from collections.abc import Sequence

from softgrad.mathematics import Notation

_MINUS = "\N{MINUS SIGN}"


class MathML(Notation[str]):
    """Draws a formula as the elements inside of `math`."""

    def row(self, *parts: str) -> str:
        return f"<mrow>{''.join(parts)}</mrow>"

    def letter(self, letter: str) -> str:
        return f"<mi>{letter}</mi>"

    def word(self, word: str) -> str:
        upright = ' mathvariant="normal"' if len(word) == 1 else ""
        return f"<mi{upright}>{word}</mi>"

    def number(self, mantissa: str, exponent: str) -> str:
        if not exponent:
            return f"<mn>{mantissa}</mn>"
        power = f"<msup><mn>10</mn><mn>{int(exponent)}</mn></msup>".replace("-", _MINUS)
        return f"<mrow><mn>{mantissa}</mn><mo>×</mo>{power}</mrow>"

    def negative(self, inner: str) -> str:
        return f'<mrow><mo form="prefix">{_MINUS}</mo>{inner}</mrow>'

    def sign(self, sign: str) -> str:
        element = "mo" if sign in "=≠" else "mi"
        return f"<{element}>{sign}</{element}>"

    def between(self, sign: str) -> str:
        if sign == " ":
            return '<mspace width="0.17em"></mspace>'
        return f'<mo form="infix">{_MINUS if sign == "-" else sign}</mo>'

    def subscript(self, base: str, index: str) -> str:
        return f"<msub>{base}{index}</msub>"

    def superscript(self, base: str, index: str) -> str:
        return f"<msup>{base}{index}</msup>"

    def parentheses(self, inner: str) -> str:
        return f"<mrow><mo>(</mo>{inner}<mo>)</mo></mrow>"

    def fraction(self, numerator: str, denominator: str) -> str:
        return f"<mfrac>{numerator}{denominator}</mfrac>"

    def sum(self, index: str, term: str) -> str:
        return f"<mrow><munder><mo>∑</mo>{index}</munder>{term}</mrow>"

    def array(self, rows: Sequence[Sequence[str]]) -> str:
        body = "".join(
            f"<mtr>{''.join(f'<mtd>{cell}</mtd>' for cell in row)}</mtr>" for row in rows
        )
        return f"<mrow><mo>[</mo><mtable>{body}</mtable><mo>]</mo></mrow>"
