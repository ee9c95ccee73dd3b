"""Formulas in MathML Core, the part of MathML that browsers draw by themselves."""

from collections.abc import Sequence

from softgrad.outputs.mathematics import TIMES, Notation

_MINUS = "\N{MINUS SIGN}"


class MathML(Notation[str]):
    """Draws a formula as the elements inside of `math`; without stacks, for a line of text."""

    def __init__(self, *, stacked: bool = True) -> None:
        self.stacked = stacked

    def row(self, *parts: str) -> str:
        return f"<mrow>{''.join(parts)}</mrow>"

    def letter(self, letter: str) -> str:
        if letter.endswith("'"):
            return f"<msup><mi>{letter[:-1]}</mi><mo>\N{PRIME}</mo></msup>"
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
        if sign in {" ", TIMES}:
            invisible = "\N{FUNCTION APPLICATION}" if sign == " " else TIMES
            return f'<mo>{invisible}</mo><mspace width="0.17em"></mspace>'
        return f'<mo form="infix">{_MINUS if sign == "-" else sign}</mo>'

    def subscript(self, base: str, index: str) -> str:
        if base.startswith("<mrow>"):
            # An index hangs from the lowest point of what it is of: here that of a parenthesis.
            base = f'<mpadded depth="0">{base}</mpadded>'
        return f"<msub>{base}{index}</msub>"

    def superscript(self, base: str, index: str) -> str:
        return f"<msup>{base}{index}</msup>"

    def parentheses(self, inner: str) -> str:
        stretches = any(f"<{high}>" in inner for high in ("mfrac", "munder", "mtable"))
        opening, closing = _fence("(", stretches=stretches), _fence(")", stretches=stretches)
        return f"<mrow>{opening}{inner}{closing}</mrow>"

    def fraction(self, numerator: str, denominator: str) -> str:
        if not self.stacked:
            return f'<mrow>{numerator}<mo lspace="0" rspace="0">/</mo>{denominator}</mrow>'
        return f"<mfrac>{numerator}{denominator}</mfrac>"

    def sum(self, index: str, term: str) -> str:
        element = "munder" if self.stacked else "msub"
        return f"<mrow><{element}><mo>∑</mo>{index}</{element}>{term}</mrow>"

    def array(self, rows: Sequence[Sequence[str]]) -> str:
        body = "".join(
            f"<mtr>{''.join(f'<mtd>{cell}</mtd>' for cell in row)}</mtr>" for row in rows
        )
        return f"<mrow><mo>[</mo><mtable>{body}</mtable><mo>]</mo></mrow>"


def _fence(sign: str, *, stretches: bool) -> str:
    form = "prefix" if sign == "(" else "postfix"
    how = "" if stretches else ' stretchy="false"'
    return f'<mo{how} form="{form}" lspace="0" rspace="0">{sign}</mo>'
