"""How long a pass takes, and what does not lengthen it."""

import time

import pytest
import torch
from torch import Tensor, nn

from vitbench.inference import forward


class Waits(nn.Module):
    """Is kept waiting for 50 ms in each pass, as by other work on its core."""

    def forward(self, pictures: Tensor) -> Tensor:
        time.sleep(0.05)
        return pictures.mean((2, 3))


@pytest.mark.skipif(not forward.FINE_CLOCK, reason="this system tells a thread's time too coarsely")
def test_a_thread_alone_is_timed_by_its_own_clock() -> None:
    """Waiting for others is no time of the network's; with several threads nobody can tell."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert forward.latency_ms(Waits(), 4, torch.device("cpu"))[0] < 25
        torch.set_num_threads(2)
        assert forward.latency_ms(Waits(), 4, torch.device("cpu"))[0] > 45
    finally:
        torch.set_num_threads(threads)
