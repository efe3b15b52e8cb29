"""How far a work under way is: seen in a terminal, in a pipe, in a notebook."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitbench.launch import started
from vitbench.progress.board import Board
from vitbench.records.watch import Watch


def display(results: Path, **options: Any) -> Board:
    """The display that fits where this program runs; `options` as of `Board`."""
    from vitbench.progress.lines import LineDisplay
    from vitbench.progress.live import LiveDisplay
    from vitbench.progress.notebook import NotebookDisplay, in_notebook

    if in_notebook():
        return NotebookDisplay(results, **options)
    redrawn = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
    return (LiveDisplay if redrawn else LineDisplay)(results, **options)


@contextlib.contextmanager
def followed(results: Path, watch: Watch | None, progress: bool) -> Iterator[Watch]:
    """Who hears of a call from Python: `watch`, or else a display; nobody without `progress`."""
    if watch is not None or not progress or started()[0]:  # under torchrun the first process shows it
        yield watch or Watch()
        return
    with display(results, python=True) as board:
        try:
            yield board
        except KeyboardInterrupt as error:
            board.show(board.stopped(error))
            raise
