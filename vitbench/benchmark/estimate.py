"""What a plan will take, from a few timed steps, and the plan in words."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitbench.benchmark.engine import Engine, next_of
from vitbench.benchmark.heads import heads_seconds
from vitbench.benchmark.plan import Plan
from vitbench.data.epochs import epoch_size
from vitbench.data.made import Views, training_picture
from vitbench.data.prefetch import Prefetcher
from vitbench.errors import DeviceLostError, KilledError
from vitbench.inference.features import feature_key, stored_contents
from vitbench.models.create import count_parameters, create
from vitbench.models.folder import LoadedModel, load_model
from vitbench.models.initial import RANDOM
from vitbench.records import Split
from vitbench.records.watch import Watch
from vitbench.training.jobs import Job, Teacher
from vitbench.training.loop import build_trainer
from vitbench.training.machine import free_memory, refuse_lost, synchronise
from vitbench.training.objectives.table import learner
from vitbench.training.probe import forward_speed
from vitbench.training.step import train_step
from vitbench.training.trainer import Trainer

LONG_SECONDS = 2 * 3600
SMALL_SIZE = 64
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


@dataclass(frozen=True, slots=True)
class _Timing:
    """What was measured of one model."""

    parameters: int
    width: int
    """Features that a linear head reads."""
    step: float
    """Seconds of a training step per picture; NaN where it could not be timed."""
    decode: float
    """Seconds to decode a training picture and shrink it, in one thread."""
    view: float
    """Seconds to draw a view of it, in one thread; 0 where the device makes them."""


@dataclass(frozen=True)
class TimeWork:
    """A model to be timed."""

    job: Job
    split: Split

    @property
    def name(self) -> str:
        return self.job.planned.beside

    def __call__(self, watch: Watch) -> _Timing:
        torch.set_num_threads(self.job.machine.threads)
        return _time_model(self.job, self.split)


def estimate_jobs(plan: Plan, engine: Engine, watch: Watch) -> tuple[Plan, dict[str, Estimate]]:
    """The plan without what cannot even be timed, and an `Estimate` per run name.

    A model is timed once for all its seeds, folds and its probe.
    """
    todo: dict[str, TimeWork] = {}
    for job in sorted(plan.jobs, key=lambda job: job.recipe.name == "probe"):  # a training says more
        todo.setdefault(job.planned.beside, TimeWork(job, plan.split))
    timed: dict[str, _Timing] = {}
    crashed: dict[str, str] = {}
    for place, work in enumerate(todo.values()):
        if work.job.recipe.name != "probe" or _new_pictures(work.job, work.split):
            watch.work("timing a few steps of each model", place, len(todo))
        engine.begin(work, watch)
        outcome = next_of(engine)
        if isinstance(outcome.error, KilledError):
            killed = outcome.error
            crashed[work.name] = f"the process that timed its first steps {killed.cause}; {killed.way_out}"
        elif isinstance(outcome.error, DeviceLostError) and engine.apart:
            crashed[work.name] = "its first steps made the device fail; leave it out, or try --device cpu"
        elif outcome.error is not None:
            raise outcome.error
        else:
            timed[work.name] = outcome.result
    plan = plan.without(crashed)
    return plan, {job.run_name: _estimate(job, plan.split, timed[job.planned.beside]) for job in plan.jobs}


def stages(plan: Plan, estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """Seconds of everything that will report progress, in order: runs, or their folds and trials."""
    found: dict[str, float] = {}
    for job in plan.jobs:
        names = [job.run_name]
        if plan.split.folds and job.recipe.name != "probe":
            names = [f"{job.run_name}/fold-{n}" for n in range(1, len(plan.split.folds) + 1)]
        if job.trials:
            names = [f"{name}/tune-{n}" for name in names for n in range(1, len(job.trials) + 1)]
        if plan.split.folds and job.recipe.name != "probe" and job.final == "retrain":
            names.append(f"{job.run_name}/final")
        found |= {name: estimates[job.run_name].seconds / len(names) for name in names}
    return found


def _time_model(job: Job, split: Split) -> _Timing:
    recipe, parameters, width, by_device = job.recipe, 0, 0, False
    try:
        model = learner(job.plan, recipe, RANDOM)
        parameters = count_parameters(model)
        width = int(getattr(model, "num_features", 0))
        if recipe.name == "probe":
            known = not _new_pictures(job, split)
            step = 0.0 if known else 3 / forward_speed(model.to(job.machine.device), job, _probed(job))
        else:
            step, by_device = _step_seconds(stand_in(job, split, model))
    except Exception:  # noqa: BLE001
        step = UNKNOWN  # training itself halves its micro-batch, and says what it is if that does not help
        refuse_lost(job.machine.device)
    free_memory(job.machine.device)
    decode, view = _picture_seconds(job, split)
    return _Timing(parameters, width, step, decode, 0.0 if by_device else view)


def stand_in(job: Job, split: Split, model: nn.Module | None = None) -> Trainer:
    """A trainer as slow as the job's own, with random weights."""
    teacher = None if job.teacher is None else _like(job.teacher, split)
    network = learner(job.plan, job.recipe, RANDOM) if model is None else model
    return build_trainer(network, job.recipe, split, job.machine, teacher=teacher)


