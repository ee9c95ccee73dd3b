"""Pages -> one page of HTML in a single file: no script, no font, nothing to fetch."""

from html import escape

from softgrad.outputs.documents.markup import Markup
from softgrad.outputs.mathematics.drawing import draw
from softgrad.outputs.mathematics.fitting import DOCUMENT, fitted
from softgrad.outputs.mathematics.mathml import MathML
from softgrad.outputs.page.blocks import (
    Bars,
    Column,
    ErrorMap,
    Heading,
    NumberedStep,
    Paragraph,
    Row,
    Table,
    Tone,
)
from softgrad_core.derivation.formulas import Equation, Formula, Jacobian

WIDTH = 70
"""The width of the page in letters of mathematics, roughly."""

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1b1b1f; --paper: #fdfdfc; --faint: #6a6a72; --line: #d9d9de;
  --target: #9a5b00; --target-ground: #fdf3e1; --bar: #4878b6; --below: #c0504d;
  --pass: #1d7a3a; --fail: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e6ea; --paper: #17181b; --faint: #a0a0aa; --line: #3a3b40;
    --target: #f0b860; --target-ground: #2c2415; --bar: #6d9ed8; --below: #e08480;
    --pass: #6fcf8d; --fail: #ff8a80;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 46rem;
  background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.55 Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, serif;
}
h1, h2, h3 { line-height: 1.25; font-weight: 600; }
h1 { font-size: 1.5rem; margin: 2.5rem 0 1rem; }
h1:first-child { margin-top: 0; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .5rem; }
h3 {
  font-size: 1.1rem; margin: 2.5rem 0 0; padding-top: .75rem;
  border-top: 1px solid var(--line);
}
h4 { font-size: 1.0625rem; margin: 0; }
p { margin: .5rem 0; }
.below, .dim, .note, .uninformative { color: var(--faint); }
.below, .note { font-size: .9375rem; }
.pass { color: var(--pass); }
.fail { color: var(--fail); font-weight: 600; }
.lines { white-space: pre-wrap; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem; text-align: right; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
.text { text-align: left; }
thead th { border-bottom: 1.5px solid var(--ink); }
tfoot td, tfoot th { border-top: 1px solid var(--line); }
tr.target { background: var(--target-ground); }
tr.target th { color: var(--target); }
figure.map { margin: 1rem 0; }
figure.map svg { display: block; width: 100%; max-width: 48rem; border: 1px solid var(--line); }
figure.map rect { fill: var(--fail); }
svg.bar { display: block; width: 100%; min-width: 4.5rem; height: .4rem; margin-top: .15rem; }
svg.bar rect { fill: var(--bar); }
svg.bar rect.below { fill: var(--below); }
svg.bar line { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; }
.step { margin: 1.75rem 0; padding-left: 2.25rem; position: relative; break-inside: avoid; }
.step > .number { position: absolute; left: 0; color: var(--faint); }
.case { margin: .25rem 0; }
.case > .which { font-size: .9375rem; color: var(--faint); }
.equation {
  display: flex; flex-wrap: wrap; align-items: baseline; gap: .35rem 0;
  margin: .5rem 0; overflow: auto hidden; padding: .15rem 0;
}
math { font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math", "STIX Math", math; }
.equation math { font-size: 1.0625rem; }
mtd { padding: .5ex .4em; text-align: right; text-align: -webkit-right; }
@media (max-width: 34rem) {
  body { font-size: 1rem; }
  table { font-size: .8125rem; }
  th, td { padding: .25rem .3rem; }
  svg.bar { min-width: 3rem; }
  .mark { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .step { padding-left: 0; }
  .step > .number { position: static; float: left; margin-right: .6rem; }
  .equation math { font-size: .95rem; }
}
@media print {
  :root {
    color-scheme: light;
    --ink: #000; --paper: #fff; --faint: #555; --line: #bbb; --target: #7a4800;
    --target-ground: #f4f4f4; --bar: #4878b6; --below: #c0504d;
  }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  h1, h2, h3, h4, .step > p { break-after: avoid; }
  h3 { margin-top: 1.5rem; }
  .step { break-inside: auto; margin: 1rem 0; }
  .case, .equation, .note { break-inside: avoid; }
  h1 ~ h1 { break-before: page; }
  .scroll, .equation { overflow: visible; }
  @page { margin: 20mm; }
}
"""

OPENING = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Softmax, loss and gradients - softgrad</title>
<style>{STYLE}</style>
</head>
<body>
<main>
"""
CLOSING = """</main>
</body>
</html>
"""

# Where bars of both signs begin, in percent of the room for a bar.
_MIDDLE = 50


class Html(Markup):
    """Renders pages as one page of HTML."""

    opening, closing = OPENING.encode(), CLOSING.encode()

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
        return f"<math>{draw(formula, MathML(stacked=False))}</math>"

    def heading(self, heading: Heading) -> str:
        """Return a heading and the remark below it."""
        level = heading.level
        below = f'<p class="below">{self.text(heading.below)}</p>\n' if heading.below else ""
        return f"<h{level}>{self.text(heading.title)}</h{level}>\n{below}"

    def paragraph(self, paragraph: Paragraph) -> str:
        """Return a paragraph, which the style sheet breaks where its lines end."""
        lines = "\n".join(map(self.pieces, paragraph.lines))
        return f'<p class="lines">{lines}</p>\n'

    def table(self, table: Table) -> str:
        """Return a table, with bars below the numbers."""
        head = "".join(
            f'<th scope="col"{_kind(column)}>{self.pieces(column.title)}</th>'
            for column in table.columns
        )
        body = "".join(self._row(row, table) for row in table.rows)
        foot = ""
        if any(column.footer for column in table.columns):
            first, *others = table.columns
            cells = f'<th scope="row" class="text">{self.text(first.footer)}</th>'
            cells += "".join(f"<td>{self.text(column.footer)}</td>" for column in others)
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
            cells += f"<td{_kind(column)}>{self.cell(row.cells[place], column)}{bar}</td>"
        kind = ' class="target"' if row.is_target else ""
        return f"<tr{kind}>{cells}</tr>\n"

    def error_map(self, error_map: ErrorMap) -> str:
        """Return a map as a picture: the more of a cell is wrong, the darker it is."""
        rows, columns = len(error_map.shares), len(error_map.shares[0])
        cells = "".join(
            f'<rect x="{x}" y="{y}" width="1" height="1" fill-opacity="{0.2 + 0.8 * share:.3g}"/>'
            for y, row in enumerate(error_map.shares)
            for x, share in enumerate(row)
            if share
        )
        caption = self.text(error_map.caption)
        return (
            f'<figure class="map"><figcaption>{caption}</figcaption>\n'
            f'<svg viewBox="0 0 {columns} {rows}" role="img" aria-label="{caption}">'
            f"{cells}</svg></figure>\n"
        )

    def step(self, numbered: NumberedStep) -> str:
        """Return a step, with its equations on lines of their own."""
        step = numbered.step
        text = f'<span class="number" aria-hidden="true">{numbered.number}</span>\n'
        text += f"<h4>{self.text(step.title)}</h4>\n<p>{self.pieces(step.rule)}</p>\n"
        text += self._equation(step.formula, numbered)
        for case, evaluation in zip(numbered.cases, step.evaluations, strict=True):
            inner = f'<div class="which">{self.pieces(case)}:</div>\n' if case else ""
            inner += self._equation(evaluation.numbers, numbered)
            for note in evaluation.notes:
                inner += f'<p class="note">{self.pieces(note)}</p>\n'
            text += f'<div class="case">\n{inner}</div>\n'
        return f'<section class="step">\n{text}</section>\n'

    def _equation(self, formula: Equation, numbered: NumberedStep) -> str:
        """Return an equation, one `math` for each member: a narrow page breaks between them."""
        lines, places = fitted(formula, DOCUMENT, WIDTH, numbered.important)
        first, *others = (draw(member, MathML()) for line in lines for member in line.members)
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
