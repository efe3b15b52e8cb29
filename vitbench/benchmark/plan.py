"""The plan: everything that can be known, and refused, before the first step is trained."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from vitbench.benchmark.arms import RunSpec, run_specs, unfit_runs
from vitbench.benchmark.provenance import seen_lines
from vitbench.data.duplicates.likeness import refuse_warnings
from vitbench.data.epochs import balance_note, epoch_size, shown_once_note
from vitbench.data.groups import keep_together, refuse_grouping
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images, without_labels
from vitbench.errors import ClassesError, RunFailedError, UsageError
from vitbench.inference.devices import choose_device
from vitbench.models import hub
from vitbench.models.initial import RANDOM, InitialWeights
from vitbench.models.plan import ModelPlan
from vitbench.models.weights import WAYS_ON, asked_of_each, resolve_weights
from vitbench.records import (
    Benchmark,
    ImageSet,
    Origin,
    PixelRange,
    PlannedRun,
    Recipe,
    Run,
    Settings,
    Split,
)
from vitbench.records.watch import Watch
from vitbench.training import tuning
from vitbench.training.jobs import Job
from vitbench.training.machine import alone, choose_machine, choose_precision, shared_out, unused_card
from vitbench.training.recipes import (
    build_recipe,
    distillation,
    masking_of,
    pretraining_recipe,
    probe_of,
    shared,
)


@dataclass(frozen=True)
class Plan:
    """A checked folder, its split, and the jobs to be carried out on it."""

    settings: Settings
    images: ImageSet
    split: Split
    jobs: tuple[Job, ...]
    finished: tuple[str, ...] = ()
    """Runs that were asked for and are done already."""
    warnings: tuple[str, ...] = ()
    """What teachers and first weights know of these test pictures, each one line."""
    unfit: Mapping[PlannedRun, str] = field(default_factory=dict)
    """Runs that were asked for and cannot be, each with the reason: they fail, the others go on."""

    @property
    def planned(self) -> list[PlannedRun]:
        """What is still to do, and what fails."""
        return [*(job.planned for job in self.jobs), *self.unfit]

    def without(self, models: Mapping[str, str]) -> "Plan":
        """The plan without jobs for these models, the reasons given; RunFailedError where none is left."""
        out = {job.planned: models[job.planned.beside] for job in self.jobs if job.planned.beside in models}
        jobs = tuple(job for job in self.jobs if job.planned not in out)
        if out and not jobs and not self.finished:
            raise RunFailedError("; ".join(f"{run.name}: {reason}" for run, reason in out.items()))
        return dataclasses.replace(self, jobs=jobs, unfit={**self.unfit, **out})

    @property
    def at_once(self) -> int:
        """How many runs are carried out at a time."""
        return max((job.machine.jobs for job in self.jobs), default=1)

    def sharing(self, jobs: int) -> "Plan":
        """The plan with so many runs at a time, each with its share of the machine."""
        each = (dataclasses.replace(job, machine=shared_out(job.machine, jobs)) for job in self.jobs)
        return dataclasses.replace(self, jobs=tuple(each))

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about data, split and class balance, each one line."""
        unbalanced = self.settings.recipe in ("probe", "simmim")  # each picture once
        asked = shared(self.settings)["per_class"]
        about_views = () if unbalanced else (balance_note, shown_once_note)
        of_views = [note(self.split.train, asked) for note in about_views]
        notes = (*self.warnings, *self.images.notes, *self.split.notes, *self.split.proposals, *of_views)
        return tuple(dict.fromkeys(note for note in (*notes, self.images.searched) if note))


