"""The plan: everything that can be known, and refused, before the first step is trained."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from vitbench.data.epochs import balance_note, epoch_size
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.errors import UsageError
from vitbench.models.create import count_parameters, create
from vitbench.models.families import expand
from vitbench.models.plan import plan_model
from vitbench.models.weights import RANDOM, resolve_weights
from vitbench.records import ImageSet, Settings, Split, duration, run_name
from vitbench.training.loop import build_trainer, train_step
from vitbench.training.machine import choose_device, choose_machine, choose_precision, synchronise
from vitbench.training.recipes import build_recipe, image_size
from vitbench.training.runs import Job
from vitbench.training.watch import Watch

LONG_SECONDS = 2 * 3600
FLOAT_BYTES = 4
PROBE_BATCH = 8
PROBE_SECONDS = 4.0


@dataclass(frozen=True)
class Plan:
    """A checked folder, its split, and the jobs to be carried out on it."""

    settings: Settings
    images: ImageSet
    split: Split
    jobs: tuple[Job, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about data, split and class balance, each one line."""
        balance = balance_note(self.split.train, self.jobs[0].recipe.per_class) if self.jobs else ""
        return (*self.images.notes, *self.split.notes, *([balance] if balance else []))


def make_plan(settings: Settings, data: Path, watch: Watch, *, dry_run: bool = False) -> Plan:
    """Check the folder, split it, plan every model and get hold of all weights.

    A dry run takes random weights for all, and so touches no network and no cache. Raises
    VitbenchError or UsageError for whatever would go wrong later and can be seen now.
    """
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    plans = [plan_model(name, image_size(settings)) for name in expand(settings.models)]
    if not plans:
        raise UsageError("--models: name at least one model; `vitbench models` lists them")
    images = scan_folder(data, settings.layout, settings.skip_bad, watch.checking)
    split = split_images(images, settings.split_seed)
    weights = (
        {plan.alias: RANDOM for plan in plans}
        if dry_run
        else resolve_weights(settings.weights, plans, on_event=watch.message)
    )
    jobs = []
    for plan in plans:
        for seed in settings.seeds:
            init = _intended_init(settings) if dry_run else weights[plan.alias].label
            recipe = build_recipe(settings, plan, split, seed, init, precision)
            machine = choose_machine(settings, device, recipe.batch_size)
            jobs.append(Job(run_name(plan.alias, seed), plan, weights[plan.alias], recipe, machine))
    return Plan(settings, images, split, tuple(jobs))


def _intended_init(settings: Settings) -> str:
    return "random" if settings.weights == ("random",) else "pretrained"


# --- what it will take ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one job will take, from a few timed steps on random weights."""

    params_m: float
    seconds: float
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
    model = create(job.plan, len(split.classes), RANDOM, recipe.seed, recipe.drop_path)
    parameters = count_parameters(model)
    trainer = build_trainer(model, recipe, split, job.machine)
    trainer.objective.train()
    size = recipe.preprocessing.size
    batch = min(PROBE_BATCH, recipe.batch_size, job.machine.micro_batch)
    images = torch.zeros(batch, 3, size, size, dtype=torch.uint8)
    labels = torch.arange(batch) % len(split.classes)
    times: list[float] = []
    for step in range(4):
        synchronise(trainer.device)
        started = time.perf_counter()
        train_step(trainer, images, labels, step)
        synchronise(trainer.device)
        times.append(time.perf_counter() - started)
        if sum(times) > PROBE_SECONDS:
            break
    per_image = min(times) / batch
    views = epoch_size(split.train, recipe.per_class) * recipe.epochs
    # A forward pass is about a third of a training step.
    judged = (len(split.val) * recipe.epochs + len(split.test)) / 3
    copies = 1 + 2 * (recipe.optimizer in ("adam", "adamw")) + (recipe.ema_decay is not None)
    model_mb = parameters * FLOAT_BYTES / 1e6
    # Two checkpoints are kept while a third is written, each with its chosen weights.
    return Estimate(
        params_m=parameters / 1e6,
        seconds=per_image * (views + judged),
        disk_mb=3 * (copies + 1) * model_mb,
        model_mb=model_mb,
    )


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
            f"= {recipe.epochs * steps} steps of {recipe.batch_size}, about {duration(took.seconds)}"
        )
    if plan.jobs:
        lines.append(_total_line(plan, estimates))
    return lines


def _total_line(plan: Plan, estimates: Mapping[str, Estimate]) -> str:
    machine = plan.jobs[0].machine
    seconds = sum(estimates[job.run_name].seconds for job in plan.jobs)
    disk = sum(e.model_mb for e in estimates.values()) + max(e.disk_mb for e in estimates.values())
    return (
        f"in all: {len(plan.jobs)} runs on {machine.device_name}, about {duration(seconds)} "
        f"(from a few timed steps, decoding left out), up to {disk / 1000:.1f} GB of disk"
    )


def shortcut_line(plan: Plan, estimates: Mapping[str, Estimate]) -> str:
    """What would take minutes where the plan takes hours on a CPU; "" elsewhere."""
    seconds = sum(estimates[job.run_name].seconds for job in plan.jobs)
    if seconds < LONG_SECONDS or plan.jobs[0].machine.device != "cpu":
        return ""
    now = plan.jobs[0].recipe.preprocessing.size
    small = seconds * (64 / now) ** 2
    return (
        f"that is long for a CPU; --quick shows the whole way in minutes, --image-size 64 would take about "
        f"{duration(small)}, --models {plan.jobs[0].plan.alias} alone about "
        f"{duration(estimates[plan.jobs[0].run_name].seconds)}; a GPU is what this job wants"
    )
