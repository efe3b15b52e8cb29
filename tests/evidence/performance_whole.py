"""A whole `train` against the slides' loop over the same pictures, from a few epochs; what fills an epoch."""

import dataclasses
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from performance_arms import Case, SlidesLoop, make_trainer
from torchvision import transforms
from torchvision.datasets import ImageFolder

from vitbench.benchmark.train import train
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.records import Epoch, Run
from vitbench.records.watch import Watch
from vitbench.training.loop import fit
from vitbench.training.machine import synchronise


class Clock(Watch):
    """Seconds of each run's epochs: training, and all of it with val and checkpoint."""

    def __init__(self) -> None:
        self.epochs: dict[str, list[tuple[float, float]]] = {}
        self.last = 0.0

    def run_started(self, run: str, epochs: int, steps: int, epoch: int) -> None:
        self.last = time.perf_counter()

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        now = time.perf_counter()
        self.epochs.setdefault(run.rpartition("-s")[0], []).append((row.seconds, now - self.last))
        self.last = now


def whole_train(data: Path, models: Sequence[str], case: Case, epochs: int, folder: Path) -> dict[str, Any]:
    """[training seconds, all seconds] of every epoch by model, and the seconds of everything else."""
    clock = Clock()
    started = time.perf_counter()
    train(
        data,
        name="whole",
        results=folder,
        watch=clock,
        models=tuple(models),
        weights=("random",),
        augment="geometry",
        image_size=case.image_size,
        batch_size=case.batch,
        per_class="all",
        epochs=epochs,
        device=case.device,
    )
    everything = time.perf_counter() - started
    spent = sum(whole for rows in clock.epochs.values() for _, whole in rows)
    return {"epochs": clock.epochs, "rest": everything - spent}


def whole_slides(models: Sequence[str], case: Case, epochs: int) -> dict[str, Any]:
    """The same of the slides' loop: val after each epoch, test at the end, each picture decoded each time."""
    found: dict[str, list[tuple[float, float]]] = {}
    rest = 0.0
    for model in models:
        started = time.perf_counter()
        arm = SlidesLoop.of(dataclasses.replace(case, model=model))
        rest += time.perf_counter() - started
        for _ in range(epochs):
            started = time.perf_counter()
            arm.epoch()
            synchronise(arm.device)
            trained = time.perf_counter() - started
            _evaluate(arm, {picture.path for picture in case.split.val})
            found.setdefault(model, []).append((trained, time.perf_counter() - started))
        started = time.perf_counter()
        _evaluate(arm, {picture.path for picture in case.split.test})
        rest += time.perf_counter() - started
    return {"epochs": found, "rest": rest}


def _evaluate(arm: SlidesLoop, paths: set[str]) -> None:
    """The plain way: resize, centre crop, the loader's workers, no gradient."""
    root, size, preprocessing = arm.case.split.root, arm.case.image_size, arm.case.plan.preprocessing
    transform = transforms.Compose(
        [
            transforms.Resize(round(size / 0.875)),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize(preprocessing.mean, preprocessing.std),
        ]
    )
    wanted = {(root / path).resolve() for path in paths}
    dataset = ImageFolder(
        str(root), transform, is_valid_file=lambda path: Path(path).resolve() in wanted, allow_empty=True
    )
    loader = torch.utils.data.DataLoader(dataset, arm.case.batch, num_workers=arm.case.loader_workers)
    arm.model.eval()
    right = 0
    with torch.no_grad():
        for pixels, targets in loader:
            right += int((arm.model(pixels.to(arm.device)).argmax(1).cpu() == targets).sum())


def extrapolated(found: Mapping[str, Any], views: int, full_views: int, epochs: int) -> float:
    """Seconds of so many epochs of `full_views` views, from epochs of `views` views.

    Per model: what the first epoch cost more than the later ones (once), later training scaled by views,
    what an epoch has beside training (val, checkpoint) as it is; and the rest (scan, tests, reports) once.
    """
    total = float(found["rest"])
    for rows in found["epochs"].values():
        later = rows[1:] or rows
        trained = sum(seconds for seconds, _ in later) / len(later)
        beside = sum(whole - seconds for seconds, whole in later) / len(later)
        first = max(0.0, rows[0][1] - trained - beside)
        total += first + epochs * (trained * full_views / views + beside)
    return total


# --- profile --------------------------------------------------------------------------------------

INTERVAL = 0.005
PROJECT = "vitbench"


class Samples(Watch):
    """Looks at what every thread is doing, 200 times a second, during the second epoch of a `fit`."""

    def __init__(self) -> None:
        self.main = threading.get_ident()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.looks = 0
        self.seconds = 0.0
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="sampler", daemon=True)

    def epoch_finished(self, run: str, row: Epoch, best: bool) -> None:
        if row.epoch == 1:
            self._sampler.start()
        elif row.epoch == 2:
            self._stop.set()
            self._sampler.join()

    def _sample(self) -> None:
        started = time.perf_counter()
        while not self._stop.wait(INTERVAL):
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            self.looks += 1
            for ident, frame in sys._current_frames().items():
                if ident == threading.get_ident():
                    continue
                where = "main" if ident == self.main else names.get(ident, "?").partition("_")[0]
                item = _item(frame)
                if item:
                    self.counts[where, item] += 1
        self.seconds = time.perf_counter() - started


def _item(frame: FrameType | None) -> str:
    """The innermost function of the project on a thread's stack; "step" inside `train_step`; "" if idle."""
    found = ""
    while frame is not None:
        name, file = frame.f_code.co_name, Path(frame.f_code.co_filename)
        if PROJECT in file.parts:
            if name == "train_step":
                return "step"
            found = found or f"{file.stem}.{name}"
        frame = frame.f_back
    return found


def profile(case: Case, folder: Path) -> dict[str, Any]:
    """Share of an epoch's time by function, of the main thread and of the threads beside it.

    A share of the main thread is time that the step did not get; of other threads, time beside it.
    """
    trainer = make_trainer(case)
    samples = Samples()
    run = Run(folder / "run")
    run.folder.mkdir(parents=True)
    trainer.recipe = trainer.recipe.model_copy(update={"last_epoch": 2})
    fit(trainer, run, samples)
    shares = [(where, item, count / samples.looks) for (where, item), count in samples.counts.most_common()]
    return {
        "model": case.model,
        "image_size": case.image_size,
        "batch": case.batch,
        "folder": case.split.root.name,
        "device": trainer.machine.device,
        "seconds": samples.seconds,
        "shares": shares,
    }


def scanned(data: Path) -> Any:
    """A split of a folder as `train` makes it, but that near-copies are not looked for."""
    return split_images(scan_folder(data, near=False), 0)
