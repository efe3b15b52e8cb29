"""`make test` leaves the machine's GPU alone."""

import os
import subprocess
import sys

import pytest

FOUND = "import torch; print(torch.cuda.is_available(), torch.cuda.device_count())"


@pytest.mark.slow
def test_no_gpu_is_found_unless_asked_for(pytestconfig: pytest.Config) -> None:
    """Neither here nor in a process that a test starts, whatever the machine has; `--gpu` asks."""
    if pytestconfig.getoption("--gpu"):
        pytest.skip("asked for")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    done = subprocess.run([sys.executable, "-c", FOUND], capture_output=True, text=True, check=True)
    assert done.stdout == "False 0\n"
