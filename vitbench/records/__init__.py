"""The nouns: what flows from room to room.

Frozen and typed, without torch. A folder of pictures becomes an `ImageSet`, then a `Split`; what a
user asks for is `Settings`; what decides one model's weights is a `Recipe`, what does not is a
`Machine`; a trained model is a `Run`, its answers are `Predictions`, runs on one split are a
`Benchmark`. The table made from them is a `Comparison` (`vitbench.comparison`).
"""

from vitbench.defaults import (
    ARMS,
    DEFAULT_MODELS,
    DISTILLED,
    TEACHER,
    Augment,
    RecipeName,
    Technique,
)
from vitbench.records.fingerprints import Fingerprints
from vitbench.records.pictures import (
    Array,
    BadFile,
    ImageSet,
    Part,
    Picture,
    PixelRange,
    Preprocessing,
    Split,
    label_indices,
)
from vitbench.records.planned import PlannedRun, probe_name
from vitbench.records.predictions import LOW_CONFIDENCE, Answer, Predictions
from vitbench.records.recipes import Distillation, Machine, Masking, Origin, Recipe
from vitbench.records.results import (
    Benchmark,
    Epoch,
    Run,
    RunStatus,
    TestEvaluation,
    benchmarks_in,
    best_epoch,
)
from vitbench.records.words import counted, decimals, duration, percent
from vitbench.settings import Settings

__all__ = [
    "ARMS",
    "DEFAULT_MODELS",
    "DISTILLED",
    "LOW_CONFIDENCE",
    "TEACHER",
    "Answer",
    "Array",
    "Augment",
    "BadFile",
    "Benchmark",
    "Distillation",
    "Epoch",
    "Fingerprints",
    "ImageSet",
    "Machine",
    "Masking",
    "Origin",
    "Part",
    "Picture",
    "PixelRange",
    "PlannedRun",
    "Predictions",
    "Preprocessing",
    "Recipe",
    "RecipeName",
    "Run",
    "RunStatus",
    "Settings",
    "Split",
    "Technique",
    "TestEvaluation",
    "benchmarks_in",
    "best_epoch",
    "counted",
    "decimals",
    "duration",
    "label_indices",
    "percent",
    "probe_name",
]
