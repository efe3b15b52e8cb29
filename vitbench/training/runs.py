"""One run from its job to `metrics.json`: create or resume, fit, save the model, test once.

Nothing is chosen on the test pictures: they are read when the weights are saved, and `looks.csv` says so.
"""

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import safetensors
import torch
from torch import Tensor, nn

from vitbench import files
from vitbench.errors import RefusedError, RunFailedError, VitbenchError
from vitbench.inference.features import feature_key, features_of
from vitbench.inference.forward import latency_ms
from vitbench.inference.linear import fit_start
from vitbench.inference.metrics import scores
from vitbench.models.create import count_parameters, create, gmacs, set_head, state_sha256
from vitbench.models.folder import save_model
from vitbench.models.plan import ModelPlan
from vitbench.models.weights import InitialWeights
from vitbench.records import Epoch, Machine, Recipe, Run, Split, best_epoch, label_indices
from vitbench.training import checkpoint, tuning
from vitbench.training.environment import changed_since, environment
from vitbench.training.follow import lead
from vitbench.training.locks import locked
from vitbench.training.loop import Trainer, build_trainer, evaluate, fit, settle
from vitbench.training.machine import choose_device, free_memory, is_out_of_memory, starves_batch_norm
from vitbench.training.processes import current
from vitbench.training.step import techniques
from vitbench.training.watch import Watch

BATCH_NORM = "batch normalisation, where a model has it, sees these smaller batches"


@dataclass(frozen=True)
class Job:
    """What one run needs to be carried out; a plan is a list of these."""

    run_name: str
    plan: ModelPlan
    weights: InitialWeights
    recipe: Recipe
    machine: Machine
    trials: tuple[Recipe, ...] = ()
    """The settings to choose among on val (`--tune`); (): the recipe as it is."""
    final: Literal["folds", "retrain"] = "folds"
    """What answers for a run with folds."""
    resume_anyway: bool = False
    """A run that began with other versions or threads goes on, and says so in its notes."""

    def with_recipe(self, **changes: Any) -> "Job":
        """The job with other values in its recipe and in every trial's."""
        return dataclasses.replace(
            self,
            recipe=self.recipe.model_copy(update=changes),
            trials=tuple(trial.model_copy(update=changes) for trial in self.trials),
        )


def train_run(job: Job, run: Run, split: Split, watch: Watch) -> None:
    """Carry a job out in the run's folder, from where it was left if it was interrupted.

    A finished run is left as it is. Out of memory halves the micro-batch (the global batch stays) and
    goes on from the last epoch. Raises RunFailedError when the model cannot be trained here, and
    RefusedError, nothing touched, when another process is writing this run, the initial weights are not
    those it started from, or the device it started on is not here.
    """
    with writing(run):
        if run.status == "finished":  # another process may have finished it since the plan was made
            return
        (run.folder / "failure.json").unlink(missing_ok=True)
        if not job.trials:
            _finish(job, _fitted(job, run, split, watch), run, [])
            return
        job, chosen = _tuned(job, run, split, watch)
        trainer = _fitted(job, chosen, split, watch)
        for name in ("recipe.json", "epochs.csv", "environment.json", "log.txt"):
            files.write_bytes(run.folder / name, (chosen.folder / name).read_bytes())
        _finish(job, trainer, run, [tuning.in_words(job.recipe, len(job.trials))])


@contextlib.contextmanager
def writing(run: Run) -> Iterator[None]:
    """The run's folder, made if need be, for this process alone; RefusedError where another one has it."""
    run.folder.mkdir(parents=True, exist_ok=True)
    with locked(run.folder):
        yield


def write_identity(job: Job, recipe: Recipe, machine: Machine, fallbacks: list[str], run: Run) -> None:
    """Write `recipe.json` and `environment.json`: what the run is, before the first step."""
    files.write_json(
        run.folder / "recipe.json",
        {
            "digest": recipe.digest,
            "about": {
                "timm_name": job.plan.timm_name,
                "pretrained_on": job.plan.pretrained_on if job.weights.kind == "pretrained" else "",
                "init": job.weights.label,
                "native_size": job.plan.native_size,
                "windows": job.plan.windows,
                "notes": [*job.plan.notes, *([job.weights.note] if job.weights.note else []), *fallbacks],
            },
            "recipe": recipe.model_dump(mode="json"),
            "machine": dataclasses.asdict(machine),
            "fallbacks": fallbacks,
        },
    )
    files.write_json(run.folder / "environment.json", environment(machine))


def keep_model(model: nn.Module, run: Run, recipe: Recipe) -> None:
    """Save the run's model; OSError, with its number and a path, where the system refuses it."""
    try:
        with files.naming(run.model_folder):
            save_model(model, run.model_folder, recipe.classes, recipe.preprocessing)
    except safetensors.SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(run.model_folder)) from error


