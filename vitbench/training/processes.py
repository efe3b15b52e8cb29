"""Several processes that train one model together, as torchrun starts them; most often there is one.

The first process alone decides, reads and writes; the others follow its orders (`follow.py`). Each takes its
share of every global batch, and the gradients are summed, each picture weighing the same. What is said
here costs nothing where there is one process.
"""

import contextlib
import itertools
import os
import pickle
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from vitbench.errors import Interrupted, RunFailedError, first_line, packed
from vitbench.launch import started

PATIENCE = timedelta(days=7)
"""For the first process may be about something long alone; one that has died is noticed at once."""

Result = TypeVar("Result")


class Order(IntEnum):
    """What the first process can ask of the others."""

    BUILD = 1
    """A trainer like its own, by what it sends: see `follow.Blueprint`."""
    LOAD = 2
    """The state of its trainer."""
    STEP = 3
    """A step (from 1) of an epoch (from 1)."""
    ANSWER = 4
    """A share of val (0) or test (1), in batches of so many."""
    SETTLE = 5
    """The memory format in which a model is saved."""
    COMPARE = 6
    """The sha256 of the weights."""
    END = 7
    """Nothing more comes but the benchmark's folder."""


class ElsewhereError(Exception):
    """In a process that follows: a step went wrong in one of them, and the first process knows."""


class LostError(Exception):
    """In a process that follows: the first process has gone, or has nothing more to say."""