def make_plan(
    settings: Settings,
    data: Path,
    watch: Watch,
    *,
    benchmark: Benchmark | None = None,
    only_known: bool = False,
    dry_run: bool = False,
    parted: tuple[ImageSet, Split] | None = None,
) -> Plan:
    """Check the folder, split it, plan every model and get hold of the weights of what is to be done.

    `parted`: the folder and its split, where that is done already.
    `benchmark`: the one that is gone on with; its finished runs need nothing, and with `only_known` no
    run is added to it. A dry run takes random weights for those of the hub: it
    only looks whether these are here, or the hub can be reached.
    Raises VitbenchError or UsageError for whatever would go wrong later and can be seen now.
    """
    refuse_grouping(settings.group, settings.burst_seconds)
    device = choose_device(settings.device)
    if settings.device == "auto" and (line := unused_card(device)):
        watch.message(line)
    precision = choose_precision(settings.precision, device)
    unfit = unfit_runs(settings)
    if parted is not None:
        images, split = parted
    elif settings.recipe == "simmim":
        images, split = _divided_unlabelled(settings, data, watch)
    else:
        folds = "always" if settings.recipe == "probe" and settings.folds is None else settings.folds
        images, split = divided(settings, data, watch, folds)
    before = {run.name: run for run in benchmark.runs} if benchmark else {}
    asked = [one for one in run_specs(settings, split) if one.planned.name in before or not only_known]
    unfit = {run: why for run, why in unfit.items() if run.name in before or not only_known}
    done = {run.name for run in before.values() if run.status == "finished"}
    finished = [one.planned.name for one in asked if one.planned.name in done]
    # A finished run is planned again only where its probe is lacking: asked for now, or not finished.
    probed = {run.planned.probe_of: run.status for run in before.values() if run.planned.probe_of}
    unfinished = {"new", "interrupted", "failed"} if settings.with_probe is not False else set()
    lacking = unfinished | ({None} if settings.with_probe and not only_known else set())
    todo = [one for one in asked if one.planned.name not in done or probed.get(one.planned.model) in lacking]
    starts = _starts(todo, before, watch, dry_run)
    jobs = [_job(one, starts[one.planned.model], settings, split, device, precision) for one in todo]
    probes = _probes(settings, split, jobs, before, only_known)
    if settings.with_probe:
        own = [job for job in jobs if job.teacher is None]
        if unprobed := list(dict.fromkeys(job.model for job in own if not _can_be_probed(job))):
            which = ", ".join(unprobed)
            watch.message(f"{which}: no probe: random first weights, or no linear classifier")
    jobs = [job for job in jobs if job.run_name not in finished]
    warnings = tuple(dict.fromkeys(line for job in jobs for line in seen_lines(job, split)))
    if settings.strict and warnings:
        raise UsageError(f"{warnings[0]} (--strict)")
    if dry_run:
        by_note: dict[str, list[str]] = {}
        for job in jobs:
            by_note.setdefault(job.weights.note, []).append(job.plan.alias)
        by_note.pop("", None)
        warnings = (*warnings, *(f"{', '.join(dict.fromkeys(who))}: {note}" for note, who in by_note.items()))
    unfit = {run: why for run, why in unfit.items() if run.name not in done}
    return Plan(settings, images, split, (*probes, *jobs), tuple(finished), warnings, unfit)


def divided(
    settings: Settings, data: Path, watch: Watch, folds: int | Literal["auto", "always", "never"] | None
) -> tuple[ImageSet, Split]:
    """The checked folder and its split."""
    meant = PixelRange(*settings.pixel_range) if settings.pixel_range else None
    images = scan_folder(
        data,
        settings.layout,
        settings.skip_bad,
        watch.work,
        settings.near_duplicates,
        settings.store,
        meant,
    )
    if settings.strict:
        refuse_warnings(images)
    images = keep_together(images, settings.group, settings.burst_seconds)
    return images, split_images(images, settings.split_seed, folds)


def _divided_unlabelled(settings: Settings, data: Path, watch: Watch) -> tuple[ImageSet, Split]:
    """The split that `train` makes, its test pictures left unseen; where it makes none, a loose one."""
    loose = settings.model_copy(update={"layout": "loose"})
    note = ""
    try:
        images, split = divided(settings, data, watch, "never")
    except ClassesError as error:
        if settings.layout != "auto":
            raise
        images, split = divided(loose, data, watch, "never")
        note = f"taken as pictures without classes ({str(error).partition('; ')[0]})"
    split = without_labels(split, images, settings.with_test)
    return images, dataclasses.replace(split, notes=(*split.notes, note)) if note else split


def _starts(
    todo: Sequence[RunSpec], before: Mapping[str, Run], watch: Watch, dry_run: bool
) -> dict[str, InitialWeights]:
    """What the runs begin with, by model; a dry run takes random weights for those of the hub."""
    found: dict[str, InitialWeights] = {}
    taught_by = {one.teacher.plan.alias for one in todo if one.teacher and one.teacher.plan}
    # A teacher has its own.
    for arm, asked in dict.fromkeys((one.planned.arm, one.settings.weights) for one in todo):
        alike = [one for one in todo if (one.planned.arm, one.settings.weights) == (arm, asked)]
        mine = {one.planned.model: one for one in alike}
        own, plans = alike[0].settings, [one.plan for one in mine.values()]
        specs = (*asked, *_as_before(own, [(one.plan, before.get(one.planned.name)) for one in alike]))
        every = asked_of_each(specs, plans)
        from_hub = {alias: word for alias, word in every.items() if word in ("pretrained", "auto")}
        if dry_run:
            specs += tuple(f"{alias}=random" for alias in from_hub)
        ways_on = TEACHERS_WAYS_ON if {plan.alias for plan in plans} <= taught_by else WAYS_ON
        weights = resolve_weights(specs, plans, on_event=watch.message, ways_on=ways_on)
        for model, one in mine.items():
            found[model] = weights[one.plan.alias]
            if dry_run and one.plan.alias in from_hub:
                found[model] = _expected(one.plan, from_hub[one.plan.alias])
    return found


