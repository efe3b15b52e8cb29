"""The rows of a comparison: what each model scored, with which interval, at which cost."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from vitbench.comparison.basis import Basis
from vitbench.comparison.bootstrap import SCORES, Interval, score_interval
from vitbench.comparison.calibration import (
    Temperature,
    ece_null,
    expected_calibration_error,
    fit_temperature,
    tempered,
)
from vitbench.comparison.candidates import UNREADABLE, Candidate, TestSet
from vitbench.comparison.confusion import recalls
from vitbench.comparison.evidence import chance_p
from vitbench.comparison.statistics import accuracy_interval
from vitbench.inference.metrics import scores
from vitbench.records import Benchmark, Predictions, Run


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
    chance_p: float | None = None
    """p of "the answers have nothing to do with the pictures" (`evidence.chance_p`)."""
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
    temperature_shown: bool | None = None
    """False: val cannot tell the best temperature of any run from 1, which it was left at."""
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
    """Of top1: "Wilson" (one seed), "t over images × seeds"; with groups "Wilson over groups", "t over groups
    × seeds"; ", corrected for folds"."""
    top1_std: float | None = None
    """Standard deviation of top1 over seeds; None for one."""
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

    COLUMNS: ClassVar[tuple[str, ...]] = (
        "model", "timm_name", "pretrained_on", "init", "recipe", "image_size", "device", "seeds", "n_test",
        "correct", "top1", "top1_low", "top1_high", "loss", "macro_f1", "balanced_accuracy", "train_loss",
        "val_loss", "params_m", "gmacs", "train_images_per_second", "seconds_per_epoch", "latency_ms_p50",
        "latency_ms_p95", "peak_memory_mb", "status",
        "top1_std", "interval", "loss_low", "loss_high", "macro_f1_low", "macro_f1_high",
        "balanced_accuracy_low", "balanced_accuracy_high", "brier", "brier_low", "brier_high", "ece",
        "ece_null", "temperature", "temperature_shown", "loss_tempered", "arm", "trains", "windows",
    )  # fmt: skip
    """The columns of `comparison.csv`."""

    def cells(self) -> dict[str, Any]:
        """The row of `comparison.csv`: seeds as "0 1 2", the reason behind the status, `of` as "trains"."""
        cells = {name: getattr(self, {"trains": "of"}.get(name, name)) for name in self.COLUMNS}
        cells["seeds"] = " ".join(str(seed) for seed in self.seeds)
        cells["status"] = f"{self.status}: {self.reason}" if self.reason else self.status
        return cells

    @property
    def rank_text(self) -> str:
        """ "1", "1–3"; "" where not tested."""
        return rank_text(self.rank)


def rank_text(rank: tuple[int, int] | None) -> str:
    """ "1", "1–3"; "" for None."""
    if rank is None:
        return ""
    low, high = rank
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


FLOOR = "majority"


def row_of(candidate: Candidate, basis: Basis) -> Row:
    """The candidate's row; without a score, and with the reason, where nothing of it was tested."""
    shared: dict[str, Any] = {
        "model": candidate.model,
        "benchmark": candidate.benchmark,
        "n_test": basis.n,
        "status": candidate.status,
        "reason": "; ".join(candidate.problems),
        "probe_of": candidate.probe_of,
        "arm": candidate.arm,
        "of": candidate.of,
        **_identity(candidate.answered or candidate.runs),
    }
    if not candidate.answered:
        return Row(**shared)
    metrics = [run.metrics() for run in candidate.answered]
    costs: dict[str, Any] = {name: _mean(m.get("cost", {}).get(name) for m in metrics) for name in COSTS}
    return Row(
        **shared,
        **_scores(candidate, basis),
        **_calibration(candidate, basis),
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
        "windows": str(about.get("windows") or ""),
        "device": device_of(run),
    }


def device_of(run: Run) -> str:
    """The device that a run was trained on, from its environment.json; "" where it does not say."""
    environment = run.environment()
    machine = environment.get("machine")
    known: Mapping[str, Any] = machine if isinstance(machine, Mapping) else environment
    name, device = str(known.get("device_name") or ""), str(known.get("device") or "")
    return f"{device} ({name})" if device and name and name != device else device or name


