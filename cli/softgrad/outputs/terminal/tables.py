"""Tables on a screen of letters: columns that fit, and bars of blocks where there is room."""

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.table import Table as RichTable
from rich.text import Text

from softgrad.outputs.page import Bars, Column, Math, Row, Table, Tone, Toned

LONGEST_NAME = 16
LONGEST_BAR = 12
SHORTEST_BAR = 4

# rich's SIMPLE_HEAD in ASCII: a line of dashes under the head and no other.
ASCII_HEAD = box.Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)

TARGET_STYLE = "bold yellow"
STYLES = {
    Tone.PLAIN: "",
    Tone.STRONG: "bold",
    Tone.DIM: "dim",
    Tone.PASS: "green",
    Tone.FAIL: "bold red",
    Tone.UNINFORMATIVE: "dim",
}


class Tables:
    """Draws tables as wide as the screen, which may have no more signs than ASCII."""

    def __init__(self, width: int, *, has_signs: bool) -> None:
        self._width = width
        self._has_signs = has_signs

    def drawn(self, table: Table) -> RichTable:
        """Return a table, with bars where there is room for them."""
        drawn = RichTable(
            box=box.SIMPLE_HEAD if self._has_signs else ASCII_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
            show_footer=any(column.footer for column in table.columns),
        )
        rows = [[self._label(row, table), *row.cells[1:]] for row in table.rows]
        bar = self._bar_width(table.columns, rows)
        for column in table.columns:
            drawn.add_column(
                styled(column.title),
                footer=column.footer,
                justify="right" if column.is_number else "left",
                no_wrap=not column.is_number,
            )
            if bar and column.bars in _DRAWN:
                drawn.add_column("", width=bar, no_wrap=True)
        for row, cells in zip(table.rows, rows, strict=True):
            drawn.add_row(*self._cells(row, cells, table.columns, bar))
        return drawn

    def _cells(
        self, row: Row, cells: Sequence[str | Toned], columns: Sequence[Column], bar: int
    ) -> list[Text]:
        """Return the cells of a row, with bars after those that have some."""
        style = TARGET_STYLE if row.is_target else STYLES[row.tone]
        texts = []
        for place, (cell, column) in enumerate(zip(cells, columns, strict=True)):
            texts.append(styled((cell,), style))
            if bar and column.bars in _DRAWN:
                texts.append(Text(self._bar(column.bars, row.shares.get(place, 0.0), bar), style))
        return texts

    def _bar_width(self, columns: Sequence[Column], rows: Sequence[Sequence[str | Toned]]) -> int:
        """Return how wide bars may be; 0 where there is no room, or nothing to draw."""
        count = sum(column.bars in _DRAWN for column in columns)
        if not count:
            return 0
        texts = [
            [styled(column.title).plain for column in columns],
            [column.footer for column in columns],
            *([styled((cell,)).plain for cell in cells] for cells in rows),
        ]
        widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
        # Between two columns are two blanks, and there is one before and after all.
        bar = (self._width - sum(widths) - 2 * (len(widths) + count)) // count
        return min(LONGEST_BAR, bar) if bar >= SHORTEST_BAR else 0

    def _label(self, row: Row, table: Table) -> str:
        """Return what stands at a row: of a class with a mark if it is the target."""
        label = styled(row.cells[:1]).plain
        if not table.are_classes or row.tone is Tone.DIM:
            return label
        index, blank, name = label.partition(" ")
        if cell_len(name) > LONGEST_NAME:
            name = set_cell_size(name, LONGEST_NAME - 3).rstrip() + "..."
        arrow = "→" if self._has_signs else ">"
        return f"{arrow if row.is_target else ' '} {index}{blank}{name}"

    def _bar(self, bars: Bars | None, share: float, width: int) -> str:
        """Return a bar for this share: from the left, or from the middle for a sign."""
        if bars is Bars.SHARE:
            return self._blocks(share, width)
        half = width // 2
        if share >= 0:
            return " " * half + self._blocks(share, half)
        halves = round(-share * half * 2)
        blocks = "▐" * (halves % 2) + "█" * (halves // 2)
        return (blocks if self._has_signs else "#" * (halves // 2)).rjust(half)

    def _blocks(self, share: float, width: int) -> str:
        """Return this share of a width, to an eighth of a letter where it can be."""
        if not self._has_signs:
            return "#" * round(share * width)
        eighths = round(share * width * 8)
        return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


_DRAWN = {Bars.SHARE, Bars.SIGNED}
"""The bars that have a column of their own."""


def styled(pieces: Sequence[object], style: str = "") -> Text:
    """Return pieces of text in one line."""
    text = Text()
    for piece in pieces:
        match piece:
            case Toned(said, tone):
                text.append(said, STYLES[tone])
            case Math(said) | str(said):
                text.append(said, style)
    return text
