"""A job, and the files of its run: what is to be done, on which machine, and what is written of it."""

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import safetensors
import torch
from torch import nn

from vitbench import files
from vitbench.errors import RefusedError, RunFailedError, VitbenchError, first_line
from vitbench.inference.devices import choose_device
from vitbench.inference.forward import latency_ms
from vitbench.locks import locked
from vitbench.models.create import count_parameters, gmacs
from vitbench.models.folder import save_model
from vitbench.models.initial import InitialWeights
from vitbench.models.plan import ModelPlan
from vitbench.records import Fingerprints, Machine, PlannedRun, Recipe, Run, Split
from vitbench.records.watch import Watch
from vitbench.training.distributed.processes import by_first, first_alone
from vitbench.training.environment import changed_since, environment, refusal
from vitbench.training.graphs import RECORDING
from vitbench.training.machine import named, settled

T = TypeVar("T")


@dataclass(frozen=True)
class Teacher:
    """Where the model lies that teaches; a run of the same benchmark may still have to be trained."""

    words: str
    """As in the recipe."""
    folder: Path | None = None
    """Of a saved model."""
    run: str = ""
    """The run of the same benchmark."""
    plan: ModelPlan | None = None
    """Of that run."""

    def place(self, student: Run) -> Path:
        """The model's folder for a student's run; a fold learns from the teacher of the same fold."""
        if self.folder is not None:
            return self.folder
        part, top = "", student
        while (top.folder.parent / "recipe.json").exists():
            part = top.folder.name if top.fold or top.folder.name == "final" else part
            top = Run(top.folder.parent)
        teacher = Run(top.folder.parent / self.run)
        if teacher.status == "failed":
            raise RunFailedError(f"its teacher {self.run} failed: {teacher.failure}")
        own = (teacher.part(part) if part else teacher).model_folder
        if not (own / "config.json").exists():
            raise RefusedError(f"its teacher {self.run} is not trained yet; --resume when it is")
        return own


@dataclass(frozen=True)
class Job:
    """What one run needs to be carried out; a plan is a list of these."""

    planned: PlannedRun
    plan: ModelPlan
    weights: InitialWeights
    recipe: Recipe
    machine: Machine
    trials: tuple[Recipe, ...] = ()
    """The settings to choose among on val (`--tune`); (): the recipe as it is."""
    final: Literal["folds", "retrain"] = "folds"
    """What answers for a run with folds."""
    teacher: Teacher | None = None
    """Who teaches, where the recipe says so."""
    pretrain: Recipe | None = None
    """Masked pre-training that comes first; `weights` are what it begins with then."""
    allow_changed: bool = False
    """A run that began with other versions or threads goes on, and says so in its notes."""
    beside: bool = False
    """Others may be carried out on the same device at the same time: out of memory may be their doing."""

    @property
    def run_name(self) -> str:
        return self.planned.name

    @property
    def model(self) -> str:
        """The name that the runs of all seeds share: "vit", "distill-vit"."""
        return self.planned.model

    @property
    def begins_with(self) -> str:
        """For people: "pretrained (IN-1k)", "simmim (100 epochs) from random"."""
        first = self.weights.label
        return first if self.pretrain is None else f"simmim ({self.pretrain.epochs} epochs) from {first}"

    def with_recipe(self, **changes: Any) -> "Job":
        """The job with other values in its recipe and in every trial's."""
        return dataclasses.replace(
            self,
            recipe=self.recipe.model_copy(update=changes),
            trials=tuple(trial.model_copy(update=changes) for trial in self.trials),
        )


@contextlib.contextmanager
def writing(run: Run) -> Iterator[None]:
    """The run's folder, made if need be, for this process alone; RefusedError where another one has it."""

    def take() -> None:
        run.folder.mkdir(parents=True, exist_ok=True)
        held.enter_context(locked(run.folder))

    with contextlib.ExitStack() as held:
        by_first(take)
        yield


@first_alone
def is_done(run: Run) -> bool:
    """Whether the run is finished, as another process may have done since the plan was made.

    Where it is not, what it failed of earlier is forgotten.
    """
    if run.status == "finished":
        return True
    (run.folder / "failure.json").unlink(missing_ok=True)
    return False


PART_SECONDS = 20
"""So long one part of a run waits for another one, which writes down what the run is."""


def begin_part(job: Job, run: Run, watch: Watch) -> None:
    """Write down what a run is before a part of it is trained by itself; RefusedError as of `pinned`."""
    run.folder.mkdir(parents=True, exist_ok=True)
    with locked(run.folder, PART_SECONDS):
        machine, fallbacks = pinned(job, run, watch)
        if not (run.folder / "recipe.json").exists():
            write_identity(job, job.recipe, machine, fallbacks, run)


@first_alone
def write_identity(
    job: Job, recipe: Recipe, machine: Machine, fallbacks: list[str], run: Run
) -> tuple[str, ...]:
    """Write `recipe.json` and `environment.json`: what the run is, before the first step; its notes."""
    notes = (*job.plan.notes, *_origin_notes(job), *fallbacks)
    files.write_json(
        run.folder / "recipe.json",
        {
            "digest": recipe.digest,
            "about": {
                "network": job.planned.network,
                "timm_name": job.plan.timm_name,
                "pretrained_on": job.plan.pretrained_on if job.weights.origin.kind == "hub" else "",
                "init": job.begins_with,
                **({"teacher_run": job.teacher.run} if job.teacher and job.teacher.run else {}),
                "native_size": job.plan.native_size,
                "windows": job.plan.windows,
                "notes": notes,
            },
            "recipe": recipe.model_dump(mode="json"),
            "machine": dataclasses.asdict(machine),
            "fallbacks": fallbacks,
        },
    )
    files.write_json(run.folder / "environment.json", environment(machine))
    return notes


