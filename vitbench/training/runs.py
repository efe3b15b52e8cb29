"""One run from its job to `metrics.json`: create or resume, fit, save the model, test once.

Nothing is chosen on the test pictures: they are read when the weights are saved, and
`test_evaluations.csv` says so.
"""

import contextlib
import dataclasses
from functools import partial

import numpy as np

from vitbench import files
from vitbench.errors import RunFailedError
from vitbench.inference.metrics import scores
from vitbench.models.weights import saved_weights
from vitbench.records import Epoch, Predictions, Run, Split, best_epoch
from vitbench.records.watch import Watch
from vitbench.training import tuning
from vitbench.training.distributed.processes import by_first, first_alone
from vitbench.training.fitted import fitted
from vitbench.training.jobs import (
    Job,
    begin_part,
    discard_checkpoints,
    is_done,
    keep_model,
    model_cost,
    pinned,
    write_identity,
    writing,
)
from vitbench.training.loop import evaluate, to_contiguous
from vitbench.training.objectives.distillation import Distilled, head_answers, teacher_answers, write_heads
from vitbench.training.objectives.table import encoder_of
from vitbench.training.trainer import Trainer


def train_run(job: Job, run: Run, split: Split, watch: Watch) -> None:
    """Carry a job out in the run's folder, from where it was left if it was interrupted.

    A finished run is left as it is. Out of memory halves the micro-batch (the global batch stays) and
    goes on from the last epoch. Raises RunFailedError when the model cannot be trained here, and
    RefusedError, nothing touched, when another process is writing this run, the initial weights are not
    those it started from, or the device it started on is not here.
    """
    with writing(run):
        if is_done(run):
            return
        job = _pretrained(job, run, split, watch)
        if not job.trials:
            _finish(job, fitted(job, run, split, watch), run, [], watch)
            return
        job, chosen = _tuned(job, run, split, watch)
        trainer = fitted(job, chosen, split, watch)
        _take_over(run, chosen)
        _finish(job, trainer, run, [tuning.in_words(job.recipe, len(job.trials))], watch)


@first_alone
def _take_over(run: Run, chosen: Run) -> None:
    for name in ("recipe.json", "epochs.csv", "environment.json", "log.txt"):
        files.write_bytes(run.folder / name, (chosen.folder / name).read_bytes())


def _tuned(job: Job, run: Run, split: Split, watch: Watch) -> tuple[Job, Run]:
    """Train every trial in a folder of its own; the job of the one that val chooses, and its folder."""
    write_identity(job, job.recipe, *pinned(job, run, watch), run)
    jobs = [dataclasses.replace(job, recipe=recipe, trials=()) for recipe in job.trials]
    places = [run.part(f"tune-{place}") for place in range(1, len(jobs) + 1)]
    best: list[Epoch | None] = []
    for trial, place in zip(jobs, places, strict=True):
        try:
            with writing(place):
                fitted(trial, place, split, watch)
        except RunFailedError as error:  # such as a learning rate that is too large
            reason = error
            best.append(None)
            watch.run_failed(place.name, f"failed: {error}")
            continue
        row = best_epoch(by_first(place.epochs))
        best.append(row)
        watch.run_finished(
            place.name,
            f"lr {trial.recipe.lr:.2g}, augment {trial.recipe.augment}: val top-1 {row.val_top1:.3f}, "
            f"val loss {row.val_loss:.3f} at epoch {row.epoch}",
        )
    if not any(best):
        raise reason
    chosen = tuning.choose(best)
    first_alone(tuning.write_trials)(run.folder / "tuning.csv", job.trials, best, chosen)
    return dataclasses.replace(jobs[chosen], trials=job.trials), places[chosen]


def train_trial(job: Job, run: Run, split: Split, number: int, watch: Watch) -> None:
    """One of the settings of `--tune` by itself, for `train_run` to find it done, or to see why it failed."""
    begin_part(job, run, watch)
    place = run.part(f"tune-{number}")
    trial = dataclasses.replace(job, recipe=job.trials[number - 1], trials=())
    with writing(place), contextlib.suppress(RunFailedError):
        fitted(trial, place, split, watch)


