"""The letters of the derivation, and texts that have them in braces."""

import re

from softgrad_core.derivation import formulas as f

A_C, A_Y, A_J, A_K = map(f.Logit, "cyjk")
F_C, F_Y, F_I, F_J, F_K = map(f.Output, "cyijk")
EXP_C = f.Exp(A_C)
TOTAL = f.Sum("k", f.Exp(A_K))
SAME = f.Indicator("y", "c")
LOSS_BY_LOGIT = f.Derivative(f.Loss(), A_C)

_g, _h, _u = map(f.Name, "ghu")

SYMBOLS: dict[str, f.Formula] = {
    **{letter: f.Name(letter) for letter in ("c", "g", "g'", "h", "h'", "i", "j", "k", "y")},
    "L": f.Loss(),
    "J": f.Jacobian(),
    "e(y)": f.OneHot(),
    "M": f.Largest(),
    "a": f.Logits(),
    "a_c": A_C,
    "a_j": A_J,
    "f(x)": f.Outputs(),
    "f(x)_y": F_Y,
    "f(x)_c": F_C,
    "f(x)_i": F_I,
    "1_(y=c)": SAME,
    "1_(i=c)": f.Indicator("i", "c"),
    "1 - f(x)_y": f.ONE - F_Y,
    "a - M": f.Logits() - f.Largest(),
    "c = y": f.equation(f.Name("c"), f.Name("y")),
    "c = i": f.equation(f.Name("c"), f.Name("i")),
    "k = c": f.equation(f.Name("k"), f.Name("c")),
    "log u": f.Log(_u),
    "1/u": f.ONE / _u,
    "-1/f(x)_y": -(f.ONE / F_Y),
    "h = sum": f.equation(_h, TOTAL),
    "quotient rule": f.equation(
        f.Derivative(_g / _h, A_C), f.Name("g'") / _h - (_g * f.Name("h'")) / f.Square(_h)
    ),
}
"""The formulas that any text may have in braces, by name."""


def words(text: str, **more: f.Formula) -> f.Words:
    """Return a text in which each name in braces is replaced by its formula."""
    formulas = {**SYMBOLS, **more}
    pieces = re.split(r"\{(.*?)\}", text)
    return tuple(
        formulas[piece] if place % 2 else piece for place, piece in enumerate(pieces) if piece
    )
