"""Several processes on a machine with CUDA, simulated: how they meet, and what goes wrong there."""

import pickle
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from painted import TINY

from vitbench.benchmark.train import train
from vitbench.errors import Interrupted, RunFailedError, UsageError
from vitbench.records import Settings
from vitbench.training.distributed import processes
from vitbench.training.distributed.processes import LostError, Processes
from vitbench.training.machine import choose_machine, is_out_of_memory


def like_cuda(patch: pytest.MonkeyPatch, cards: int = 2) -> None:
    """As on a machine with so many CUDA devices; gloo stands for nccl, which no build for the CPU has.

    Without a backend, torch makes a group there for tensors on CUDA devices alone.
    """
    usual = dist.init_process_group

    def make(backend: str | None = None, **given: Any) -> None:
        usual("cuda:gloo" if backend is None else backend.replace("nccl", "gloo"), **given)

    patch.setattr(dist, "init_process_group", make)
    patch.setattr(dist, "is_nccl_available", lambda: True)
    patch.setattr(torch.cuda, "is_available", lambda: True)
    patch.setattr(torch.cuda, "device_count", lambda: cards)
    patch.setattr(torch.cuda, "set_device", lambda device: None)


def by_torchrun(root: Path) -> None:
    """What each of two processes does: the group is made as there, the rest is done on the CPU.

    `test_processes` starts them, with all else that two of them do.
    """
    join = processes._join

    def joining(rank: int, count: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            like_cuda(patch)
            join(rank, count)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "_join", joining)
        asked = {**TINY, "epochs": 1, "device": "cpu", "with_probe": False}
        train(root / "data", name="cuda", results=root / "results", **asked)


def test_the_group_meets_on_a_machine_with_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a meeting exchanges, a tensor on the CPU, passes through the group that is made there."""
    like_cuda(monkeypatch)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    for name, value in {**where, "RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    processes._join(0, 1)
    try:
        with Processes(0, 2).together():
            pass
    finally:
        dist.destroy_process_group()


def fails(text: str, kind: type[RuntimeError] = RuntimeError) -> Callable[[], None]:
    def call() -> None:
        raise kind(text)

    return call


@pytest.mark.parametrize(
    "said",
    [
        "NCCL error in: NCCLUtils.cpp:77, invalid usage; Duplicate GPU detected : rank 0 and rank 1",
        "No backend type associated with device type cpu",
        "Timed out waiting 1800000ms for recv operation to complete",
    ],
)
def test_a_failed_exchange_is_told_with_its_cause(said: str) -> None:
    """It is not taken for a process that has ended: the run's failure holds the error's first line."""
    with pytest.raises(RunFailedError, match="cannot exchange what they computed") as raised:
        Processes(0, 2).exchange(fails(said))
    assert said[:60] in str(raised.value)
    pickle.loads(pickle.dumps(raised.value))
    with pytest.raises(LostError):
        Processes(1, 2).exchange(fails(said))


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("[gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:89", RuntimeError),
        ("[gloo/transport/tcp/pair.cc:542] writev [127.0.0.1]:89: Broken pipe", RuntimeError),
        ("ncclRemoteError: network error or a remote process exiting prematurely", dist.DistBackendError),
        ("The client socket has failed to connect", dist.DistNetworkError),
    ],
)
def test_a_lost_process_stops_the_others(said: str, kind: type[RuntimeError]) -> None:
    """What gloo and nccl say then asks the first process to stop, as SIGTERM does."""
    with pytest.raises(Interrupted, match="another of its processes has ended") as raised:
        Processes(0, 2).exchange(fails(said, kind))
    assert raised.value.signal == signal.SIGTERM


def test_more_processes_than_cards_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two on a machine with one card: one line before anything begins; else they go."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # on this machine; two more on another one
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    with pytest.raises(UsageError, match="2 processes on this machine, which has 1 GPU;"):
        choose_machine(Settings(), cuda, 32)
    assert choose_machine(Settings(), cpu, 32).processes == 4
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_machine(Settings(), cuda, 32).processes == 4


@pytest.mark.parametrize(
    ("said", "memory"),
    [
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("CUDA out of memory. Tried to allocate 2 GiB", True),
        ("CUDA error: an illegal memory access was encountered", False),
        ("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED", False),
    ],
)
def test_cublas_and_cudnn_run_out_of_memory_too(said: str, memory: bool) -> None:
    """Their own words for it halve the micro-batch; other errors of theirs do not."""
    assert is_out_of_memory(RuntimeError(said)) is memory


def test_bf16_is_asked_of_the_very_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old card beside a new one: "auto" is fp16 on cuda:0 and bf16 on cuda:1."""
    from vitbench.training.machine import choose_precision

    current = [0]

    def device(chosen: torch.device) -> Any:
        def enter(self: Any) -> None:
            current.append(0 if chosen.index is None else chosen.index)

        def leave(self: Any, *given: Any) -> None:
            current.pop()

        return type("Current", (SimpleNamespace,), {"__enter__": enter, "__exit__": leave})()

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: current[-1] == 1)
    assert choose_precision("auto", torch.device("cuda:0")) == "fp16"
    assert choose_precision("auto", torch.device("cuda:1")) == "bf16"
