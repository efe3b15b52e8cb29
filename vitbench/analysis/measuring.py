"""What a network costs when it runs: CPU time, which other work does not lengthen, and memory."""

import statistics
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vitbench.inference.forward import fp32
from vitbench.models.count import copied_with

LEAST, SECONDS, MOST = 2, 1.0, 10
"""Passes that are timed: at least so many, and more until they took so long, but no more than the last."""


@dataclass(frozen=True)
class Measured:
    """One batch through a network; milliseconds and megabytes (10⁶ bytes) of the whole batch."""

    forward_ms: float
    training_ms: float
    """Forward and backward, in evaluation mode: one small picture has no batch statistics."""
    forward_mb: float
    """Tensors that were alive at the same time, weights left out."""
    training_mb: float
    """The same, gradients of weights included; what an optimiser keeps is left out."""


def measured(model: nn.Module, size: int, batch: int) -> Measured:
    """A batch of `size` px on the device where the network is, in fp32, in its two modes."""
    return Measured(
        milliseconds(model, size, batch, training=False),
        milliseconds(model, size, batch, training=True),
        megabytes(model, size, batch, training=False),
        megabytes(model, size, batch, training=True),
    )


def milliseconds(model: nn.Module, size: int, batch: int, *, training: bool) -> float:
    """On a CPU those of one core (CPU time of one thread), the fastest pass; on a card its events, median.

    CPU time is not lengthened by what else the machine does; the clock on the wall is.
    """
    device = next(model.parameters()).device
    picture = torch.zeros(batch, 3, size, size, device=device)
    step = _backward if training else _forward
    with fp32(), _one_thread(device):
        return _timed(lambda: step(model, picture), device)


def megabytes(model: nn.Module, size: int, batch: int, *, training: bool) -> float:
    """Beside weights and picture: on a card what torch's allocator handed out, else `alive_at_once`."""
    device = next(model.parameters()).device
    if device.type != "cuda":
        return alive_at_once(model, size, batch, training=training) / 1e6
    picture = torch.zeros(batch, 3, size, size, device=device)
    step = _backward if training else _forward
    with fp32():
        return _peak_on_card(lambda: step(model, picture), device) / 1e6


def alive_at_once(model: nn.Module, size: int, batch: int, *, training: bool) -> int:
    """Bytes of the tensors that a pass makes and holds at the same time, weights and the picture left out.

    Nothing is computed and no such memory is needed: tensors without content go through the kernels that the
    CPU would choose. What a kernel needs inside is not seen.
    """
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        copied = copied_with(model, fake.from_tensor, learns=True)
        picture = torch.empty(batch, 3, size, size)
        with _Alive() as alive:
            (_backward if training else _forward)(copied, picture)
        return int(alive.peak)


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages of tensors from when they are made until nothing holds them any more."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, kernel: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {id(one.untyped_storage()) for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)}
        out = kernel(*args, **(kwargs or {}))
        for one in tree_leaves(out):
            if isinstance(one, Tensor):
                storage = one.untyped_storage()
                if storage not in self._known and id(storage) not in before:
                    self._known.add(storage)
                    self._count(storage.nbytes())
                    weakref.finalize(storage, self._count, -storage.nbytes())
        return out

    def _count(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)


def _forward(model: nn.Module, picture: Tensor) -> None:
    with torch.no_grad():
        model.eval()(picture)


def _backward(model: nn.Module, picture: Tensor) -> None:
    model.eval()(picture).sum().backward()
    model.zero_grad(set_to_none=True)


@contextmanager
def _one_thread(device: torch.device) -> Iterator[None]:
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _timed(step: Callable[[], None], device: torch.device) -> float:
    step()  # what is allocated and chosen once
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < LEAST or (len(times) < MOST and time.perf_counter() - started < SECONDS):
        times.append(_once(step, device))
    return statistics.median(times) if device.type == "cuda" else min(times)


def _once(step: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()
        step()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last))
    started = time.process_time()
    step()
    return 1000 * (time.process_time() - started)


def _peak_on_card(step: Callable[[], None], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    step()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device) - before)