def pretrain_run(job: Job, run: Run, split: Split, watch: Watch) -> None:
    """Pre-train an encoder on the split's training pictures, their labels unread, and save it alone.

    Resumes, halves and raises like `train_run`; `metrics.json` has no test.
    """
    with writing(run):
        if is_done(run):
            return
        trainer = fitted(job, run, split, watch)
        to_contiguous(trainer)
        keep_model(encoder_of(trainer.evaluated), job, run, split, trainer.recipe)
        last = trainer.rows[-1]
        first_alone(files.write_json)(
            run.folder / "metrics.json",
            {
                "best_epoch": trainer.best_epoch,
                "epochs": len(trainer.rows),
                "train": {"loss": last.train_loss, "top1": None},
                "val": {"n": len(split.val), "loss": last.val_loss, "top1": None},
                "test": None,
                "cost": {"device": trainer.machine.device_name, **_training_cost(trainer)},
                "notes": trainer.notes,
            },
        )
        discard_checkpoints(run)


def _pretrained(job: Job, run: Run, split: Split, watch: Watch) -> Job:
    """The job from the encoder that its pre-training gives, in the run's `pretrain/`."""
    if job.pretrain is None:
        return job
    part = run.part("pretrain")
    if by_first(lambda: part.status) != "finished":
        write_identity(job, job.recipe, *pinned(job, run, watch), run)
        first = job.pretrain.model_copy(update={"split_digest": job.recipe.split_digest})
        alone = dataclasses.replace(job, recipe=first, trials=(), teacher=None, pretrain=None)
        pretrain_run(alone, part, split, watch)
        row = by_first(part.epochs)[-1]
        watch.run_finished(part.name, f"{row.epoch} epochs, loss {row.train_loss:.3f}")
    weights = by_first(lambda: saved_weights(part.model_folder))
    weights = dataclasses.replace(weights, label=job.begins_with, classes=())
    return dataclasses.replace(job, weights=weights, pretrain=None)


def _training_cost(trainer: Trainer) -> dict[str, float]:
    rows = trainer.rows
    return {
        "train_images_per_second": float(np.median([r.images_per_second for r in rows])),
        "seconds_per_epoch": float(np.median([r.seconds for r in rows])),
        "peak_memory_mb": max(row.peak_memory_mb for row in rows),
    }


def _write_heads(job: Job, trainer: Trainer, run: Run, answers: Predictions) -> None:
    """Write `heads.csv`: per test picture the answers of the student, of its heads alone, of its teacher."""
    objective, split, machine = trainer.objective, trainer.split, trainer.machine
    assert isinstance(objective, Distilled)
    found = {"both": answers.answers}
    if trainer.recipe.distillation and trainer.recipe.distillation.through == "token":
        found |= head_answers(trainer.evaluated, split, trainer.recipe.preprocessing, machine)
    found["teacher"] = teacher_answers(objective.asked, split, split.test, machine)
    write_heads(run.folder / "heads.csv", answers, found)


def _finish(job: Job, trainer: Trainer, run: Run, notes: list[str], watch: Watch) -> None:
    """Save the chosen weights and their answers on val, read the test pictures, write `metrics.json` last.

    The look at the test pictures is noted before anybody can see what came of it.
    """
    to_contiguous(trainer)  # as it is when it is loaded: equal to the last bit
    keep_model(trainer.evaluated, job, run, trainer.split, trainer.recipe)
    parts = {"val": trainer.split.val, "test": trainer.split.test}
    val, test = (
        evaluate(trainer, part, on_progress=partial(watch.work, f"{part} pictures")) if pictures else None
        for part, pictures in parts.items()
    )
    _write(job, trainer, run, notes, val, test)


@first_alone
def _write(
    job: Job, trainer: Trainer, run: Run, notes: list[str], val: Predictions | None, test: Predictions | None
) -> None:
    """All that a run leaves but its model."""
    if test is not None:
        run.add_evaluation("train", len(test.paths))
        test.write(run.folder / "predictions.csv")
        if job.teacher is not None:
            _write_heads(job, trainer, run, test)
    if val is not None:
        val.write(run.folder / "val_predictions.csv")
    best = next(row for row in trainer.rows if row.epoch == trainer.best_epoch)
    cost, unmeasured = model_cost(job, trainer.machine, trainer.evaluated)
    files.write_json(
        run.folder / "metrics.json",
        {
            "best_epoch": best.epoch,
            "epochs": len(trainer.rows),
            "train": {"loss": best.train_loss, "top1": best.train_top1},
            "val": {"n": len(trainer.split.val), "loss": best.val_loss, "top1": best.val_top1},
            "test": None if test is None else scores(test),
            "cost": {**cost, **_training_cost(trainer)},
            "notes": [*trainer.notes, *notes, *unmeasured],
        },
    )
    discard_checkpoints(run)
