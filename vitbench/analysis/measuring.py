"""What a network costs when it runs: time by a clock that a shared machine does not fool, memory by its tensors."""

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

LEAST, SECONDS, MOST = 2, 1.0, 10
"""Passes that are timed: at least so many, and more until they took so long, but no more than the last."""


@dataclass(frozen=True)
class Measured:
    """One batch through a network; milliseconds and megabytes (10⁶ bytes) of the whole batch."""

    forward_ms: float
    training_ms: float
    """Forward and backward."""
    forward_mb: float
    """Tensors that were alive at the same time, weights left out."""
    training_mb: float
    """The same, gradients of weights included; what an optimiser keeps is left out."""


def measured(model: nn.Module, size: int, batch: int) -> Measured:
    """A batch of `size` px on the device where the network is, in fp32, in its two modes.

    On a CPU: milliseconds of one core (CPU time of one thread), the fastest of several passes, which other
    work on the machine cannot lengthen; memory counted on tensors without content. On a card: its own events,
    the median, and the largest memory that torch's allocator handed out.
    """
    device = next(model.parameters()).device
    picture = torch.zeros(batch, 3, size, size, device=device)
    with fp32(), _one_thread(device):
        forward = _milliseconds(lambda: _forward(model, picture), device)
        training = _milliseconds(lambda: _backward(model, picture), device)
    if device.type == "cuda":
        memory = [
            _peak_on_card(step, device)
            for step in (lambda: _forward(model, picture), lambda: _backward(model, picture))
        ]
    else:
        memory = [alive_at_once(model, size, batch, training=mode) for mode in (False, True)]
    return Measured(forward, training, *(each / 1e6 for each in memory))


def alive_at_once(model: nn.Module, size: int, batch: int, *, training: bool) -> int:
    """Bytes of the tensors that a pass makes and holds at the same time, weights and the picture left out.

    Nothing is computed and no such memory is needed: tensors without content go through the kernels that the
    CPU would choose. What a kernel needs inside is not seen.
    """
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        copied = _without_content(model, fake)
        picture = torch.empty(batch, 3, size, size)
        with _Alive() as alive:
            (_backward if training else _forward)(copied, picture)
        return alive.peak


def _without_content(model: nn.Module, fake: FakeTensorMode) -> nn.Module:
    import copy

    known: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        hollow = fake.from_tensor(tensor.detach())
        known[id(tensor)] = nn.Parameter(hollow) if isinstance(tensor, nn.Parameter) else hollow
    return copy.deepcopy(model, known)


class _Alive(TorchDispatchMode):
    """Adds up the storages of tensors from when they are made until nothing holds them any more."""

    def __init__(self) -> None:
        super().__init__()
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
    model.train()(picture).sum().backward()
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


def _milliseconds(step: Callable[[], None], device: torch.device) -> float:
    step()  # what is allocated and chosen once
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < LEAST or (len(times) < MOST and time.perf_counter() - started < SECONDS):
        times.append(_once(step, device))
    return statistics.median(times) if device.type == "cuda" else min(times)


def _once(step: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
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
