"""What is asked for (`Settings`), what decides the weights (`Recipe`), and what does not (`Machine`)."""

import difflib
import hashlib
import json
import math
import operator
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from vitbench.errors import UsageError
from vitbench.records.pictures import Preprocessing

Augment = Literal["none", "geometry", "masked", "light", "strong", "deit"]
DEFAULT_MODELS = ("vit", "swin", "swinv2")
RecipeName = Literal["finetune", "slides", "deit", "probe", "simmim"]
Distil = Literal["hard", "soft"]
Through = Literal["token", "logits"]
MaskTarget = Literal["pixels", "normalised"]
Technique = Literal[
    "device_views", "cuda_graphs", "tf32", "channels_last", "fused_attention", "fused_optimizer"
]
"""What makes a step fast and can be left out; a run's `environment.json` says what it uses."""

MOST = 1_000_000
"""The largest count (epochs, views, pictures of a batch) that can be meant."""
MOST_PIXELS = 8192
MOST_SEED = 2**32 - 1
"""What every random generator takes."""
Whole = Annotated[
    int,
    Field(strict=True),
    BeforeValidator(lambda value: operator.index(value) if isinstance(value, np.integer) else value),
]
"""A whole number; True, 2.7 and "3" are none."""
Count = Annotated[Whole, Field(ge=1, le=MOST)]
Pixels = Annotated[Whole, Field(ge=1, le=MOST_PIXELS)]
Seed = Annotated[Whole, Field(ge=0, le=MOST_SEED)]
Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number; True and "0.1" are none."""
Place = Annotated[str, BeforeValidator(lambda value: os.fspath(value) if isinstance(value, Path) else value)]
"""A text that may name a file or folder; a `Path` is taken as its text."""


DISTILLED = "distill"
"""The arm of what learns from a teacher, where no arms were named."""
PRETRAINED = "simmim"
"""The arm of what is pre-trained, with training after it or alone."""
ARMS: Mapping[str, Mapping[str, Any]] = {
    "pretrained": {"weights": "pretrained"},
    "scratch": {"weights": "random"},
    PRETRAINED: {"weights": "random", "pretrain": True},
    DISTILLED: {"weights": "random"},
}
"""The usual arms, by the names that `--arms` knows."""
TEACHER = "regnety_016"
"""Who teaches in the usual arm where no teacher was named: a small sibling of DeiT's own."""