def _origin_notes(job: Job) -> list[str]:
    """What must be said of the first weights, and of a teacher that learned from nobody knows what."""
    notes = [job.weights.note] if job.weights.note else []
    place = None if job.teacher is None else job.teacher.folder
    if place is not None and not Fingerprints.beside_model(place).complete:
        notes.append("what its teacher learned from is not known: test pictures may be among it")
    return notes


@first_alone
def keep_model(model: nn.Module, job: Job, run: Run, split: Split, recipe: Recipe) -> None:
    """Save the run's model; OSError, with its number and a path, where the system refuses it."""
    learned = learned_from(job, run, split)
    try:
        with files.naming(run.model_folder):
            classes = () if recipe.masking else recipe.classes  # an encoder has no head
            save_model(model, run.model_folder, classes, recipe.preprocessing, learned)
    except safetensors.SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(run.model_folder)) from error


def learned_from(job: Job, run: Run, split: Split) -> Fingerprints:
    """What a run's model learns from and is chosen by, and what its first weights and its teacher did."""
    before = [job.weights.learned_from()]
    if job.teacher is not None:
        before.append(Fingerprints.beside_model(job.teacher.place(run)))
    used = [(part, picture) for part, picture in split.assigned() if part != "test"]
    return Fingerprints.of(used).joined(before)


def model_cost(job: Job, machine: Machine, model: nn.Module) -> tuple[dict[str, Any], list[str]]:
    """The part of `metrics.json`'s cost that does not depend on training, and notes.

    What cannot be counted or timed is None, with a note that says why: it never decides whether a run counts.
    """
    notes: list[str] = []
    counted = _measured("multiply-adds", lambda: gmacs(job.plan, len(job.recipe.classes)), notes)
    device = torch.device(machine.device)
    timed = _measured("latency", lambda: latency_ms(model, job.plan.image_size, device), notes)
    p50, p95 = timed or (None, None)
    cost = {
        "device": machine.device_name,
        "threads": machine.threads,
        "params_m": count_parameters(model) / 1e6,
        "gmacs": counted,
        "latency_ms_p50": p50,
        "latency_ms_p95": p95,
    }
    return cost, notes


def _measured(what: str, measure: Callable[[], T], notes: list[str]) -> T | None:
    """What `measure` returns; None, and one more note, where it cannot: any network may hold any surprise."""
    try:
        return measure()
    except Exception as error:  # noqa: BLE001
        notes.append(f"{what} could not be measured ({first_line(error)})")
        return None


@first_alone
def discard_checkpoints(run: Run) -> None:
    """Remove what only resume needs; a kill right after `metrics.json` leaves it behind."""
    shutil.rmtree(run.folder / "checkpoint", ignore_errors=True)
    for part in run.folder.iterdir():
        if part.is_dir() and (part / "recipe.json").exists():
            discard_checkpoints(Run(part))


@first_alone
def pinned(job: Job, run: Run, watch: Watch) -> tuple[Machine, list[str]]:
    """The machine to train on and the fallbacks so far: an interrupted run's own, so that bits stay equal.

    RefusedError, the difference named, where that cannot be had; what the job accepts is a fallback.
    """
    if not (run.folder / "recipe.json").exists():
        return settled(job.machine), []
    written = files.read_json(run.folder / "recipe.json")
    # Workers and store never change what comes out, so they follow the call; of threads, processes and
    # techniques `changed_since` tells what does.
    here = job.machine
    machine = dataclasses.replace(Machine(**written["machine"]), workers=here.workers, store=here.store)
    try:
        choose_device(machine.device)
    except VitbenchError as error:
        raise RefusedError(
            f"{run.folder}: started on {machine.device}, which is not here; go on where it is, "
            "or start again under a new --name"
        ) from error
    for what in ("device", "micro_batch", "compiled"):
        before, now = getattr(machine, what), getattr(here, what)
        if now not in (None, before):
            watch.message(f"{run.name}: goes on with {what} {before}, as it started (not {now})")
    fallbacks = list(written["fallbacks"])
    machine = dataclasses.replace(machine, threads=here.threads, processes=here.processes, jobs=here.jobs)
    # What memory took away stays away: to record the steps again would end it again.
    left = {RECORDING} & set(machine.without)
    strict = machine.deterministic if here.deterministic is None else here.deterministic
    without = tuple(sorted({*here.without, *left}))
    machine = dataclasses.replace(machine, without=without, deterministic=strict)
    machine = named(settled(machine))
    if changed := changed_since(run, machine):
        if not job.allow_changed:
            raise RefusedError(refusal(run, changed))
        fallbacks.append(
            f"gone on with {', '.join(map(str, changed))}: other last bits than without the interruption"
        )
        watch.message(f"{run.name}: {fallbacks[-1]}")
    return machine, fallbacks
