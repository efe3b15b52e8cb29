"""The nouns: what flows from room to room.

Frozen and typed, without torch. A folder of pictures becomes an `ImageSet`, then a `Split`; what a
user asks for is `Settings`; what decides one model's weights is a `Recipe`, what does not is a
`Machine`; a trained model is a `Run`, its answers are `Predictions`, runs on one split are a
`Benchmark`. The table made from them is a `Comparison` (`vitbench.comparison`).
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from vitbench import files
from vitbench.errors import VitbenchError

Array = NDArray[Any]
Part = Literal["train", "val", "test"]
Augment = Literal["none", "geometry", "light", "strong"]
DEFAULT_MODELS = ("vit", "swin", "swinv2")


# --- pictures -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Picture:
    """One readable image file of an `ImageSet`."""

    path: str
    """Relative to the set's root, `/` between folders; surrogate escapes where not UTF-8."""
    label: str
    """Class name: the name of the top class folder."""
    part: Part | None
    """The folder it came from where the user brought a split; None in a folder of class folders."""
    sha256: str
    """Of the file's bytes: its content, whatever its name."""
    group: str
    """Digest of the decoded pixels: pictures of one group never lie on two sides of a split."""
    width: int
    """Pixels, as shown (EXIF orientation applied)."""
    height: int


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that looks like a picture and cannot be used."""

    path: str
    reason: str


@dataclass(frozen=True)
class ImageSet:
    """A checked folder: every picture in it was decoded in full once."""

    root: Path
    layout: Literal["flat", "split"]
    classes: tuple[str, ...]
    """Sorted by name; a picture's class index is its place here."""
    pictures: tuple[Picture, ...]
    """Sorted by path."""
    bad: tuple[BadFile, ...] = ()
    """Left out under `--skip-bad`; otherwise empty, for the scan refuses them."""
    ignored: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """What was passed over and how often, by reason ("hidden", "not an image: .txt", …)."""
    notes: tuple[str, ...] = ()
    """Warnings for the user, each one line."""

    @property
    def digest(self) -> str:
        """sha256 over (class, part, content) of every picture: equal for equal data, wherever it lies."""
        lines = sorted(f"{p.label}\0{p.part or ''}\0{p.sha256}" for p in self.pictures)
        return hashlib.sha256(files.readable("\n".join(lines)).encode()).hexdigest()

    def part(self, name: Part) -> tuple[Picture, ...]:
        return tuple(p for p in self.pictures if p.part == name)


@dataclass(frozen=True)
class Split:
    """Which pictures train, which choose the epoch (val), and which are reported on (test)."""

    root: Path
    classes: tuple[str, ...]
    train: tuple[Picture, ...]
    val: tuple[Picture, ...]
    test: tuple[Picture, ...]
    rule: str
    """In plain words, e.g. "70 / 15 / 15 % of the class folders, stratified, seed 0"."""
    seed: int
    data_digest: str
    """`ImageSet.digest` of the set that was split."""
    notes: tuple[str, ...] = ()

    COLUMNS: ClassVar[tuple[str, ...]] = ("path", "class", "split", "sha256", "group")

    @property
    def digest(self) -> str:
        """sha256 over (split, class, content): two benchmarks with equal digests share pictures."""
        lines = sorted(f"{name}\0{p.label}\0{p.sha256}" for name, p in self.assigned())
        return hashlib.sha256(files.readable("\n".join(lines)).encode()).hexdigest()

    def assigned(self) -> list[tuple[Part, Picture]]:
        """Every used picture with its side, in the order train, val, test."""
        return (
            [("train", p) for p in self.train]
            + [("val", p) for p in self.val]
            + [("test", p) for p in self.test]
        )

    def index_of(self, picture: Picture) -> int:
        """Class index of a picture."""
        return self.classes.index(picture.label)

    def rows(self) -> list[dict[str, Any]]:
        """The rows of `split.csv`."""
        return [
            {"path": p.path, "class": p.label, "split": name, "sha256": p.sha256, "group": p.group}
            for name, p in self.assigned()
        ]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a decoded picture becomes a model's input at evaluation (timm's `create_transform`)."""

    size: int
    """Side of the square input, px."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    """"bicubic", "bilinear", …"""
    crop_pct: float
    """The picture is resized to size / crop_pct, then cropped at the centre."""
    crop_mode: str = "center"

    def timm_config(self) -> dict[str, Any]:
        """As timm's data config: the keyword arguments of `timm.data.create_transform`."""
        return {
            "input_size": (3, self.size, self.size),
            "mean": self.mean,
            "std": self.std,
            "interpolation": self.interpolation,
            "crop_pct": self.crop_pct,
            "crop_mode": self.crop_mode,
        }


