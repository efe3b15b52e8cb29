"""`compare`: the runs of a benchmark as rows, their differences as pairs, and what a reader must know."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from vitbench.comparison import words
from vitbench.comparison.advice import advice
from vitbench.comparison.candidates import UNREADABLE, Candidate, TestSet, read_candidates
from vitbench.comparison.notes import notes_of
from vitbench.comparison.pairs import MCNEMAR, Pair, against_probes, compared
from vitbench.comparison.power import smallest_gap
from vitbench.comparison.statistics import seeds_accuracy
from vitbench.inference.metrics import scores
from vitbench.records import Benchmark, Predictions, Run

FLOOR = "majority"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model in the table; scores are fractions, means over its seeds; None: not to be had."""

    model: str
    timm_name: str = ""
    pretrained_on: str = ""
    init: str = ""
    recipe: str = ""
    image_size: int | None = None
    """Side of the input, px."""
    device: str = ""
    seeds: tuple[int, ...] = ()
    """Of the runs that were tested."""
    n_test: int = 0
    correct: int | float | None = None
    """Test pictures named right; a mean over seeds where there are several."""
    top1: float | None = None
    top1_low: float | None = None
    """95 %; which interval: see `interval`."""
    top1_high: float | None = None
    loss: float | None = None
    """Mean cross-entropy, nats. Its 95 % interval and those of the next three: bootstrap over images."""
    loss_low: float | None = None
    loss_high: float | None = None
    macro_f1: float | None = None
    macro_f1_low: float | None = None
    macro_f1_high: float | None = None
    balanced_accuracy: float | None = None
    balanced_accuracy_low: float | None = None
    balanced_accuracy_high: float | None = None
    brier: float | None = None
    """Mean squared error of the probabilities, summed over classes: 0 to 2, lower is better."""
    brier_low: float | None = None
    brier_high: float | None = None
    ece: float | None = None
    """Expected calibration error; says nothing without the next."""
    ece_null: float | None = None
    """What 95 of 100 perfectly calibrated models with these confidences stay below on so many pictures."""
    temperature: float | None = None
    """Fitted on val; over 1: the model is too sure of itself. None: no val answers."""
    loss_tempered: float | None = None
    """Test `loss` with that temperature."""
    train_loss: float | None = None
    val_loss: float | None = None
    params_m: float | None = None
    gmacs: float | None = None
    train_images_per_second: float | None = None
    seconds_per_epoch: float | None = None
    latency_ms_p50: float | None = None
    latency_ms_p95: float | None = None
    peak_memory_mb: float | None = None
    status: str = "finished"
    """finished, partial, failed, interrupted, new; "floor" for the majority row."""
    reason: str = ""
    """Why seeds or the whole model are missing, one line."""
    interval: str = ""
    """"Wilson" (one seed) or "t over images × seeds"."""
    top1_std: float | None = None
    """Standard deviation of top1 over seeds; None for one."""
    rank: tuple[int, int] | None = None
    """(1 + number of models that are better, n − number that are worse); None: not tested, or a probe."""
    native_size: int | None = None
    benchmark: str = ""
    runs: tuple[str, ...] = ()
    """Names of the tested runs."""
    probe_of: str = ""
    """The model whose own frozen probe this is, shown beside it without a rank; "" for a competitor."""

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "model", "timm_name", "pretrained_on", "init", "recipe", "image_size", "device", "seeds", "n_test",
        "correct", "top1", "top1_low", "top1_high", "loss", "macro_f1", "balanced_accuracy", "train_loss",
        "val_loss", "params_m", "gmacs", "train_images_per_second", "seconds_per_epoch", "latency_ms_p50",
        "latency_ms_p95", "peak_memory_mb", "status",
    )  # fmt: skip
    """The columns of `comparison.csv`."""

    def cells(self) -> dict[str, Any]:
        """The row of `comparison.csv`: seeds as "0 1 2", the reason behind the status."""
        cells = {name: getattr(self, name) for name in self.COLUMNS}
        cells["seeds"] = " ".join(str(seed) for seed in self.seeds)
        cells["status"] = f"{self.status}: {self.reason}" if self.reason else self.status
        return cells

    @property
    def rank_text(self) -> str:
        """ "1", "1–3"; "" where not tested."""
        if self.rank is None:
            return ""
        low, high = self.rank
        return str(low) if low == high else f"{low}–{high}"


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
    """95 %."""
    high: float


