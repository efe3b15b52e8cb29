"""What a table of the report page is made of: cells with bars on one axis, headings, lines."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vitbench.reports.report import Badge

INTERVAL = "where the true number lies, wrong 1 time in 20 (95 % interval)"
TIGHT = 4
"""Columns with bars that have room for figures too."""


@dataclass(frozen=True)
class Bar:
    """An interval with its point, in percent of the axis."""

    low: float
    high: float
    at: float
    mark: float | None = None
    """A reference line: the majority baseline, or zero."""


@dataclass(frozen=True)
class Cell:
    """One cell."""

    text: str
    key: float | None = None
    """What a numeric column is sorted by; None: at the end."""
    soft: str = ""
    """Set lighter behind the text: an interval."""
    bar: Bar | None = None
    badges: tuple[Badge, ...] = ()
    below: str = ""
    """Small, under the text."""

    @property
    def copied(self) -> str:
        """What a copied table holds."""
        return f"{self.text} {self.soft}".strip()


@dataclass(frozen=True)
class Head:
    """The heading of a column."""

    title: str
    numeric: bool = True
    axis: tuple[str, str] | None = None
    """Both ends of the bars' axis."""
    meaning: str = ""
    """What stands in the column, one line that goes on from the title."""


@dataclass(frozen=True)
class Line:
    """A row."""

    cells: tuple[Cell, ...]
    kind: str = ""
    """"light" or "beside", below another row: set lighter."""


@dataclass(frozen=True)
class Table:
    """A table of the page."""

    name: str
    """Its id on the page."""
    title: str
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]

    @property
    def meanings(self) -> tuple[str, ...]:
        """What stands in each column, with its intervals; "" of text."""
        found = []
        for place, head in enumerate(self.heads):
            in_brackets = any(line.cells[place].soft.startswith("[") for line in self.lines)
            untold = in_brackets and head.meaning and "95 %" not in head.meaning
            found.append(f"{head.meaning}; in brackets: {INTERVAL}" if untold else head.meaning)
        return tuple(found)

    @property
    def room(self) -> float:
        """Width for the numbers in front of a bar, in rem; 0 without bars."""
        cells = [cell for line in self.lines for cell in line.cells if cell.bar]
        soft = 0.0 if self.tight else 0.44
        return max((0.58 * max(len(cell.text), 4) + soft * len(cell.soft) + 0.5 for cell in cells), default=0)

    @property
    def tight(self) -> bool:
        """So many columns with bars that only copies tell their intervals in figures."""
        return sum(head.axis is not None for head in self.heads) > TIGHT


def number(value: float | None, text: str | None = None, soft: str = "") -> Cell:
    """A number as text, with three decimals where none is given; a dash where there is none."""
    return Cell("–") if value is None else Cell(f"{value:.3f}" if text is None else text, value, soft)


def kept(name: str, title: str, heads: Sequence[Head], lines: Sequence[Line]) -> Table:
    """The table without the columns in which no row has anything."""
    filled = [
        i for i in range(len(heads)) if i == 0 or any(line.cells[i].text not in ("", "–") for line in lines)
    ]
    slim = tuple(Line(tuple(line.cells[i] for i in filled), line.kind) for line in lines)
    return Table(name, title, tuple(heads[i] for i in filled), slim)


def plain(
    name: str, title: str, heads: Sequence[Head | str], rows: Iterable[Sequence[Cell | str | int]]
) -> Table | None:
    """A table of texts, whole numbers and cells; a column of texts alone is set as text. None: empty."""
    content = list(rows)
    if not content:
        return None
    numeric = [any(not isinstance(row[i], str) for row in content) for i in range(len(heads))]
    full = tuple(h if isinstance(h, Head) else Head(h, n) for h, n in zip(heads, numeric, strict=True))
    return Table(name, title, full, tuple(Line(tuple(map(_cell, row))) for row in content))


def _cell(value: Cell | str | int) -> Cell:
    if isinstance(value, int):
        return Cell(str(value), value)
    return Cell(value) if isinstance(value, str) else value


@dataclass(frozen=True)
class Axis:
    """Accuracy from `low` to `high`, fractions: tens of percent that hold every interval."""

    low: float
    high: float

    @classmethod
    def over(cls, bounds: Sequence[float]) -> "Axis":
        low = math.floor(10 * min(bounds, default=0.0)) / 10
        high = math.ceil(10 * max(bounds, default=1.0)) / 10
        if high - low < 0.3:
            low = max(0.0, high - 0.3)
        return cls(low, min(1.0, max(high, low + 0.3)))

    def place(self, value: float) -> float:
        """Percent of the axis."""
        return min(100.0, max(0.0, 100 * (value - self.low) / (self.high - self.low)))

    def bar(self, low: float | None, high: float | None, at: float, mark: float | None = None) -> Bar:
        shown = None if mark is None or not self.low <= mark <= self.high else self.place(mark)
        return Bar(
            self.place(at if low is None else low), self.place(at if high is None else high),
            self.place(at), shown,
        )  # fmt: skip

    @property
    def ends(self) -> tuple[str, str]:
        return f"{100 * self.low:.0f}", f"{100 * self.high:.0f} %"
