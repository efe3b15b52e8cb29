"""Tests that kill leave no process to the tests after them."""

import subprocess
import sys
import time

import psutil
import pytest
from leaving import leaving_nobody

STARTS = """
import subprocess, sys
quiet = subprocess.DEVNULL
print(subprocess.Popen(["sleep", "600"], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True).pid)
"""


def fails_beside(started: list[psutil.Process]) -> None:
    """A test that starts a process, whose parent ends, and fails."""
    command = [sys.executable, "-W", "ignore", "-c", STARTS]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    started.append(psutil.Process(int(said)))
    assert not started[0].is_running()


@pytest.mark.skipif(sys.platform != "linux", reason="starts `sleep`")
def test_a_process_whose_parent_has_ended_is_killed_too() -> None:
    """One in a session of its own, as torchrun's are, left by a test that failed."""
    started: list[psutil.Process] = []
    with pytest.raises(AssertionError), leaving_nobody():
        fails_beside(started)
    deadline = time.monotonic() + 10
    while started[0].is_running() and started[0].status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
