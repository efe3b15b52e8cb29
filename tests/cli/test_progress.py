"""The displays: what Ctrl-C says."""

import signal
from pathlib import Path

import pytest

from vitbench.cli.progress import LineWatch, LiveWatch
from vitbench.errors import Interrupted, StoppedError


@pytest.mark.parametrize("display", [LineWatch, LiveWatch])
def test_ctrl_c_says_how_to_go_on(display: type[LineWatch]) -> None:
    """Status 130 and the command that resumes; before a benchmark is there, that nothing was written."""
    watch = display()
    with pytest.raises(StoppedError, match="nothing was written"), watch:
        raise KeyboardInterrupt
    watch.benchmark_started("apples", {"vit-s0": 1.0})
    with pytest.raises(StoppedError, match="--resume --name apples") as stopped, watch:
        raise KeyboardInterrupt
    assert stopped.value.exit_code == 130


def test_sigterm_says_how_far_it_is_saved_and_where() -> None:
    """Status 143; the command names a results folder that is not the usual one."""
    watch = LineWatch(Path("my results"))
    watch.benchmark_started("apples", {"vit-s0": 1.0})
    way_on = "vitbench train --resume --name apples --results 'my results'"
    with pytest.raises(StoppedError) as stopped, watch:
        raise Interrupted(signal.SIGTERM, "vit-s0 is saved at step 2")
    assert str(stopped.value) == f"stopped; vit-s0 is saved at step 2; `{way_on}` goes on"
    assert stopped.value.exit_code == 143
