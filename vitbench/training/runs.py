"""One run from its job to `metrics.json`: create or resume, fit, save the model, test once."""

import dataclasses
import shutil
from dataclasses import dataclass
from typing import Any

import filelock
import numpy as np
import torch
from torch import nn

from vitbench import files
from vitbench.errors import RefusedError, RunFailedError, VitbenchError
from vitbench.inference.forward import latency_ms
from vitbench.inference.metrics import scores
from vitbench.models.create import count_parameters, create, gmacs, state_sha256
from vitbench.models.folder import save_model
from vitbench.models.plan import ModelPlan
from vitbench.models.weights import InitialWeights
from vitbench.records import Machine, Recipe, Run, Split
from vitbench.training.environment import environment
from vitbench.training.loop import Trainer, build_trainer, evaluate, fit
from vitbench.training.machine import choose_device, free_memory, is_out_of_memory, starves_batch_norm
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


def train_run(job: Job, run: Run, split: Split, watch: Watch) -> None:
    """Carry a job out in the run's folder, from where it was left if it was interrupted.

    A finished run is left as it is. Out of memory halves the micro-batch (the global batch stays) and
    goes on from the last epoch. Raises RunFailedError when the model cannot be trained here, and
    RefusedError, nothing touched, when another process is writing this run, the initial weights are not
    those it started from, or the device it started on is not here.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(run.folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise RefusedError(f"{run.folder}: another process is writing this run; wait for it") from error
    try:
        if run.status != "finished":  # another process may have finished it since the plan was made
            _train_locked(job, run, split, watch)
    finally:
        lock.release()


def _train_locked(job: Job, run: Run, split: Split, watch: Watch) -> None:
    machine, fallbacks = _pinned(job, run, watch)
    while True:
        try:
            trainer = _prepare(job, machine, fallbacks, run, split)
            fit(trainer, run, watch)
            return _finish(job, trainer, run)
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


def _pinned(job: Job, run: Run, watch: Watch) -> tuple[Machine, list[str]]:
    """The machine to train on and the fallbacks so far: an interrupted run's own, so that bits stay equal."""
    if not (run.folder / "recipe.json").exists():
        return job.machine, []
    written = files.read_json(run.folder / "recipe.json")
    # The number of workers never changes what comes out, so it follows the call.
    machine = dataclasses.replace(Machine(**written["machine"]), workers=job.machine.workers)
    try:
        choose_device(machine.device)
    except VitbenchError as error:
        raise RefusedError(
            f"{run.folder}: started on {machine.device}, which is not here; go on where it is, "
            "or start again under a new --name"
        ) from error
    for what in ("device", "micro_batch", "threads"):
        before, now = getattr(machine, what), getattr(job.machine, what)
        if before != now:
            watch.message(f"{run.name}: goes on with {what} {before}, as it started (not {now})")
    return machine, list(written["fallbacks"])


def _prepare(job: Job, machine: Machine, fallbacks: list[str], run: Run, split: Split) -> Trainer:
    """Create the model and write down, before the first step, all that decides its weights."""
    torch.set_num_threads(machine.threads)
    recipe = job.recipe
    model = create(job.plan, len(recipe.classes), job.weights, recipe.seed, recipe.drop_path, recipe.classes)
    recipe = recipe.model_copy(update={"initial_sha256": state_sha256(model)})
    if (run.folder / "recipe.json").exists():
        _refuse_other_start(run, recipe)
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
    (run.folder / "failure.json").unlink(missing_ok=True)
    return build_trainer(model, recipe, split, machine)


def _refuse_other_start(run: Run, recipe: Recipe) -> None:
    stored = run.recipe()
    if stored.initial_sha256 != recipe.initial_sha256:
        raise RefusedError(
            f"{run.folder}: the initial weights are not those this run started from "
            f"({stored.init}); give the same --weights, or a new --name"
        )


def _finish(job: Job, trainer: Trainer, run: Run) -> None:
    """Save the chosen weights, read the test pictures once, and write `metrics.json` last."""
    model, recipe = trainer.evaluated, trainer.recipe
    save_model(model, run.folder / "model", recipe.classes, recipe.preprocessing)
    predictions = evaluate(trainer, "test")
    predictions.write(run.folder / "predictions.csv")
    best = next(row for row in trainer.rows if row.epoch == trainer.best_epoch)
    files.write_json(
        run.folder / "metrics.json",
        {
            "best_epoch": best.epoch,
            "epochs": len(trainer.rows),
            "train": {"loss": best.train_loss, "top1": best.train_top1},
            "val": {"n": len(trainer.split.val), "loss": best.val_loss, "top1": best.val_top1},
            "test": scores(predictions),
            "cost": _cost(job, trainer, model),
            "notes": run.about()["notes"],
        },
    )
    discard_checkpoints(run)


def discard_checkpoints(run: Run) -> None:
    """Remove what only resume needs; a kill right after `metrics.json` leaves it behind."""
    shutil.rmtree(run.folder / "checkpoint", ignore_errors=True)


def _cost(job: Job, trainer: Trainer, model: nn.Module) -> dict[str, Any]:
    p50, p95 = latency_ms(model, trainer.recipe.preprocessing.size, trainer.device)
    return {
        "device": trainer.machine.device_name,
        "threads": trainer.machine.threads,
        "params_m": count_parameters(model) / 1e6,
        "gmacs": gmacs(job.plan, len(trainer.recipe.classes)),
        "train_images_per_second": float(np.median([row.images_per_second for row in trainer.rows])),
        "seconds_per_epoch": float(np.median([row.seconds for row in trainer.rows])),
        "latency_ms_p50": p50,
        "latency_ms_p95": p95,
        "peak_memory_mb": max(row.peak_memory_mb for row in trainer.rows),
    }
