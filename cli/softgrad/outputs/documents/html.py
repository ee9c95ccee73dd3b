"""Pages -> one page of HTML in a single file, which fetches nothing.

A script moves the numbers of a derivation. Without it the page is complete, and stands still.
"""

from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path

from softgrad.outputs.documents.errors import histogram_picture, map_picture
from softgrad.outputs.documents.markup import Markup
from softgrad.outputs.documents.moving import Origins, data_of, script
from softgrad.outputs.documents.svg import picture
from softgrad.outputs.mathematics.drawing import draw
from softgrad.outputs.mathematics.fitting import DOCUMENT, fitted
from softgrad.outputs.mathematics.mathml import MathML
from softgrad.outputs.page.blocks import (
    Bars,
    Column,
    ErrorMap,
    Heading,
    Moving,
    NumberedStep,
    Paragraph,
    Plot,
    Plots,
    Row,
    Table,
    Tone,
)
from softgrad_core.derivation.formulas import Equation, Formula, Jacobian

WIDTH = 70
"""The width of the page in letters of mathematics, roughly."""

FOLDER = Path(__file__).parent
STYLE = FOLDER.joinpath("page.css").read_text("utf-8")

HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Softmax, loss and gradients - softgrad</title>
<style>{style}</style>
</head>
<body>
<main>
"""

SPOKEN = "The loss as a curve, with its tangent of slope"
"""What a picture is to who does not see it; the number follows."""

# Where bars of both signs begin, in percent of the room for a bar.
_MIDDLE = 50


class Html(Markup):
    """Renders pages as one page of HTML."""

    def __init__(self, *, moves: bool = False) -> None:
        self._origins: Origins | None = None
        code = f"<script>{script()}</script>\n" if moves else ""
        self.opening = HEAD.format(policy=_policy(moves=moves), style=STYLE).encode()
        self.closing = f"</main>\n{code}</body>\n</html>\n".encode()

    def text(self, text: str) -> str:
        """Return text with no tags in it."""
        return escape(text)

    def number(self, sign: str, mantissa: str, exponent: str) -> str:
        """Return a number with a minus sign and a power of ten, as mathematics writes them."""
        power = f"×10<sup>{int(exponent)}</sup>" if exponent else ""
        return f"{sign}{mantissa}{power}".replace("-", "\N{MINUS SIGN}")

    def toned(self, text: str, tone: Tone) -> str:
        """Return text with the tone as its class."""
        if tone is Tone.STRONG:
            return f"<strong>{text}</strong>"
        return f'<span class="{tone}">{text}</span>' if tone else text

    def formula(self, formula: Formula) -> str:
        """Return a formula as MathML."""
        return f"<math>{draw(formula, MathML(self._origins, stacked=False))}</math>"

    def heading(self, heading: Heading) -> str:
        """Return a heading and the remark below it."""
        level = heading.level
        below = f'<p class="below">{self.text(heading.below)}</p>\n' if heading.below else ""
        return f"<h{level}>{self.text(heading.title)}</h{level}>\n{below}"

    def paragraph(self, paragraph: Paragraph) -> str:
        """Return a paragraph, which the style sheet breaks where its lines end."""
        lines = "\n".join(map(self.pieces, paragraph.lines))
        return f'<p class="lines"{_data(key=paragraph.key)}>{lines}</p>\n'

    def table(self, table: Table) -> str:
        """Return a table, with bars below the numbers."""
        head = "".join(
            f'<th scope="col"{_kind(column)}{_data(key=column.key)}>'
            f"{self.pieces(column.title)}</th>"
            for column in table.columns
        )
        body = "".join(self._row(row, table) for row in table.rows)
        foot = ""
        if any(column.footer for column in table.columns):
            first, *others = table.columns
            cells = f'<th scope="row" class="text">{self.text(first.footer)}</th>'
            cells += "".join(
                f"<td{_data(key=column.key)}>{self._said(column.footer)}</td>" for column in others
            )
            foot = f"<tfoot><tr>{cells}</tr></tfoot>\n"
        return (
            '<div class="scroll" role="region" aria-label="Table" tabindex="0">\n<table>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n{foot}</table>\n</div>\n"
        )

    def _row(self, row: Row, table: Table) -> str:
        """Return a row, with its first cell as its head."""
        label = self.pieces(row.cells[:1])
        if row.is_target:
            label += ' <span class="mark">(target)</span>'
        cells = f'<th scope="row" class="text">{label}</th>'
        for place, column in list(enumerate(table.columns))[1:]:
            bar = _bar(column.bars, row.shares[place]) if place in row.shares else ""
            cell = self.cell(row.cells[place], column)
            cells += f"<td{_kind(column)}{_data(key=column.key)}>{cell}{bar}</td>"
        kind = ' class="target"' if row.is_target else ""
        kind += " data-rest" if row.tone is Tone.DIM else _data(**{"class": row.of_class})
        return f"<tr{kind}>{cells}</tr>\n"

    def error_map(self, error_map: ErrorMap) -> str:
        """Return the map as a picture, with the numbers of its worst cells, and a histogram."""
        drawn = map_picture(error_map)
        if error_map.histogram:
            drawn += histogram_picture(error_map.histogram)
        return drawn

    def plots(self, plots: Plots) -> str:
        """Return the pictures, each with what its slope is made of."""
        drawn = "".join(map(self._plot, plots.plots))
        return f'<div class="plots">\n{drawn}</div>\n'

    def _plot(self, plot: Plot) -> str:
        minus = "\N{MINUS SIGN}"
        before, between, *kinds = ("", f" {minus} ", "push", "pull", "all")
        if plot.of_class is None:
            before, between, *kinds = (minus, " / ", "pull", "push", "all")
        one, two, slope = (
            f'<b class="{kind}" data-says="{place}">{self._said(number)}</b>'
            for place, (kind, number) in enumerate(zip(kinds, plot.said, strict=True))
        )
        name = self.text(f" {plot.name}") if plot.name else ""
        title = f'loss by {self.formula(plot.variable)}<span class="name">{name}</span>'
        says = f"<span>slope {before}{one}{between}{two}</span>"
        if plot.factor:
            factor = f'<b data-says="3">{self._said(plot.factor)}</b>'
            says = f"<span>slope {factor} ×</span> <span>({one}{between}{two})</span>"
        says += f" <span>= {slope}</span>"
        spoken = f"{SPOKEN} {plot.said[-1]}"
        return (
            f'<figure class="plot"{_data(index=plot.of_class)}>\n'
            f"<figcaption>{title}</figcaption>\n{picture(plot, spoken)}\n<p>{says}</p></figure>\n"
        )

    def moving(self, moving: Moving) -> str:
        """Return a row, with what the script has to know of it."""
        self._origins = Origins()
        blocks = super().moving(moving)
        data = data_of(moving, self._origins)
        self._origins = None
        return (
            f'<section class="moving">\n{blocks}'
            f'<script type="application/json">{data}</script>\n</section>\n'
        )

    def step(self, numbered: NumberedStep) -> str:
        """Return a step, with its equations on lines of their own."""
        step = numbered.step
        text = f'<span class="number" aria-hidden="true">{numbered.number}</span>\n'
        text += f"<h4>{self.text(step.title)}</h4>\n<p>{self.pieces(step.rule)}</p>\n"
        text += self._equation(step.formula, numbered)
        label = numbered.classes[numbered.important[0]]
        for case, evaluation in zip(numbered.cases, step.evaluations, strict=True):
            inner = f'<div class="which">{self.pieces(case)}:</div>\n' if case else ""
            inner += self._equation(evaluation.numbers, numbered)
            for note in evaluation.notes:
                inner += f'<p class="note still">{self.pieces(note)}</p>\n'
            which = _data(case="label" if evaluation.index == label else "other") if case else ""
            text += f'<div class="case"{which}>\n{inner}</div>\n'
        return f'<section class="step">\n{text}</section>\n'

    def _equation(self, formula: Equation, numbered: NumberedStep) -> str:
        """Return an equation, one `math` for each member: a narrow page breaks between them."""
        lines, places = fitted(formula, DOCUMENT, WIDTH, numbered.important)
        first, *others = (
            draw(member, MathML(self._origins)) for line in lines for member in line.members
        )
        pieces = [first, *(f'<mo form="infix">=</mo>{other}' for other in others)]
        if isinstance(formula.members[0], Jacobian):
            # A letter alone on a line would look lost.
            pieces = ["".join(pieces)]
        drawn = "".join(
            f'<math displaystyle="true"><mrow>{piece}</mrow></math>\n' for piece in pieces
        )
        text = f'<div class="equation" role="group">\n{drawn}</div>\n'
        if places is not None:
            text += f'<p class="note">({numbered.classes_at(places)})</p>\n'
        return text


def _policy(*, moves: bool) -> str:
    """Return what a browser may do with the page: use its own style and script."""

    def own(text: str) -> str:
        return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"

    scripts = f"; script-src {own(script())}" if moves else ""
    return (
        f"default-src 'none'; style-src {own(STYLE)}{scripts}; base-uri 'none'; form-action 'none'"
    )


def _data(**values: object) -> str:
    """Return data attributes, of those values that there are."""
    return "".join(
        f' data-{name}="{value}"' for name, value in values.items() if value not in {None, ""}
    )


def _kind(column: Column) -> str:
    return "" if column.is_number else ' class="text"'


def _bar(bars: Bars | None, share: float) -> str:
    """Return a bar. Screen readers skip it, since its number says the same."""
    if bars is Bars.SHARE:
        drawn = f'<rect width="{100 * share:.4g}" height="8"/>'
    else:
        width = _MIDDLE * abs(share)
        start = _MIDDLE - width if share < 0 else _MIDDLE
        kind = ' class="below"' if share < 0 else ""
        drawn = (
            f'<rect{kind} x="{start:.4g}" width="{width:.4g}" height="8"/>'
            f'<line x1="{_MIDDLE}" x2="{_MIDDLE}" y2="8"/>'
        )
    return (
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f"{drawn}</svg>"
    )
