"""What decides the weights (`Recipe`), and what does not (`Machine`)."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vitbench.defaults import (
    Augment,
    Distil,
    MaskTarget,
    RecipeName,
    Technique,
    Through,
)
from vitbench.records.pictures import Preprocessing


class Distillation(BaseModel):
    """What a student learns from a teacher beside the labels (DeiT, Touvron et al. 2021)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    teacher: str
    """In words: the run or folder, with its timm name."""
    teacher_sha256: str = ""
    """Of the teacher's weights; filled in when they exist."""
    kind: Distil
    alpha: float = Field(gt=0, lt=1)
    """Weight of the teacher's part of the loss; the labels have the rest."""
    tau: float = Field(gt=0)
    """Temperature of soft distillation; hard has none."""
    through: Through
    """What is compared with the teacher: the answer of a distillation token, or the student's own logits."""


class Masking(BaseModel):
    """What masked pre-training hides and asks for (SimMIM, Xie et al. 2022)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ratio: float = Field(gt=0, lt=1)
    """Share of the cells that is hidden, rounded up."""
    size: int = Field(ge=1)
    """Side of a cell, px of the input."""
    target: MaskTarget
    """"pixels", or pixels minus the mean of their neighbourhood over its standard deviation."""


class Origin(BaseModel):
    """What a model begins from, as far as it decides anything; the words for people are `about.init`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["random", "hub", "file", "model", "masked"]
    """"masked": the encoder of masked pre-training, in a run of its own or before this one."""
    base: Literal["", "random", "hub", "file", "model"] = ""
    """What masked pre-training began from; "" elsewhere."""
    sha256: str = ""
    """Of the file that is read; "" for random weights, and for an encoder that is still to be made."""

    @property
    def from_scratch(self) -> bool:
        """Nothing was learned elsewhere: random weights, or masked pre-training that began from them."""
        return "random" in (self.kind, self.base)

    def masked(self, sha256: str = "") -> "Origin":
        """That of the encoder which masked pre-training makes of these weights."""
        return Origin(kind="masked", base=self.base if self.kind == "masked" else self.kind, sha256=sha256)

    def __str__(self) -> str:
        words = f"{self.kind} from {self.base}" if self.base else self.kind
        return f"{words} {self.sha256[:12]}".rstrip()


class Recipe(BaseModel):
    """All that decides one run's weights. Its hash stands in the run; a change is a new run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """timm name, with its tag where pretrained weights were asked for."""
    model_args: dict[str, Any] = {}
    """What brought it to its size: extra arguments of `timm.create_model` (img_size, window_size)."""
    init: Origin
    initial_sha256: str = ""
    """Of the state dict before the first step, new head included; filled in when the model exists."""
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    data_digest: str
    split_digest: str
    name: RecipeName
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
    head: Literal["new", "probe"] = "new"
    """What the head starts as: new, or fitted to the frozen features of the training pictures (LP-FT)."""
    freeze_norm: bool = False
    """Batch normalisation keeps the statistics of its pretraining."""
    last_epoch: int | None = None
    """Leave the schedule after this epoch and keep its weights, for there is no val; None: val chooses."""
    repeats: int = 1
    """Views of one picture that stand side by side in a batch (repeated augmentation)."""
    distillation: Distillation | None = None
    """None: it learns from labels alone."""
    masking: Masking | None = None
    """None: it learns classes; else what is hidden, and no labels."""
    pictures: str = ""
    """How training pictures are decoded and shrunk before views are drawn: their name in a store. "": by a
    version that decoded in full."""

    @property
    def objective(self) -> Literal["supervised", "distillation", "simmim"]:
        """What is learnt: a row of `training.objectives.table.OBJECTIVES`."""
        return "simmim" if self.masking else "distillation" if self.distillation else "supervised"

    @property
    def digest(self) -> str:
        """sha256 of the recipe's canonical JSON."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def started_as(self, other: "Recipe") -> "Recipe":
        """This recipe with what is known only since `other` started: the weights of student and teacher."""
        update: dict[str, Any] = {"initial_sha256": other.initial_sha256}
        if self.distillation and other.distillation:
            known = {"teacher_sha256": other.distillation.teacher_sha256}
            update["distillation"] = self.distillation.model_copy(update=known)
        return self.model_copy(update=update)

    def differences(self, other: "Recipe") -> list[str]:
        """Fields in which two recipes differ, as "epochs 3 → 5", this one first."""
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        here, there = {**mine, "init": self.init}, {**theirs, "init": other.init}
        return [f"{key} {here[key]} → {there[key]}" for key in mine if mine[key] != theirs[key]]


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
    workers: int | None
    """Threads, or at most so many processes, that prepare pictures ahead; never changes what comes out. None:
    as the waiting calls for."""
    processes: int = 1
    """That share every global batch, each with so many threads and workers."""
    jobs: int = 1
    """Runs at a time on this device, each with so many threads; never changes what comes out."""
    store: str = ""
    """The folder that keeps decoded pictures; never changes what comes out. "": none."""
    without: tuple[Technique, ...] = ()
    """Techniques left out, in the order of their names."""
    deterministic: bool | None = False
    """Only deterministic algorithms on a card: part of what makes weights bit-equal there. None: where each
    operation of a network has one."""
    compiled: bool | None = False
    """The step is compiled, which gives other last bits; None: where it is measured to pay."""
    compiler: str = ""
    """By which C++ compiler, on a CPU."""
    card: str = ""
    """A card's name, and no more than that; "" elsewhere."""
    libraries: str = ""
    """A card's own, in which another version may give other last bits; "" elsewhere."""
