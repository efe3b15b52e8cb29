"""The displays: what Ctrl-C says."""

import signal
from pathlib import Path

import pytest

from vitbench.cli.progress import explaining
from vitbench.errors import Interrupted, StoppedError
from vitbench.progress.board import Board
from vitbench.progress.lines import LineDisplay
from vitbench.progress.live import LiveDisplay


@pytest.mark.parametrize("kind", [LineDisplay, LiveDisplay])
def test_ctrl_c_says_how_to_go_on(kind: type[Board]) -> None:
    """Status 130 and the command that resumes; before a benchmark is there, that nothing was written."""
    display = kind(Path("results"))
    with pytest.raises(StoppedError, match="nothing was written"), explaining(display):
        raise KeyboardInterrupt
    display.benchmark_started("apples", {"vit-s0": 1.0})
    with pytest.raises(StoppedError, match="--resume --name apples") as stopped, explaining(display):
        raise KeyboardInterrupt
    assert stopped.value.exit_code == 130


def test_sigterm_says_how_far_it_is_saved_and_where() -> None:
    """Status 143; the command names an unusual results folder, and what was asked besides."""
    display = LineDisplay(Path("my results"), jobs=2, track=None)
    display.benchmark_started("apples", {"vit-s0": 1.0})
    way_on = "vitbench train --resume --name apples --results 'my results' --jobs 2"
    with pytest.raises(StoppedError) as stopped, explaining(display):
        raise Interrupted(signal.SIGTERM, "vit-s0 is saved at step 2")
    assert str(stopped.value) == f"stopped; vit-s0 is saved at step 2; `{way_on}` goes on"
    assert stopped.value.exit_code == 143