# --- what is asked for, and what decides the weights ----------------------------------------------


class Settings(BaseModel):
    """What a user asks of `train`; None means "the recipe's own". Stands in `benchmark.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = Field(default=DEFAULT_MODELS, min_length=1)
    epochs: int | None = Field(default=None, ge=1)
    per_class: int | Literal["all"] | None = None
    image_size: int | Literal["native"] | None = None
    batch_size: int | None = Field(default=None, ge=1)
    lr: float | None = Field(default=None, gt=0)
    recipe: Literal["finetune", "slides"] = "finetune"
    augment: Augment | None = None
    flip: bool = True
    mixup: float | None = Field(default=None, ge=0)
    cutmix: float | None = Field(default=None, ge=0)
    drop_path: float | None = Field(default=None, ge=0, lt=1)
    ema_decay: float | None = Field(default=None, ge=0, lt=1)
    patience: int | None = Field(default=None, ge=1)
    weights: tuple[str, ...] = Field(default=("pretrained",), min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    split_seed: int = 0
    layout: Literal["auto", "flat", "split"] = "auto"
    skip_bad: bool = False
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    micro_batch: int | None = Field(default=None, ge=1)
    workers: int | None = Field(default=None, ge=0)
    quick: bool = False

    RUN_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"models", "seeds", "weights", "device", "workers", "micro_batch"}
    )
    """What may differ between two calls on one benchmark; all other fields are held fast."""


class Recipe(BaseModel):
    """All that decides one run's weights. Its hash stands in the run; a change is a new run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """timm name, with its tag where pretrained weights were asked for."""
    model_args: dict[str, Any] = {}
    """What brought it to its size: extra arguments of `timm.create_model` (img_size, window_size)."""
    init: str
    """In words: "pretrained", "random", "file NAME"."""
    initial_sha256: str = ""
    """Of the state dict before the first step, new head included; filled in when the model exists."""
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    data_digest: str
    split_digest: str
    name: Literal["finetune", "slides"]
    seed: int
    epochs: int
    per_class: int | Literal["all"]
    augment: Augment
    flip: bool
    fixed_views: bool
    """The same views in every epoch (the slides' way) instead of new ones."""
    batch_size: int
    """Global: pictures per optimiser step, over all micro-batches."""
    optimizer: Literal["adamw", "adam"]
    lr: float
    min_lr: float
    weight_decay: float
    layer_decay: float | None
    """Each block's lr is this times the next one's; None: one lr for all."""
    schedule: Literal["cosine", "constant"]
    warmup_epochs: float
    label_smoothing: float
    drop_path: float
    clip_grad: float | None
    """Largest norm of the gradient; None: not clipped."""
    mixup: float
    cutmix: float
    ema_decay: float | None
    patience: int | None
    """Stop after so many epochs without a better val score; None: never."""
    precision: Literal["fp32", "bf16", "fp16"]

    @property
    def digest(self) -> str:
        """sha256 of the recipe's canonical JSON."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def differences(self, other: "Recipe") -> list[str]:
        """Fields in which two recipes differ, as "epochs 3 → 5", this one first."""
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        return [f"{key} {mine[key]} → {theirs[key]}" for key in mine if mine[key] != theirs[key]]


@dataclass(frozen=True, slots=True)
class Machine:
    """How the work is carried out; pinned when a run starts, so that a resumed one is bit-equal."""

    device: str
    """A torch device: "cpu", "cuda", "cuda:1", "mps"."""
    device_name: str
    micro_batch: int
    """Pictures per forward pass; gradients accumulate up to the recipe's batch."""
    eval_batch: int
    threads: int
    """Of the arithmetic on a CPU; part of what makes weights bit-equal."""
    workers: int
    """Threads that prepare pictures ahead; never changes what comes out."""


