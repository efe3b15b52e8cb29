"""Progress on stderr, and the line that is said where a command is stopped."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitbench import files, progress
from vitbench.cli.options import RESULTS
from vitbench.errors import Interrupted, StoppedError, VitbenchError
from vitbench.progress.board import Board


def watch(results: Path = RESULTS, **options: Any) -> contextlib.AbstractContextManager[Board]:
    """The display that fits stderr, for a benchmark in the folder `results`.

    `options`: what the command that goes on has to say besides the benchmark.
    """
    return explaining(progress.display(results, **options))


@contextlib.contextmanager
def explaining(board: Board) -> Iterator[Board]:
    """Draws; Ctrl-C, SIGTERM and what the system refuses become a line that says how to go on."""
    try:
        with board:
            yield board
    except KeyboardInterrupt as error:
        number = error.signal if isinstance(error, Interrupted) else int(signal.SIGINT)
        raise StoppedError(board.stopped(error), number) from None
    except OSError as error:
        if not board.benchmark or not (line := files.fault_line(error)):
            raise
        way_on = f"then `{board.way_on()}` goes on, what is finished is kept"
        raise VitbenchError(f"{line}; {way_on}") from error