@dataclass(frozen=True, kw_only=True)
class Looks:
    """How often a command evaluated a model on test pictures."""

    model: str
    by: str
    """"train", "probe", "predict"."""
    times: int
    pictures: int
    """Evaluations of a test picture, in all."""


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
    split_rule: str
    rows: tuple[Row, ...]
    """Tested models by accuracy, then those without a score, in the order asked for; probes below theirs."""
    floor: Row | None
    """Answers the training split's class shares for every picture; None without test pictures."""
    pairs: tuple[Pair, ...]
    probes: tuple[Pair, ...]
    """Each fine-tuned model and its own frozen probe, adjusted among themselves; not among `pairs`."""
    notes: tuple[str, ...]
    """What a reader must know to trust the table, one line each."""
    answer: str
    """Which model is best, in plain words."""
    smallest_gap: float | None
    """The smallest accuracy gap that could reach p ≤ .05 after Holm; None: none could."""
    smallest_gap_text: str
    groups: int | None = None
    """Groups of test pictures that stand together (bursts, copies); None: each picture is its own."""
    margin: float | None = None
    """Differences inside ± this are called equivalent; None: none are."""
    baseline: str = ""
    """The only model that others are compared with; "": every two."""
    detect_text: str = ""
    """How many pictures a named difference would need, as a sentence; "" where none was named."""
    recalls: tuple[Recall, ...] = ()
    """Per tested model (without the probes beside them) and class with test pictures."""
    looks: tuple[Looks, ...] = ()
    """Every evaluation on test pictures so far."""
    advice: str = ""
    """What would help next, in one to three sentences led by their numbers; "" where no rule applies."""

    @property
    def tested(self) -> tuple[Row, ...]:
        """The models with a score, best first, without the probes beside them."""
        return tuple(row for row in self.rows if row.top1 is not None and not row.probe_of)

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values, keys in order; NaN never occurs."""
        return dataclasses.asdict(self)


def compare(benchmark: Benchmark) -> Comparison:
    """The comparison of one benchmark's models; unfinished and failed ones keep a row with the reason."""
    return compare_many([benchmark])


def compare_many(benchmarks: Sequence[Benchmark]) -> Comparison:
    """One comparison over benchmarks that have the same classes and test pictures.

    Raises UsageError, naming the difference, where they have not.
    """
    candidates = read_candidates(benchmarks)
    first = benchmarks[0]
    test = TestSet.of(first)
    pairs = compared([c for c in candidates if not c.probe_of], len(test.paths))
    rows = _ranked([_row(c, len(test.paths)) for c in candidates], pairs)
    floor = _floor(first, test)
    split = first.manifest["split"]
    comparison = Comparison(
        name=" + ".join(b.name for b in benchmarks),
        benchmarks=tuple(b.name for b in benchmarks),
        data=str(first.manifest.get("data", "")),
        classes=first.classes,
        folds=first.folds,
        n_train=int(split.get("n_train", 0)),
        n_val=int(split.get("n_val", 0)),
        n_test=len(test.paths),
        split_rule=str(split.get("rule", "")),
        rows=tuple(rows),
        floor=floor,
        pairs=pairs,
        probes=against_probes(candidates, len(test.paths)),
        notes=notes_of(benchmarks, candidates, rows, floor),
        answer=words.answer(rows, pairs, len(test.paths)),
        smallest_gap=smallest_gap(len(test.paths), len(pairs)) if test.paths else None,
        smallest_gap_text=words.gap_text(
            len(test.paths), len(pairs), several_seeds=any(pair.method != MCNEMAR for pair in pairs)
        ),
    )
    return dataclasses.replace(comparison, advice=advice(comparison, first, candidates))


# --- rows -----------------------------------------------------------------------------------------


def _row(candidate: Candidate, n_test: int) -> Row:
    shared: dict[str, Any] = {
        "model": candidate.model,
        "benchmark": candidate.benchmark,
        "n_test": n_test,
        "status": candidate.status,
        "reason": "; ".join(candidate.problems),
        "probe_of": candidate.probe_of,
        **_identity(candidate.answered or candidate.runs),
    }
    if not candidate.answered:
        return Row(**shared)
    metrics = [run.metrics() for run in candidate.answered]
    costs: dict[str, Any] = {name: _mean(m.get("cost", {}).get(name) for m in metrics) for name in COSTS}
    return Row(
        **shared,
        **_scores(candidate),
        **costs,
        seeds=tuple(run.seed for run in candidate.answered),
        runs=tuple(run.name for run in candidate.answered),
        train_loss=_mean(m.get("train", {}).get("loss") for m in metrics),
        val_loss=_mean(m.get("val", {}).get("loss") for m in metrics),
    )


