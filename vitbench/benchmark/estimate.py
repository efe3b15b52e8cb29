"""What a plan will take, from a few timed steps, and the plan in words."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from vitbench.benchmark.plan import Plan
from vitbench.data.batches import train_batches
from vitbench.data.epochs import epoch_size
from vitbench.models.create import count_parameters, create
from vitbench.models.weights import RANDOM
from vitbench.records import Split, duration
from vitbench.training.loop import Trainer, build_trainer, train_step
from vitbench.training.machine import free_memory, is_out_of_memory, starves_batch_norm, synchronise
from vitbench.training.runs import Job
from vitbench.training.watch import Watch

LONG_SECONDS = 2 * 3600
FLOAT_BYTES = 4
PROBE_PICTURES = 4
PROBE_SECONDS = 4.0
UNKNOWN = float("nan")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one job will take."""

    params_m: float
    seconds: float
    """NaN where the timed steps could not be carried out."""
    disk_mb: float
    """While training: checkpoints and chosen weights; a finished run keeps `model_mb`."""
    model_mb: float


def estimate_jobs(plan: Plan, watch: Watch) -> dict[str, Estimate]:
    """An `Estimate` per run name; a model is timed once for all its seeds."""
    found: dict[str, Estimate] = {}
    by_model: dict[str, Estimate] = {}
    for job in plan.jobs:
        if job.plan.alias not in by_model:
            watch.message(f"timing a few steps of {job.plan.alias} …")
            by_model[job.plan.alias] = _estimate(job, plan.split)
        found[job.run_name] = by_model[job.plan.alias]
    return found


def _estimate(job: Job, split: Split) -> Estimate:
    recipe = job.recipe
    parameters = 0
    try:
        model = create(job.plan, len(split.classes), RANDOM, recipe.seed, recipe.drop_path)
        parameters = count_parameters(model)
        step = _step_seconds(build_trainer(model, recipe, split, job.machine))
    except (RuntimeError, MemoryError, ValueError) as error:
        if not (is_out_of_memory(error) or starves_batch_norm(error)):
            raise
        step = UNKNOWN  # training itself halves its micro-batch, and says so if even that does not help
    free_memory(job.machine.device)
    picture = _picture_seconds(job, split)
    per_view = step + picture if job.machine.workers == 0 else max(step, picture / job.machine.workers)
    views = epoch_size(split.train, recipe.per_class) * recipe.epochs
    # A forward pass is about a third of a training step.
    judged = (len(split.val) * recipe.epochs + len(split.test)) * (step / 3 + picture)
    copies = 1 + 2 * (recipe.optimizer in ("adam", "adamw")) + (recipe.ema_decay is not None)
    model_mb = parameters * FLOAT_BYTES / 1e6
    # Two checkpoints are kept while a third is written, each with its chosen weights.
    return Estimate(parameters / 1e6, per_view * views + judged, 3 * (copies + 1) * model_mb, model_mb)


def _step_seconds(trainer: Trainer) -> float:
    """Seconds of a training step per picture, on black pictures that already lie in memory."""
    recipe = trainer.recipe
    size = recipe.preprocessing.size
    fits = max(PROBE_PICTURES, 32 * 64**2 // size**2)  # a full batch of 32 at 64 px, 4 pictures at 224 px
    batch = min(fits, recipe.batch_size, trainer.machine.micro_batch)
    images = torch.zeros(batch, 3, size, size, dtype=torch.uint8)
    labels = torch.arange(batch) % len(trainer.split.classes)
    trainer.objective.train()
    times: list[float] = []
    while len(times) < 2 or (len(times) < 4 and sum(times) < PROBE_SECONDS):
        synchronise(trainer.device)
        started = time.perf_counter()
        train_step(trainer, images, labels, len(times))
        synchronise(trainer.device)
        times.append(time.perf_counter() - started)
    return min(times) / batch


def _picture_seconds(job: Job, split: Split) -> float:
    """Seconds to decode a training picture and draw a view of it, in one thread."""
    recipe = job.recipe.model_copy(update={"batch_size": 1, "per_class": "all"})
    started = time.perf_counter()
    for done, _ in enumerate(train_batches(split, recipe, epoch=1), start=1):
        if done == PROBE_PICTURES:
            break
    return (time.perf_counter() - started) / done


# --- in words -------------------------------------------------------------------------------------


def plan_lines(plan: Plan, estimates: Mapping[str, Estimate]) -> list[str]:
    """The plan for a reader: data, split, models, steps, time, disk; and what would be quicker."""
    split = plan.split
    lines = [
        f"{split.root}: {len(plan.images.pictures)} pictures in {len(split.classes)} classes; "
        f"{len(split.train)} train, {len(split.val)} val, {len(split.test)} test",
        f"split: {split.rule}",
    ]
    for job in plan.jobs:
        recipe, took = job.recipe, estimates[job.run_name]
        views = epoch_size(split.train, recipe.per_class)
        steps = -(-views // recipe.batch_size)
        size, native = recipe.preprocessing.size, job.plan.native_size
        pixels = f"{size} px" if size == native else f"{size} px (made for {native})"
        lines.append(
            f"{job.run_name}: {job.plan.timm_name}, {took.params_m:.1f} M parameters, {recipe.init} weights, "
            f"{pixels}, {recipe.epochs} epochs × {views} views "
            f"= {recipe.epochs * steps} steps of {recipe.batch_size}, about {_time(took.seconds)}"
        )
    if plan.jobs:
        lines.append(_total_line(plan, estimates))
    return lines


def _total_line(plan: Plan, estimates: Mapping[str, Estimate]) -> str:
    machine = plan.jobs[0].machine
    seconds = _total_seconds(plan, estimates)
    disk = sum(e.model_mb for e in estimates.values()) + max(e.disk_mb for e in estimates.values())
    return (
        f"in all: {len(plan.jobs)} {'run' if len(plan.jobs) == 1 else 'runs'} on {machine.device_name}, "
        f"about {_time(seconds)} (from a few timed steps), up to "
        + (f"{disk / 1000:.1f} GB of disk" if disk > 100 else f"{disk:.0f} MB of disk")
    )


def shortcut_line(plan: Plan, estimates: Mapping[str, Estimate]) -> str:
    """What would take minutes where the plan takes hours on a CPU; "" elsewhere."""
    seconds = _total_seconds(plan, estimates)
    if math.isnan(seconds) or seconds < LONG_SECONDS or plan.jobs[0].machine.device != "cpu":
        return ""
    now = plan.jobs[0].recipe.preprocessing.size
    small = seconds * (64 / now) ** 2
    return (
        f"that is long for a CPU; --quick shows the whole way in minutes, --image-size 64 would take about "
        f"{duration(small)}, --models {plan.jobs[0].plan.alias} alone about "
        f"{duration(estimates[plan.jobs[0].run_name].seconds)}; a GPU is what this job wants"
    )


def _total_seconds(plan: Plan, estimates: Mapping[str, Estimate]) -> float:
    """Of the jobs whose time is known; NaN where none is."""
    known = [estimates[job.run_name].seconds for job in plan.jobs]
    known = [seconds for seconds in known if not math.isnan(seconds)]
    return sum(known) if known else UNKNOWN


def _time(seconds: float) -> str:
    return "an unknown time (the timed steps failed)" if math.isnan(seconds) else duration(seconds)
