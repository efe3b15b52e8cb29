"""Progress in a terminal: a line per run with its curve, redrawn in place by Rich."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vitbench.files import printable
from vitbench.progress.board import Board, Line, Task, left_in_words

GLYPHS = "▁▂▃▄▅▆▇█"
ASCII_GLYPHS = "_.-:=+*#"
NOT_A_NUMBER = "?"
LONGEST_CURVE, SHORTEST_CURVE = 12, 5
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

    def epoch_done(self, *given: Any) -> None:
        self.live.refresh()

    def ended_as(self, run: str, text: str, *, failed: bool) -> None:
        if failed:
            self.show(f"{run}: {text}")
        self.live.refresh()


def table(lines: Sequence[Line], console: Console) -> Table:
    """The lines, as wide as the console at most; nothing wraps."""
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    narrow = console.width < NARROW
    for _ in range(3 if narrow else 4):
        grid.add_column(no_wrap=True, overflow="crop")
    grid.add_column(no_wrap=True, justify="right")
    for line in lines:
        val = line.val if narrow or not line.val else f"val {line.val}"
        curve = [] if narrow else [Curve(line.curve)]
        grid.add_row(Text(printable(line.name)), *curve, val, Fitting(line.said), line.time)
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

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        lengths = [len(text) for text in self.said] or [0]
        return Measurement(min(min(lengths), options.max_width), min(max(lengths), options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        fits = [text for text in self.said if len(text) <= options.max_width]
        text = fits[0] if fits else self.said[-1] if self.said else ""
        yield Text(printable(text), no_wrap=True, overflow="crop" if options.ascii_only else "ellipsis")


@dataclass(frozen=True)
class Curve:
    """Numbers as a curve a line high, from their lowest to their highest; "?" where one is NaN."""

    values: Sequence[float]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        longest = min(len(self.values), LONGEST_CURVE, options.max_width)
        return Measurement(min(longest, SHORTEST_CURVE), longest)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        glyphs = ASCII_GLYPHS if options.ascii_only else GLYPHS
        yield Text(curve(self.values, options.max_width, glyphs), no_wrap=True)


def curve(values: Sequence[float], most: int, glyphs: str = GLYPHS) -> str:
    """ "▁▄█" of 0, 0.5, 1; more than `most` values are taken together, each mark the mean of a few."""
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
