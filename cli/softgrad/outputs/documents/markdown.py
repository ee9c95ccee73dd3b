"""Pages -> Markdown, with tables and mathematics: for GitHub, or for notebooks and Pandoc."""

import re
from collections.abc import Sequence

from softgrad.outputs.documents.markup import Markup
from softgrad.outputs.documents.svg import in_line, slope_of, standalone
from softgrad.outputs.mathematics.drawing import draw
from softgrad.outputs.mathematics.latex import Latex
from softgrad.outputs.page.blocks import (
    Column,
    ErrorMap,
    Heading,
    NumberedStep,
    Paragraph,
    Plots,
    Row,
    Table,
    Tone,
)
from softgrad.outputs.page.braille import lines_of
from softgrad.outputs.pictures import Pictures
from softgrad_core.derivation.formulas import Formula

WIDTH = 76
"""The letters beside each other in a block of text."""

_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+!|$~&-])")


class Markdown(Markup):
    """Renders pages as Markdown for GitHub, with pictures in files where the text goes to one."""

    def __init__(self, pictures: Pictures | None = None) -> None:
        self._pictures = pictures

    def text(self, text: str) -> str:
        """Return text with a backslash before what would be a mark."""
        return _MARKS.sub(r"\\\1", text)

    def number(self, sign: str, mantissa: str, exponent: str) -> str:
        """Return a number as programs write it."""
        return f"{sign}{mantissa}e{exponent}" if exponent else sign + mantissa

    def toned(self, text: str, tone: Tone) -> str:
        """Return text, in bold if it is to stand out."""
        return f"**{text}**" if tone in {Tone.STRONG, Tone.FAIL} and text else text

    def formula(self, formula: Formula) -> str:
        """Return a formula between GitHub's marks for mathematics in a line."""
        return f"$`{draw(formula, Latex(stacked=False))}`$"

    def heading(self, heading: Heading) -> str:
        """Return a heading and the remark below it, from the second level on."""
        below = f"{self.text(heading.below)}\n\n" if heading.below else ""
        return f"{'#' * (heading.level + 1)} {self.text(heading.title)}\n\n{below}"

    def paragraph(self, paragraph: Paragraph) -> str:
        """Return a paragraph with its line breaks."""
        return "\\\n".join(self.pieces(line).strip() for line in paragraph.lines) + "\n\n"

    def table(self, table: Table) -> str:
        """Return a table, with the row of the target in bold."""
        rows = [
            [self.pieces(column.title) for column in table.columns],
            ["---:" if column.is_number else ":---" for column in table.columns],
            *(self._cells(row, table.columns) for row in table.rows),
        ]
        if any(column.footer for column in table.columns):
            rows.append([self.text(column.footer) for column in table.columns])
        return "".join(f"| {' | '.join(row)} |\n" for row in rows) + "\n"

    def _cells(self, row: Row, columns: Sequence[Column]) -> Sequence[str]:
        cells = list(map(self.cell, row.cells, columns))
        if not row.is_target:
            return cells
        return [cell if cell.startswith("**") else self.toned(cell, Tone.STRONG) for cell in cells]

    def error_map(self, error_map: ErrorMap) -> str:
        """Return a map in plain text."""
        return "\n".join(["```text", *error_map.lines, "```", "", ""])

    def plots(self, plots: Plots) -> str:
        """Return a link to the pictures, or the pictures in letters, as lines that are indented."""
        if self._pictures is not None:
            said = self.text("; ".join(f"loss by {in_line(p)}: {slope_of(p)}" for p in plots.plots))
            return f"![{said}](<{self._pictures.add(standalone(plots))}>)\n\n"
        lines = lines_of(plots, WIDTH, has_signs=True)
        return "\n".join([*(f"    {line}".rstrip() for line in lines), "", ""])

    def step(self, numbered: NumberedStep) -> str:
        """Return a step, with its equations in blocks of mathematics."""
        step = numbered.step
        text = f"**{numbered.number}. {self.text(step.title)}.** {self.pieces(step.rule)}\n\n"
        text += self.block(step.formula)
        for case, evaluation in zip(numbered.cases, step.evaluations, strict=True):
            if case:
                text += f"{self.pieces(case)}:\n\n"
            text += self.block(evaluation.numbers)
            text += "".join(f"*{self.pieces(note)}*\n\n" for note in evaluation.notes)
        return text

    def block(self, formula: Formula) -> str:
        """Return a formula on lines of its own."""
        return f"```math\n{draw(formula, Latex())}\n```\n\n"


class Pandoc(Markdown):
    """Renders pages as Markdown for notebooks and Pandoc, whose mathematics is between dollars."""

    def formula(self, formula: Formula) -> str:
        """Return a formula in a line of text."""
        return f"${draw(formula, Latex(stacked=False)).strip()}$"

    def block(self, formula: Formula) -> str:
        """Return a formula on lines of its own."""
        return f"$$\n{draw(formula, Latex())}\n$$\n\n"