def _new_pictures(job: Job, split: Split) -> int:
    """How many pictures a probe has to look at: those whose features are not known yet."""
    classes, pixels = len(split.classes), split.pixel_range
    key = feature_key(job.plan, job.weights, job.recipe.seed, classes, pixels)
    return len(split.contents - stored_contents(key, job.machine.device))


def _probed(job: Job) -> int:
    """How many pictures at a time tell a probe's speed."""
    return PROBE_PICTURES if job.machine.device == "cpu" else job.machine.eval_batch


def _like(teacher: Teacher, split: Split) -> LoadedModel:
    """A network as slow as the teacher, which may still have to be trained."""
    if teacher.folder is not None:
        return load_model(teacher.folder)
    assert teacher.plan is not None
    module = create(teacher.plan, len(split.classes), RANDOM, 0).eval()
    return LoadedModel(module, split.classes, teacher.plan.preprocessing, teacher.plan.timm_name)


def _estimate(job: Job, split: Split, timing: _Timing) -> Estimate:
    recipe, step = job.recipe, timing.step
    model_mb = timing.parameters * FLOAT_BYTES / 1e6
    # With a store every picture is decoded once, without one whenever it is looked at.
    once, always = (timing.decode, 0.0) if job.machine.store else (0.0, timing.decode)
    # A forward pass is about a third of a training step.
    forward = step / 3 + always
    if recipe.name == "probe":
        seconds = _new_pictures(job, split) * (forward + once) + heads_seconds(split, timing.width)
        return Estimate(timing.parameters / 1e6, seconds, model_mb, model_mb)
    workers = Prefetcher(job.machine.workers).most
    view = timing.view + always
    per_view = step + view if workers == 0 else max(step, view / workers)
    seconds = len(split.contents) * once / max(1, workers)
    first = job.pretrain
    for part in split.folds or (split,):
        if first is not None:  # its step is taken to last as long
            seconds += len(part.train) * first.epochs * per_view / job.machine.processes
        trained = epoch_size(part.train, recipe.per_class) * recipe.epochs * per_view
        judged = (len(part.val) * recipe.epochs + len(part.test)) * forward
        seconds += (trained + judged) * max(1, len(job.trials)) / job.machine.processes
    models = len(split.folds) or 1
    if split.folds and job.final == "retrain":
        seconds += (
            epoch_size(split.train, recipe.per_class) * recipe.epochs * per_view / job.machine.processes
        )
        models += 2
    copies = 1 + 2 * (recipe.optimizer in ("adam", "adamw")) + (recipe.ema_decay is not None)
    # Two checkpoints are kept while a third is written, each with its chosen weights.
    disk_mb = 3 * (copies + 1) * model_mb * max(1, len(job.trials))
    return Estimate(timing.parameters / 1e6, seconds, disk_mb, models * model_mb)


def _step_seconds(trainer: Trainer) -> tuple[float, bool]:
    """Seconds of a step per picture, of noise that lies in memory; whether the device makes the views too.

    On a CPU four pictures tell what a batch takes; on a GPU they tell what it takes to launch a step.
    """
    images, labels = noise_for(trainer)
    trainer.train_mode()
    times: list[float] = []
    while len(times) < 2 or (len(times) < 4 and sum(times) < PROBE_SECONDS):
        synchronise(trainer.device)
        started = time.perf_counter()
        train_step(trainer, images, labels, len(times))
        synchronise(trainer.device)
        times.append(time.perf_counter() - started)
    return min(times) / len(images), trainer.making.views is not None


def noise_for(trainer: Trainer) -> tuple[Tensor, Tensor]:
    """Pictures of noise for a timed step, and labels: on a CPU a few, on a card the recipe's batch."""
    recipe = trainer.recipe
    size = recipe.preprocessing.size
    fits = max(PROBE_PICTURES, 32 * 64**2 // size**2)  # a full batch of 32 at 64 px, 4 pictures at 224 px
    if trainer.device.type != "cpu":
        fits = recipe.batch_size
    batch = min(fits, recipe.batch_size, trainer.machine.micro_batch)
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=noise)
    return images, torch.arange(batch) % len(trainer.split.classes)


def _picture_seconds(job: Job, split: Split) -> tuple[float, float]:
    """Seconds to decode and shrink a training picture, and to draw a view of it, in one thread."""
    views, pictures = Views.of(split, job.recipe), split.train[:PROBE_PICTURES]
    started = time.perf_counter()
    shrunk = [training_picture(split.root, one, views.side, meant=split.pixel_range) for one in pictures]
    between = time.perf_counter()
    for picture, image in zip(pictures, shrunk, strict=True):
        views.rendered(1, picture, 0, image)
    ended = time.perf_counter()
    return (between - started) / len(pictures), (ended - between) / len(pictures)