class Settings(BaseModel):
    """What a user asks of `train`; None means "the recipe's own". Stands in `benchmark.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = Field(default=DEFAULT_MODELS, min_length=1)
    epochs: Count | None = None
    per_class: Count | Literal["all"] | None = None
    image_size: Pixels | Literal["native"] | None = None
    batch_size: Count | None = None
    lr: Real | None = Field(default=None, gt=0)
    recipe: RecipeName = "finetune"
    augment: Augment | None = None
    flip: bool = True
    mixup: Real | None = Field(default=None, ge=0, le=1000)
    cutmix: Real | None = Field(default=None, ge=0, le=1000)
    drop_path: Real | None = Field(default=None, ge=0, lt=1)
    ema: Real | None = Field(default=None, ge=0, lt=1)
    patience: Count | None = None
    weights: tuple[Place, ...] = Field(default=("pretrained",), min_length=1)
    seeds: tuple[Seed, ...] = Field(default=(0,), min_length=1)
    split_seed: Seed = 0
    folds: Annotated[Count, Field(ge=2)] | Literal["auto"] | None = None
    """None: one split; "auto": folds where the test part would be small."""
    final: Literal["folds", "retrain"] = "folds"
    """What answers for a run with folds: its folds' models together, or one retrained on everything."""
    group: Place | None = None
    """What keeps pictures together: a pattern over paths, or a CSV file."""
    burst_seconds: Real | None = Field(default=None, gt=0)
    """Pictures of a class taken within so many seconds of one another are kept together."""
    tune: Annotated[Count, Field(ge=2, le=6)] | None = None
    """So many settings are tried on val before the run."""
    with_probe: bool | None = None
    """A row of each model's own frozen probe beside it; None: where that costs little."""
    teacher: Place | None = None
    """Who teaches: a timm name (fine-tuned first, on the same split), a run, or a saved model's folder."""
    distill: Distil = "hard"
    alpha: Real | None = Field(default=None, gt=0, lt=1)
    """Weight of what the teacher says; None: one half (hard) or .1 (soft), as the paper has it."""
    tau: Real = Field(default=3.0, ge=0.01, le=1000)
    distill_through: Through | None = None
    """None: through the distillation token where the student has one, else through its logits."""
    plain: bool = True
    """With a teacher: every student is trained without it too."""
    pretrain: bool = False
    """Masked pre-training (SimMIM) on the training pictures comes first."""
    pretrain_epochs: Count | None = None
    mask_ratio: Real = Field(default=0.6, gt=0, lt=1)
    mask_size: Pixels | None = None
    """px; None: 32, or what is nearest to it at this image size and patch size."""
    mask_target: MaskTarget = "pixels"
    arms: dict[str, dict[str, Any]] = {}
    """Different ways to train the same models: what each sets differently, by its name."""
    layout: Literal["auto", "flat", "split", "loose"] = "auto"
    """"loose": all pictures, labels unread, for masked pre-training alone."""
    with_test: bool = False
    """Masked pre-training learns from the test pictures too."""
    skip_bad: bool = False
    near: bool = True
    """Near-copies are looked for and kept on one side."""
    pixel_range: tuple[float, float] | None = None
    """What is black and white in pictures of more than 8 bits; None: what the folder's own values show."""
    strict: bool = False
    """Leaks, clashing labels and signs of augmented copies are errors, not warnings."""
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    micro_batch: Count | None = None
    without: tuple[Technique, ...] = ()
    """Techniques that are not used, whatever they would bring; "none": all are."""
    deterministic: bool = False
    """A card computes so that the same steps give the same bytes; a CPU does always."""
    workers: Whole | None = Field(default=None, ge=0, le=1024)
    store: bool = True
    """Decoded pictures are kept for later epochs, models and benchmarks."""
    store_dir: Place | None = None
    """Where; None: the user's cache folder."""
    quick: bool = False

    @field_validator("models", "weights", "seeds", "without", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any, info: ValidationInfo) -> Any:
        """One name or number stands for a tuple of one, none for an empty one; nothing counts twice."""
        if value == "none" and info.field_name == "without":
            return ()
        many = (value,) if isinstance(value, str | int | np.integer | Path) else value
        if not isinstance(many, list | tuple | range) or any(isinstance(one, list | dict) for one in many):
            return many
        return tuple({(type(one), one): one for one in many}.values())

    @field_validator("pixel_range", mode="before")
    @classmethod
    def _two_ends(cls, value: Any) -> Any:
        """ "0,4095" as its two numbers; ValueError unless the first is the smaller one."""
        if value is None:
            return None
        try:
            given = value.split(",") if isinstance(value, str) else value
            low, high = ends = tuple(math.nan if isinstance(one, bool) else float(one) for one in given)
        except (TypeError, ValueError):
            low, high = ends = (math.nan, math.nan)
        if not -math.inf < low < high < math.inf:
            raise ValueError("two numbers, the smaller one first, such as 0,4095")
        return ends

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> "Settings":
        """Settings from named values; UsageError, naming the option, for what does not fit."""
        try:
            settings = cls.model_validate(dict(asked))
            settings._check_arms()
            settings._check_unlabelled()
            return settings
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            if name == "arms":
                raise UsageError(f"arms: {first['msg']}; an arm is a table of options, see --help") from error
            option = "--" + name.replace("_", "-")
            if first["type"] == "extra_forbidden":
                near = difflib.get_close_matches(name, cls.model_fields, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(cls.model_fields)}"
                raise UsageError(f"{name}: no such setting{hint}") from error
            if first["type"] == "too_short":
                raise UsageError(f"{option}: names nothing; see --help") from error
            raise UsageError(f"{option} {_unfit(error)}; see --help") from error

    LESSON_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"teacher", "distill", "alpha", "tau", "distill_through", "plain"}
        | {"pretrain", "pretrain_epochs", "mask_ratio", "mask_size", "mask_target"}
    )
    """What teachers and masked pre-training are told."""

    RUN_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"models", "seeds", "weights", "device", "workers", "micro_batch", "with_probe", "strict"}
        | {"store", "store_dir", "arms", "without", "deterministic"}
        | LESSON_FIELDS
    )
    """What may differ between two calls on one benchmark (a run that is there keeps its recipe); all other
    fields are held fast.
    """

    ARM_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {"weights", "recipe", "epochs", "per_class", "image_size", "batch_size", "lr", "augment", "flip"}
        | {"mixup", "cutmix", "drop_path", "ema", "patience", "tune"}
        | LESSON_FIELDS - {"plain"}
    )
    """What can be set differently in an arm; models, seeds and the split are the same in all."""

    @property
    def given_arms(self) -> dict[str, dict[str, Any]]:
        """The arms, those that a teacher makes too: "" is the plain way, its runs have no arm's name.

        {} where there is but that.
        """
        if self.arms or self.teacher is None:
            return self.arms
        first = {"pretrain": self.pretrain}
        return ({"": first} if self.plain else {}) | {DISTILLED: {**first, "teacher": self.teacher}}

    @property
    def ways(self) -> dict[str, "Settings"]:
        """The settings of every arm, by its name; where there are none {"": self}, or {"simmim": self}."""
        alone = PRETRAINED if self.recipe == "simmim" else ""
        return {name: self._way(fields) for name, fields in self.given_arms.items()} or {alone: self}

    def means(self, field: str) -> bool:
        """Whether a field plays a part here: what a teacher or masks are told does so only where they are."""
        if field in ("distill", "alpha", "tau", "distill_through"):
            return self.teacher is not None
        if field == "pretrain_epochs" or field.startswith("mask_"):
            return self.pretrain or self.recipe == "simmim"
        return True

    def _way(self, fields: Mapping[str, Any]) -> "Settings":
        """An arm's settings: what it does not set is as for all; who teaches, and whether, it says itself."""
        own = {"teacher": None, "pretrain": False, **fields, "arms": {}, "plain": True}
        return Settings.model_validate({**self.model_dump(), **own})

    def _check_unlabelled(self) -> None:
        """What only a recipe without labels can have."""
        if self.recipe == "simmim":
            return
        if self.layout == "loose":
            raise UsageError("--layout loose: pictures without classes are for vitbench pretrain alone")
        if self.with_test:
            raise UsageError(
                "--with-test: test pictures are never trained on; vitbench pretrain can take them in"
            )

    def _check_arms(self) -> None:
        for name, fields in self.arms.items():
            if not re.fullmatch(r"[A-Za-z0-9_]*", name):
                raise UsageError(f"arms: {name!r}: a name has letters, digits and _ only")
            if fields.get("recipe") in ("probe", "simmim"):
                raise UsageError(
                    f"arms: {name}: recipe {fields['recipe']} trains no classes; masked pre-training before "
                    "training is `pretrain = true`"
                )
            for field in fields:
                if field not in self.ARM_FIELDS:
                    known = ", ".join(sorted(self.ARM_FIELDS))
                    raise UsageError(f"arms: {name}: {field} cannot differ between arms; these can: {known}")
            try:
                self._way(fields)
            except ValidationError as error:
                where = error.errors()[0]["loc"][0]
                raise UsageError(f"arms: {name}: {where} {_unfit(error)}") from error


