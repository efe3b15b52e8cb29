"""The full step as vitbench does it, and with each technique the other way round: what each one brings."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import timm.layers
import torch
from performance_arms import Case, make_trainer
from performance_page import USUAL
from performance_speed import in_turn

from vitbench.training import loop
from vitbench.training.machine import synchronise
from vitbench.training.step import techniques, train_step
from vitbench.training.trainer import Trainer

SETTLING = 5
"""Steps before the clock starts; a compiled model is compiled in them."""


@dataclasses.dataclass
class Way:
    """A trainer, and what has to hold while it trains."""

    trainer: Trainer
    during: Callable[[], AbstractContextManager[Any]] = nullcontext

    def go(self, images: torch.Tensor, labels: torch.Tensor, steps: int) -> tuple[int, float]:
        """(pictures, seconds) of so many steps on one batch."""
        with self.during():
            synchronise(self.trainer.device)
            started = time.perf_counter()
            for step in range(steps):
                train_step(self.trainer, images, labels, step % self.trainer.steps_per_epoch)
            synchronise(self.trainer.device)
        return steps * len(labels), time.perf_counter() - started


def _optimiser_one_by_one(case: Case) -> Way:
    trainer = make_trainer(case)
    for group in trainer.optimizer.param_groups:
        group["fused"] = False
    return Way(trainer)


def _other_memory_format(case: Case) -> Way:
    usual = techniques(make_trainer(case))["channels_last"]
    other = torch.contiguous_format if usual else torch.channels_last

    with mock.patch.object(loop, "memory_format", return_value=other):
        return Way(make_trainer(case))


def _attention(fused: bool) -> Callable[[Case], Way]:
    def make(case: Case) -> Way:
        try:
            timm.layers.set_fused_attn(fused, experimental=fused)
            return Way(make_trainer(case))
        finally:
            timm.layers.set_fused_attn(True)

    return make


def _precision(name: str) -> Callable[[Case], Way]:
    return lambda case: Way(make_trainer(dataclasses.replace(case, precision=name)))


@contextlib.contextmanager
def _float32_products(name: str) -> Iterator[None]:
    usual = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(usual)


def _compiled(mode: str) -> Callable[[Case], Way]:
    def make(case: Case) -> Way:
        trainer = make_trainer(case)
        trainer.objective = torch.compile(trainer.objective, mode=mode)  # type: ignore[assignment]
        if mode == "reduce-overhead":  # which records graphs of its own
            trainer.graphs = None
        return Way(trainer)

    return make


WAYS: dict[str, Callable[[Case], Way]] = {
    USUAL: lambda case: Way(make_trainer(case)),
    "optimiser tensor by tensor": _optimiser_one_by_one,
    "the other memory format": _other_memory_format,
    "attention not fused": _attention(False),
    "attention fused where timm can (Swin as well)": _attention(True),
    "fp32": _precision("fp32"),
    "bf16": _precision("bf16"),
    "fp32 products in TF32": lambda case: Way(make_trainer(case), lambda: _float32_products("high")),
    "torch.compile": _compiled("default"),
    "torch.compile with CUDA graphs": _compiled("reduce-overhead"),
}


def measure(case: Case, rounds: int, steps: int) -> dict[str, Any]:
    """By way, under "rounds" [pictures, seconds] of each, under "impossible" why it cannot be had here."""
    ways: dict[str, Way] = {}
    impossible: dict[str, str] = {}
    usual = make_trainer(case)
    for name, make in WAYS.items():
        if "CUDA" in name and usual.device.type != "cuda":
            impossible[name] = "needs a CUDA device"
            continue
        if name == usual.recipe.precision:
            continue  # that is how it is trained
        way = make(case)
        way.trainer.train_mode()
        try:
            way.go(*_batch(way.trainer, case), SETTLING)
        except Exception as error:  # noqa: BLE001  # whatever a compiler or a device says
            impossible[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100]}"
            continue
        ways[name] = way
    images, labels = _batch(usual, case)
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in ways}
    for name in in_turn(list(ways), rounds):
        found[name].append(ways[name].go(images, labels, steps))
    return {
        "model": case.model,
        "image_size": case.image_size,
        "batch": case.batch,
        "steps": steps,
        "device": usual.machine.device,
        "device_name": usual.machine.device_name,
        "techniques": techniques(usual),
        "rounds": found,
        "impossible": impossible,
    }


def _batch(trainer: Trainer, case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    size, classes = trainer.recipe.preprocessing.size, len(trainer.recipe.classes)
    images = torch.randint(0, 256, (case.batch, 3, size, size), dtype=torch.uint8)
    return images.to(trainer.device), (torch.arange(case.batch) % classes).to(trainer.device)
