"""Lines of text for a screen: sentences broken between words, tables, intervals drawn in characters.

Widths are in cells of a terminal, of which a Chinese character takes two. No line has spaces at its end.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from vitbench.files import printable
from vitbench.reports.html_cells import Axis

BETWEEN = "  "
"""Between two columns."""
ASCII = str.maketrans(
    {"├": "|", "┤": "|", "─": "-", "●": "o", "↳": ">", "–": "-", "−": "-", "…": "...", "≤": "<=", "±": "+/-",
     "×": "x", "·": "-", "“": '"', "”": '"'}
)  # fmt: skip
"""What stands for a character where the terminal's encoding has no such one."""
TIED = "\xa0"
LEAST_BAR, GOOD_BAR, MOST_BAR = 11, 21, 31
"""Cells for a drawn interval: beside what is needed most, beside other columns, at most."""


@dataclass(frozen=True)
class Line:
    """One line."""

    text: str
    light: bool = False
    """Set lighter where the terminal can; words say the same."""


def plain(lines: Iterable[Line], encoding: str) -> list[Line]:
    """The lines, or what stands for them in ASCII where the encoding lacks what tables are drawn with."""
    try:
        "├─●┤–−…↳≤".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return [Line(line.text.translate(ASCII), line.light) for line in lines]
    return list(lines)


def wrapped(text: str, width: int, first: str = "", then: str = "") -> list[Line]:
    """A sentence on lines of at most `width` cells; `first` stands before the first, `then` before others.

    Broken between words, a number and its % together; a word that is longer than a line behind one of its
    joints (_ . / - and the like).
    """
    lines, line = [], first
    started = False
    words = [word.replace(TIED, " ") for word in printable(text).replace(" %", f"{TIED}%").split(" ") if word]
    for word in _words(words, max(8, width - max(cell_len(first), cell_len(then)))):
        longer = f"{line} {word}" if started else f"{line}{word}"
        if started and cell_len(longer) > width:
            lines.append(line)
            longer = f"{then}{word}"
        line, started = longer, True
    return [Line(one.rstrip()) for one in (*lines, line)]


def _words(words: Iterable[str], room: int) -> Iterator[str]:
    for word in words:
        part = ""
        for piece in _pieces(word, room) if cell_len(word) > room else [word]:
            if part and cell_len(part + piece) > room:
                yield part
                part = ""
            part += piece
        yield part


def _pieces(word: str, room: int) -> Iterator[str]:
    """What a word is joined of, each of at most so many cells."""
    for piece in JOINT.split(word):
        step = room // 2 if cell_len(piece) > room else max(1, len(piece))
        yield from (piece[i : i + step] for i in range(0, len(piece), step))


JOINT = re.compile(r"(?<=[-_./:@=+])")


def shortened(name: str, room: int) -> str:
    """A name of at most so many cells: its middle left out between joints, "vit…openai_ft_in1k"."""
    if cell_len(name) <= room:
        return name
    begin, *rest = JOINT.split(name)
    end = ""
    while rest and cell_len(f"{begin}…{rest[-1]}{end}") <= room:
        end = rest.pop() + end
    found = f"{begin}…{end}"
    while cell_len(found) > room:
        begin = begin[:-1]
        found = f"{begin}…"
    return found


def tabulated(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], light: Sequence[bool]
) -> list[Line]:
    """A table: its head and a rule, then a line per row; `right`: the columns that are set to the right."""
    widths = [max(map(cell_len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        parts = []
        for cell, width, to_right in zip(cells, widths, right, strict=True):
            spaces = " " * (width - cell_len(cell))
            parts.append(spaces + cell if to_right else cell + spaces)
        return BETWEEN.join(parts).rstrip()

    rule = "─" * (sum(widths) + len(BETWEEN) * (len(widths) - 1))
    body = (Line(line(row), soft) for row, soft in zip(rows, light, strict=True))
    return [Line(line(head)), Line(rule), *body]


def axis_head(axis: Axis, cells: int) -> str:
    """The ends of the axis that intervals are drawn on, "20      70 %"."""
    low, high = axis.ends
    return f"{low}{high:>{cells - len(low)}}"


def drawn(axis: Axis, low: float | None, at: float | None, high: float | None, cells: int) -> str:
    """An interval with its point: "  ├──●───┤"; "" where one is missing or the point is off the axis."""
    if at is None or not axis.low <= at <= axis.high:
        return ""
    first, point, last = (
        round(axis.place(at if value is None else value) / 100 * (cells - 1)) for value in (low, at, high)
    )
    bar = [" "] * first + ["─"] * (last - first + 1)
    bar[first], bar[last], bar[point] = "├", "┤", "●"
    return "".join(bar)
