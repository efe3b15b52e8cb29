"""The rows of a comparison: what each model scored, with which interval, at which cost."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vitbench.comparison.bootstrap import Interval, score_interval
from vitbench.comparison.calibration import (
    Temperature,
    ece_null,
    expected_calibration_error,
    fit_temperature,
    tempered,
)
from vitbench.comparison.confusion import recalls
from vitbench.comparison.context import TestContext
from vitbench.comparison.evidence import chance_p
from vitbench.comparison.measured import Estimate, Pair, Recall, Row
from vitbench.comparison.opened import OpenBenchmark
from vitbench.comparison.results import UNREADABLE, Identity, ModelResult, RunResult
from vitbench.comparison.statistics import accuracy_interval
from vitbench.inference.metrics import Metric, Share, metrics_for
from vitbench.records import Predictions, Run

COSTS = (
    "params_m",
    "gmacs",
    "train_images_per_second",
    "seconds_per_epoch",
    "latency_ms_p50",
    "latency_ms_p95",
    "peak_memory_mb",
)
FLOOR = "majority"


def row_of(one: ModelResult, context: TestContext) -> Row:
    """The model's row; without a score, and with the reason, where nothing of it was tested."""
    shared: dict[str, Any] = {
        "model": one.model,
        "benchmark": one.benchmark,
        "n_test": context.n,
        "status": one.status,
        "reason": "; ".join(one.problems),
        "probe_of": one.probe_of,
        "arm": one.arm,
        "of": one.of,
        **(_identity(one.identity) if one.identity else {}),
    }
    if not one.answered:
        return Row(**shared)
    metrics = [run.metrics for run in one.answered]
    costs: dict[str, Any] = {name: _mean(m.get("cost", {}).get(name) for m in metrics) for name in COSTS}
    return Row(
        **shared,
        **_scores(one, context),
        **_calibration(one, context),
        **costs,
        seeds=tuple(run.run.seed for run in one.answered),
        runs=tuple(run.run.name for run in one.answered),
        train_loss=_mean(m.get("train", {}).get("loss") for m in metrics),
        val_loss=_mean(m.get("val", {}).get("loss") for m in metrics),
    )


def _identity(known: Identity) -> dict[str, Any]:
    about, recipe = known.about, known.recipe
    return {
        "timm_name": str(about.get("timm_name", recipe.model)),
        "pretrained_on": str(about.get("pretrained_on") or ""),
        "init": str(about.get("init", recipe.init)),
        "from_scratch": recipe.init.kind == "random",
        "masked": recipe.init.kind == "masked",
        "recipe": recipe.name,
        "image_size": recipe.preprocessing.size,
        "native_size": about.get("native_size"),
        "windows": str(about.get("windows") or ""),
        "device": device_of(known.run),
        "distilled": recipe.distillation is not None,
    }


def device_of(run: Run) -> str:
    """The device that a run was trained on, from its environment.json; "" where it does not say."""
    try:
        environment = run.environment()
    except UNREADABLE:
        return ""
    machine = environment.get("machine")
    known: Mapping[str, Any] = machine if isinstance(machine, Mapping) else environment
    name, device = str(known.get("device_name") or ""), str(known.get("device") or "")
    return f"{device} ({name})" if device and name and name != device else device or name


def _scores(one: ModelResult, context: TestContext) -> dict[str, Any]:
    """Test scores from the predictions themselves, so that they always equal the CSV beside them."""
    first, runs = one.predictions[0], len(one.answered)
    measured = {metric.name: _estimate(metric, one, context) for metric in metrics_for(len(first.classes))}
    labels = first.labels[context.alone]
    answers = np.stack([predictions.answers[context.alone] for predictions in one.predictions])
    correct = one.correct.sum(axis=1)
    over_seeds = runs > 1 or context.borrowed_seed(one).variance > 0
    over = "images" if context.groups is None else "groups"
    exact = "Wilson" if context.groups is None else "Wilson over groups"
    return {
        "metrics": measured,
        "correct": int(correct[0]) if runs == 1 else float(correct.mean()),
        "chance_p": chance_p(labels, answers),
        "interval": (f"t over {over} × seeds" if over_seeds else exact) + context.corrected,
        "over_seeds": over_seeds,
        "top1_std": float(np.std(one.correct.mean(axis=1), ddof=1)) if runs > 1 else None,
    }


