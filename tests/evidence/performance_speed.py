"""Images/s of the arms in interleaved rounds, where the time of a step goes, decode times, memory."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import torch
from performance_arms import Arm, Case, Limit, make_arms, make_trainer, recipe_of, settle
from torch import Tensor

from vitbench.data.batches import train_batches
from vitbench.data.crew import Crew
from vitbench.data.decode import decode
from vitbench.data.made import stored_side, training_picture
from vitbench.data.prefetch import AHEAD, cores
from vitbench.data.store import open_store, store_folder
from vitbench.models.create import gmacs
from vitbench.records import Split
from vitbench.training import step as step_module
from vitbench.training.machine import PeakMemory, synchronise
from vitbench.training.meter import EpochMeter
from vitbench.training.trainer import Trainer

SAMPLE = 32
"""Pictures whose decoding is timed."""
SUPPLY = 30
"""Batches of views that are timed."""


def timed(arm: Arm, device: torch.device) -> tuple[int, float]:
    """(pictures, seconds) of one epoch of an arm, the device's work included."""
    synchronise(device)
    started = time.perf_counter()
    seen = arm.epoch()
    synchronise(device)
    return seen, time.perf_counter() - started


def in_turn(names: Sequence[str], rounds: int) -> Iterator[str]:
    """Every name once a round, each round beginning one further on: none is always the first."""
    for number in range(rounds):
        start = number % len(names)
        yield from (*names[start:], *names[:start])


def measure(case: Case, names: Sequence[str], rounds: int, folder: Path) -> dict[str, Any]:
    """First epochs, then `rounds` rounds in which every arm trains one epoch, the order turning by one.

    "first" and "rounds" by arm: [pictures, seconds]. vitbench's first epoch finds an empty store.
    """
    trainer = make_trainer(case)
    settle(trainer, min(case.batch, 64))
    arms = make_arms(case, trainer, names, folder)
    peak = PeakMemory(trainer.device)
    first = {name: timed(arm, trainer.device) for name, arm in arms.items() if not isinstance(arm, Limit)}
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in arms}
    for arm in arms.values():
        if isinstance(arm, Limit):
            arm.hold()
    for name in in_turn(list(arms), rounds):
        found[name].append(timed(arms[name], trainer.device))
        peak.sample()
    return {
        "model": case.model,
        "timm_name": case.plan.timm_name,
        "image_size": case.image_size,
        "batch": case.batch,
        "steps": trainer.steps_per_epoch,
        "device": trainer.machine.device,
        "device_name": trainer.machine.device_name,
        "precision": trainer.recipe.precision,
        "recipe": recipe_in_words(trainer),
        "workers": trainer.machine.workers,
        "loader_workers": case.loader_workers,
        "gmacs": gmacs(case.plan, len(case.split.classes)),
        "first": first,
        "rounds": found,
        "peak_memory_all_arms_mb": peak.peak_bytes / 1e6,
    }


def recipe_in_words(trainer: Trainer) -> str:
    """What the step consists of."""
    recipe = trainer.recipe
    return (
        f"{recipe.optimizer}, layer decay {recipe.layer_decay}, clip {recipe.clip_grad}, "
        f"EMA {recipe.ema_decay}, drop path {recipe.drop_path}, augment {recipe.augment}"
    )


def peak_flops(device: torch.device, precision: str, side: int | None = None) -> float:
    """FLOP/s of the best of ten products of two square matrices in the precision of the training.

    Of noise, for a card draws less power on ones; on a card of 8192², whose 2 ms hide what a launch takes,
    and by the card's own clock.
    """
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    side = side or (8192 if device.type == "cuda" else 2048)
    noise = torch.randn(side, side, generator=torch.Generator().manual_seed(0))
    one = noise.to(device=device, dtype=kinds[precision])
    best = min(_product_seconds(one) for _ in range(10))
    return float(2 * side**3 / best)


def _product_seconds(one: torch.Tensor) -> float:
    """Seconds of a product with itself, launching it left out where the device has a clock."""
    synchronise(one.device)
    if one.device.type != "cuda":
        started = time.perf_counter()
        one @ one
        synchronise(one.device)
        return time.perf_counter() - started
    began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    began.record()
    one @ one
    ended.record()
    ended.synchronize()
    return float(began.elapsed_time(ended)) / 1000


# --- pictures -------------------------------------------------------------------------------------


def pictures(split: Split, case: Case) -> dict[str, Any]:
    """What the folder holds, and ms that its pictures take, one after the other in one thread."""
    side = stored_side(case.image_size, recipe_of(case).augment)
    some = [split.train[i] for i in np.linspace(0, len(split.train) - 1, SAMPLE).astype(int)]
    full, ours = [], []
    for picture in some:
        started = time.perf_counter()
        decode(split.root / picture.path)
        full.append(time.perf_counter() - started)
        started = time.perf_counter()
        training_picture(split.root, picture, side)
        ours.append(time.perf_counter() - started)
    return {
        "folder": split.root.name,
        "train": len(split.train),
        "classes": len(split.classes),
        "megapixels": float(np.median([p.width * p.height for p in split.train])) / 1e6,
        "decode_ms": float(np.median(full)) * 1000,
        "training_picture_ms": float(np.median(ours)) * 1000,
    }


