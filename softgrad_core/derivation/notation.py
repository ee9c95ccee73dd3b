"""The letters of the formulas, and words with formulas in them."""

import re

from softgrad_core.derivation.formulas import (
    ONE,
    Derivative,
    Exp,
    Formula,
    Indicator,
    Jacobian,
    Largest,
    Logit,
    Logits,
    Loss,
    Name,
    OneHot,
    Output,
    Outputs,
    Sum,
    Words,
    equation,
)

# Letters of the formulas.
A_C, A_Y = Logit("c"), Logit("y")
F_C, F_Y = Output("c"), Output("y")
EXP_C, EXP_Y = Exp(A_C), Exp(A_Y)
TOTAL = Sum("k", Exp(Logit("k")))
SAME = Indicator("y", "c")
OTHERS = Sum("k", Output("k"), without="y")
LOSS_BY_LOGIT = Derivative(Loss(), A_C)
F_I, A_J = Output("i"), Logit("j")

SYMBOLS: dict[str, Formula] = {
    **{letter: Name(letter) for letter in ("c", "g", "g'", "h", "h'", "i", "j", "k", "y")},
    "L": Loss(),
    "J": Jacobian(),
    "e(y)": OneHot(),
    "m": Largest(),
    "a": Logits(),
    "a_c": A_C,
    "a_j": A_J,
    "f(x)": Outputs(),
    "f(x)_y": F_Y,
    "f(x)_c": F_C,
    "f(x)_i": F_I,
    "1_(y=c)": SAME,
    "1_(i=c)": Indicator("i", "c"),
    "1 - f(x)_y": ONE - F_Y,
    "a - m": Logits() - Largest(),
    "c = y": equation(Name("c"), Name("y")),
    "c = i": equation(Name("c"), Name("i")),
}
"""What stands in braces in the words of a step."""


def words(text: str, **more: Formula) -> Words:
    """Return a text with formulas in the place of their names in braces."""
    pieces = re.split(r"\{(.*?)\}", text)
    formulas = {**SYMBOLS, **more}
    return tuple(
        formulas[piece] if place % 2 else piece for place, piece in enumerate(pieces) if piece
    )
