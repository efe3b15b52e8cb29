"""Progress in a terminal: a line per run with its curve, redrawn in place by Rich."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vitbench.files import printable
from vitbench.progress.board import Board, Line, Task, left_in_words

GLYPHS = "▁▂▃▄▅▆▇█"
ASCII_GLYPHS = "_.-:=+*#"
NOT_A_NUMBER = "?"
LONGEST_CURVE, SHORTEST_CURVE = 12, 5
WHOLE_WORDING, SHORTEST_WORDING = 36, 5
"""Columns of what is said of an epoch, with all of it and with its number alone."""
SHORTEST_NAME = 8
GAP = 2
NARROW = 60
"""Below so many columns there is no room for curves."""
WIDEST = 100
"""Columns that tables take at most."""
SPARE_LINES = 4
"""Of the screen are left to what stands above."""


class LiveDisplay(Board):
    """A table that is redrawn in place; messages and failures stay above it."""

    def __init__(self, *given: Any, console: Console | None = None, **options: Any) -> None:
        super().__init__(*given, **options)
        self.console = console or Console(stderr=True)
        self.width = min(WIDEST, self.console.width)
        self.live = Live(
            get_renderable=self.drawn, console=self.console, vertical_overflow="crop", transient=True
        )

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.task = None
        self.live.stop()
        if self.runs:  # what has ended stays, all of it
            self.console.print(table(self.lines(), self.console))

    def drawn(self) -> RenderableType:
        """What stands on the screen now."""
        parts: list[RenderableType] = []
        if self.runs:
            parts.append(table(self.lines(max(2, self.console.height - SPARE_LINES)), self.console))
        if self.summary:
            parts.append(Fitting(self.summary))
        if self.task is not None:
            parts.append(bar(self.task))
        return Group(*parts)

    def show(self, text: str) -> None:
        self.console.print(printable(text), markup=False, highlight=False)

    def worked(self, task: Task, run: str = "") -> None:
        """Seen at once where something begins, which may leave no thread time to draw."""
        if task.done == task.first:
            self.live.refresh()

    def epoch_done(self, *given: Any) -> None:
        self.live.refresh()

    def ended_as(self, run: str, text: str, *, failed: bool) -> None:
        if failed:
            self.show(f"{run}: {text}")
        self.live.refresh()


def table(lines: Sequence[Line], console: Console) -> Table:
    """The lines, as wide as the console at most; nothing wraps, a curve takes what room there is."""
    narrow = console.width < NARROW
    vals = [line.val if narrow or not line.val else f"val {line.val}" for line in lines]
    names = [printable(line.name) for line in lines]
    time, val, name = (
        max([1, *map(cell_len, texts)]) for texts in ([line.time for line in lines], vals, names)
    )
    name = max(SHORTEST_NAME, min(name, console.width - val - time - 3 * GAP - SHORTEST_WORDING))
    room = console.width - name - val - time - 3 * GAP
    curved = 0 if narrow else max(SHORTEST_CURVE, min(LONGEST_CURVE, room - GAP - WHOLE_WORDING))
    said = room if narrow else room - curved - GAP
    grid = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
    ascii_only = console.options.ascii_only
    for width in (name, *([] if narrow else [curved]), val, said):
        grid.add_column(width=max(1, width), no_wrap=True, overflow="crop" if ascii_only else "ellipsis")
    grid.add_column(width=time, no_wrap=True, justify="right")
    for line, own, score in zip(lines, names, vals, strict=True):
        drawn = curve(line.curve, curved, ASCII_GLYPHS if ascii_only else GLYPHS)
        grid.add_row(Text(own), *([] if narrow else [drawn]), score, Fitting(line.said), line.time)
    return grid


def bar(task: Task) -> Table:
    """What is under way, how far it is, and the time left."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    drawn = [ProgressBar(task.total, task.done, width=20)] if task.total else []
    grid.add_row(str(task), *drawn, left_in_words(task.left))
    return grid


@dataclass(frozen=True)
class Fitting:
    """The first of several wordings, ever shorter, that has room."""

    said: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        fits = [text for text in self.said if len(text) <= options.max_width]
        text = fits[0] if fits else self.said[-1] if self.said else ""
        yield Text(printable(text), no_wrap=True, overflow="crop" if options.ascii_only else "ellipsis")


def curve(values: Sequence[float], most: int, glyphs: str = GLYPHS) -> str:
    """ "▁▅█" of 0, 0.5, 1; more than `most` values are taken together, each mark the mean of a few."""
    count = min(len(values), most)
    bins = [
        values[place * len(values) // count : (place + 1) * len(values) // count] for place in range(count)
    ]
    means = [sum(one) / len(one) for one in bins]
    known = [mean for mean in means if math.isfinite(mean)]
    low, high = min(known, default=0.0), max(known, default=0.0)

    def mark(mean: float) -> str:
        if not math.isfinite(mean):
            return NOT_A_NUMBER
        share = (mean - low) / (high - low) if high > low else 0.5
        return glyphs[round(share * (len(glyphs) - 1))]

    return "".join(map(mark, means))