def _scores(candidate: Candidate, basis: Basis) -> dict[str, Any]:
    """Test scores from the predictions themselves, so that they always equal the CSV beside them."""
    each = [scores(predictions) for predictions in candidate.predictions]
    found: dict[str, Any] = {key: _mean(one[key] for one in each) for key in ("correct", "top1", *SCORES)}
    for name, sample in basis.samples[candidate.model].items():
        found[f"{name}_low"], found[f"{name}_high"] = _within(
            name, basis.widened(sample.value, *score_interval(sample))
        )
    labels = candidate.predictions[0].labels[basis.alone]
    answers = np.stack([predictions.answers[basis.alone] for predictions in candidate.predictions])
    found["chance_p"] = chance_p(labels, answers)
    found["top1_low"], found["top1_high"] = basis.accuracy_interval(candidate)
    over = "images" if basis.groups is None else "groups"
    if len(each) > 1 or basis.borrowed_seed(candidate).variance:
        interval = f"t over {over} × seeds"
    else:
        interval = "Wilson" if basis.groups is None else "Wilson over groups"
    found["interval"] = interval + basis.corrected
    if len(each) == 1:
        return {**found, "correct": each[0]["correct"]}
    return {**found, "top1_std": float(np.std([one["top1"] for one in each], ddof=1))}


def _within(score: str, limits: Interval) -> Interval:
    """The interval cut to what the score can be."""
    low, high = limits
    if low is None or high is None:
        return limits
    return max(0.0, low), min(high, {"loss": math.inf, "brier": 2.0}.get(score, 1.0))


def _calibration(candidate: Candidate, basis: Basis) -> dict[str, Any]:
    """How far the stated probabilities can be believed, means over seeds."""
    answers = candidate.predictions
    errors = [expected_calibration_error(p.probabilities, p.labels) for p in answers]
    found: dict[str, Any] = {
        "ece": _mean(errors),
        "ece_null": _mean(ece_null(p.probabilities, basis.groups) for p in answers),
    }
    fitted = [_tempered(run, p) for run, p in zip(candidate.answered, answers, strict=True)]
    known = [one for one in fitted if one is not None]
    if len(known) == len(answers):
        temperatures = [temperature for of_run, _ in known for temperature in of_run]
        found["temperature"] = _mean(temperature.value for temperature in temperatures)
        found["temperature_shown"] = any(temperature.shown for temperature in temperatures)
        found["loss_tempered"] = _mean(loss for _, loss in known)
    return found


def _tempered(run: Run, answers: Predictions) -> tuple[list[Temperature], float] | None:
    """The temperature that fits a run's val answers, one per fold, and test loss with it.

    None where there are no val answers: probes, and runs from before they were kept.
    """
    parts = run.folds or (run,)
    try:
        val = [part.val_predictions() for part in parts]
    except UNREADABLE:
        return None
    temperatures = [fit_temperature(one.probabilities, one.labels) for one in val if one is not None]
    if len(temperatures) < len(parts):
        return None
    each = np.array([temperature.value for temperature in temperatures])[
        np.zeros(len(answers.paths), int) if answers.folds is None else answers.folds - 1
    ]
    probabilities = tempered(answers.probabilities, each[:, None])
    loss = dataclasses.replace(answers, probabilities=probabilities).losses.mean()
    return temperatures, float(loss)


def _mean(values: Iterable[Any]) -> float | None:
    """Mean of the numbers among `values`; None where there is none. A single one comes back as it is."""
    known = [float(v) for v in values if v is not None and math.isfinite(float(v))]
    return sum(known) / len(known) if known else None


def floor_row(benchmark: Benchmark, test: TestSet) -> Row | None:
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
    known["top1_low"], known["top1_high"] = accuracy_interval(constant.correct, test.group_numbers)
    answer = classes[int(shares.argmax())]
    return Row(model=f"{FLOOR} ({answer})", n_test=len(labels), status="floor", interval="Wilson", **known)


# --- beside the table -----------------------------------------------------------------------------


def recalls_of(candidates: Sequence[Candidate], basis: Basis) -> tuple[Recall, ...]:
    """Every tested competitor's recall of every class that has test pictures."""
    return tuple(
        Recall(
            model=candidate.model,
            label=candidate.predictions[0].classes[place],
            n=n,
            correct=correct,
            recall=recall,
            low=low,
            high=high,
        )
        for candidate in candidates
        if candidate.answered and not candidate.probe_of
        for place, n, correct, recall, low, high in recalls(
            candidate.predictions, basis.groups, basis.inflation
        )
    )