def supply(split: Split, case: Case) -> dict[str, float]:
    """Views/s that threads and worker processes give from the store while nothing trains, by who they are."""
    store = open_store(str(store_folder()))
    recipe = recipe_of(case).model_copy(update={"per_class": SUPPLY * case.batch + len(split.train)})
    found = {}
    for crew in (Crew(1, processes=False), Crew(cores(), processes=False), Crew(None, processes=True)):
        with contextlib.closing(crew):
            batches = train_batches(split, recipe, 1, crew, store=store)
            for _ in range(len(split.train) // case.batch + AHEAD + 1):  # those that decode, or begin
                next(batches)
            started, seen = time.perf_counter(), 0
            for _ in range(SUPPLY):
                seen += len(next(batches)[0])
            found[crew.who()] = seen / (time.perf_counter() - started)
            batches.close()  # type: ignore[attr-defined]
    return found


# --- where the time of a step goes ----------------------------------------------------------------


@dataclass
class Laps:
    """Seconds by part of the step; the device has finished whenever the clock is read."""

    device: torch.device
    seconds: dict[str, float] = field(default_factory=dict)
    last: float = 0.0

    def start(self) -> None:
        synchronise(self.device)
        self.last = time.perf_counter()

    def lap(self, part: str) -> None:
        """What has passed since the last call belongs to `part`."""
        synchronise(self.device)
        now = time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self.last
        self.last = now


PARTS = ("wait for data", "copy", "forward", "backward", "optimiser", "other")
"""copy: to the device and to float; optimiser: with clipping and EMA; other: schedule, seeds, meter."""


def parts(case: Case) -> dict[str, float]:
    """Seconds by part over one epoch, after one that filled the store; apart from the throughput rounds."""
    trainer = make_trainer(case)
    settle(trainer, min(case.batch, 64))
    for _ in trainer.batches(1):
        pass
    laps = Laps(trainer.device, dict.fromkeys(PARTS, 0.0))
    meter = EpochMeter.fresh(trainer.device)
    batches = trainer.batches(2)
    with _watched(trainer, laps):
        laps.start()
        for step in range(trainer.steps_per_epoch):
            images, labels = next(batches)
            laps.lap("wait for data")
            loss, right = step_module.train_step(trainer, images, labels, step)
            laps.lap("optimiser")
            meter.add(loss, right, len(labels))
            laps.lap("other")
    return laps.seconds


@contextlib.contextmanager
def _watched(trainer: Trainer, laps: Laps) -> Iterator[None]:
    """Read the clock inside `train_step`, which stays as it is: at the model's doors and round backward."""
    seed, backward = step_module.seed_step, Tensor.backward

    def seeded(*arguments: Any) -> None:
        seed(*arguments)
        laps.lap("other")

    def back(tensor: Tensor, *arguments: Any, **options: Any) -> None:
        laps.lap("other")
        backward(tensor, *arguments, **options)  # type: ignore[no-untyped-call]
        laps.lap("backward")

    before = trainer.objective.register_forward_pre_hook(lambda *_: laps.lap("copy"))
    after = trainer.objective.register_forward_hook(lambda *_: laps.lap("forward"))
    try:
        with mock.patch.object(step_module, "seed_step", seeded), mock.patch.object(Tensor, "backward", back):
            yield
    finally:
        before.remove()
        after.remove()


# --- memory ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What a command took, its children included."""

    seconds: float
    """By the clock."""
    cpu_seconds: float
    """Of all its threads, user and system: what else the machine does plays little part."""
    peak_mb: float


def cost_of(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """What a command takes; its largest memory is looked for ten times a second.

    Pages that processes share count once (PSS) where the system tells (Linux); elsewhere RSS is added up.
    """
    peak, started, before = 0.0, time.perf_counter(), children_cpu()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        watched = psutil.Process(process.pid)
        while process.returncode is None:
            peak = max(peak, sum(_memory_mb(one) for one in _family(watched)))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: failed with status {process.returncode}; its message is above")
    return Cost(time.perf_counter() - started, children_cpu() - before, peak)


def children_cpu() -> float:
    """Seconds of all processes that this one has started and waited for."""
    times = os.times()
    return times.children_user + times.children_system


def _family(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []


def _memory_mb(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        full = process.memory_full_info()
        return float(getattr(full, "pss", full.rss)) / 1e6
    return 0.0


# --- what follows from the raw figures ------------------------------------------------------------


def rates(record: Mapping[str, Any], arm: str) -> list[float]:
    """Images/s of each round."""
    return [seen / seconds for seen, seconds in record["rounds"].get(arm, [])]


def ratios(record: Mapping[str, Any], one: str, other: str) -> list[float]:
    """images/s of `one` over that of `other`, round by round; [] where one of them was not measured."""
    if not (rates(record, one) and rates(record, other)):
        return []
    return [a / b for a, b in zip(rates(record, one), rates(record, other), strict=True)]


def five_epochs(record: Mapping[str, Any], arm: str) -> float | None:
    """Seconds a picture over the first epoch and the four rounds after it; None with fewer rounds."""
    epochs = [record["first"][arm], *record["rounds"][arm][:4]] if arm in record["first"] else []
    return float(sum(s for _, s in epochs) / sum(n for n, _ in epochs)) if len(epochs) == 5 else None


def utilisation(record: Mapping[str, Any], arm: str) -> float:
    """Model FLOPs utilisation: 6 FLOPs per multiply-add (forward and twice that back) over the peak."""
    return float(np.median(rates(record, arm))) * 6e9 * float(record["gmacs"] / record["peak_flops"])
