"""Recipes: what `--recipe finetune|slides|deit` means, per family, and how settings become a `Recipe`."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from vitbench.data.made import training_way
from vitbench.defaults import (
    ALPHA,
    BATCH_SIZE,
    DEIT_CUTMIX,
    DEIT_MIXUP,
    EPOCHS,
    IMAGE_SIZE,
    MASK_SIZE,
    PER_CLASS,
    PRETRAIN_EPOCHS,
    PRETRAIN_LR,
)
from vitbench.errors import UsageError
from vitbench.models.plan import ModelPlan
from vitbench.records import Augment, Distillation, Masking, Origin, Recipe, Settings, Split


@dataclass(frozen=True, slots=True)
class Defaults:
    """One row of defaults; every field is named as in `Recipe`."""

    lr: float
    layer_decay: float | None
    drop_path: float
    optimizer: Literal["adamw", "adam"] = "adamw"
    weight_decay: float = 0.05
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_fraction: float = 0.1
    """Of all epochs."""
    label_smoothing: float = 0.1
    clip_grad: float | None = 1.0
    augment: Augment = "light"
    fixed_views: bool = False
    head: Literal["new", "probe"] = "new"
    freeze_norm: bool = False
    repeats: int = 1


QUICK: dict[str, int] = {"image_size": 64, "epochs": 3, "per_class": 40}
"""`--quick`: the whole way in minutes on two CPU cores; an explicit option beats each."""


def shared(settings: Settings) -> dict[str, Any]:
    """What holds for every model of a benchmark alike, defaults filled in."""

    def asked(value: Any, quick: str, otherwise: Any) -> Any:
        return value if value is not None else QUICK.get(quick, otherwise) if settings.quick else otherwise

    return {
        "image_size": asked(settings.image_size, "image_size", IMAGE_SIZE),
        "epochs": asked(settings.epochs, "epochs", EPOCHS),
        "per_class": asked(settings.per_class, "per_class", PER_CLASS),
        "batch_size": asked(settings.batch_size, "", BATCH_SIZE),
        "mixup": asked(settings.mixup, "", DEIT_MIXUP if settings.recipe == "deit" else 0.0),
        "cutmix": asked(settings.cutmix, "", DEIT_CUTMIX if settings.recipe == "deit" else 0.0),
    }


def defaults_for(settings: Settings, kind: str, from_scratch: bool) -> Defaults:
    """The row for a kind of model ("vit", "swin", "cnn", …); `from_scratch`: random weights."""
    if settings.recipe == "slides":
        return SLIDES
    if settings.recipe == "probe":
        return PROBE
    if settings.recipe == "simmim":
        return SIMMIM
    table = SCRATCH if from_scratch else FINETUNE
    row = table.get(kind, table["other"])
    return _regularised(row, kind) if settings.recipe == "deit" else row


def probe_of(settings: Settings) -> Settings:
    """The settings of the probe beside a fine-tuned model: the same size, nothing of its training."""
    return Settings(
        recipe="probe",
        image_size=settings.image_size,
        quick=settings.quick,
        split_seed=settings.split_seed,
        folds=settings.folds,
    )


def build_recipe(
    settings: Settings,
    plan: ModelPlan,
    split: Split,
    seed: int,
    init: Origin,
    precision: str,
    keeps_head: bool = False,
) -> Recipe:
    """The recipe of one run; `initial_sha256` is filled in when the model exists.

    `keeps_head`: the first weights bring a head for these very classes.
    """
    # One's own masked pre-training is followed by the recipe of random weights: only the start differs.
    row = defaults_for(settings, plan.kind, init.from_scratch)
    common = shared(settings)
    if settings.recipe == "probe":
        common |= {"epochs": 0, "per_class": "all"}

    def asked(value: Any, otherwise: Any) -> Any:
        return otherwise if value is None else value

    augment = asked(settings.augment, row.augment)
    way = training_way(plan.image_size, augment, split.pixel_range)
    return Recipe(
        model=plan.timm_name,
        model_args=plan.model_args,
        init=init,
        preprocessing=replace(plan.preprocessing, pixel_range=split.pixel_range),
        classes=split.classes,
        data_digest=split.data_digest,
        split_digest=split.digest,
        name=settings.recipe,
        seed=seed,
        epochs=common["epochs"],
        per_class=common["per_class"],
        augment=augment,
        flip=settings.flip,
        fixed_views=row.fixed_views,
        batch_size=common["batch_size"],
        optimizer=row.optimizer,
        lr=asked(settings.lr, row.lr),
        min_lr=_min_lr(settings, row),
        weight_decay=row.weight_decay,
        layer_decay=row.layer_decay,
        schedule=row.schedule,
        warmup_epochs=row.warmup_fraction * common["epochs"],
        label_smoothing=row.label_smoothing,
        drop_path=asked(settings.drop_path, row.drop_path),
        clip_grad=row.clip_grad,
        mixup=common["mixup"],
        cutmix=common["cutmix"],
        ema_decay=settings.ema,
        patience=settings.patience,
        precision=precision,  # type: ignore[arg-type]  # pydantic checks it
        head=row.head if plan.linear_head and not keeps_head else "new",
        freeze_norm=row.freeze_norm,
        repeats=row.repeats,
        pictures="" if settings.recipe == "probe" else way,
    )


def _min_lr(settings: Settings, row: Defaults) -> float:
    """Where the cosine ends, a constant rate stays; UsageError for one that is asked for and cannot be."""
    lr, least = settings.lr or row.lr, settings.min_lr
    if row.schedule == "constant":
        if least is not None:
            raise UsageError(f"--min-lr {least:g}: recipe {settings.recipe} has no cosine; leave it away")
        return lr
    if least is not None and least > lr:
        raise UsageError(f"--min-lr {least:g}: is more than the learning rate, {lr:g}; name a smaller one")
    return lr * 0.01 if least is None else least


def distillation(settings: Settings, teacher: str, has_token: bool) -> Distillation:
    """What the settings say of a student's teacher, who is called so."""
    return Distillation(
        teacher=teacher,
        kind=settings.distill,
        alpha=settings.alpha or ALPHA[settings.distill],
        tau=settings.tau,
        through=settings.distill_through or ("token" if has_token else "logits"),
    )


