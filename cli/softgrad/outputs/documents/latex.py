r"""Pages -> LaTeX: a fragment to \input into a document that uses amsmath, or a whole document.

Every TeX engine can read it. pdfTeX has only the letters of its fonts: in the place of any other
letter of a name it shows the number of the letter.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

from softgrad.messages import say
from softgrad.outputs.documents.markup import Markup
from softgrad.outputs.mathematics.drawing import draw
from softgrad.outputs.mathematics.fitting import DOCUMENT, fitted
from softgrad.outputs.mathematics.latex import Latex as Notation
from softgrad.outputs.page.blocks import (
    ErrorMap,
    Heading,
    Line,
    NumberedStep,
    Paragraph,
    Plot,
    Plots,
    Table,
    Tone,
)
from softgrad_core.derivation.formulas import Equation, Formula, equation

WIDTH = 66
"""The width of a line in letters of mathematics, roughly."""

OPENING = rb"""\documentclass[a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage{lmodern}
\usepackage{amsmath}
\IfFileExists{tikz.sty}{\usepackage{tikz}}{}
\usepackage[margin=25mm]{geometry}
\setlength{\parindent}{0pt}
\setlength{\parskip}{1ex}
\begin{document}
"""
CLOSING = b"\\end{document}\n"

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}",
    '"': r"{\ttfamily\char34}",
    "-": "-{}",
    "`": r"\textasciigrave{}",
    **{sign: f"\\{sign}" for sign in "#$%&_{}"},
}
_ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING RING ABOVE}": "r ",
    "\N{COMBINING CARON}": "v ",
    "\N{COMBINING CEDILLA}": "c ",
}
_LETTERS = {
    "\N{REPLACEMENT CHARACTER}": r"\texttt{?}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
}
_SMALL = "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho"
_GREEK = {
    **dict(zip("αβγδεζηθικλμνξπρ", _SMALL.split(), strict=True)),
    **dict(
        zip("στυφχψω", ["sigma", "tau", "upsilon", "varphi", "chi", "psi", "omega"], strict=True)
    ),
    **dict(zip("ΓΔΘΛΞΠΣ", ["Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma"], strict=True)),
    **dict(zip("ΥΦΨΩ", ["Upsilon", "Phi", "Psi", "Omega"], strict=True)),
}
_OTHERS = re.compile(r"[^\x20-\x7e]+")
STYLES = {
    "zero": "gray!60",
    "level": "gray,densely dotted",
    "pull": "red!70!black,very thick",
    "push": "blue!60!black,very thick",
    "tangent": "orange!80!black",
    "curve": "thick",
}
"""How the lines of a picture look, in TikZ."""

_SECTIONS = {1: "section", 2: "subsection", 3: "subsubsection"}


class Latex(Markup):
    """Renders pages as LaTeX."""

    def __init__(self, *, standalone: bool) -> None:
        self.opening = (
            b"% A part of a document; --standalone writes a whole one. TikZ draws the pictures.\n"
        )
        if standalone:
            self.opening, self.closing = OPENING, CLOSING

    def text(self, text: str) -> str:
        """Return text that every engine can read."""
        escaped = "".join(_ESCAPED.get(sign, sign) for sign in text)
        return _OTHERS.sub(lambda match: "".join(map(_letter, match[0])), escaped)

    def number(self, sign: str, mantissa: str, exponent: str) -> str:
        """Return a number as mathematics, with a power of ten."""
        notation = Notation()
        return f"${sign}{notation.number(notation.text(mantissa), exponent)}$"

    def toned(self, text: str, tone: Tone) -> str:
        """Return text, in bold if it is to stand out."""
        return f"{{\\boldmath\\bfseries {text}}}" if tone in {Tone.STRONG, Tone.FAIL} else text

    def formula(self, formula: Formula) -> str:
        """Return a formula between dollar signs."""
        return f"${draw(formula, Notation(stacked=False))}$"

    def heading(self, heading: Heading) -> str:
        """Return a section, unnumbered, and the remark below its title."""
        below = f"{self.text(heading.below)}\n\n" if heading.below else ""
        return f"\\{_SECTIONS[heading.level]}*{{{self.text(heading.title)}}}\n\n{below}"

    def paragraph(self, paragraph: Paragraph) -> str:
        """Return a paragraph with its line breaks."""
        lines = " \\\\\n".join(self.pieces(line).strip() for line in paragraph.lines)
        return f"\\noindent {lines}\n\n"

    def table(self, table: Table) -> str:
        """Return a table, with the row of the target in bold."""
        columns = "".join("r" if column.is_number else "l" for column in table.columns)
        lines = [_row([self.pieces(column.title) for column in table.columns]), "\\hline\n"]
        for row in table.rows:
            cells = list(map(self.cell, row.cells, table.columns))
            if row.is_target:
                cells = [self.toned(cell, Tone.STRONG) for cell in cells]
            lines.append(_row(cells))
        if any(column.footer for column in table.columns):
            lines += ["\\hline\n", _row([self.text(column.footer) for column in table.columns])]
        tabular = f"\\begin{{tabular}}{{{columns}}}\n{''.join(lines)}\\end{{tabular}}"
        return f"\\begin{{center}}\n{tabular}\n\\end{{center}}\n\n"

    def error_map(self, error_map: ErrorMap) -> str:
        """Return a map in plain text."""
        lines = "\n".join(error_map.lines)
        return f"\\begin{{verbatim}}\n{lines}\n\\end{{verbatim}}\n\n"

    def plots(self, plots: Plots) -> str:
        """Return the pictures in TikZ, for a document that has it."""
        drawn = "".join(map(self._plot, plots.plots))
        return f"\\ifdefined\\tikzpicture\n\\begin{{center}}\n{drawn}\\end{{center}}\n\\fi\n\n"

    def _plot(self, plot: Plot) -> str:
        """Return a picture, with its title above and its slope below."""
        of_output = plot.of_class is None
        one, two, slope = map(self._said, plot.said)
        parts = f"$-${one}/{two}" if of_output else f"{one}~$-$~{two}"
        if plot.factor:
            parts = f"{self._said(plot.factor)}~({parts})"
        name = f" {self.text(plot.name)}" if plot.name else ""
        lines = "".join(
            f"  \\draw[{STYLES[kind]}] {_path(line)};\n"
            for kind, line in plot.lines.items()
            if line
        )
        x, y = plot.point
        left, right = (f"${end}$" for end in plot.ends)
        return (
            "\\begin{tikzpicture}[x=4.8mm,y=4.8mm,font=\\footnotesize]\n"
            f"  \\node[above] at (5,6.5) {{loss by {self.formula(plot.variable)}{name}}};\n"
            f"  \\draw[gray!40] (0,0) rectangle (10,6.5);\n{lines}"
            f"  \\fill ({x:.3f},{y:.3f}) circle (2pt);\n"
            f"  \\node[below right] at (0,0) {{{left}}};\n"
            f"  \\node[below left] at (10,0) {{{right}}};\n"
            f"  \\node[below] at (5,-1) {{slope {parts} $=$ {slope}}};\n"
            "\\end{tikzpicture}\\quad\n"
        )

    def step(self, numbered: NumberedStep) -> str:
        """Return a step, with its equations on lines of their own."""
        step = numbered.step
        head = f"\\paragraph{{{numbered.number}. {self.text(step.title)}.}}"
        text = f"{head} {self.pieces(step.rule)}\n{self._displayed(step.formula, numbered)}"
        for case, evaluation in zip(numbered.cases, step.evaluations, strict=True):
            if case:
                text += f"\\noindent {self.pieces(case)}:\n"
            text += self._displayed(evaluation.numbers, numbered)
            for note in evaluation.notes:
                text += f"\\noindent \\emph{{{self.pieces(note)}}}\n\n"
        return text + "\n"

    def _displayed(self, formula: Equation, numbered: NumberedStep) -> str:
        """Return an equation, and which classes it shows if not all fit."""
        lines, places = fitted(formula, DOCUMENT, WIDTH, numbered.important)
        text = f"\\[\n{_aligned(lines)}\n\\]\n"
        if places is not None:
            text += f"\\noindent \\emph{{({numbered.classes_at(places)})}}\n\n"
        return text


def _path(line: Line) -> str:
    return " -- ".join(f"({across:.3f},{up:.3f})" for across, up in line)


def _row(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\\n"


def _aligned(lines: Sequence[Equation]) -> str:
    """Return the lines of an equation, aligned at their first equals signs."""
    if len(lines) == 1:
        return draw(lines[0], Notation())
    left, *right = lines[0].members
    rows = [members for members in (right, *(line.members for line in lines[1:])) if members]
    drawn = [f"&= {draw(equation(*members), Notation())}" for members in rows]
    body = " \\\\\n".join(drawn)
    return f"\\begin{{aligned}}\n{draw(left, Notation())} {body}\n\\end{{aligned}}"


def _letter(letter: str) -> str:
    """Return a letter beyond ASCII: Greek, or with an accent, else for engines with Unicode."""
    if letter in _LETTERS:
        return _LETTERS[letter]
    if letter in _GREEK:
        return f"\\ensuremath{{\\{_GREEK[letter]}}}"
    base, *accents = list(unicodedata.normalize("NFD", letter))
    if base.isascii() and len(accents) == 1 and accents[0] in _ACCENTS:
        return f"\\{_ACCENTS[accents[0]]}{{{base}}}"
    _tell_of_engines()
    return f"\\ifdefined\\Umathchar {letter}\\else\\texttt{{U+{ord(letter):04X}}}\\fi{{}}"


@cache
def _tell_of_engines() -> None:
    """Say once that not every engine of LaTeX has every letter."""
    say("softgrad: pdflatex lacks some letters of these names; use lualatex, and a font with them")
