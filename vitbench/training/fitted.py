"""From a job to its trainer after the last epoch: created or resumed, in smaller steps where memory ends."""

import contextlib
import dataclasses
import time
from functools import partial

import torch
from torch import Tensor, nn

from vitbench import files
from vitbench.errors import CrowdedError, RefusedError, RunFailedError, VitbenchError
from vitbench.inference.features import feature_key, features_of
from vitbench.inference.linear import fit_start
from vitbench.models.create import state_sha256
from vitbench.models.folder import LoadedModel, load_model
from vitbench.models.heads import set_head
from vitbench.models.initial import RANDOM, InitialWeights
from vitbench.models.tensors import tensor_names
from vitbench.records import Machine, Recipe, Run, Split, counted, label_indices
from vitbench.records.watch import Watch
from vitbench.training import checkpoint
from vitbench.training.arithmetic import compute_as, without_form
from vitbench.training.compiled import compile_step
from vitbench.training.distributed.processes import by_first, current, first_alone
from vitbench.training.environment import Change, refusal
from vitbench.training.jobs import Job, pinned, write_identity
from vitbench.training.log import Log
from vitbench.training.loop import build_trainer, fit
from vitbench.training.machine import free_memory, is_out_of_memory, smaller, starves_batch_norm
from vitbench.training.objectives.table import encoder_of, learner
from vitbench.training.step import techniques
from vitbench.training.trainer import Trainer

BATCH_NORM = "batch normalisation, where a model has it, sees these smaller batches"


def fitted(job: Job, run: Run, split: Split, watch: Watch) -> Trainer:
    """The job's trainer after its last epoch, the chosen weights in it; smaller steps where memory ends.

    Beside others that is a CrowdedError: smaller steps change the last bits, fewer runs at a time don't.
    """
    machine, fallbacks = pinned(job, run, watch)
    added: dict[str, str] = {}
    while True:
        try:
            with current().together():
                trainer = _prepare(job, machine, [*fallbacks, *added.values()], run, split, watch)
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
            machine, why, said = _milder(error, job, machine, run)
            added[why] = said
        trainer = None  # type: ignore[assignment]  # frees its memory before the next try
        free_memory(machine.device)
        watch.message(f"{run.name}: {said}")


def _milder(error: Exception, job: Job, machine: Machine, run: Run) -> tuple[Machine, str, str]:
    """The machine to try instead of one that failed so, why, and the fallback in words; else raises."""
    if operation := without_form(error):
        lacking = f"{operation} has no deterministic form on {machine.device_name}"
        if job.machine.deterministic:
            raise RunFailedError(
                f"{run.name}: {lacking}; leave --deterministic away under a new --name, or take another model"
            ) from error
        said = f"{lacking}: the same steps may give other last bits"
        return dataclasses.replace(machine, deterministic=False), "form", said
    if not is_out_of_memory(error):
        raise error
    if job.beside:
        raise CrowdedError(f"{run.name}: out of memory beside other runs") from error
    if machine.micro_batch == 1:
        raise RunFailedError(
            f"{run.name}: out of memory even with one picture at a time; "
            f"use a smaller --image-size than {job.plan.image_size} or a smaller model"
        ) from error
    milder = smaller(machine)
    pictures = counted(milder.micro_batch, "picture")
    said = f"out of memory: {pictures} per forward pass, gradients accumulated; {BATCH_NORM}"
    return milder, "memory", said


def _prepare(
    job: Job, machine: Machine, fallbacks: list[str], run: Run, split: Split, watch: Watch
) -> Trainer:
    """Create the model and write down, before the first step, all that decides its weights."""
    torch.set_num_threads(machine.threads)
    compute_as(machine)
    # Of several processes the others are given the first one's weights before the first step.
    model = learner(job.plan, job.recipe, job.weights if current().first else RANDOM)
    place = by_first(lambda: job.teacher.place(run) if job.teacher else None)
    teacher = None if place is None else load_model(place)
    fallbacks = list(dict.fromkeys([*fallbacks, *_apart(model, job.recipe, machine)]))
    job, notes = _begin(job, machine, fallbacks, run, model, teacher)
    if job.recipe.head == "probe":
        head = _fitted_head(job, machine, run, split, model, watch)
        set_head(model, head["weight"], head["bias"])
    trainer = build_trainer(model, job.recipe, split, machine, current(), teacher)
    trainer.notes = notes
    if trainer.making.trouble:
        watch.message(f"{run.name}: {trainer.making.trouble}")
    _compile(trainer, job, fallbacks, run, watch)
    if current().first:
        how = {"views": trainer.making.how, "techniques": techniques(trainer)}
        files.write_json(run.folder / "environment.json", {**run.environment(), **how})
    return trainer


