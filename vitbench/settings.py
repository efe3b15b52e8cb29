"""What is asked for: a field of `Settings` is an option, declared once with all that the house knows of it.

From the declarations come `train`, `probe`, `pretrain` and their help (`vitbench.cli.options`), the TOML of
`--config`, what an arm may set, what two calls on one benchmark may differ in, what has no meaning
without another option, and the commands that are printed.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from vitbench.defaults import (
    ALPHA,
    BATCH_SIZE,
    DEFAULT_MODELS,
    DEIT_CUTMIX,
    DEIT_MIXUP,
    DISTILLED,
    EPOCHS,
    IMAGE_SIZE,
    MASK_SIZE,
    PER_CLASS,
    PRETRAIN_EPOCHS,
    PRETRAIN_LR,
    PRETRAINED,
    RECIPE_OF,
    Augment,
    Distil,
    Layout,
    MaskTarget,
    RecipeName,
    Techniques,
    Through,
    TrainedRecipe,
    Views,
)
from vitbench.errors import UsageError
from vitbench.options import (
    DIVIDING,
    EVERY,
    LEARNING,
    RUNNING,
    TEACHING,
    TRAIN,
    TRAINING,
    Command,
    Count,
    Declared,
    Ends,
    Folds,
    Many,
    On,
    Pixels,
    Place,
    Real,
    Seed,
    Share,
    Switch,
    Whole,
    fit,
    no_option,
    not_of,
)

learning = partial(On, panel=LEARNING, arm=True)
taught = partial(On, panel=TEACHING, arm=True, between_calls="free", part_of="teacher")
masked = partial(On, panel=TEACHING, arm=True, between_calls="free", part_of="pretrain")
dividing = partial(On, panel=DIVIDING)
running = partial(On, panel=RUNNING, between_calls="free")


class Settings(Declared):
    """What a user asks of `train`; None means "the recipe's own". Stands in `benchmark.json`.

    `model_fields_set`: what was named; the rest has its default, or what a benchmark that is there has.
    """

    models: Annotated[
        Many[str],
        On(
            EVERY,
            LEARNING,
            common=True,
            metavar="MODEL,…",
            between_calls="runs",
            help={
                "probe": "Comma-separated: as for train, or tiny (timm's tiny networks), or patterns of timm "
                "names ('convnext_*').",
                "pretrain": "Comma-separated: vit, deit, deit-distilled, swin, swinv2, swinv2-w16, "
                "swinv2-cr, or timm names of their kinds.",
            },
        ),
    ] = Field(default=DEFAULT_MODELS, min_length=1)
    """Comma-separated: vit, deit, deit-distilled, swin, swinv2, swinv2-w16, swinv2-cr, any timm name, or
    all.
    """
    weights: Annotated[
        Many[Place],
        learning(
            EVERY,
            common=True,
            metavar="WHAT",
            between_calls="free",
            repeated=True,
            default={"pretrain": "random"},
        ),
    ] = Field(default=("pretrained",), min_length=1)
    """What to begin with: pretrained, random, auto, a PATH, a benchmark or run, or MODEL=PATH; repeatable."""
    seeds: Annotated[Many[Seed], On(TRAINING, LEARNING, common=True, metavar="N,…", between_calls="runs")] = (
        Field(default=(0,), min_length=1)
    )
    """Comma-separated, e.g. 0,1,2."""
    with_probe: Annotated[
        Switch | None,
        On(
            TRAIN,
            LEARNING,
            between_calls="runs",
            flag="--with-probe/--no-probe",
            default="where it costs little",
        ),
    ] = None
    """Show each model's own frozen probe beside it."""
    skip_bad: Annotated[Switch, dividing(EVERY, splits=True)] = False
    """Leave unreadable pictures out."""
    quick: Annotated[Switch, On(TRAINING, LEARNING, common=True, between_calls="free")] = False
    """64 px, few views and epochs: the whole way in minutes."""

    epochs: Annotated[
        Count | None,
        learning(TRAINING, common=True, default={"train": EPOCHS, "pretrain": PRETRAIN_EPOCHS}),
    ] = None
    """How long to learn."""
    per_class: Annotated[Views | None, learning(TRAIN, common=True, default=PER_CLASS)] = None
    """Augmented views per class and epoch, or all (each picture once); a class with more pictures shows each
    once.
    """
    image_size: Annotated[
        Pixels | Literal["native"] | None, learning(EVERY, common=True, default=IMAGE_SIZE)
    ] = None
    """Pixels, or native for each model's own."""
    batch_size: Annotated[Count | None, learning(TRAINING, default=BATCH_SIZE)] = None
    """Global batch."""
    lr: Annotated[
        Real | None, learning(TRAINING, default={"train": "the recipe's", "pretrain": PRETRAIN_LR})
    ] = Field(default=None, gt=0)
    """Learning rate."""
    min_lr: Annotated[Real | None, learning(TRAINING, default="lr / 100")] = Field(default=None, ge=0)
    """Learning rate at the end of the cosine."""
    recipe: Annotated[RecipeName, learning(TRAIN, types={"train": TrainedRecipe})] = "finetune"
    """finetune, deit (its regularisation) or slides."""
    augment: Annotated[
        Augment | None,
        learning(
            TRAINING,
            default={"train": "the recipe's: geometry, or light from random weights", "pretrain": "masked"},
        ),
    ] = None
    """none, geometry (crop, mirror), masked (its crops larger), light (and some colour), strong, deit."""
    flip: Annotated[Switch, learning(TRAINING)] = True
    """Mirror views; not where left and right differ."""
    mixup: Annotated[Real | None, learning(TRAIN, default=f"0, off; deit {DEIT_MIXUP:g}")] = Field(
        default=None, ge=0, le=1000
    )
    """Mixup's alpha."""
    cutmix: Annotated[Real | None, learning(TRAIN, default=f"0, off; deit {DEIT_CUTMIX:g}")] = Field(
        default=None, ge=0, le=1000
    )
    """Cutmix's alpha."""
    drop_path: Annotated[Share | None, learning(TRAINING, default="the recipe's")] = None
    """Stochastic depth."""
    ema: Annotated[Share | None, learning(TRAIN, default="off")] = None
    """Decay of a moving average of the weights."""
    patience: Annotated[Count | None, learning(TRAIN)] = None
    """Stop after so many epochs without a better val score."""
    tune: Annotated[Whole | None, learning(TRAIN)] = Field(default=None, ge=2, le=6)
    """Train so many settings, 2 to 6 (lr × 1, 1/3, 3, then another augmentation), and keep the one that is
    best on val.
    """

    teacher: Annotated[
        Place | None, On(TRAIN, TEACHING, arm=True, metavar="MODEL", between_calls="runs", part_of="teacher")
    ] = None
    """Teach every model what another one knows: a timm name (fine-tuned first, its own row), a run
    (NAME/resnet50-s0) or a saved model's folder.
    """
    distill: Annotated[Distil, taught(TRAIN)] = "hard"
    """hard or soft (DeiT's, both)."""
    alpha: Annotated[
        Real | None,
        taught(TRAIN, default=", ".join(f"{weight:g} {kind}" for kind, weight in ALPHA.items())),
    ] = Field(default=None, gt=0, lt=1)
    """The teacher's weight."""
    tau: Annotated[Real, taught(TRAIN)] = Field(default=3.0, ge=0.01, le=1000)
    """Temperature, soft."""
    distill_through: Annotated[Through | None, taught(TRAIN, default="the token where a model has one")] = (
        None
    )
    """token or logits."""
    plain: Annotated[Switch, On(TRAIN, TEACHING, between_calls="free", part_of="teacher")] = True
    """Train every model without the teacher too."""
    arms: Annotated[
        dict[str, dict[str, Any]], On(TRAIN, TEACHING, metavar="NAME,…", between_calls="runs")
    ] = {}  # noqa: RUF012  # pydantic copies it
    """Train the same models in several ways: scratch, pretrained, simmim, distill, or those that a --config
    file names ([arms.NAME]).
    """
    pretrain: Annotated[Switch, On(TRAIN, TEACHING, arm=True, between_calls="runs", part_of="pretrain")] = (
        False
    )
    """Masked pre-training (SimMIM) on the training pictures first."""
    pretrain_epochs: Annotated[Count | None, masked(TRAIN, default=PRETRAIN_EPOCHS)] = None
    """Epochs of that."""
    mask_ratio: Annotated[Real, masked(TRAINING)] = Field(default=0.6, gt=0, lt=1)
    """Share of a picture that is hidden."""
    mask_size: Annotated[Pixels | None, masked(TRAINING, default=f"{MASK_SIZE} at {IMAGE_SIZE} px")] = None
    """Side of what is hidden, px."""
    mask_target: Annotated[MaskTarget, masked(TRAINING)] = "pixels"
    """pixels, or normalised by their neighbourhood."""

    folds: Annotated[
        Folds | None,
        dividing(
            ("train", "probe"),
            common=True,
            default={"train": "one split", "probe": "5 where DATA has no test/ of its own"},
        ),
    ] = None
    """Cross-validate, so that every picture is a test picture: how many folds, or auto (5 where the test part
    would have fewer than 100 pictures).
    """
    final: Annotated[Literal["folds", "retrain"], dividing(TRAIN, part_of="folds")] = "folds"
    """What answers for a model with folds: folds (its folds' models together) or retrain (one more model, on
    all pictures).
    """
    with_test: Annotated[Switch, dividing(("pretrain",))] = False
    """Learn from the pictures too that `train` would test on."""
    group: Annotated[Place | None, dividing(EVERY, common=True, metavar="PATTERN", splits=True)] = None
    """What keeps pictures on one side: a pattern over paths, such as 'scene(\\d+)', or a csv with the columns
    path and group.
    """
    burst_seconds: Annotated[Real | None, dividing(EVERY, splits=True)] = Field(default=None, gt=0)
    """Keep pictures of a class on one side that were taken within so many seconds (EXIF)."""
    split_seed: Annotated[Seed, dividing(EVERY, splits=True)] = 0
    """Seed of the split."""
    layout: Annotated[
        Literal[Layout, "loose"],
        dividing(
            EVERY,
            splits=True,
            help={"pretrain": "auto, flat, split, or loose: all pictures, whatever folders they lie in."},
            types={"train": Layout, "probe": Layout},
        ),
    ] = "auto"
    """auto, flat or split."""
    near_duplicates: Annotated[Switch, dividing(EVERY, splits=True)] = True
    """Look for near-copies (encoded again, resized, mirrored …) and keep them on one side."""
    pixel_range: Annotated[
        Ends,
        dividing(EVERY, metavar="LOW,HIGH", default="what the values of all of them show"),
    ] = None
    """What is black and what is white in pictures of more than 8 bits."""
    strict: Annotated[Switch, dividing(EVERY, between_calls="free")] = False
    """Refuse leaks, clashing labels and signs of augmented copies."""

    device: Annotated[str, running(EVERY, metavar="NAME")] = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    precision: Annotated[Literal["auto", "fp32", "bf16", "fp16"], On(TRAINING, RUNNING)] = "auto"
    """auto, fp32, bf16, fp16."""
    micro_batch: Annotated[Count | None, running(TRAINING, default="the batch")] = None
    """Pictures per forward pass."""
    without: Annotated[Techniques, running(TRAINING, metavar="NAME,…")] = ()
    """Techniques that are not used, whatever they would bring, comma-separated: device_views, cuda_graphs,
    tf32, channels_last, fused_attention, fused_optimizer; none: all are used.
    """
    deterministic: Annotated[Switch | None, running(TRAINING, default="where a card can")] = None
    """Compute on a card so that the same steps give the same bytes; a CPU does always."""
    jobs: Annotated[Count | Literal["auto"], running(EVERY)] = 1
    """Runs at a time, each in a process of its own; on a CPU they share its threads. auto: as many as have
    room in memory and are measured to be faster so.
    """
    compile: Annotated[Switch | None, running(TRAINING, default="on a CPU, where it is measured to pay")] = (
        None
    )
    """Compile the step before the first one (torch.compile)."""
    workers: Annotated[Whole | None, running(EVERY, default="as many as are waited for")] = Field(
        default=None, ge=0, le=1024
    )
    """Threads, or processes where those are faster, that prepare pictures ahead."""
    store: Annotated[Switch, running(EVERY)] = True
    """Keep decoded pictures."""
    store_dir: Annotated[
        Place | None,
        running(EVERY, metavar="DIR", default="decoded/ in $VITBENCH_CACHE or the user's cache folder"),
    ] = None
    """Folder that keeps decoded pictures for later epochs, models and benchmarks."""

    @classmethod
    def asked(cls, command: Command, given: Mapping[str, Any], also: Iterable[str] = ()) -> "Settings":
        """What a command, or the function of its name, is called with; UsageError for what it does not know.

        `also`: what it knows besides settings.
        """
        for name, value in given.items():
            if name not in cls.model_fields:
                raise UsageError(no_option(name, [*cls.known_to(command), *also], f"vitbench {command}"))
            option = cls.option(name)
            if command not in option.commands and value != RECIPE_OF.get(command):
                raise UsageError(not_of(command, cls.flags(name)[0], option.commands))
            if command in option.types:
                fit(cls.flags(name)[0], option.types[command], value)
        return cls.of(given)

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> "Settings":
        """Settings from named values; UsageError, naming the option, for what does not fit."""
        settings = super().of(asked)
        settings._check_arms()
        settings._check_unlabelled()
        return settings

    def on_top_of(self, others: "Settings") -> "Settings":
        """What `others` say, and on top of it what was named when these settings were made."""
        return Settings.of({**others.model_dump(), **self.model_dump(exclude_unset=True)})

    @property
    def given_arms(self) -> dict[str, dict[str, Any]]:
        """The arms, those that a teacher makes too: "" is plain training, its runs have no arm's name.

        {} where there is but that.
        """
        if self.arms or self.teacher is None:
            return self.arms
        first = {"pretrain": self.pretrain}
        return ({"": first} if self.plain else {}) | {DISTILLED: {**first, "teacher": self.teacher}}

    @property
    def by_arm(self) -> dict[str, "Settings"]:
        """The settings of every arm, by its name; where there are none {"": self}, or {"simmim": self}."""
        alone = PRETRAINED if self.recipe == "simmim" else ""
        return {name: self._of_arm(fields) for name, fields in self.given_arms.items()} or {alone: self}

    def means(self, name: str) -> bool:
        """Whether a field plays a part here; what a teacher, masks or folds are told does where they are."""
        arms = self.arms.values()
        there = {
            "teacher": self.teacher is not None or any(arm.get("teacher") for arm in arms),
            "pretrain": self.pretrain or any(arm.get("pretrain") for arm in arms) or self.recipe == "simmim",
            "folds": self.folds is not None,
        }
        return there.get(self.option(name).part_of, True)

    def _of_arm(self, fields: Mapping[str, Any]) -> "Settings":
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
                if field not in ARM_FIELDS:
                    known = ", ".join(sorted(ARM_FIELDS))
                    raise UsageError(f"arms: {name}: {field} cannot differ between arms; these can: {known}")
            try:
                self._of_arm(fields)
            except ValidationError as error:
                raise self.refusal(error, f"arms: {name}: ") from error


ARM_FIELDS = Settings.fields_where(lambda option: option.arm)
"""What can be set differently in an arm."""
LESSON_FIELDS = Settings.fields_where(lambda option: option.part_of in ("teacher", "pretrain"))
"""What teachers and masked pre-training are told."""
