"""What the steps of one epoch add up to, and how it is carried over an interruption."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vitbench.training.machine import synchronise


@dataclass
class EpochMeter:
    """Loss, right answers, pictures and seconds of an epoch's steps so far."""

    loss: Tensor
    """Sum over pictures; float64 where the device has it. Scalar, on the device: adding never waits."""
    right: Tensor
    step: int = 0
    """How many steps are done."""
    seen: int = 0
    earlier: float = 0.0
    """Seconds of the steps that another process did."""
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def fresh(cls, device: torch.device) -> "EpochMeter":
        """Of no step yet."""
        wide = None if device.type == "mps" else torch.float64
        return cls(torch.zeros((), device=device, dtype=wide), torch.zeros((), device=device))

    @classmethod
    def carried(cls, device: torch.device, saved: Mapping[str, Any]) -> "EpochMeter":
        """As `saved` gave them; the clock runs on from now."""
        meter = cls.fresh(device)
        meter.loss += saved["loss"]
        meter.right += saved["right"]
        meter.step, meter.seen, meter.earlier = saved["step"], saved["seen"], saved["seconds"]
        return meter

    def saved(self) -> dict[str, Any]:
        """The meter as JSON holds them, to the last bit."""
        return {
            "step": self.step,
            "seen": self.seen,
            "loss": float(self.loss),
            "right": float(self.right),
            "seconds": self.seconds,
        }

    def add(self, loss: Tensor, right: Tensor, pictures: int) -> None:
        """Count a step: the mean loss of its pictures, and how many were answered rightly."""
        self.loss += loss * pictures
        self.right += right
        self.seen += pictures
        self.step += 1

    @contextlib.contextmanager
    def left_out(self) -> Iterator[None]:
        """The time inside goes into something else than training, and does not count."""
        before = time.perf_counter()
        yield
        self.started += time.perf_counter() - before

    @property
    def mean_loss(self) -> float:
        return float(self.loss) / self.seen

    @property
    def seconds(self) -> float:
        """Of training, up to now; waits for the device."""
        synchronise(self.loss.device)
        return self.earlier + time.perf_counter() - self.started
