"""Formulas in MathML Core, the part of MathML that browsers draw on their own."""

from collections.abc import Sequence
from typing import Protocol

from softgrad.outputs.mathematics.notation import TIMES, Notation
from softgrad_core.derivation.formulas import Formula, Number

_MINUS = "\N{MINUS SIGN}"
_RAISED = {"²": "<mn>2</mn>", "ᵀ": '<mi mathvariant="normal">T</mi>'}


DIGITS = 6
"""The digits of a number that does not say how many it has."""


class Origins(Protocol):
    """Knows formulas by number."""

    def place(self, formula: Formula) -> int:
        """Return the number of a formula."""


class MathML(Notation[str]):
    """Draws a formula as the content of a `math` element; `stacked=False` is for running text.

    With `origins`, each number says which formula it is the value of, for a script.
    """

    def __init__(self, origins: Origins | None = None, *, stacked: bool = True) -> None:
        self.stacked = stacked
        self._origins = origins

    def row(self, *parts: str) -> str:
        return f"<mrow>{''.join(parts)}</mrow>"

    def text(self, text: str) -> str:
        element = "mo" if text in {"=", "≠"} else "mi"
        return f"<{element}>{text}</{element}>"

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

    def value(self, drawn: str, number: Number, tightness: int) -> str:
        if self._origins is None or number.of is None:
            return drawn
        of = self._origins.place(number.of)
        digits = f' data-digits="{number.digits}"' if number.digits != DIGITS else ""
        held = f' data-held="{tightness}"' if tightness else ""
        return f'<mrow data-of="{of}"{digits}{held}>{drawn}</mrow>'

    def between(self, sign: str) -> str:
        if sign in {" ", TIMES}:
            invisible = "\N{FUNCTION APPLICATION}" if sign == " " else TIMES
            return f'<mo>{invisible}</mo><mspace width="0.17em"></mspace>'
        return f'<mo form="infix">{_MINUS if sign == "-" else sign}</mo>'

    def negative(self, inner: str) -> str:
        return f'<mrow><mo form="prefix">{_MINUS}</mo>{inner}</mrow>'

    def subscript(self, base: str, index: str) -> str:
        if base.startswith("<mrow>"):
            # An index hangs from the lowest point of its base, here a parenthesis: too low.
            base = f'<mpadded depth="0">{base}</mpadded>'
        return f"<msub>{base}{index}</msub>"

    def superscript(self, base: str, sign: str) -> str:
        return f"<msup>{base}{_RAISED[sign]}</msup>"

    def parentheses(self, inner: str) -> str:
        if "<mtable" in inner:
            room = '<mspace width="0.5em"></mspace>'
            return f'<mrow class="held">{room}{inner}{room}</mrow>'
        is_high = any(f"<{high}>" in inner for high in ("mfrac", "munder", "mtable"))
        how = "" if is_high else ' stretchy="false"'
        opening, closing = (
            f'<mo{how} form="{form}" lspace="0" rspace="0">{sign}</mo>'
            for form, sign in (("prefix", "("), ("postfix", ")"))
        )
        return f"<mrow>{opening}{inner}{closing}</mrow>"

    def fraction(self, numerator: str, denominator: str) -> str:
        if not self.stacked:
            return f'<mrow>{numerator}<mo lspace="0" rspace="0">/</mo>{denominator}</mrow>'
        return f"<mfrac>{numerator}{denominator}</mfrac>"

    def sum(self, index: str, term: str) -> str:
        element = "munder" if self.stacked else "msub"
        return f"<mrow><{element}><mo>∑</mo>{index}</{element}>{term}</mrow>"

    def array(self, rows: Sequence[Sequence[str]]) -> str:
        cells = ("".join(f"<mtd>{cell}</mtd>" for cell in row) for row in rows)
        body = "".join(f"<mtr>{row}</mtr>" for row in cells)
        # Its brackets, and parentheses around it, are drawn by the style sheet: many fonts have
        # none that grow.
        return f'<mtable class="fenced">{body}</mtable>'
