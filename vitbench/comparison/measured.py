"""What is measured of models and of every two of them; scores and differences are fractions.

Intervals are two-sided 95 %; None: not to be had.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

from vitbench.inference.metrics import METRICS
from vitbench.options import Points, fit
from vitbench.records.frames import Dtype

Verdict = Literal["better", "equivalent", "not distinguishable"]
Status = Literal["finished", "partial", "failed", "interrupted", "new", "majority"]


@dataclass(frozen=True)
class CompareOptions:
    """On what terms models are compared."""

    baseline: str = ""
    """The only model that others are compared with; "": every two."""
    margin: float | None = None
    """Differences inside ± this are called equivalent; None: none are."""
    detect: float | None = None
    """The difference whose number of pictures is asked for."""

    def __post_init__(self) -> None:
        for option, value in (("--margin", self.margin), ("--detect", self.detect)):
            if value is not None:
                fit(option, Points, 100 * value if isinstance(value, float | int) else value)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval."""

    value: float
    low: float | None = None
    high: float | None = None


# --- models ---------------------------------------------------------------------------------------


def _dtype(kind: Any) -> Dtype:
    """How a field of this type stands in a frame."""
    kinds = () if get_origin(kind) in (tuple, Literal) else get_args(kind) or (kind,)
    if float in kinds:
        return "float64"
    return "boolean" if bool in kinds else "Int64" if int in kinds else "string"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model in the table; scores are means over its seeds."""

    model: str
    timm_name: str = ""
    pretrained_on: str = ""
    init: str = ""
    """What it began from, for people; `from_scratch` and `masked` are for decisions."""
    from_scratch: bool = False
    """It began from random weights."""
    masked: bool = False
    """Masked pre-training on pictures came first."""
    recipe: str = ""
    image_size: int | None = None
    """Side of the input, px."""
    device: str = ""
    seeds: tuple[int, ...] = ()
    """Of the runs that were tested."""
    n_test: int = 0
    correct: int | float | None = None
    """Test pictures named right; a mean over seeds where there are several."""
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    """By name, as in `inference.metrics.METRICS`; {} where it was not tested."""
    top1_std: float | None = None
    """Standard deviation of top1 over seeds; None for one."""
    interval: str = ""
    """Of top1: "Wilson" (one seed), "t over images × seeds"; with groups "Wilson over groups", "t over groups
    × seeds"; ", corrected for folds"."""
    over_seeds: bool = False
    """Seeds take part in that interval, its own or those of other models."""
    chance_p: float | None = None
    """p of "the answers have nothing to do with the pictures" (`evidence.chance_p`)."""
    ece: float | None = None
    """Expected calibration error; says nothing without the next."""
    ece_null: float | None = None
    """What 95 of 100 perfectly calibrated models with these confidences stay below on so many pictures."""
    temperature: float | None = None
    """Fitted on val; over 1: the model is too sure of itself. None: no val answers."""
    temperature_shown: bool | None = None
    """False: val cannot tell the best temperature of any run from 1, which it was left at."""
    loss_tempered: float | None = None
    """Test loss with that temperature."""
    train_loss: float | None = None
    val_loss: float | None = None
    params_m: float | None = None
    gmacs: float | None = None
    train_images_per_second: float | None = None
    seconds_per_epoch: float | None = None
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    peak_memory_mb: float | None = None
    status: Status = "finished"
    """"majority" for the majority row."""
    reason: str = ""
    """Why seeds or the whole model are missing, one line."""
    rank: tuple[int, int] | None = None
    """(1 + number of models that are better, n − number that are worse); None: not tested, or a probe."""
    native_size: int | None = None
    windows: str = ""
    """Attention windows per stage, of a network that has them: "7", "8,8,4,2"."""
    benchmark: str = ""
    runs: tuple[str, ...] = ()
    """Names of the tested runs."""
    probe_of: str = ""
    """The model whose own frozen probe this is, shown beside it without a rank; "" for a competitor."""
    arm: str = ""
    """The way of training; "": the plain one."""
    of: str = ""
    """The model that was trained; the same under every arm."""
    distilled: bool = False
    """It had a teacher."""

    def cells(self) -> dict[str, Any]:
        """Its row in `Comparison.frame`: its fields, with three columns for each metric and two for the rank.

        Names and seeds of runs stand in one cell, spaces between them; `of` is called "trains".
        """
        cells = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        cells["seeds"], cells["runs"] = (" ".join(map(str, cells[name])) for name in ("seeds", "runs"))
        found: dict[str, Any] = {}
        for name, value in cells.items():
            if name == "metrics":
                for metric in METRICS:
                    one = value.get(metric.name)
                    ends = (None, None, None) if one is None else (one.value, one.low, one.high)
                    found |= dict(zip(metric.columns, ends, strict=True))
            elif name == "rank":
                found["rank_low"], found["rank_high"] = value or (None, None)
            else:
                found["trains" if name == "of" else name] = value
        return found

    @classmethod
    def columns(cls) -> dict[str, Dtype]:
        """The columns of `cells` with their types in a frame."""
        kinds: dict[str, Any] = {"rank_low": int, "rank_high": int, "trains": str}
        kinds |= dict.fromkeys((name for metric in METRICS for name in metric.columns), float)
        kinds |= {field.name: field.type for field in dataclasses.fields(cls)}
        return {name: _dtype(kinds[name]) for name in cls(model="").cells()}

    @property
    def tested(self) -> bool:
        return "top1" in self.metrics

    @property
    def top1(self) -> float | None:
        return self.metrics["top1"].value if self.tested else None

    @property
    def top1_low(self) -> float | None:
        return self.metrics["top1"].low if self.tested else None

    @property
    def top1_high(self) -> float | None:
        return self.metrics["top1"].high if self.tested else None


