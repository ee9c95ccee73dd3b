"""Formulas in one line of plain text, as programs write them."""

from collections.abc import Iterable, Sequence

from softgrad.outputs.mathematics.notation import Notation

ASCII = str.maketrans(
    {
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
)
"""What to write where only ASCII can be shown."""

_GAPS = str.maketrans("⋯⋮⋱", "………")


class Line(Notation[str]):
    """Draws a formula in one line."""

    stacked = False
    writes_powers = False

    def __init__(self, *, has_signs: bool = True) -> None:
        self._has_signs = has_signs

    def row(self, *parts: str) -> str:
        return "".join(parts)

    def text(self, text: str) -> str:
        text = text.translate(_GAPS)
        return text if self._has_signs else text.translate(ASCII)

    def array(self, rows: Sequence[Sequence[str]]) -> str:
        is_vector = all(len(row) == 1 for row in rows)
        return _listed(row[0] if is_vector else _listed(row) for row in rows)


def _listed(texts: Iterable[str]) -> str:
    return f"[{', '.join(texts)}]"