def masking_of(settings: Settings, plan: ModelPlan) -> Masking:
    """What the settings hide of a picture: cells of 32 px at 224, elsewhere the whole number of patches that
    divides the picture and is nearest to that share of it.
    """
    patch, size = plan.patch or 1, plan.image_size
    aim = MASK_SIZE * size / IMAGE_SIZE
    step = 16 if 16 % patch == 0 and size % 16 == 0 else patch  # one size for all models of a benchmark
    fitting = [side for side in range(step, size, step) if size % side == 0] or [size]
    side = settings.mask_size or min(fitting, key=lambda side: abs(side - aim))
    return Masking(ratio=settings.mask_ratio, size=side, target=settings.mask_target)


def pretraining_recipe(
    settings: Settings,
    plan: ModelPlan,
    split: Split,
    seed: int,
    init: Origin,
    precision: str,
    masking: Masking,
) -> Recipe:
    """The recipe of masked pre-training (`SIMMIM`): each training picture once an epoch, no classes."""
    alone = settings.recipe == "simmim"
    before = Settings(
        recipe="simmim",
        epochs=settings.pretrain_epochs,
        batch_size=settings.batch_size,
        image_size=settings.image_size,
        flip=settings.flip,
        quick=settings.quick,
    )
    asked = settings if alone else before  # what comes before training has a learning rate of its own
    if asked.epochs is None and not asked.quick:
        asked = asked.model_copy(update={"epochs": PRETRAIN_EPOCHS})
    plain = build_recipe(asked, plan, split, seed, init, precision)
    return plain.model_copy(update={"per_class": "all", "masking": masking, "classes": ()})


def further_recipe(before: Recipe, plan: ModelPlan, init: Origin, epochs: int) -> Recipe:
    """What trains a run's own model on for a few epochs, at the size and with the windows of a plan.

    All is as it was but for the schedule, which begins anew. A model that was trained from random weights now
    has early layers to protect, and takes the learning rate and layer decay of fine-tuning. A teacher, and a
    head that is fitted first, are left out: it has its head.
    """
    row = FINETUNE.get(plan.kind, FINETUNE["other"])
    lr, layer_decay = (
        (row.lr, row.layer_decay) if before.init.from_scratch else (before.lr, before.layer_decay)
    )
    update: dict[str, Any] = {
        "model_args": plan.model_args,
        "init": init,
        "initial_sha256": "",
        "preprocessing": replace(before.preprocessing, size=plan.image_size),
        "epochs": epochs,
        "lr": lr,
        "min_lr": lr if before.schedule == "constant" else lr * 0.01,
        "layer_decay": layer_decay,
        "warmup_epochs": before.warmup_epochs / max(1, before.epochs) * epochs,
        "patience": None,
        "last_epoch": None,
        "head": "new",
        "distillation": None,
        "pictures": training_way(plan.image_size, before.augment, before.preprocessing.pixel_range),
    }
    return before.model_copy(update=update)


