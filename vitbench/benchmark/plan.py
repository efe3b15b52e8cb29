"""The plan: everything that can be known, and refused, before the first step is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitbench.data.epochs import balance_note, epoch_size
from vitbench.data.groups import keep_together, refuse_grouping
from vitbench.data.likeness import refuse_warnings
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.errors import UsageError
from vitbench.models.families import expand
from vitbench.models.plan import ModelPlan, plan_model
from vitbench.models.weights import WORDS, asked_of_each, resolve_weights
from vitbench.records import Benchmark, ImageSet, Recipe, Run, Settings, Split, run_name
from vitbench.training import tuning
from vitbench.training.machine import alone, choose_device, choose_machine, choose_precision
from vitbench.training.recipes import build_recipe, probe_of, shared
from vitbench.training.runs import Job
from vitbench.training.watch import Watch


@dataclass(frozen=True)
class Plan:
    """A checked folder, its split, and the jobs to be carried out on it."""

    settings: Settings
    images: ImageSet
    split: Split
    jobs: tuple[Job, ...]
    finished: tuple[str, ...] = ()
    """Runs that were asked for and are done already."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about data, split and class balance, each one line."""
        probed = self.settings.recipe == "probe"
        balance = "" if probed else balance_note(self.split.train, shared(self.settings)["per_class"])
        notes = (*self.images.notes, *self.split.notes, balance, self.images.searched)
        return tuple(dict.fromkeys(note for note in notes if note))


def make_plan(
    settings: Settings,
    data: Path,
    watch: Watch,
    *,
    benchmark: Benchmark | None = None,
    only_known: bool = False,
    dry_run: bool = False,
) -> Plan:
    """Check the folder, split it, plan every model and get hold of the weights of what is to be done.

    `benchmark`: the one that is gone on with; its finished runs need nothing, and with `only_known` no
    run is added to it. A dry run takes random weights for all, and so touches no network and no cache.
    Raises VitbenchError or UsageError for whatever would go wrong later and can be seen now.
    """
    refuse_grouping(settings.group, settings.burst_seconds)
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    plans = _model_plans(settings)
    images = scan_folder(
        data, settings.layout, settings.skip_bad, watch.checking, settings.near, settings.store
    )
    if settings.strict:
        refuse_warnings(images)
    images = keep_together(images, settings.group, settings.burst_seconds)
    folds = "always" if settings.recipe == "probe" and settings.folds is None else settings.folds
    split = split_images(images, settings.split_seed, folds)
    before = {run.name: run for run in benchmark.runs} if benchmark else {}
    asked = [(plan, seed, run_name(plan.alias, seed)) for plan in plans for seed in settings.seeds]
    asked = [one for one in asked if one[2] in before or not only_known]
    finished = [name for _, _, name in asked if name in before and before[name].status == "finished"]
    # A finished run is planned again only where its probe is lacking: asked for now, or not finished.
    status = {run.model: run.status for run in before.values()}
    unfinished = {"new", "interrupted", "failed"} if settings.with_probe is not False else set()
    lacking = unfinished | ({None} if settings.with_probe and not only_known else set())
    todo = [one for one in asked if one[2] not in finished or status.get(f"{one[0].alias}-probe") in lacking]
    needed = [plan for plan in plans if any(plan is one for one, _, _ in todo)]
    specs = (*settings.weights, *_as_before(settings, [(plan, before.get(name)) for plan, _, name in todo]))
    from_hub = [a for a, word in asked_of_each(specs, needed).items() if word in ("pretrained", "auto")]
    if dry_run:
        specs += tuple(f"{alias}=random" for alias in from_hub)
    weights = resolve_weights(specs, needed, on_event=watch.message)
    inits = {alias: first.label for alias, first in weights.items()}
    if dry_run:
        inits |= dict.fromkeys(from_hub, "pretrained")
    jobs = []
    for plan, seed, name in todo:
        first = weights[plan.alias]
        keeps_head = bool(first.classes) and first.classes == split.classes
        recipe = build_recipe(settings, plan, split, seed, inits[plan.alias], precision, keeps_head)
        machine = choose_machine(settings, device, recipe.batch_size)
        tries = tuning.trials(recipe, settings.tune, settings.augment is None) if settings.tune else ()
        jobs.append(Job(name, plan, first, recipe, machine, tries, settings.final))
    probes = _probes(settings, split, jobs, before, only_known)
    if settings.with_probe:
        for alias in dict.fromkeys(job.plan.alias for job in jobs if not _can_be_probed(job)):
            watch.message(f"{alias}: no probe, for it starts from random weights or has no linear classifier")
    jobs = [job for job in jobs if job.run_name not in finished]
    return Plan(settings, images, split, (*probes, *jobs), tuple(finished))


def _model_plans(settings: Settings) -> list[ModelPlan]:
    """The models asked for, each once; UsageError for what cannot run at this size, or be probed."""
    plans = [plan_model(name, shared(settings)["image_size"]) for name in expand(settings.models)]
    unfit = [plan.alias for plan in plans if not plan.linear_head]
    if settings.recipe == "probe" and unfit:
        raise UsageError(
            f"--models {', '.join(unfit)}: no linear classifier on pooled features to be fitted; leave it out"
        )
    return plans


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
    if settings.recipe == "probe" or settings.with_probe is False:
        return []
    found: dict[str, Job] = {}
    for job in jobs:
        alias, recipe = job.plan.alias, job.recipe
        machine = alone(job.machine)
        known = [run for run in before.values() if run.model == f"{alias}-probe"]
        done = alias in found or any(run.status == "finished" for run in known)
        if done or not _can_be_probed(job) or (only_known and not known):
            continue
        if (
            settings.with_probe
            or known
            or len(split.contents) <= PROBE_SHARE * _training_passes(split, recipe)
        ):
            seed = known[0].seed if known else recipe.seed
            probe = build_recipe(probe_of(settings), job.plan, split, seed, recipe.init, "fp32")
            name = run_name(f"{alias}-probe", seed)
            found[alias] = Job(name, job.plan, job.weights, probe, machine)
    return list(found.values())


def _can_be_probed(job: Job) -> bool:
    return job.plan.linear_head and not job.recipe.init.startswith("random")


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
            word = run.recipe().init.partition(" ")[0]
            found += [f"{plan.alias}={word}"] if word in WORDS else []
    return found