def _estimate(metric: Metric, one: ModelResult, context: TestContext) -> Estimate:
    """The metric's mean over seeds, and its interval, cut to what it can be."""
    value = float(np.mean([metric.of(predictions) for predictions in one.predictions]))
    limits: Interval
    if isinstance(metric.kind, Share):
        right = np.stack([metric.per_picture(predictions) for predictions in one.predictions])
        limits = context.share_interval(right, context.borrowed_seed(one, metric.name))
    else:
        sample = context.samples[one.model][metric.name]
        limits = context.widened(sample.value, *score_interval(sample))
    low, high = limits
    if low is None or high is None:
        return Estimate(value)
    return Estimate(value, max(0.0, low), min(high, metric.kind.most))


def _calibration(one: ModelResult, context: TestContext) -> dict[str, Any]:
    """How far the stated probabilities can be believed, means over seeds."""
    answers = one.predictions
    errors = [expected_calibration_error(p.probabilities, p.labels) for p in answers]
    found: dict[str, Any] = {
        "ece": _mean(errors),
        "ece_null": _mean(ece_null(p.probabilities, context.groups) for p in answers),
    }
    fitted = [_tempered(run) for run in one.answered]
    known = [found for found in fitted if found is not None]
    if len(known) == len(answers):
        temperatures = [temperature for of_run, _ in known for temperature in of_run]
        found["temperature"] = _mean(temperature.value for temperature in temperatures)
        found["temperature_shown"] = any(temperature.shown for temperature in temperatures)
        found["loss_tempered"] = _mean(loss for _, loss in known)
    return found


def _tempered(result: RunResult) -> tuple[list[Temperature], float] | None:
    """The temperature that fits a run's val answers, one per fold, and test loss with it.

    None where there are no val answers: probes, and runs from before they were kept.
    """
    answers, parts = result.predictions, result.run.folds or (result.run,)
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


def majority_row(first: OpenBenchmark) -> Row | None:
    """The row of a model that gives each class its share of the training pictures, whatever it sees."""
    test, classes = first.test, first.classes
    if not test.paths:
        return None
    train = first.train_labels
    shares = np.array([train.count(name) for name in classes], dtype=float)
    shares = shares / shares.sum() if shares.sum() else np.full(len(classes), 1 / len(classes))
    labels = np.array([classes.index(label) for label in test.labels], dtype=np.int64)
    constant = Predictions(classes, test.paths, labels, np.tile(shares, (len(labels), 1)))
    measured = {metric.name: Estimate(metric.of(constant)) for metric in metrics_for(len(classes))}
    limits = accuracy_interval(constant.correct, test.group_numbers)
    measured["top1"] = Estimate(measured["top1"].value, *limits)
    return Row(
        model=f"{FLOOR} ({classes[int(shares.argmax())]})",
        n_test=len(labels),
        correct=int(constant.correct.sum()),
        status="majority",
        interval="Wilson",
        metrics=measured,
    )


def ranked(rows: Sequence[Row], pairs: Sequence[Pair]) -> list[Row]:
    """Rows by accuracy, the untested last, with the range of ranks that the pairs leave open.

    A probe stands below the model it belongs to.
    """
    own = [row for row in rows if not row.probe_of]
    tested = sorted((row for row in own if row.tested), key=lambda row: -(row.top1 or 0.0))
    beats = [(pair.model_a, pair.model_b) for pair in pairs if pair.distinguishable]
    found = []
    for row in tested:
        better = sum(loser == row.model for _, loser in beats)
        worse = sum(winner == row.model for winner, _ in beats)
        found.append(dataclasses.replace(row, rank=(1 + better, len(tested) - worse)))
    found += [row for row in own if not row.tested]
    return [one for row in found for one in (row, *(probe for probe in rows if probe.probe_of == row.model))]


def recalls_of(models: Sequence[ModelResult], context: TestContext) -> tuple[Recall, ...]:
    """Every tested competitor's recall of every class that has test pictures."""
    return tuple(
        Recall(
            model=one.model,
            label=one.predictions[0].classes[place],
            n=n,
            correct=correct,
            recall=recall,
            low=low,
            high=high,
        )
        for one in models
        if one.answered and not one.probe_of
        for place, n, correct, recall, low, high in recalls(
            one.predictions, context.groups, context.inflation
        )
    )