def model_cost(job: Job, machine: Machine, model: nn.Module) -> dict[str, Any]:
    """The part of `metrics.json`'s cost that does not depend on training."""
    p50, p95 = latency_ms(model, job.plan.image_size, torch.device(machine.device))
    return {
        "device": machine.device_name,
        "threads": machine.threads,
        "params_m": count_parameters(model) / 1e6,
        "gmacs": gmacs(job.plan, len(job.recipe.classes)),
        "latency_ms_p50": p50,
        "latency_ms_p95": p95,
    }


def discard_checkpoints(run: Run) -> None:
    """Remove what only resume needs; a kill right after `metrics.json` leaves it behind."""
    shutil.rmtree(run.folder / "checkpoint", ignore_errors=True)
    for part in run.folder.iterdir():
        if part.is_dir() and (part / "recipe.json").exists():
            discard_checkpoints(Run(part))


# --- training -------------------------------------------------------------------------------------


def _tuned(job: Job, run: Run, split: Split, watch: Watch) -> tuple[Job, Run]:
    """Train every trial in a folder of its own; the job of the one that val chooses, and its folder."""
    write_identity(job, job.recipe, *pinned(job, run, watch), run)
    jobs = [dataclasses.replace(job, recipe=recipe, trials=()) for recipe in job.trials]
    places = [run.part(f"tune-{place}") for place in range(1, len(jobs) + 1)]
    best: list[Epoch | None] = []
    for trial, place in zip(jobs, places, strict=True):
        try:
            with writing(place):
                _fitted(trial, place, split, watch)
        except RunFailedError as error:  # such as a learning rate that is too large
            reason = error
            best.append(None)
            watch.run_finished(place.name, f"failed: {error}")
            continue
        row = best_epoch(place.epochs())
        best.append(row)
        watch.run_finished(
            place.name,
            f"lr {trial.recipe.lr:.2g}, augment {trial.recipe.augment}: val top-1 {row.val_top1:.3f}, "
            f"val loss {row.val_loss:.3f} at epoch {row.epoch}",
        )
    if not any(best):
        raise reason
    chosen = tuning.choose(best)
    tuning.write_trials(run.folder / "tuning.csv", job.trials, best, chosen)
    return dataclasses.replace(jobs[chosen], trials=job.trials), places[chosen]


def _fitted(job: Job, run: Run, split: Split, watch: Watch) -> Trainer:
    """The job's trainer after its last epoch, the chosen weights in it; smaller steps where memory ends."""
    machine, fallbacks = pinned(job, run, watch)
    while True:
        try:
            trainer = _prepare(job, machine, fallbacks, run, split, watch)
            fit(trainer, run, watch)
            return trainer
        except ValueError as error:
            if not starves_batch_norm(error):
                raise
            raise RunFailedError(
                f"{run.name}: batch normalisation cannot work on one picture at a time; "
                "use a larger --batch-size or --micro-batch"
            ) from error
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if machine.micro_batch == 1:
                raise RunFailedError(
                    f"{run.name}: out of memory even with one picture at a time; "
                    f"use a smaller --image-size than {job.plan.image_size} or a smaller model"
                ) from error
        trainer = None  # type: ignore[assignment]  # frees its memory before the next try
        free_memory(machine.device)
        half = machine.micro_batch // 2
        machine = dataclasses.replace(machine, micro_batch=half, eval_batch=min(machine.eval_batch, half))
        fallbacks = [f"out of memory: {half} pictures per forward pass, gradients accumulated; {BATCH_NORM}"]
        watch.message(f"{run.name}: {fallbacks[0]}")


def pinned(job: Job, run: Run, watch: Watch) -> tuple[Machine, list[str]]:
    """The machine to train on and the fallbacks so far: an interrupted run's own, so that bits stay equal.

    RefusedError, the difference named, where that cannot be had; what the job accepts is a fallback.
    """
    if not (run.folder / "recipe.json").exists():
        return job.machine, []
    written = files.read_json(run.folder / "recipe.json")
    # Workers and store never change what comes out, so they follow the call.
    here = job.machine
    machine = dataclasses.replace(Machine(**written["machine"]), workers=here.workers, store=here.store)
    try:
        choose_device(machine.device)
    except VitbenchError as error:
        raise RefusedError(
            f"{run.folder}: started on {machine.device}, which is not here; go on where it is, "
            "or start again under a new --name"
        ) from error
    for what in ("device", "micro_batch"):
        before, now = getattr(machine, what), getattr(job.machine, what)
        if before != now:
            watch.message(f"{run.name}: goes on with {what} {before}, as it started (not {now})")
    fallbacks = list(written["fallbacks"])
    machine = dataclasses.replace(
        machine, threads=here.threads, processes=here.processes, device_name=here.device_name
    )
    if changed := changed_since(run, machine):
        if not job.resume_anyway:
            raise RefusedError(refusal(run, changed))
        fallbacks.append(f"gone on with {', '.join(changed)}: other last bits than without the interruption")
        watch.message(f"{run.name}: {fallbacks[-1]}")
    return machine, fallbacks