# --- the tables -----------------------------------------------------------------------------------
# Chosen by measuring, on two pretrained networks and two folders, and looked at again on a third
# (results/evidence/recipes.md): the head fitted first (LP-FT, Kumar et al. 2022), small learning rates,
# no label smoothing, views that leave colours alone, and batch normalisation frozen. What was not measured
# is from the literature: layer decay .75 (BEiT, Bao et al. 2022; MAE, He et al. 2022), drop path .1 for
# Swin and .2 for Swin V2 as their own repositories fine-tune, none for the tiny ViTs. No pretrained Swin
# was at hand: its learning rate is that of ViT. The learning rate is for a batch of 32.

VIT = Defaults(
    lr=5e-5, layer_decay=0.75, drop_path=0.0, head="probe", augment="geometry", label_smoothing=0.0
)
FINETUNE: dict[str, Defaults] = {
    "vit": VIT,
    "deit": VIT,
    "swin": replace(VIT, drop_path=0.1),
    "swinv2": replace(VIT, drop_path=0.2),
    "swinv2-cr": replace(VIT, drop_path=0.2),
    "cnn": replace(VIT, lr=1e-4, layer_decay=None, freeze_norm=True),
    "other": replace(VIT, layer_decay=None),
}

# From random weights there are no good early layers to protect: no layer decay, a larger lr.
SCRATCH: dict[str, Defaults] = {
    "vit": Defaults(lr=5e-4, layer_decay=None, drop_path=0.0),
    "deit": Defaults(lr=5e-4, layer_decay=None, drop_path=0.0),
    "swin": Defaults(lr=5e-4, layer_decay=None, drop_path=0.0),
    "swinv2": Defaults(lr=5e-4, layer_decay=None, drop_path=0.0),
    "swinv2-cr": Defaults(lr=5e-4, layer_decay=None, drop_path=0.0),
    "cnn": Defaults(lr=1e-3, layer_decay=None, drop_path=0.0),
    "other": Defaults(lr=5e-4, layer_decay=None, drop_path=0.0),
}

# DeiT's regularisation (Touvron et al. 2021, table 9) on the family's own row above: learning rate, layer
# decay, head and frozen statistics stay. The paper's lr of 5e-4 × batch / 512 is 3e-5 at our batch of 32,
# meant for 300 epochs of ImageNet; from random weights ours is 5e-4 without the scaling, which is not
# measured either. Gradients are not clipped, warm-up is the paper's 5 of 300 epochs. Stochastic depth is
# the transformers': convolutional networks, of which not all have it, keep their row's.
DEIT_DROP_PATH = 0.1


def _regularised(row: Defaults, kind: str) -> Defaults:
    return replace(
        row,
        drop_path=row.drop_path if kind == "cnn" else DEIT_DROP_PATH,
        weight_decay=0.05,
        warmup_fraction=5 / 300,
        label_smoothing=0.1,
        clip_grad=None,
        augment="deit",
        repeats=3,
    )


# What the slides did: Adam, cross-entropy, constant lr, 200 views per class made once. They name no
# lr; 1e-4 is ours.
SLIDES = Defaults(
    lr=1e-4,
    layer_decay=None,
    drop_path=0.0,
    optimizer="adam",
    weight_decay=0.0,
    schedule="constant",
    warmup_fraction=0.0,
    label_smoothing=0.0,
    clip_grad=None,
    augment="geometry",
    fixed_views=True,
)

# A probe trains nothing: a linear head is fitted to frozen features (`vitbench/inference/linear.py`).
PROBE = Defaults(
    lr=0.0,
    layer_decay=None,
    drop_path=0.0,
    weight_decay=0.0,
    schedule="constant",
    warmup_fraction=0.0,
    label_smoothing=0.0,
    clip_grad=None,
    augment="none",
)

# SimMIM (Xie et al. 2022): crops of .67–1 and mirroring alone, AdamW, weight decay .05, a tenth of the epochs
# to warm up, clip 5. Its learning rate, 2e-4 for a batch of 512, is for a million pictures and long training;
# on a folder of hundreds ours is that of training from random weights.
SIMMIM = Defaults(
    lr=PRETRAIN_LR, layer_decay=None, drop_path=0.0, label_smoothing=0.0, clip_grad=5.0, augment="masked"
)