def _unfit(error: ValidationError) -> str:
    """The first value that does not fit and what it should be: "True: should be a valid integer or 'all'"."""
    first, *more = error.errors()
    value = first["input"]
    text = value if isinstance(value, str) and first["type"] == "literal_error" else repr(value)
    others = [one["msg"] for one in more if one["loc"][:1] == first["loc"][:1] and one["input"] is value]
    words = [reason.replace("Input should be ", "") for reason in dict.fromkeys([first["msg"], *others])]
    said = " or ".join(words)
    for theirs, ours in _WORDS.items():
        said = said.replace(theirs, ours)
    return f"{text if len(text) < 80 else text[:77] + '...'}: should be {said}"


_WORDS = {
    "Value error, ": "",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "a text",
    "a valid tuple": "a list",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
}
"""pydantic's words, and a reader's."""


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
        """What is learnt: a row of `training.objectives.OBJECTIVES`."""
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
    workers: int | None
    """Threads that prepare pictures ahead; never changes what comes out. None: as the waiting calls for."""
    processes: int = 1
    """That share every global batch, each with so many threads and workers."""
    store: str = ""
    """The folder that keeps decoded pictures; never changes what comes out. "": none."""
    without: tuple[Technique, ...] = ()
    """Techniques left out, in the order of their names."""
    deterministic: bool = False
    """Only deterministic algorithms on a card: part of what makes weights bit-equal there."""
    libraries: str = ""
    """A card's own, in which another version may give other last bits; "" elsewhere."""