@dataclass(frozen=True, kw_only=True)
class Recall:
    """How many test pictures of a class a model names right."""

    model: str
    label: str
    """The class."""
    n: int
    correct: float
    """A mean over seeds where there are several."""
    recall: float
    low: float
    high: float


# --- pairs ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A difference in log loss with its test."""

    p: float
    """Of "no difference"."""
    p_adjusted: float
    """Corrected for all pairs of the family, a second family beside that of accuracy."""
    decided: bool
    """`p_adjusted` ≤ .05, and the interval leaves out 0."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models on the same n pictures; model_a is the one with the higher accuracy, if any."""

    model_a: str
    model_b: str
    n: int
    groups: int | None = None
    """Groups that the pictures stand in; None: each picture is its own."""
    both: int | None
    """Pictures that both got right; this and the next three: None where seeds are averaged."""
    a_only: int | None
    b_only: int | None
    neither: int | None
    difference: float
    """top1 of A − top1 of B on `n`, ≥ 0."""
    low: float
    high: float
    p: float
    p_adjusted: float
    """p corrected for all pairs of the family; it decides."""
    family: int = 1
    """Pairs that are corrected together."""
    correction: str = ""
    """"step-down sign flips" (exact tests) or "Holm" (t over seeds); "" for one pair."""
    method: str
    """"exact McNemar", "exact test over groups" or "t over images × seeds"; ", corrected for folds"."""
    kind: Verdict = "not distinguishable"
    """`p_adjusted` decides on "better"; "equivalent": not better, and the interval within ±margin."""
    margin: float | None = None
    """None: no margin was named, so nothing is called equivalent."""
    differences: Mapping[str, Estimate] = field(default_factory=dict)
    """Score of A − score of B in the other metrics, by name (paired bootstrap)."""
    loss: Tested | None = None
    """The test of the one in log loss."""
    probe: str = ""
    """The one of the two that is a probe, so that it learned from val, too; "" for none or both."""
    left_out: int = 0
    """Test pictures that training knows (leaks)."""
    clean: "Pair | None" = None
    """The same two by the same procedure on the other ones; None: no leaks, or no other ones."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.model_a, self.model_b))

    @property
    def stands(self) -> bool:
        """Without the pictures that training knows the verdict is the same; True where there are none."""
        if not self.left_out:
            return True
        if self.clean is None:
            return self.kind == "not distinguishable"
        same = self.clean.model_a == self.model_a or self.kind != "better"
        return self.clean.kind == self.kind and same

    @property
    def distinguishable(self) -> bool:
        """One is better, with and without the pictures that training knows."""
        return self.kind == "better" and self.stands

    def gain_of(self, model: str) -> tuple[float, float, float]:
        """(difference, low, high) as what `model`, one of the two, gains over the other."""
        if model == self.model_a:
            return self.difference, self.low, self.high
        return -self.difference, -self.high, -self.low

    @property
    def apart_in_loss(self) -> bool:
        """One has the lower log loss, with and without the pictures that training knows."""
        decided = self.loss is not None and self.loss.decided
        if not decided or not self.left_out:
            return decided
        if self.clean is None or self.clean.loss is None:
            return False
        same = (self.clean.differences["loss"].value > 0) == (self.differences["loss"].value > 0)
        return self.clean.loss.decided and same == (self.clean.model_a == self.model_a)

    @property
    def borderline(self) -> bool:
        """Alone the two would be told apart (the interval excludes 0), among all pairs they are not."""
        return self.kind != "better" and (self.low > 0 or self.high < 0)
