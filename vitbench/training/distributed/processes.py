"""Several processes that train one model together, as torchrun starts them; most often there is one.

All of them carry out the same runs by the same code. Each takes its share of every global batch, and the
gradients are summed (`gradients.py`). What depends on files, or is written or said, is the first one's
alone, and what comes of it is given to all (`by_first`); an error of one becomes the same error of all
(`together`): so all take the same branch.

Two rules keep them in step. An exchange follows a meeting at once, so that whoever fails elsewhere is heard
at the next meeting of the others, whichever that is. And whoever catches an error and goes on has a meeting
inside its `try`, so that the others have it too.
"""

import contextlib
import functools
import itertools
import os
import pickle
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from vitbench.errors import Interrupted, RunFailedError, first_line, packed
from vitbench.launch import started
from vitbench.training import signals

PATIENCE = timedelta(days=7)
"""For the first process may be about something long alone; one that has died is noticed at once."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


class LostError(BaseException):
    """In another process than the first: the first one has gone. It is no run's error: no run outlives it."""


@dataclass
class Processes:
    """This process among those that train together."""

    rank: int = 0
    count: int = 1
    heard: bool = False
    """Whether a signal had asked the first one to save or to stop when they last met."""

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, pictures: int) -> slice:
        """This process's part of a global batch: contiguous, as even as possible; it may be empty."""
        return slice(pictures * self.rank // self.count, pictures * (self.rank + 1) // self.count)

    def asked(self) -> bool:
        """Whether a signal asks to save or to stop: all say the same."""
        return bool(signals.pending()) if self.count == 1 else self.heard

    def together(self) -> "_Meeting":
        """Inside, an error of any process becomes one of all of them, and nobody waits for who has failed."""
        return _Meeting(self)

    def by_first(self, make: Callable[[], Result]) -> Result:
        """What the first process makes alone, in all of them; it can be pickled."""
        if self.count == 1:
            return make()
        content = [b""]
        with self.together():
            if self.first:
                with as_current(ALONE):
                    made = make()
                content = [pickle.dumps(made)]
        self.exchange(lambda: dist.broadcast_object_list(content, 0))
        return made if self.first else pickle.loads(content[0])

    def spread(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors by name that the first process gives, in all of them, on the CPU."""
        known = self.by_first(lambda: {name: (t.shape, t.dtype) for name, t in tensors.items()})
        with self.together():
            if not self.first:
                tensors = {name: torch.empty(shape, dtype=dtype) for name, (shape, dtype) in known.items()}
            flat = {name: one.detach().cpu().contiguous().reshape(-1) for name, one in tensors.items()}
        for one in flat.values():
            if one.numel():
                self.exchange(functools.partial(dist.broadcast, one, 0))
        return {name: one.reshape(known[name][0]) for name, one in flat.items()}

    def gather(self, value: Result) -> list[Result]:
        """What every process gave, in their order, in all of them."""
        if self.count == 1:
            return [value]
        with self.together():
            pass
        return self._gathered(value)

    def _gathered(self, value: Result) -> list[Result]:
        found: list[Any] = [None] * self.count
        self.exchange(lambda: dist.all_gather_object(found, value))
        return found

    def agree(self, digest: str, what: str) -> None:
        """RunFailedError in all of them where the digests of the processes differ."""
        if len(set(self.gather(digest))) > 1:
            raise RunFailedError(f"{what} differ between the processes; give all of them the same machine")

    def exchange(self, call: Callable[[], Any]) -> None:
        """Carry a collective call out; where another process has gone, this one stops too.

        RunFailedError, the cause in it, where it cannot be carried out for another reason. The group is of
        no use then, so the others end, and the first process with them at its next exchange.
        """
        try:
            call()
        except RuntimeError as error:
            if not self.first:
                raise LostError from error
            if not _has_gone(error):
                raise _told(
                    RunFailedError(
                        f"the {self.count} processes cannot exchange what they computed "
                        f"({first_line(error)}); --resume goes on when that is mended"
                    )
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
        if mine.count == 1 or getattr(error, "told", False):
            return
        if not isinstance(error, Exception | None):
            return  # a signal, say: this process ends, which the others notice
        state = torch.tensor([int(error is not None), signals.pending()])
        mine.exchange(lambda: dist.all_reduce(state, dist.ReduceOp.MAX))
        failed, asked = state.tolist()
        signals.heed(asked)
        mine.heard = bool(asked)
        if failed:
            own = b"" if error is None else packed(error, f"in process {mine.rank}")
            report = next(filter(None, mine._gathered(own)))
            raise _told(pickle.loads(report)) from error


def _told(error: Exception) -> Exception:
    """The error, marked as one that all processes have, or that none can be told of any more."""
    error.told = True  # type: ignore[attr-defined]
    return error


# --- which processes there are --------------------------------------------------------------------


ALONE = Processes()
_current = ALONE


def current() -> Processes:
    """The processes that train together now."""
    return _current


@contextlib.contextmanager
def as_current(processes: Processes) -> Iterator[None]:
    """Inside, all of these carry the same out; `ALONE`: what only this one is about."""
    global _current
    before, _current = _current, processes
    try:
        yield
    finally:
        _current = before


def by_first(make: Callable[[], Result]) -> Result:
    """`Processes.by_first` of the current ones."""
    return _current.by_first(make)


def first_alone(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """A function that the first process carries out; the others have what it returns or raises."""

    @functools.wraps(function)
    def carried_out(*given: Given.args, **named: Given.kwargs) -> Result:
        return by_first(functools.partial(function, *given, **named))

    return carried_out


_times = itertools.count()


def _join(rank: int, count: int) -> None:
    """Make the group: gloo, and for tensors on CUDA devices nccl.

    Where no backend is named, torch makes the accelerator's alone, which a meeting cannot pass.
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
    rank, count = started()
    if count == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK") or 0) % torch.cuda.device_count())
    own = not dist.is_initialized()
    if own:
        _join(rank, count)
    group = Processes(rank, count)
    try:
        yield group
    except BaseException as error:
        if rank > 0 and (getattr(error, "told", False) or isinstance(error, Interrupted)):
            # The first one may still have to save, or to say why; torchrun would end it with this one.
            group.exchange(lambda: dist.all_reduce(torch.zeros(2, dtype=torch.int64)))  # until it has gone
        raise
    finally:
        if own:
            dist.destroy_process_group()