@first_alone
def _begin(
    job: Job, machine: Machine, fallbacks: list[str], run: Run, model: nn.Module, teacher: LoadedModel | None
) -> tuple[Job, tuple[str, ...]]:
    """The job with what is known of the weights it begins with, and the run's notes, both written down.

    RefusedError where the run has begun otherwise.
    """
    recipe = job.recipe.model_copy(update={"initial_sha256": state_sha256(model)})
    if teacher is not None and recipe.distillation is not None:
        known = {"teacher_sha256": state_sha256(teacher.module)}
        recipe = recipe.model_copy(update={"distillation": recipe.distillation.model_copy(update=known)})
    if (run.folder / "recipe.json").exists():
        _refuse_other_start(run, recipe)
    job = dataclasses.replace(job, recipe=recipe, weights=_counted(job.weights, model))
    return job, write_identity(job, recipe, machine, fallbacks, run)


def _compile(trainer: Trainer, job: Job, fallbacks: list[str], run: Run, watch: Watch) -> None:
    """Compile the step where the machine says so; a run that cannot have that goes without and says so.

    RefusedError where it was begun with a compiled step, which gives other last bits.
    """
    if not trainer.machine.compiled:
        return
    watch.message(f"{run.name}: compiling its step …")
    started = time.perf_counter()
    if not (trouble := compile_step(trainer)):
        Log(run.folder / "log.txt").line(f"step compiled in {time.perf_counter() - started:.0f} s")
        return
    begun = by_first(lambda: checkpoint.load_newest(run.folder / "checkpoint", watch.message) is not None)
    if begun and not job.allow_changed:
        raise RefusedError(refusal(run, [Change(f"compiled → not compiled: {trouble}")]))
    trainer.machine = dataclasses.replace(trainer.machine, compiled=False, compiler="")
    fallbacks = [*fallbacks, f"its step could not be compiled ({trouble}): trained as it is"]
    watch.message(f"{run.name}: {fallbacks[-1]}")
    write_identity(job, trainer.recipe, trainer.machine, fallbacks, run)


def _counted(weights: InitialWeights, model: nn.Module) -> InitialWeights:
    """An encoder's weights with a note of how many of its tensors were loaded; other ones as they are."""
    if weights.origin.kind != "masked" or weights.path is None:
        return weights
    names = set(encoder_of(model).state_dict())
    loaded = names & set(tensor_names(weights.path))
    new = f"; new: {', '.join(sorted(names - loaded))}" if names - loaded else ""
    note = f"{len(loaded)} of {len(names)} tensors are those of the pre-trained encoder{new}"
    return dataclasses.replace(weights, note=note)


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
            f"({run.about()['init']}); give the same --weights, or a new --name"
        )
    before, now = stored.distillation, recipe.distillation
    if before and now and before.teacher_sha256 and before.teacher_sha256 != now.teacher_sha256:
        raise RefusedError(
            f"{run.folder}: its teacher ({before.teacher}) has other weights than when it was started; "
            "put them back, or use a new --name"
        )
    if different := stored.differences(recipe.started_as(stored)):
        raise RefusedError(
            f"{run.folder}: was begun with another recipe ({'; '.join(different[:4])}); "
            "give what it was started with, or use a new --name"
        )


@first_alone
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
    key = feature_key(job.plan, job.weights, job.recipe.seed, len(split.classes), split.pixel_range)
    preprocessing = job.recipe.preprocessing
    features = features_of(
        model.to(machine.device),
        key,
        split.root,
        split.train,
        preprocessing,
        machine,
        on_progress=partial(watch.work, "features"),
        on_event=watch.message,
    )
    labels = label_indices(split.train, split.classes)
    linear = fit_start(features, labels, len(split.classes))
    head = {"weight": torch.from_numpy(linear.weight).float(), "bias": torch.from_numpy(linear.bias).float()}
    path.parent.mkdir(exist_ok=True)
    checkpoint.write_tensors(path, head)
    return head
