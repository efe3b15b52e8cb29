"""The plan: everything that can be known, and refused, before the first step is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitbench.data.epochs import balance_note
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.models.families import expand
from vitbench.models.plan import ModelPlan, plan_model
from vitbench.models.weights import WORDS, asked_of_each, resolve_weights
from vitbench.records import Benchmark, ImageSet, Run, Settings, Split, run_name
from vitbench.training.machine import choose_device, choose_machine, choose_precision
from vitbench.training.recipes import build_recipe, shared
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
        balance = balance_note(self.split.train, shared(self.settings)["per_class"])
        return tuple(dict.fromkeys(note for note in (*self.images.notes, *self.split.notes, balance) if note))


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
    run is added to it. A dry run takes random
    weights for all, and so touches no network and no cache. Raises VitbenchError or UsageError for
    whatever would go wrong later and can be seen now.
    """
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    plans = [plan_model(name, shared(settings)["image_size"]) for name in expand(settings.models)]
    images = scan_folder(data, settings.layout, settings.skip_bad, watch.checking)
    split = split_images(images, settings.split_seed)
    before = {run.name: run for run in benchmark.runs} if benchmark else {}
    asked = [(plan, seed, run_name(plan.alias, seed)) for plan in plans for seed in settings.seeds]
    asked = [one for one in asked if one[2] in before or not only_known]
    finished = [name for _, _, name in asked if name in before and before[name].status == "finished"]
    todo = [(plan, seed, name) for plan, seed, name in asked if name not in finished]
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
        recipe = build_recipe(settings, plan, split, seed, inits[plan.alias], precision)
        machine = choose_machine(settings, device, recipe.batch_size)
        jobs.append(Job(name, plan, weights[plan.alias], recipe, machine))
    return Plan(settings, images, split, tuple(jobs), tuple(finished))


def _as_before(settings: Settings, runs: Sequence[tuple[ModelPlan, Run | None]]) -> list[str]:
    """What `auto` came to for runs that have started: they go on from the same kind of weights."""
    asked = asked_of_each(settings.weights, [plan for plan, _ in runs])
    found = []
    for plan, run in runs:
        if asked[plan.alias] == "auto" and run is not None and (run.folder / "recipe.json").exists():
            word = run.recipe().init.partition(" ")[0]
            found += [f"{plan.alias}={word}"] if word in WORDS else []
    return found
