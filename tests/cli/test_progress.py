"""The displays: what Ctrl-C says."""

import pytest

from vitbench.cli.progress import LineWatch, LiveWatch
from vitbench.errors import StoppedError


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