def _expected(plan: ModelPlan, asked: str) -> InitialWeights:
    """What `train` would begin with where `asked` is "pretrained" or "auto", as far as a dry run can see."""
    why, from_hub = hub.lacking(plan.timm_name), Origin(kind="hub")
    if not why:
        return InitialWeights(from_hub, None, "pretrained")
    if asked == "auto":
        return dataclasses.replace(RANDOM, note=f"RANDOM first weights, no pretrained ones here: {why}")
    note = f"pretrained weights not to be had here, and train would refuse that: {why}; {WAYS_ON}"
    return InitialWeights(from_hub, None, "pretrained (not to be had here)", note)


def _job(
    one: RunSpec,
    first: InitialWeights,
    settings: Settings,
    split: Split,
    device: torch.device,
    precision: str,
) -> Job:
    own, plan, pretrain, init = one.settings, one.plan, None, first.origin
    seed = one.planned.seed
    if own.recipe == "simmim":
        alone = pretraining_recipe(own, plan, split, seed, init, precision, masking_of(own, plan))
        machine = choose_machine(settings, device, alone.batch_size)
        return Job(one.planned, plan, first, alone, machine)
    if own.pretrain:
        masking = masking_of(own, plan)
        pretrain = pretraining_recipe(own, plan, split, seed, init, precision, masking)
        init = init.masked()
    keeps_head = bool(first.classes) and first.classes == split.classes
    recipe = build_recipe(own, plan, split, seed, init, precision, keeps_head)
    if one.teacher is not None:
        learns = distillation(own, one.teacher.words, plan.distillation_token)
        recipe = recipe.model_copy(update={"distillation": learns})
    machine = choose_machine(settings, device, recipe.batch_size)
    tries = tuning.trials(recipe, own.tune, own.augment is None) if own.tune else ()
    return Job(one.planned, plan, first, recipe, machine, tries, settings.final, one.teacher, pretrain)


TEACHERS_WAYS_ON = (
    "give --weights MODEL=PATH for it, fill the cache (HF_HOME) where there is a network, or name a run or a "
    "saved model that knows these classes with --teacher"
)
"""A teacher with random weights has nothing to teach."""
PROBE_SHARE = 0.2
"""A probe is shown beside a fine-tuned model where it costs at most this share of the training."""


def _probes(
    settings: Settings,
    split: Split,
    jobs: Sequence[Job],
    before: Mapping[str, Run],
    only_known: bool,
) -> list[Job]:
    """A job for the probe of each model that starts from weights that have learned something.

    One a model, whatever the number of seeds. They come first: their answers are there in minutes, and
    the features that they store are those of the heads that fine-tuning starts from.
    """
    if settings.recipe in ("probe", "simmim") or settings.with_probe is False:
        return []
    found: dict[str, Job] = {}
    for job in jobs:
        model, recipe = job.model, job.recipe
        machine = alone(job.machine)
        known = [run for run in before.values() if run.planned.probe_of == model]
        done = model in found or any(run.status == "finished" for run in known)
        if done or not _can_be_probed(job) or (only_known and not known):
            continue
        if (
            settings.with_probe
            or known
            or len(split.contents) <= PROBE_SHARE * _training_passes(split, recipe)
        ):
            seed = known[0].seed if known else recipe.seed
            probe = build_recipe(probe_of(settings), job.plan, split, seed, recipe.init, "fp32")
            found[model] = Job(job.planned.probe(seed), job.plan, job.weights, probe, machine)
    return list(found.values())


def _can_be_probed(job: Job) -> bool:
    """It starts from weights that learned elsewhere; what a teacher does later plays no part in a probe."""
    learned = job.recipe.init.kind in ("hub", "file", "model")
    return job.plan.linear_head and learned and job.teacher is None


def _training_passes(split: Split, recipe: Recipe) -> int:
    """Of all folds, in forward passes: a training step takes three."""
    views = sum(epoch_size(part.train, recipe.per_class) for part in split.folds or (split,))
    return 3 * views * recipe.epochs


def _as_before(settings: Settings, runs: Sequence[tuple[ModelPlan, Run | None]]) -> list[str]:
    """What `auto` came to for runs that have started: they go on from the same kind of weights."""
    asked = asked_of_each(settings.weights, [plan for plan, _ in runs])
    found = []
    for plan, run in runs:
        if asked[plan.alias] == "auto" and run is not None and (run.folder / "recipe.json").exists():
            word = AUTO.get(run.recipe().init.kind)
            found += [f"{plan.alias}={word}"] if word else []
    return found


AUTO = {"hub": "pretrained", "random": "random"}
"""What "auto" can come to, as `--weights` has it."""
