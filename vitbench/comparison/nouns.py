"""What a comparison is: numbers, and the facts that its sentences are made of; `narrative` has the sentences.

Scores and differences are fractions, intervals are two-sided 95 %; None: not to be had.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from vitbench.errors import UsageError
from vitbench.inference.metrics import METRICS
from vitbench.records.frames import Dtype, by_rows
from vitbench.settings import Distil, Through

if TYPE_CHECKING:
    from pandas import DataFrame

Verdict = Literal["better", "equivalent", "not distinguishable"]
Status = Literal["finished", "partial", "failed", "interrupted", "new", "floor"]


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
            if value is not None and not 0 < value < 1:
                raise UsageError(f"{option} {100 * value:g}: needs points of accuracy between 0 and 100")


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
    """"floor" for the majority row."""
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


@dataclass(frozen=True)
class Gaps:
    """How far apart two models must be for a verdict; None: no gap could have shown.

    Pairs are tested one after the other, the first at .05 / pairs (by sign flips at that or more), the last
    at .05: so a range.
    """

    least: float | None
    """No pair of the table can be decided with less, not even the last."""
    most: float | None
    """What the pair that needs most needs as the first: over several seeds any such gap is a verdict. None:
    the answers of some pair vary too much for any."""
    pairs: int
    n: int
    groups: int | None
    """That the pictures stand in; None: each is its own."""
    least_net: int
    """Pictures (with groups: each of another group) by which one model must lead, of one run each."""
    most_net: int
    measured: bool
    """Over several seeds: as the answers vary; else exact, at the very best."""


@dataclass(frozen=True)
class Plan:
    """How many pictures a named difference needs for 80 % power."""

    difference: float
    pictures: int | None
    """In groups like those that are here; None: no number is enough."""
    groups: int | None
    """So many of them; None: each picture is its own."""
    pairs: int
    n: int
    """Pictures that are here, and their groups."""
    n_groups: int | None
    method: str
    """Of the test that is planned for; that of the pair that needs the median number."""
    discordance: float | None
    """Share of pictures on which that pair disagrees in being right; None over several seeds."""
    seeds: int
    """The fewest that a model has."""


# --- leaks, evaluations on test pictures ----------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TestLeak:
    """A test picture, and one like it that models learned from or were chosen by."""

    __test__ = False  # not a test, whatever pytest makes of its name

    path: str
    """Of the test picture."""
    other: str
    part: str
    """Where the other one is: "train", "val"; "fold 2": tested there, so learned from in the other folds."""
    how: str
    """What was done to one to get the other, in words; "equal pixels"."""


@dataclass(frozen=True, kw_only=True)
class TestEvaluations:
    """How often a command evaluated a model on test pictures."""

    __test__ = False

    model: str
    by: str
    """"train", "probe", "predict"."""
    times: int
    pictures: int
    """Evaluations of a test picture, in all."""
    runs: int
    """Of the model, planned."""


@dataclass(frozen=True, kw_only=True)
class EvaluationsElsewhere:
    """What another benchmark of the same results folder saw of these test pictures."""

    benchmark: str
    pictures: int
    """Test pictures that both have, as the very files or as near-copies."""
    times: int
    """Evaluations of its models on its test pictures."""


# --- distillation ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Distilled:
    """One distilled model on the test pictures; shares are means over its seeds."""

    model: str
    arm: str
    of: str
    """The model that was trained."""
    teacher: str
    """In words."""
    teacher_run: str
    """The teacher's run in this benchmark; "": it is from elsewhere."""
    one_teacher: bool
    """All seeds learned from the same weights; False also for a single seed."""
    kind: Distil
    alpha: float
    """Weight of the teacher's part of the loss."""
    tau: float
    """Temperature of soft distillation."""
    through: Through
    """Where the teacher was heard: at the distillation token, or at the student's own logits."""
    n: int
    """Test pictures."""
    right: Estimate
    """Agreement with the truth: the accuracy of its answer, the mean of both heads where there are two."""
    agrees: Estimate
    """Agreement of that answer with the teacher's, right or wrong."""
    cls_right: Estimate | None = None
    """Of its class head alone; this and the next three: None without a distillation token."""
    cls_agrees: Estimate | None = None
    dist_right: Estimate | None = None
    """Of its distillation head alone."""
    dist_agrees: Estimate | None = None
    teacher_right: Estimate
    """The teacher's accuracy on the same pictures."""
    baseline: str = ""
    """The same model without a teacher, otherwise trained most alike; "": none was tested."""
    baseline_right: Estimate | None = None
    baseline_agrees: Estimate | None = None
    """How far that agrees with a teacher that it never heard."""
    gain: Estimate | None = None
    """Accuracy over that baseline on the same pictures; None where the two are not compared."""
    seconds_per_epoch: float | None = None
    baseline_seconds_per_epoch: float | None = None
    price: float | None = None
    """The first of these over the second."""