# --- results --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Epoch:
    """One row of `epochs.csv`; scores are fractions, losses means over pictures."""

    epoch: int
    """From 1."""
    train_loss: float
    """Of the objective (label smoothing, mixup included)."""
    train_top1: float | None
    """Running, on augmented views in train mode; None under mixup or cutmix."""
    val_loss: float
    """Plain cross-entropy."""
    val_top1: float
    lr: float
    """Largest over the parameter groups, at the epoch's last step."""
    seconds: float
    """Training only; evaluation and checkpoints left out."""
    images_per_second: float
    peak_memory_mb: float

    @classmethod
    def columns(cls) -> list[str]:
        return [field.name for field in dataclasses.fields(cls)]

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> "Epoch":
        """The epoch in one row of `epochs.csv`."""
        values: dict[str, Any] = {k: float(v) if v else None for k, v in row.items()}
        return cls(**{**values, "epoch": int(row["epoch"])})


@dataclass(frozen=True)
class Predictions:
    """What one model says about N pictures."""

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    labels: Array
    """(N,) int64 class indices."""
    probabilities: Array
    """(N, C) float64, rows sum to 1."""

    @property
    def answers(self) -> Array:
        """(N,) int64: the most probable class, the first one on a tie."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def correct(self) -> Array:
        """(N,) bool."""
        return np.asarray(self.answers == self.labels)

    @property
    def losses(self) -> Array:
        """(N,) float64 cross-entropy: −log p of the true class, p floored at 1e-300."""
        true = self.probabilities[np.arange(len(self.labels)), self.labels]
        return np.asarray(-np.log(np.maximum(true, 1e-300)))

    def write(self, path: Path) -> None:
        """Write `predictions.csv`: path, label, prediction, correct, loss, p_<class>…"""
        probability = [f"p_{name}" for name in self.classes]
        rows = [
            {
                "path": name,
                "label": self.classes[int(label)],
                "prediction": self.classes[int(answer)],
                "correct": int(answer == label),
                "loss": float(loss),
                **{column: float(p) for column, p in zip(probability, row, strict=True)},
            }
            for name, label, answer, loss, row in zip(
                self.paths, self.labels, self.answers, self.losses, self.probabilities, strict=True
            )
        ]
        files.write_csv(path, ["path", "label", "prediction", "correct", "loss", *probability], rows)

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """The predictions in a CSV written by `write`; needs at least one row."""
        rows = files.read_csv(path)
        if not rows:
            raise VitbenchError(f"{path}: no predictions in it; train the run again")
        columns = [column for column in rows[0] if column.startswith("p_")]
        classes = tuple(column.removeprefix("p_") for column in columns)
        index = {name: i for i, name in enumerate(classes)}
        return cls(
            classes=classes,
            paths=tuple(row["path"] for row in rows),
            labels=np.array([index[row["label"]] for row in rows], dtype=np.int64),
            probabilities=np.array([[float(row[c]) for c in columns] for row in rows]),
        )


LOW_CONFIDENCE = 0.5
"""An answer less probable than this is marked as unsure."""


@dataclass(frozen=True)
class Answer:
    """What every model says about one picture (`vitbench predict`)."""

    path: str
    """As the user gave it."""
    said: Mapping[str, tuple[tuple[str, float], ...]]
    """Run name → (class, probability) pairs, most probable first; empty where there is an error."""
    label: str | None = None
    """The true class, where the picture's folder names one of the models' classes."""
    error: str = ""
    """Why it could not be read, one line."""

    @property
    def disputed(self) -> bool:
        """The models do not all name the same class."""
        return len({pairs[0][0] for pairs in self.said.values()}) > 1

    @property
    def unsure(self) -> bool:
        """Some model gives its own answer less than `LOW_CONFIDENCE`."""
        return any(pairs[0][1] < LOW_CONFIDENCE for pairs in self.said.values())


RunStatus = Literal["new", "interrupted", "failed", "finished"]


@dataclass(frozen=True)
class Run:
    """One model × seed, read from its folder `<benchmark>/<model>-s<seed>/`.

    `metrics.json` is written last and makes a run finished; `failure.json` makes it failed.
    """

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def model(self) -> str:
        """What the user called the model: "vit", or a timm name."""
        return self.name.rpartition("-s")[0]

    @property
    def seed(self) -> int:
        return int(self.name.rpartition("-s")[2])

    @property
    def status(self) -> RunStatus:
        if (self.folder / "metrics.json").exists():
            return "finished"
        if (self.folder / "failure.json").exists():
            return "failed"
        return "interrupted" if (self.folder / "recipe.json").exists() else "new"

    @property
    def failure(self) -> str:
        """Why it failed, one line; "" if it did not."""
        path = self.folder / "failure.json"
        return str(files.read_json(path)["reason"]) if path.exists() else ""

    @property
    def model_folder(self) -> Path:
        """The chosen weights as a timm `local-dir:` folder."""
        return self.folder / "model"

    def about(self) -> dict[str, Any]:
        """What the run is, from `recipe.json`: timm_name, pretrained_on, init, native_size, notes [text…]."""
        return dict(files.read_json(self.folder / "recipe.json")["about"])

    def recipe(self) -> Recipe:
        return Recipe.model_validate(files.read_json(self.folder / "recipe.json")["recipe"])

    def epochs(self) -> list[Epoch]:
        path = self.folder / "epochs.csv"
        return [Epoch.from_row(row) for row in files.read_csv(path)] if path.exists() else []

    def predictions(self) -> Predictions:
        return Predictions.read(self.folder / "predictions.csv")

    def metrics(self) -> dict[str, Any]:
        """`metrics.json`, whose keys are:

        best_epoch, epochs; train {loss, top1}; val {n, loss, top1};
        test {n, correct, top1, top1_low, top1_high, loss, macro_f1, balanced_accuracy};
        cost {params_m, gmacs, train_images_per_second, seconds_per_epoch, latency_ms_p50,
        latency_ms_p95, peak_memory_mb}; notes [text…] (approximations and fallbacks).
        """
        return dict(files.read_json(self.folder / "metrics.json"))

    def environment(self) -> dict[str, Any]:
        path = self.folder / "environment.json"
        return dict(files.read_json(path)) if path.exists() else {}


@dataclass(frozen=True)
class Benchmark:
    """A folder under `results/`: one split and the runs on it."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def manifest(self) -> dict[str, Any]:
        """`benchmark.json`: data, classes, split rule, settings, versions, machine, planned runs."""
        return dict(files.read_json(self.folder / "benchmark.json"))

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(self.manifest["settings"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.manifest["classes"])

    @property
    def runs(self) -> tuple[Run, ...]:
        """The planned runs in the order they were asked for, whatever became of them."""
        return tuple(Run(self.folder / name) for name in self.manifest["runs"])

    @property
    def finished(self) -> bool:
        """Every planned run ended, finished or failed."""
        return all(run.status in ("finished", "failed") for run in self.runs)

    def split_rows(self) -> list[dict[str, str]]:
        return files.read_csv(self.folder / "split.csv")


def benchmarks_in(results: Path) -> list[Benchmark]:
    """The benchmarks in a results folder, newest first (by the start time in their manifests)."""
    found = [Benchmark(path.parent) for path in results.glob("*/benchmark.json")]
    return sorted(found, key=lambda b: (str(b.manifest["created"]), b.name), reverse=True)


def run_name(model: str, seed: int) -> str:
    """`<model>-s<seed>`; characters of a timm name that are not for file names become `_`."""
    kept = "".join(c if c.isalnum() or c in "._-" else "_" for c in model).lstrip(".")
    return f"{kept}-s{seed}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """A score for the screen: 0.8333 → "83.3"; None or NaN → "–"."""
    if fraction is None or math.isnan(fraction):
        return "–"
    return f"{100 * fraction:.{digits}f}"


def duration(seconds: float) -> str:
    """A length of time for a reader: "40 s", "12 min", "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


def label_indices(pictures: Sequence[Picture], classes: Sequence[str]) -> Array:
    """(N,) int64 class indices of pictures, by name."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[p.label] for p in pictures], dtype=np.int64)