@dataclass
class Processes:
    """This process among those that train together."""

    rank: int = 0
    count: int = 1
    failed: Exception | None = None
    """What went wrong here where nobody could be told; the others hear of it at the next meeting."""

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, pictures: int) -> slice:
        """This process's part of a global batch: contiguous, as even as possible; it may be empty."""
        return slice(pictures * self.rank // self.count, pictures * (self.rank + 1) // self.count)

    def together(self) -> "_Meeting":
        """Inside, an error of any process becomes one of all of them, and nobody waits for who has failed."""
        return _Meeting(self)

    def order(self, order: Order, *numbers: int) -> None:
        """Tell the others what comes next; they themselves, and a lone process, tell nobody."""
        if self.count > 1 and self.first:
            self._collect(lambda: dist.broadcast(torch.tensor([order, *numbers, 0, 0][:3]), 0))

    def ordered(self) -> tuple[Order, int, int]:
        """What the first process says next."""
        said = torch.zeros(3, dtype=torch.int64)
        self._collect(lambda: dist.broadcast(said, 0))
        order, one, two = said.tolist()
        return Order(order), one, two

    def send(self, value: Any = None) -> Any:
        """What the first process gave, in all of them."""
        if self.count == 1:
            return value
        box = [value]
        self._collect(lambda: dist.broadcast_object_list(box, 0))
        return box[0]

    def send_tensors(self, tensors: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The named tensors that the first process gave, in all of them, on the CPU."""
        known = {name: (t.shape, t.dtype) for name, t in (tensors or {}).items()}
        received: dict[str, Tensor] = {}
        for name, (shape, dtype) in self.send(known).items():
            given = torch.empty(shape, dtype=dtype) if tensors is None else tensors[name].detach().cpu()
            flat = given.contiguous().reshape(-1)
            if self.count > 1 and flat.numel():
                self._collect(partial(dist.broadcast, flat, 0))
            received[name] = flat.reshape(shape)
        return received

    def gather(self, value: Result) -> list[Result]:
        """What every process gave, in their order, in all of them."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        self._collect(lambda: dist.all_gather_object(found, value))
        return found

    def agree(self, digest: str, what: str) -> None:
        """RunFailedError in all of them where the digests of the processes differ."""
        if len(set(self.gather(digest))) > 1:
            with self.together():
                raise RunFailedError(
                    f"{what} differ between the processes; give all of them the same machine"
                )

    def sum_gradients(self, flat: Tensor, model: nn.Module) -> tuple[Tensor, Tensor]:
        """Add up what `flatten` made in every process: the gradients into the model, and both scalars."""
        self._collect(lambda: dist.all_reduce(flat))
        parameters = list(_learning(model))
        place, has = 0, flat[len(flat) - len(parameters) :]
        loss, right = flat[len(flat) - len(parameters) - 2 : len(flat) - len(parameters)]
        for parameter, present in zip(parameters, has.tolist(), strict=True):
            part = flat[place : place + parameter.numel()].view(parameter.shape)
            place += parameter.numel()
            if not present:  # nowhere: the optimiser leaves it alone
                continue
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
            parameter.grad.copy_(part)
        return loss, right

    def _collect(self, call: Callable[[], Any]) -> None:
        """Carry a collective call out; where another process has gone, this one stops too.

        RunFailedError, the cause in it, where it cannot be carried out for another reason. The group is of
        no use then, so those that follow end, and the first process with them at its next order.
        """
        try:
            call()
        except RuntimeError as error:
            if not self.first:
                raise LostError from error
            if not _has_gone(error):
                raise RunFailedError(
                    f"the {self.count} processes cannot exchange what they computed ({first_line(error)}); "
                    "--resume goes on when that is mended"
                ) from error
            raise Interrupted(
                signal.SIGTERM, "another of its processes has ended; what is finished is saved"
            ) from error


GONE = re.compile(
    r"connection (was )?(closed|reset|aborted|refused)|broken pipe|socket (is )?closed"
    r"|pair closure|remote process exit|communicator was aborted",
    re.IGNORECASE,
)
"""How gloo and nccl say that the other end of a connection has gone."""


def _has_gone(error: RuntimeError) -> bool:
    """Whether a collective call failed because a process at its other end is no longer there."""
    return isinstance(error, dist.DistNetworkError) or GONE.search(str(error)) is not None


class _Meeting:
    """The inside of `Processes.together`."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes

    def __enter__(self) -> None:
        """Nothing is exchanged before the end."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mine = self.processes
        if mine.count == 1 or (error is not None and not isinstance(error, Exception)):
            return  # a signal, say: this process ends, which the others notice
        if isinstance(error, ElsewhereError | LostError):
            return
        failed = error or mine.failed
        mine.failed = None
        flag = torch.tensor([int(failed is not None)])
        mine._collect(lambda: dist.all_reduce(flag))
        if not flag.item():
            return
        own = b"" if failed is None else packed(failed, f"in process {mine.rank}")
        reports = [report for report in mine.gather(own) if report]
        if not mine.first:
            raise ElsewhereError from failed
        if failed is None:
            raise pickle.loads(reports[0])


# --- gradients ------------------------------------------------------------------------------------


def flatten(model: nn.Module, loss: Tensor, right: Tensor) -> Tensor:
    """Every gradient, then two scalars, then which parameters have one: one vector, to be summed."""
    parts = [
        torch.zeros(p.numel(), device=p.device, dtype=p.dtype) if p.grad is None else p.grad.reshape(-1)
        for p in _learning(model)
    ]
    device = parts[0].device
    has = torch.tensor([float(p.grad is not None) for p in _learning(model)], device=device)
    return torch.cat([*parts, loss.reshape(1), right.reshape(1), has])


def _learning(model: nn.Module) -> Iterator[nn.Parameter]:
    return (parameter for parameter in model.parameters() if parameter.requires_grad)


# --- which processes there are --------------------------------------------------------------------


ALONE = Processes()
_current = ALONE


def current() -> Processes:
    """The processes that train together now."""
    return _current


_times = itertools.count()


def _join(rank: int, count: int) -> None:
    """Make the group: gloo, and for tensors on CUDA devices nccl.

    Where no backend is named, torch makes the accelerator's alone, which an order cannot pass.
    """
    store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
    # What an earlier group of the same processes wrote there would be taken for this one's addresses.
    store = PrefixStore(f"vitbench {next(_times)}", store)
    nccl = torch.cuda.is_available() and dist.is_nccl_available()  # Windows has none
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if nccl else "gloo", store=store, rank=rank, world_size=count, timeout=PATIENCE
    )


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Inside, the processes that torchrun has started are one group; without it nothing happens."""
    global _current
    rank, count = started()
    if count == 1 or _current is not ALONE:
        yield _current
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK") or 0) % torch.cuda.device_count())
    own = not dist.is_initialized()
    if own:
        _join(rank, count)
    _current = Processes(rank, count)
    try:
        yield _current
    finally:
        _current = ALONE
        if own:
            dist.destroy_process_group()
