"""What a comparison is: numbers, and the facts that its sentences are made of; `narrative` has the sentences.

Scores and differences are fractions, intervals are two-sided 95 %; None: not to be had.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from vitbench.comparison.measured import CompareOptions, Estimate, Pair, Recall, Row
from vitbench.defaults import Distil, Through
from vitbench.records.frames import by_rows

if TYPE_CHECKING:
    from pandas import DataFrame


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


Obstacle = Literal["", "one training", "no luck", "folds already", "own test part", "small classes"]
"""Why a way cannot be judged, or taken: each model has one training; it has no seed; the rest of folds."""


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A way to let a smaller gap show, with what it would bring."""

    kind: Literal["seeds", "pictures", "folds"]
    number: int
    """Trainings of each model, test pictures or folds, in all; 0: none are possible."""
    n: int
    """Test pictures then."""
    gap: float | None
    """The measured gap that would then reach p ≤ .05 / pairs; None: not known, or none could."""
    helps: bool | None
    """That is lower than now by a tenth at least; None: not known."""
    minutes: float | None
    """What its training would take where these runs were trained, as long as theirs did; None: not known."""
    obstacle: Obstacle = ""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What would change the answer: the two models that it hangs on, and ways to tell them apart better."""

    model_a: str
    model_b: str
    """The most accurate two, or a baseline and the best one beside it."""
    difference: float
    apart: bool
    """One is shown to be better already."""
    gap: float | None
    """The measured gap that reaches p ≤ .05 / pairs between these two, as they disagree; None: none could."""
    pairs: int
    """Of the table, of which this one is taken for the first."""
    n: int
    seeds: int
    """The fewest trainings that one of the two has."""
    remedies: tuple[Remedy, ...]


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
    majority: Row | None
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
    outlook: Outlook | None
    """What would change the answer; None without pairs."""
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
