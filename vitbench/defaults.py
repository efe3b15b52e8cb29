"""The values that options can have, and what stands where none was given."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from vitbench.options import Command, Count, Many

Augment = Literal["none", "geometry", "masked", "light", "strong", "deit"]
TrainedRecipe = Literal["finetune", "slides", "deit"]
RecipeName = Literal[TrainedRecipe, "probe", "simmim"]
Distil = Literal["hard", "soft"]
Through = Literal["token", "logits"]
MaskTarget = Literal["pixels", "normalised"]
Technique = Literal[
    "device_views", "cuda_graphs", "tf32", "channels_last", "fused_attention", "fused_optimizer"
]
"""What makes a step fast and can be left out; a run's `environment.json` says what it uses."""
Techniques = Annotated[Many[Technique], BeforeValidator(lambda one: () if one in ("none", ["none"]) else one)]
Layout = Literal["auto", "flat", "split"]
Views = Count | Literal["all"]
"""Of a class and epoch."""

RECIPE_OF: Mapping[Command, RecipeName] = {"probe": "probe", "pretrain": "simmim"}
"""The recipe that a command stands for; `train` has a choice."""

# --- defaults -------------------------------------------------------------------------------------

DEFAULT_MODELS = ("vit", "swin", "swinv2")
BATCH_SIZE = 32
EPOCHS = 30
PER_CLASS = 200
IMAGE_SIZE = 224
DEIT_MIXUP, DEIT_CUTMIX = 0.8, 1.0
ALPHA: Mapping[Distil, float] = {"hard": 0.5, "soft": 0.1}
"""Weight of the teacher's part where none was asked for: DeiT's."""
PRETRAIN_EPOCHS = 100
PRETRAIN_LR = 5e-4
MASK_SIZE = 32
"""px at 224 px."""

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
