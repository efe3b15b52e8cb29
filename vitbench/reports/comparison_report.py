"""The report of a benchmark: comparison, curves, confusions, the most telling pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vitbench.comparison.confusion import confusion_counts
from vitbench.comparison.disputed import most_telling
from vitbench.comparison.measured import Row
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.opened import TestSet
from vitbench.comparison.results import ModelResult, Results, Sources, ranked_models, read_results
from vitbench.comparison.statistics import ALPHA
from vitbench.models.families import pretraining
from vitbench.narrative.narrate import Narrative, narrate
from vitbench.records.commands import asking
from vitbench.reports.anonymous import anonymised
from vitbench.reports.figures import Curve
from vitbench.reports.report import (
    MOST_PICTURES,
    MOST_TWINS,
    Badge,
    Confused,
    Confusion,
    Options,
    Picture,
    Report,
    Said,
    Twins,
)


def comparison_report(sources: Sources, comparison: Comparison, options: Options | None = None) -> Report:
    """The report of one benchmark, or of several on one test set, whose comparison is given."""
    results, options, told = read_results(sources), options or Options(), narrate(comparison)
    manifest, benchmarks = results.first.manifest, [source.benchmark for source in results.sources]
    models = ranked_models(results.models)
    pictures = pictures_of(models)
    report = Report(
        kind="comparison",
        name=comparison.name,
        created=str(manifest.get("created", ""))[:16].replace("T", " "),
        images=options.images,
        anonymous=options.anonymous,
        notice=notice(options),
        headline=told.answer,
        gap=told.plain_gap,
        advice=told.advice,
        classes=comparison.classes,
        runs=tuple(_run_names(models)),
        comparison=comparison,
        narrative=told,
        badges=badges(comparison, told),
        curves=tuple(curves_of(results)),
        confusions=tuple(_confusion(one) for one in models),
        pictures=tuple(pictures[:MOST_PICTURES]),
        n_pictures=len(pictures),
        left_out=max(0, len(pictures) - MOST_PICTURES),
        twins=_twins(comparison, results.test),
        notes=told.notes,
        command="\n".join(asking(benchmark, options.anonymous) for benchmark in benchmarks),
        versions=texts(manifest.get("versions")),
        machine=texts(manifest.get("machine")),
    )
    return anonymised(report, results.sources) if options.anonymous else report


def _twins(comparison: Comparison, test: TestSet) -> tuple[Twins, ...]:
    numbers = {path: number for number, path in enumerate(test.paths, start=1)}
    return tuple(
        Twins(numbers[one.path], one.path, len(numbers) + place, one.other, one.part, one.how)
        for place, one in enumerate(comparison.leaks[:MOST_TWINS], start=1)
    )


def notice(options: Options) -> str:
    """Which kind of report this is."""
    if options.anonymous:
        photos = "The photographs are in it" if options.images else "Without photographs"
        return (
            "Anonymous: no names of files, folders or benchmarks; class names are shown as they are. "
            f"{photos}."
        )
    if not options.images:
        return "Without photographs; it holds the names of files and classes."
    return "It holds the names of files and classes, and small copies of the photographs that were found."


def texts(value: Any) -> dict[str, str]:
    """What a manifest's mapping says, as text; a mere text under "machine" stands alone.

    The folder of decoded pictures is nobody else's concern.
    """
    if isinstance(value, dict):
        said = {key: item for key, item in value.items() if item or (item == 0 and item is not False)}
        return {str(key): str(item) for key, item in said.items() if key != "store"}
    return {"": str(value)} if value else {}


# --- what differs beside the model ------------------------------------------------------------------


def badges(comparison: Comparison, told: Narrative) -> tuple[Badge, ...]:
    """What to know of single models: pretraining where it differs, sizes, random weights, probes, gaps."""
    own = [row for row in comparison.rows if not row.probe_of]
    sources = {row.pretrained_on for row in own if row.tested and row.pretrained_on}
    found = []
    for row in comparison.rows:
        found += _about_weights(row, several=len(sources) > 1)
        found += _about_status(row)
        found += _about_proof(row, comparison, told)
    return tuple(found)


PLAIN_PRETRAINING = "IN-1k"
"""What needs no badge beside models with more."""


def _about_weights(row: Row, several: bool) -> list[Badge]:
    found = []
    if row.probe_of:
        found.append((f"frozen probe of {row.probe_of}", "A linear head on frozen features"))
    if row.from_scratch:
        found.append(("random weights", "Trained from random weights, not from pretrained ones"))
    elif several and row.pretrained_on != PLAIN_PRETRAINING and row.pretrained_on and not row.probe_of:
        stages = pretraining(row.timm_name.partition(".")[2]) or (row.pretrained_on,)
        meaning = f"Pretrained on {row.pretrained_on}, other models here on other pictures"
        found.append((f"{stages[0]} first" if len(stages) > 1 else stages[0], meaning))
    if row.native_size and row.image_size and row.native_size != row.image_size:
        found.append((f"{row.image_size} px, made for {row.native_size}", "Not at its native input size"))
    if row.windows:
        found.append((f"windows {row.windows}", "Side of its attention windows, stage by stage, in tokens"))
    return [Badge(row.model, text, meaning) for text, meaning in found]


STATUS = {
    "partial": "some seeds missing",
    "failed": "failed",
    "interrupted": "unfinished",
    "new": "not started",
}


def _about_status(row: Row) -> list[Badge]:
    if row.status not in STATUS:
        return []
    return [Badge(row.model, STATUS[row.status], row.reason or STATUS[row.status])]


def _about_proof(row: Row, comparison: Comparison, told: Narrative) -> list[Badge]:
    found = [
        Badge(row.model, "its probe wins", verdict)
        for pair, verdict in zip(comparison.probes, told.probe_verdicts, strict=True)
        if pair.distinguishable and pair.model_b == row.model and not row.probe_of
    ]
    if row.chance_p is not None and row.chance_p > ALPHA:
        meaning = "Its balanced accuracy is no better than permuted labels would often make it."
        found.append(Badge(row.model, "may be guessing", meaning))
    return found


# --- pictures and confusions ------------------------------------------------------------------------


def pictures_of(models: Sequence[ModelResult]) -> list[Picture]:
    """Every test picture, the most telling first: disputed, then wrong, then least sure.

    Among disputed ones those lead on which some models are right and some wrong.
    """
    if not models:
        return []
    predictions = [p for one in models for p in one.predictions]
    names = _run_names(models)
    reference = predictions[0]
    sure = np.stack([p.probabilities.max(axis=1) for p in predictions])  # (runs, n)
    answers = np.stack([p.answers for p in predictions])
    correct = np.stack([p.correct for p in predictions])
    order, _ = most_telling(predictions)
    return [
        Picture(
            number=i + 1,
            name=reference.paths[i],
            truth=reference.classes[int(reference.labels[i])],
            said=tuple(
                Said(name, reference.classes[int(answers[k, i])], float(sure[k, i]), bool(correct[k, i]))
                for k, name in enumerate(names)
            ),
        )
        for i in map(int, order)
    ]


def _run_names(models: Sequence[ModelResult]) -> list[str]:
    return [
        one.model if len(one.runs) == 1 else f"{one.model} s{run.run.seed}"
        for one in models
        for run in one.answered
    ]


def _confusion(one: ModelResult) -> Confusion:
    counts, classes = confusion_counts(one.predictions), one.predictions[0].classes
    cells = (
        Confused(classes[int(i)], classes[int(j)], int(counts[i, j]))
        for i, j in zip(*np.nonzero(counts), strict=True)
    )
    return Confusion(one.model, tuple(cells))


# --- curves ----------------------------------------------------------------------------------------


def curves_of(results: Results) -> list[Curve]:
    """The epochs of every run so far; named after the model where it has one seed."""
    found = []
    for model in results.models:
        answered = {one.run.folder: one for one in model.answered}
        for run in model.runs:
            name = model.model if len(model.runs) == 1 else f"{model.model}-s{run.seed}"
            read = answered.get(run.folder)
            epochs = run.epochs() if read is None else read.epochs
            best = None if read is None else int(read.metrics["best_epoch"])
            found.append(Curve(name, epochs, best, model.model))
    return found
