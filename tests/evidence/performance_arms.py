"""The four ways to train an epoch that are timed against one another, and the one place where they are built.

An arm is a function that trains one epoch and returns how many pictures it saw; whoever calls it
synchronises the device and reads the clock. Limit, vitbench and timm's loader share one trainer, so that
their step is the same code on the same weights.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torchvision
from timm.data import create_dataset, create_loader
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms

from vitbench.data.epochs import plan_epoch
from vitbench.inference.devices import choose_device
from vitbench.models.create import create
from vitbench.models.initial import RANDOM
from vitbench.models.plan import ModelPlan, plan_model
from vitbench.records import Origin, Recipe, Run, Settings, Split
from vitbench.records.watch import Watch
from vitbench.training import loop
from vitbench.training.log import Log
from vitbench.training.loop import build_trainer
from vitbench.training.machine import PeakMemory, choose_machine, choose_precision
from vitbench.training.recipes import build_recipe
from vitbench.training.step import train_step
from vitbench.training.trainer import Trainer

HELD = 16
"""Batches that the limit goes round in."""
SLIDES_LR = 1e-4


@dataclass(frozen=True)
class Case:
    """What is timed: a model at a size on a split, and how."""

    split: Split
    model: str
    image_size: int
    batch: int
    per_class: int | str
    device: str = "auto"
    precision: str = "auto"
    augment: str | None = None
    epochs: int = 30
    loader_workers: int = 2
    """Processes of torchvision's and timm's loaders."""

    @property
    def settings(self) -> Settings:
        return Settings.of(
            {
                "image_size": self.image_size,
                "batch_size": self.batch,
                "per_class": self.per_class,
                "epochs": self.epochs,
                "augment": self.augment,
                "device": self.device,
            }
        )

    @property
    def plan(self) -> ModelPlan:
        return plan_model(self.model, self.image_size)


def make_trainer(case: Case) -> Trainer:
    """vitbench's own trainer for a case: the fine-tuning recipe on random weights.

    The values of weights take no time; the recipe decides what the step consists of.
    """
    settings, plan = case.settings, case.plan
    device = choose_device(case.device)
    precision = choose_precision(case.precision, device)  # type: ignore[arg-type]
    recipe = build_recipe(settings, plan, case.split, 0, Origin(kind="hub"), precision)
    machine = choose_machine(settings, device, recipe.batch_size)
    model = create(plan, len(case.split.classes), RANDOM, 0, recipe.drop_path)
    return build_trainer(model, recipe, case.split, machine)


def per_class_for(split: Split, steps: int, batch: int) -> int:
    """Views per class with which an epoch has at least so many steps."""
    return -(-steps * batch // len(split.classes))


def settle(trainer: Trainer, batch: int, steps: int = 3) -> None:
    """Steps on black pictures, so that no arm pays for the first allocations."""
    size, classes = trainer.recipe.preprocessing.size, len(trainer.recipe.classes)
    images = torch.zeros(batch, 3, size, size, dtype=torch.uint8)
    trainer.train_mode()
    for step in range(steps):
        train_step(trainer, images, torch.arange(batch) % classes, step)


# --- the arms -------------------------------------------------------------------------------------


@dataclass
class Limit:
    """The full step on batches that already lie in the device's memory."""

    trainer: Trainer
    held: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def epoch(self) -> int:
        """One epoch's steps over batches that were prepared before the clock started."""
        seen = 0
        for step in range(self.trainer.steps_per_epoch):
            images, labels = self.held[step % len(self.held)]
            train_step(self.trainer, images, labels, step)
            seen += len(labels)
        return seen

    def hold(self) -> None:
        """Prepare the batches. Fills vitbench's store: only after its first epoch was timed."""
        views = self.trainer.batches(1)
        for images, labels in views:
            self.held.append((images.to(self.trainer.device), labels.to(self.trainer.device)))
            if len(self.held) == HELD:
                break
        views.close()  # type: ignore[attr-defined]
        self.trainer.train_mode()


@dataclass
class Ours:
    """An epoch as `training/loop.py` runs it: batches, step, sums, log and watch; without val."""

    trainer: Trainer
    folder: Path

    def __post_init__(self) -> None:
        self.trainer.split = dataclasses.replace(self.trainer.split, val=(), test=())
        self.folder.mkdir(parents=True, exist_ok=True)

    def epoch(self) -> int:
        """The next epoch of this trainer."""
        trainer = self.trainer
        log = Log(self.folder / "log.txt")
        row = loop._train_epoch(trainer, Run(self.folder), Watch(), log, PeakMemory(trainer.device))
        trainer.rows.append(row)
        return round(row.images_per_second * row.seconds)


