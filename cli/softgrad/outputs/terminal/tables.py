"""Tables on a terminal: aligned columns, with bars of block characters where there is room."""

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.table import Table as RichTable
from rich.text import Text

from softgrad.outputs.page.blocks import Bars, Cell, Column, Math, Pieces, Row, Table, Tone, Toned

LONGEST_NAME = 16
LONGEST_BAR = 12
SHORTEST_BAR = 4

# rich's SIMPLE_HEAD in ASCII: only a line of dashes, below the head.
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
    """Draws tables for a terminal of a width, which may show ASCII only."""

    def __init__(self, width: int, *, has_signs: bool) -> None:
        self._width = width
        self._has_signs = has_signs

    def drawn(self, table: Table) -> RichTable:
        """Return a table, with bars where there is room."""
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
            if bar and _has_bars(column):
                drawn.add_column("", width=bar, no_wrap=True)
        for row, cells in zip(table.rows, rows, strict=True):
            style = TARGET_STYLE if row.is_target else STYLES[row.tone]
            texts = []
            for place, (cell, column) in enumerate(zip(cells, table.columns, strict=True)):
                texts.append(styled((cell,), style))
                if bar and _has_bars(column):
                    share = row.shares.get(place, 0.0)
                    texts.append(Text(self._bar(column.bars, share, bar), style))
            drawn.add_row(*texts)
        return drawn

    def _label(self, row: Row, table: Table) -> str:
        """Return the first cell of a row; of a class with a mark for the target, and cut."""
        label = styled((row.cells[0],)).plain
        if not table.are_classes or row.tone is Tone.DIM:
            return label
        index, blank, name = label.partition(" ")
        if cell_len(name) > LONGEST_NAME:
            name = set_cell_size(name, LONGEST_NAME - 3).rstrip() + "..."
        arrow = "→" if self._has_signs else ">"
        return f"{arrow if row.is_target else ' '} {index}{blank}{name}"

    def _bar_width(self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> int:
        """Return the width of bars; 0 where there is no room, or there are none."""
        count = sum(map(_has_bars, columns))
        if not count:
            return 0
        texts = [
            [styled(column.title).plain for column in columns],
            [column.footer for column in columns],
            *([styled((cell,)).plain for cell in cells] for cells in rows),
        ]
        widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
        # Two blanks separate columns, and one stands at each end.
        bar = (self._width - sum(widths) - 2 * (len(widths) + count)) // count
        return min(LONGEST_BAR, bar) if bar >= SHORTEST_BAR else 0

    def _bar(self, bars: Bars | None, share: float, width: int) -> str:
        """Return a bar: from the left, or to either side of the middle for a signed share."""
        if bars is Bars.SHARE:
            return self._blocks(share, width)
        half = width // 2
        if share >= 0:
            return " " * half + self._blocks(share, half)
        halves = round(-share * half * 2)
        blocks = "▐" * (halves % 2) + "█" * (halves // 2)
        return (blocks if self._has_signs else "#" * (halves // 2)).rjust(half)

    def _blocks(self, share: float, width: int) -> str:
        """Return this share of a width, to an eighth of a letter if there are signs for it."""
        if not self._has_signs:
            return "#" * round(share * width)
        eighths = round(share * width * 8)
        return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _has_bars(column: Column) -> bool:
    """Return whether the bars of a column stand beside it, in a column of their own."""
    return column.bars in {Bars.SHARE, Bars.SIGNED}


def styled(pieces: Pieces, style: str = "") -> Text:
    """Return pieces of text in one line."""
    text = Text()
    for piece in pieces:
        match piece:
            case Toned(said, tone):
                text.append(said, STYLES[tone])
            case Math(said) | str(said):
                text.append(said, style)
    return text
