"""Tables for a terminal: what does not fit is left out whole, nothing is folded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vitbench import files

if TYPE_CHECKING:
    from rich.table import Table

GAP = 2
"""Cells between columns."""


def fitted(
    titles: Sequence[str], rows: Sequence[Sequence[str]], width: int, right: Sequence[str] = ()
) -> tuple["Table", list[str]]:
    """A table of the columns that fit in `width` cells, the earlier before the later, and the others' titles.

    The first column is always there, cut off with … where it is wider than the screen; a column in which no
    row has anything is left out unsaid. `right`: the titles whose cells end together.
    """
    from rich.table import Table
    from rich.text import Text

    cells = [[files.printable(cell) for cell in row] for row in rows]
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
    kept: list[int] = []
    left_out: list[str] = []
    free = width + GAP
    for place, (title, size) in enumerate(zip(titles, widest(titles, cells), strict=True)):
        if not any(row[place] for row in cells):
            continue
        needed = size + GAP
        if kept and needed > free:
            left_out.append(title)
            continue
        kept.append(place)
        free -= needed
        table.add_column(
            Text(title), justify="right" if title in right else "left", no_wrap=True, overflow="ellipsis"
        )
    for row in cells:
        table.add_row(*(Text(row[place]) for place in kept))
    return table, left_out


def widest(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """The cells that each column needs."""
    from rich.cells import cell_len

    return [
        max(cell_len(files.printable(text)) for text in [title, *(row[place] for row in rows)])
        for place, title in enumerate(titles)
    ]


def beginning(text: str, room: int) -> str:
    """A text, cut off with … behind where it is wider than `room` cells."""
    from rich.cells import cell_len, chop_cells

    if cell_len(text) <= room:
        return text
    return f"{(chop_cells(text, max(room - 1, 1)) or [''])[0]}…"


def ending(text: str, room: int) -> str:
    """A text, cut off with … before where it is wider than `room` cells: of a path the file's name stays."""
    return beginning(text[::-1], room)[::-1]
