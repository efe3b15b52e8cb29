"""A run with folds: a training per fold, and what they say together about every picture."""

import dataclasses
import shutil
import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from vitbench import files
from vitbench.errors import VitbenchError
from vitbench.inference.metrics import scores
from vitbench.records import Epoch, Predictions, Run, Split, label_indices
from vitbench.records.watch import Watch
from vitbench.training.distributed.processes import by_first, first_alone
from vitbench.training.jobs import Job, begin_part, pinned, write_identity, writing
from vitbench.training.runs import train_run


def train_folds(job: Job, run: Run, split: Split, watch: Watch) -> None:
    """Train one model per fold in `fold-1/`, …, and write what they say together; resumes like `train_run`.

    Every picture is answered by the model of the fold in which it is tested. With `final="retrain"` one
    more model learns from all pictures, for the median of the epochs that the folds chose, and answers
    for the run; otherwise its folds' models answer together.
    """
    with writing(run):
        if by_first(lambda: run.status) == "finished":
            return
        machine, fallbacks = pinned(job, run, watch)
        write_identity(job, job.recipe, machine, fallbacks, run)
        by_first(lambda: (run.folder / "failure.json").unlink(missing_ok=True))
        folds = [run.part(f"fold-{number}") for number in range(1, len(split.folds) + 1)]
        for fold, part in zip(folds, split.folds, strict=True):
            _train_fold(job, fold, part, watch)
        if job.final == "retrain":
            _retrain(job, run, folds, split, watch)
        _write_together(run, folds, split, fallbacks)


def train_fold(job: Job, run: Run, split: Split, number: int, watch: Watch) -> None:
    """One fold by itself, for `train_folds` to find it done; raises like `train_run`."""
    begin_part(job, run, watch)
    _train_fold(job, run.part(f"fold-{number}"), split.folds[number - 1], watch)


def _train_fold(job: Job, fold: Run, part: Split, watch: Watch) -> None:
    known = by_first(lambda: fold.status) == "finished"
    train_run(job.with_recipe(split_digest=part.digest), fold, part, watch)
    if not known:
        test = by_first(fold.metrics)["test"]
        watch.run_finished(fold.name, f"{test['correct']} of {test['n']} test pictures right")


def _retrain(job: Job, run: Run, folds: Sequence[Run], split: Split, watch: Watch) -> None:
    """One model on all pictures, stopped where the folds' schedules were best; it becomes the run's model."""
    recipe = _usual(folds)
    alone = dataclasses.replace(job, trials=())
    final = run.part("final")
    everything = Split(
        split.root, split.classes, split.train, (), (), "all pictures", split.seed, split.data_digest,
        pixel_range=split.pixel_range,
    )  # fmt: skip
    train_run(alone.with_recipe(split_digest=everything.digest, **recipe), final, everything, watch)
    _take_model(run, final)


@first_alone
def _usual(folds: Sequence[Run]) -> dict[str, Any]:
    """What most folds were trained with, and for how long those were best."""
    settings = [(fold.recipe().lr, fold.recipe().min_lr, fold.recipe().augment) for fold in folds]
    lr, min_lr, augment = chosen = Counter(settings).most_common(1)[0][0]
    alike = [fold for fold, setting in zip(folds, settings, strict=True) if setting == chosen]
    epoch = round(statistics.median(fold.metrics()["best_epoch"] for fold in alike))
    return {"lr": lr, "min_lr": min_lr, "augment": augment, "last_epoch": max(1, epoch), "patience": None}


@first_alone
def _take_model(run: Run, final: Run) -> None:
    if not run.model_folder.exists():
        shutil.copytree(final.model_folder, run.folder / ".model.new", dirs_exist_ok=True)
        files.replace_folder(run.folder / ".model.new", run.model_folder)


@first_alone
def _write_together(run: Run, folds: Sequence[Run], split: Split, fallbacks: Sequence[str]) -> None:
    """The run's own `predictions.csv`, `epochs.csv` and, last, `metrics.json`."""
    predictions = out_of_fold(split, [fold.predictions() for fold in folds])
    predictions.write(run.folder / "predictions.csv")
    if heads := [row for fold in folds for row in fold.heads()]:
        files.write_csv(run.folder / "heads.csv", list(heads[0]), heads)
    files.write_csv(run.folder / "epochs.csv", Epoch.columns(), mean_epochs([f.epochs() for f in folds]))
    metrics = [fold.metrics() for fold in folds]
    notes = list(dict.fromkeys([*fallbacks, *_notes([one["notes"] for one in metrics])]))
    if run.model_folder.exists():
        last = run.part("final").recipe()
        notes.append(
            f"for new pictures one model answers that learned from all pictures for {last.last_epoch} epochs "
            f"(lr {last.lr:.2g}, augmentation {last.augment}); it could not be tested itself"
        )
    files.write_json(
        run.folder / "metrics.json",
        {
            "best_epoch": round(statistics.median(one["best_epoch"] for one in metrics)),
            "epochs": max(one["epochs"] for one in metrics),
            "train": _means([one["train"] for one in metrics]),
            "val": _means([one["val"] for one in metrics]),
            "test": scores(predictions),
            "cost": _means([one["cost"] for one in metrics]),
            "notes": notes,
        },
    )


def _notes(each: Sequence[Sequence[str]]) -> list[str]:
    """What all folds say once, what only some say with the fold before it."""
    shared = [note for note in each[0] if all(note in notes for notes in each)]
    own = [
        f"fold {number}: {note}"
        for number, notes in enumerate(each, start=1)
        for note in notes
        if note not in shared
    ]
    return [*shared, *own]


def out_of_fold(split: Split, answers: Sequence[Predictions]) -> Predictions:
    """The answers of all folds as one: every picture once, in the order of the folds.

    Raises VitbenchError where a fold's answers are not on its own test pictures.
    """
    pictures = [picture for fold in split.folds for picture in fold.test]
    for number, (fold, one) in enumerate(zip(split.folds, answers, strict=True), start=1):
        if [files.readable(p.path) for p in fold.test] != [files.readable(path) for path in one.paths]:
            raise VitbenchError(
                f"fold {number}: its predictions are not on its test pictures; train it again"
            )
    return Predictions(
        classes=split.classes,
        paths=tuple(picture.path for picture in pictures),
        labels=label_indices(pictures, split.classes),
        probabilities=np.concatenate([one.probabilities for one in answers]),
        folds=np.repeat(np.arange(1, len(answers) + 1), [len(one.paths) for one in answers]),
    )


def mean_epochs(folds: Sequence[Sequence[Epoch]]) -> list[dict[str, Any]]:
    """A row per epoch: the means over the folds that came so far."""
    longest = max(len(rows) for rows in folds)
    tables = [[{name: getattr(row, name) for name in Epoch.columns()} for row in rows] for rows in folds]
    return [_means([rows[i] for rows in tables if i < len(rows)]) for i in range(longest)]


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean of every number (a whole one where all are equal); of anything else the first."""
    means: dict[str, Any] = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        numbers = [value for value in values if isinstance(value, int | float)]
        equal = all(value == values[0] for value in values)
        means[name] = values[0] if equal or len(numbers) < len(values) else statistics.fmean(numbers)
    return means