COSTS = (
    "params_m",
    "gmacs",
    "train_images_per_second",
    "seconds_per_epoch",
    "latency_ms_p50",
    "latency_ms_p95",
    "peak_memory_mb",
)


def _identity(runs: Sequence[Run]) -> dict[str, Any]:
    """What the first run with a readable recipe.json is; nothing where none has one."""
    for run in runs:
        try:
            return _told(run)
        except UNREADABLE:
            continue
    return {}


def _told(run: Run) -> dict[str, Any]:
    about, recipe = run.about(), run.recipe()
    return {
        "timm_name": str(about.get("timm_name", recipe.model)),
        "pretrained_on": str(about.get("pretrained_on") or ""),
        "init": str(about.get("init", recipe.init)),
        "recipe": recipe.name,
        "image_size": recipe.preprocessing.size,
        "native_size": about.get("native_size"),
        "device": device_of(run),
    }


def device_of(run: Run) -> str:
    """The device that a run was trained on, from its environment.json; "" where it does not say."""
    environment = run.environment()
    machine = environment.get("machine")
    known: Mapping[str, Any] = machine if isinstance(machine, Mapping) else environment
    name, device = str(known.get("device_name") or ""), str(known.get("device") or "")
    return f"{device} ({name})" if device and name and name != device else device or name


def _scores(candidate: Candidate) -> dict[str, Any]:
    """Test scores from the predictions themselves, so that they always equal the CSV beside them."""
    each = [scores(predictions) for predictions in candidate.predictions]
    if len(each) == 1:
        known = {key: value for key, value in each[0].items() if key != "n"}
        return {**known, "interval": "Wilson"}
    means: dict[str, Any] = {
        key: _mean(one[key] for one in each)
        for key in ("correct", "top1", "loss", "macro_f1", "balanced_accuracy")
    }
    low, high = seeds_accuracy(candidate.correct)
    std = float(np.std([one["top1"] for one in each], ddof=1))
    return {**means, "top1_low": low, "top1_high": high, "top1_std": std, "interval": "t over images × seeds"}


def _mean(values: Any) -> float | None:
    """Mean of the numbers among `values`; None where there is none. A single one comes back as it is."""
    known = [float(v) for v in values if v is not None and math.isfinite(float(v))]
    return sum(known) / len(known) if known else None


def _floor(benchmark: Benchmark, test: TestSet) -> Row | None:
    """The row of a model that gives each class its share of the training pictures, whatever it sees."""
    if not test.paths:
        return None
    classes = benchmark.classes
    train = [row["class"] for row in benchmark.rows_of("train")]
    shares = np.array([train.count(name) for name in classes], dtype=float)
    shares = shares / shares.sum() if shares.sum() else np.full(len(classes), 1 / len(classes))
    labels = np.array([classes.index(label) for label in test.labels], dtype=np.int64)
    constant = Predictions(classes, test.paths, labels, np.tile(shares, (len(labels), 1)))
    known = {key: value for key, value in scores(constant).items() if key != "n"}
    answer = classes[int(shares.argmax())]
    return Row(model=f"{FLOOR} ({answer})", n_test=len(labels), status="floor", interval="Wilson", **known)


def _ranked(rows: Sequence[Row], pairs: Sequence[Pair]) -> list[Row]:
    """Rows by accuracy, the untested last, with the range of ranks that the pairs leave open.

    A probe stands below the model it belongs to.
    """
    own = [row for row in rows if not row.probe_of]
    tested = [row for row in own if row.top1 is not None]
    beats = [(pair.model_a, pair.model_b) for pair in pairs if pair.distinguishable]
    ranked = []
    for row in sorted(tested, key=lambda row: -(row.top1 or 0.0)):
        better = sum(loser == row.model for _, loser in beats)
        worse = sum(winner == row.model for winner, _ in beats)
        ranked.append(dataclasses.replace(row, rank=(1 + better, len(tested) - worse)))
    ranked += [row for row in own if row.top1 is None]
    return [one for row in ranked for one in (row, *(probe for probe in rows if probe.probe_of == row.model))]