@dataclass
class SlidesLoop:
    """The plain torchvision loop: ImageFolder, every picture decoded in every epoch, Adam, no more."""

    case: Case
    loader: DataLoader[tuple[Tensor, Tensor]]
    model: nn.Module
    optimizer: torch.optim.Optimizer
    device: torch.device

    @classmethod
    def of(cls, case: Case) -> "SlidesLoop":
        """The loop for a case."""
        device, recipe = choose_device(case.device), recipe_of(case)
        preprocessing = case.plan.preprocessing
        transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(case.image_size),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(preprocessing.mean, preprocessing.std),
            ]
        )
        dataset = torchvision.datasets.ImageFolder(
            str(_train_root(case.split)), transform, is_valid_file=_in_train(case.split)
        )
        loader = DataLoader(
            Subset(dataset, _shown(case, [path for path, _ in dataset.samples])),
            batch_size=case.batch,
            shuffle=True,
            num_workers=case.loader_workers,
            persistent_workers=case.loader_workers > 0,
            pin_memory=device.type == "cuda",
        )
        model = create(case.plan, len(case.split.classes), RANDOM, 0, recipe.drop_path).to(device)
        return cls(case, loader, model, torch.optim.Adam(model.parameters(), lr=SLIDES_LR), device)

    def epoch(self) -> int:
        """One epoch; the loss is read at each step, as such loops do."""
        self.model.train()
        seen, total = 0, 0.0
        for pixels, targets in self.loader:
            images, labels = pixels.to(self.device), targets.to(self.device)
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.model(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.item() * len(labels)
            seen += len(labels)
        return seen


@dataclass
class TimmLoader:
    """timm's own dataset and loader, its default augmentation, with vitbench's step.

    The loader's uint8 batches are taken before its normalisation, which is part of our step.
    """

    trainer: Trainer
    loader: DataLoader[tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, case: Case, trainer: Trainer) -> "TimmLoader":
        """The loader for a case."""
        dataset = create_dataset("", str(_train_root(case.split)), is_training=True)
        samples = dataset.reader.samples  # with their whole paths
        dataset.reader.samples = [samples[i] for i in _shown(case, [path for path, _ in samples])]
        config = case.plan.preprocessing
        loader = create_loader(
            dataset,
            input_size=(3, case.image_size, case.image_size),
            batch_size=case.batch,
            is_training=True,
            mean=config.mean,
            std=config.std,
            interpolation=config.interpolation,
            num_workers=case.loader_workers,
            persistent_workers=case.loader_workers > 0,
            pin_memory=trainer.device.type == "cuda",
            device=trainer.device,
        )
        return cls(trainer, loader.loader)

    def epoch(self) -> int:
        """One epoch; the last batch, where it is not full, is left out, as timm does."""
        seen = 0
        for step, (images, labels) in enumerate(self.loader):
            train_step(self.trainer, images, labels, step)
            seen += len(labels)
        return seen


def recipe_of(case: Case) -> Recipe:
    """The fine-tuning recipe of a case."""
    return build_recipe(case.settings, case.plan, case.split, 0, Origin(kind="hub"), "fp32")


def _train_root(split: Split) -> Path:
    """The folder of the training class folders."""
    first = Path(split.train[0].path)
    return split.root / first.parts[0] if first.parts[0] not in split.classes else split.root


def _in_train(split: Split) -> Callable[[str], bool]:
    paths = {(split.root / picture.path).resolve() for picture in split.train}
    return lambda path: Path(path).resolve() in paths


def _shown(case: Case, paths: list[str]) -> list[int]:
    """Indices into `paths`: every training picture as often as vitbench shows it in an epoch."""
    place = {Path(path).resolve(): index for index, path in enumerate(paths)}
    plan = plan_epoch(case.split.train, case.settings.per_class or 200, 0, 1)
    return [place[(case.split.root / case.split.train[index].path).resolve()] for index, _ in plan]


# --- the table ------------------------------------------------------------------------------------

ARMS: Mapping[str, str] = {
    "limit": "the limit: the full step on uint8 batches in memory",
    "vitbench": "vitbench end to end",
    "slides": "the plain torchvision loop",
    "timm": "timm's loader, our step",
}


Arm = Limit | Ours | SlidesLoop | TimmLoader


def make_arms(case: Case, trainer: Trainer, names: Sequence[str], folder: Path) -> dict[str, Arm]:
    """The named arms of a case, in the order of `ARMS`, around one trainer."""
    makers: dict[str, Callable[[], Arm]] = {
        "limit": lambda: Limit(trainer),
        "vitbench": lambda: Ours(trainer, folder / "run"),
        "slides": lambda: SlidesLoop.of(case),
        "timm": lambda: TimmLoader.of(case, trainer),
    }
    return {name: makers[name]() for name in ARMS if name in names}
