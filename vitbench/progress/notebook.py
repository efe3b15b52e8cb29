"""Progress in a notebook: one table that IPython redraws, without a terminal's escape codes."""

import html
import sys
import time
from collections.abc import Sequence
from io import StringIO
from typing import Any

from rich.console import Console

from vitbench.files import printable
from vitbench.progress.board import Board, Line, left_in_words
from vitbench.progress.live import LONGEST_CURVE, WIDEST, curve, table

REDRAWN_SECONDS = 0.5


def in_notebook() -> bool:
    """Whether a kernel of IPython's runs this program: what it displays stands in a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookDisplay(Board):
    """What is said, and below it the runs, in one output of the cell."""

    width = WIDEST

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.said: list[str] = []
        self.handle: Any = None
        self.drawn_at = 0.0

    def __exit__(self, *given: Any) -> None:
        self.task = None
        if self.handle is not None:
            self._draw()

    def show(self, text: str) -> None:
        self.said.append(printable(text))
        self._draw()

    def changed(self) -> None:
        if time.monotonic() - self.drawn_at > REDRAWN_SECONDS:
            self._draw()

    def epoch_done(self, *given: Any) -> None:
        self._draw()

    def ended_as(self, run: str, text: str, *, failed: bool) -> None:
        if failed:
            self.show(f"{run}: {text}")
        self._draw()

    def _draw(self) -> None:
        from IPython.display import display

        self.drawn_at = time.monotonic()
        lines, below = self.lines(), list(self.summary[:1])
        if self.task is not None:
            below.append(f"{self.task}  {left_in_words(self.task.left)}".rstrip())
        data = {"text/plain": _plain(self.said, lines, below), "text/html": _html(self.said, lines, below)}
        if self.handle is None:
            self.handle = display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)


def _plain(said: Sequence[str], lines: Sequence[Line], below: Sequence[str]) -> str:
    console = Console(file=StringIO(), width=NotebookDisplay.width, force_jupyter=False, no_color=True)
    with console.capture() as captured:
        console.print(table(lines, console))
    drawn = [line.rstrip() for line in captured.get().splitlines() if line.strip()]
    return "\n".join([*said, *drawn, *below])


def _html(said: Sequence[str], lines: Sequence[Line], below: Sequence[str]) -> str:
    rows = [
        (
            line.name,
            curve(line.curve, LONGEST_CURVE),
            line.val and f"val {line.val}",
            *line.said[:1],
            line.time,
        )
        for line in lines
    ]
    cells = [
        "".join(f'<td style="text-align: left">{html.escape(cell)}</td>' for cell in row) for row in rows
    ]
    table = f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>" if rows else ""
    above, under = (html.escape("\n".join(text)) for text in (said, below))
    return f"<pre>{above}</pre>{table}<pre>{under}</pre>"