def refusal(run: Run, changed: list[str]) -> str:
    """The line for a run that began with other versions or threads than are here."""
    hint = ""
    for name, before, *_ in (change.split() for change in changed):
        if name == "threads":
            hint += f"set OMP_NUM_THREADS={before}, or "
        elif name == "processes":
            hint += f"start it with torchrun --nproc_per_node {before}, or "
    return (
        f"{run.folder}: was begun with other versions or threads ({', '.join(changed)}); {hint}go on where "
        "they are the same, or add --resume-anyway, which costs that its weights are equal to the last bit"
    )


def _prepare(
    job: Job, machine: Machine, fallbacks: list[str], run: Run, split: Split, watch: Watch
) -> Trainer:
    """Create the model and write down, before the first step, all that decides its weights."""
    torch.set_num_threads(machine.threads)
    recipe = job.recipe
    model = create(job.plan, len(recipe.classes), job.weights, recipe.seed, recipe.drop_path, recipe.classes)
    recipe = recipe.model_copy(update={"initial_sha256": state_sha256(model)})
    if (run.folder / "recipe.json").exists():
        _refuse_other_start(run, recipe)
    fallbacks = list(dict.fromkeys([*fallbacks, *_apart(model, recipe, machine)]))
    write_identity(job, recipe, machine, fallbacks, run)
    if recipe.head == "probe":
        head = _fitted_head(job, machine, run, split, model, watch)
        set_head(model, head["weight"], head["bias"])
    trainer = build_trainer(model, recipe, split, machine, current())
    files.write_json(
        run.folder / "environment.json", {**run.environment(), "techniques": techniques(trainer)}
    )
    lead(trainer, job.plan)
    return trainer


def _apart(model: nn.Module, recipe: Recipe, machine: Machine) -> list[str]:
    """What several processes do otherwise than one would, where the model learns batch statistics."""
    learns = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    if machine.processes == 1 or recipe.freeze_norm or not learns:
        return []
    return [
        f"{machine.processes} processes: batch normalisation sees each one's own part of a batch, and its "
        "running statistics are the first one's (torch has no synchronised one on a CPU)"
    ]


def _refuse_other_start(run: Run, recipe: Recipe) -> None:
    stored = run.recipe()
    if stored.initial_sha256 and stored.initial_sha256 != recipe.initial_sha256:
        raise RefusedError(
            f"{run.folder}: the initial weights are not those this run started from "
            f"({stored.init}); give the same --weights, or a new --name"
        )


def _fitted_head(
    job: Job, machine: Machine, run: Run, split: Split, model: nn.Module, watch: Watch
) -> dict[str, Tensor]:
    """weight (C, D) and bias (C,): the linear head that fits the frozen features of the training pictures.

    Written beside the checkpoints and read from there by a resumed run: features that are computed again
    in other batches can differ in their last bits.
    """
    path = run.folder / "checkpoint" / "head.safetensors"
    if path.exists():
        with contextlib.suppress(VitbenchError):
            return checkpoint.read_tensors(path)
    key = feature_key(job.plan, job.weights, job.recipe.seed, len(split.classes))
    preprocessing = job.recipe.preprocessing
    features = features_of(
        model.to(machine.device),
        key,
        split.root,
        split.train,
        preprocessing,
        machine,
        on_progress=lambda done, total: watch.features(run.name, done, total),
        on_event=watch.message,
    )
    labels = label_indices(split.train, split.classes)
    linear = fit_start(features, labels, len(split.classes))
    head = {"weight": torch.from_numpy(linear.weight).float(), "bias": torch.from_numpy(linear.bias).float()}
    path.parent.mkdir(exist_ok=True)
    checkpoint.write_tensors(path, head)
    return head


def _finish(job: Job, trainer: Trainer, run: Run, notes: list[str]) -> None:
    """Save the chosen weights and their answers on val, read the test pictures, write `metrics.json` last.

    The look at the test pictures is noted before anybody can see what came of it.
    """
    model, recipe = trainer.evaluated, trainer.recipe
    settle(trainer)  # as it is when it is loaded: equal to the last bit
    keep_model(model, run, recipe)
    if trainer.split.val:
        evaluate(trainer, "val").write(run.folder / "val_predictions.csv")
    test = None
    if trainer.split.test:
        predictions = evaluate(trainer, "test")
        run.add_look("train", len(predictions.paths))
        predictions.write(run.folder / "predictions.csv")
        test = scores(predictions)
    best = next(row for row in trainer.rows if row.epoch == trainer.best_epoch)
    files.write_json(
        run.folder / "metrics.json",
        {
            "best_epoch": best.epoch,
            "epochs": len(trainer.rows),
            "train": {"loss": best.train_loss, "top1": best.train_top1},
            "val": {"n": len(trainer.split.val), "loss": best.val_loss, "top1": best.val_top1},
            "test": test,
            "cost": {
                **model_cost(job, trainer.machine, model),
                "train_images_per_second": float(np.median([r.images_per_second for r in trainer.rows])),
                "seconds_per_epoch": float(np.median([r.seconds for r in trainer.rows])),
                "peak_memory_mb": max(row.peak_memory_mb for row in trainer.rows),
            },
            "notes": [*run.about()["notes"], *notes],
        },
    )
    discard_checkpoints(run)