# --- what advice rests on -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ClassBehind:
    """A class that is named right less often than the others together (Fisher's exact test)."""

    label: str
    n: int
    right: int
    other_n: int
    other_right: int
    p: float
    """Times the number of classes that it was picked from."""
    taken_for: str
    """The class that it is most often taken for, and how often."""
    taken: int
    train: int
    """Its pictures to train on, and those of the median class."""
    train_median: float


@dataclass(frozen=True, kw_only=True)
class MixedUpClasses:
    """Two classes that at least half of all mistakes fall on (binomial test)."""

    first: str
    second: str
    between: int
    mistakes: int
    """All of them."""
    p: float
    """Times the number of pairs that it was picked from."""


@dataclass(frozen=True, kw_only=True)
class CloseUp:
    """The first run of the most accurate model, on pictures that stand for themselves."""

    model: str
    seed: int | None
    """Which of its runs; None: it has one."""
    n: int
    """Pictures, of those in groups one each."""
    right: int
    most_right: float
    """The exact 99 % upper limit of their share."""
    train_top1: float | None
    """Accuracy in training."""
    behind: ClassBehind | None
    mixed_up: MixedUpClasses | None


# --- the whole ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a compared benchmark brings beside its models."""

    name: str
    folds: int
    """0: one split."""
    groups: int
    """Of its test pictures, by its own split."""
    split_digest: str
    notes: tuple[str, ...]
    """Of its split and of its plan."""
    skipped: tuple[tuple[str, str], ...]
    """(path, reason) of files that `--skip-bad` left out."""


@dataclass(frozen=True)
class RunNote:
    """What runs recorded of themselves, and the models whose runs did."""

    text: str
    models: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a benchmark (or several on one test set) says about its models."""

    name: str
    benchmarks: tuple[str, ...]
    data: str
    """The image folder, as it was given to `train`."""
    classes: tuple[str, ...]
    folds: int
    """0: one split."""
    n_train: int
    """With folds, this and the next are one fold's (the first one's)."""
    n_val: int
    n_test: int
    n_pictures: int
    """All that were split."""
    split_rule: str
    possible_folds: int
    """How many the data allows where it has none; 0: none, or the user brought the test part."""
    tuned: bool
    """Settings were tried on val."""
    sources: tuple[Source, ...]
    groups: int | None
    """Groups of test pictures that stand together (bursts, copies); None: each picture is its own."""
    inflation: float
    """How much larger variances over pictures are than those of independent answers: with folds, above 1."""
    options: CompareOptions
    rows: tuple[Row, ...]
    """Tested models by accuracy, then those without a score, in the order asked for; probes below theirs."""
    floor: Row | None
    """Answers the training split's class shares for every picture; None without test pictures."""
    pairs: tuple[Pair, ...]
    """With a baseline only its pairs; all are corrected together in any case."""
    family: int
    """Pairs that were tested and corrected together, shown or not."""
    probes: tuple[Pair, ...]
    """Each fine-tuned model and its own frozen probe, corrected among themselves; not among `pairs`."""
    arms: tuple[Pair, ...]
    """Each model under every two of its arms: those of all pairs."""
    gaps: Gaps
    plan: Plan | None
    """How many pictures a named difference would need; None where none was named, or there are no pairs."""
    recalls: tuple[Recall, ...]
    """Per tested model (without the probes beside them) and class with test pictures."""
    leaks: tuple[TestLeak, ...]
    """Test pictures that training knows as copies or near-copies."""
    leak_free: tuple[Row, ...]
    """The tested models without them, ranked by themselves; () where there are none, or nothing else."""
    evaluations: tuple[TestEvaluations, ...]
    """Every evaluation on test pictures so far."""
    evaluations_elsewhere: tuple[EvaluationsElsewhere, ...]
    """By other benchmarks of the same results folder."""
    distillation: tuple[Distilled, ...]
    """What each distilled model took over from its teacher."""
    differing: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Fields of `Recipe` in which models differ that a fair comparison holds equal → value → models."""
    run_notes: tuple[RunNote, ...]
    """Approximations and fallbacks that runs recorded, each once."""
    close_up: CloseUp | None
    """None where nothing was tested."""

    @property
    def tested(self) -> tuple[Row, ...]:
        """The models with a score, best first, without the probes beside them."""
        return tuple(row for row in self.rows if row.tested and not row.probe_of)

    @property
    def leaders(self) -> tuple[Row, ...]:
        """Those of them of which none is shown to be worse than another one."""
        return tuple(row for row in self.tested if row.rank is not None and row.rank[0] == 1)

    @property
    def smallest_gap(self) -> float | None:
        """The smallest accuracy gap that could reach p ≤ .05; None: none could."""
        return self.gaps.least

    @property
    def corrected(self) -> str:
        """What the name of a method ends with where `inflation` took part in it."""
        return corrected(self.inflation)

    @property
    def frame(self) -> "DataFrame":
        """A row per model as in `rows`; columns and types as `Row.columns` has them, NA where missing."""
        return by_rows(Row.columns(), (row.cells().values() for row in self.rows))

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values; NaN never occurs."""
        return dataclasses.asdict(self)


def corrected(inflation: float) -> str:
    """What the name of a method ends with where folds made variances larger."""
    return ", corrected for folds" if inflation > 1 else ""
