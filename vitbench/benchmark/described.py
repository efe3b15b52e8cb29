"""A plan for readers: a table and what it rests on, and the same as JSON."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vitbench.benchmark.estimate import UNKNOWN, Estimate, stages
from vitbench.benchmark.plan import Plan
from vitbench.data.batches import cut_way
from vitbench.data.epochs import epoch_size
from vitbench.data.made import stored_side, stored_size
from vitbench.data.store import open_store
from vitbench.files import printable
from vitbench.models.create import gmacs
from vitbench.models.plan import ModelPlan, clean_sizes, plan_model
from vitbench.narrative.words import amount
from vitbench.progress.clock import wall_clock
from vitbench.records import Split, counted, duration
from vitbench.records.commands import probing
from vitbench.reports.fitted import fitted
from vitbench.training.jobs import Job

WIDTH = 80
MOST_MODELS = 12
NOTE_LINES = 7
LONG_SECONDS = 2 * 3600
SMALL_SIZE = 64
LARGE_STORE_MB = 100
"""Decoded pictures that come to more are named where disk is."""


def described(plan: Plan, estimates: Mapping[str, Estimate], width: int = WIDTH) -> list[str]:
    """The plan in lines of at most `width` columns: data and classes, a table, the steps, the first notes."""
    console = Console(file=StringIO(), width=width, color_system=None, force_jupyter=False)
    with console.capture() as captured:
        for part in (_data(plan, width), _split(plan)):
            console.print(Text(printable(part)))
        if plan.jobs:
            table, left_out = _table(plan, estimates, width)
            console.print(table)
            if left_out:
                console.print(f"no room for: {', '.join(left_out)}; --dry-run --json has all")
        for line in _below(plan, estimates):
            console.print(Text(printable(line)))
        _print_notes(_notes(plan), console)
        if plan.jobs and (shortcut := shortcut_line(plan, estimates)):
            console.print(Text(printable(shortcut)))
    return [line.rstrip() for line in captured.get().splitlines()]


def _print_notes(notes: Sequence[str], console: Console) -> None:
    """The first notes, one at least, in few lines; how many more there are."""
    room, shown = NOTE_LINES, 0
    for note in notes:
        text = Text(printable(f"note: {note}"))
        room -= len(text.wrap(console, console.width))
        if room < 0 < shown:
            break
        console.print(text)
        shown += 1
    if more := len(notes) - shown:
        console.print(f"and {counted(more, 'more note')}: --dry-run --json has all of them")


def _data(plan: Plan, width: int) -> str:
    """The folder and as many of its classes as have room in two lines: "apple 12, banana 9 and 34 more"."""
    counts: dict[str, int] = {}
    for picture in plan.images.pictures:
        counts[picture.label] = counts.get(picture.label, 0) + 1
    unread = ", labels unread" if plan.settings.recipe == "simmim" else ""
    start = f"{plan.split.root}: {counted(len(plan.images.pictures), 'picture')}"
    if len(counts) < 2:
        return f"{start}{unread}"
    start += f" in {len(counts)} classes{unread}: "
    names = [f"{name} {count}" for name, count in sorted(counts.items())]
    for many in range(len(names), 0, -1):
        more = len(names) - many
        text = start + ", ".join(names[:many]) + (f", … and {more} more" if more else "")
        if cell_len(text) <= 2 * width - 20:
            break
    return text


def _split(plan: Plan) -> str:
    split = plan.split
    one, each = (split.folds[0], " in each fold") if split.folds else (split, "")
    left_out = " (left out)" if plan.settings.recipe == "simmim" and one.test else ""
    return f"{len(one.train)} train, {len(one.val)} val, {len(one.test)} test{left_out}{each}: {split.rule}"


# --- the table -------------------------------------------------------------------------------------


def _table(plan: Plan, estimates: Mapping[str, Estimate], width: int) -> tuple[Table, list[str]]:
    """A row per model with its seeds, folds and probe, and one for all; the titles that have no room."""
    models: dict[str, list[Job]] = {}
    for job in plan.jobs:
        models.setdefault(job.planned.beside, []).append(job)
    rows: list[Sequence[str]] = [
        (name, *_cost(jobs, plan, estimates), *_about(jobs, estimates))
        for name, jobs in list(models.items())[:MOST_MODELS]
    ]
    if len(models) > MOST_MODELS:
        rows.append((f"and {len(models) - MOST_MODELS} more", *[""] * 6))
    seconds = _total_seconds(plan, estimates)
    rows.append(("in all", str(len(plan.jobs)), _time(seconds), _disk(plan, estimates), "", "", ""))
    titles = ["model", "runs", "time", "disk", "params", "px (own)", "weights"]
    return fitted(titles, rows, width, titles[1:5])


def _about(jobs: Sequence[Job], estimates: Mapping[str, Estimate]) -> tuple[str, str, str]:
    """Parameters, size and first weights."""
    job = next((job for job in jobs if job.recipe.name != "probe"), jobs[0])
    size, native = job.plan.image_size, job.plan.native_size
    pixels = str(size) if size == native else f"{size} ({native})"
    return f"{estimates[job.run_name].params_m:.1f} M", pixels, job.begins_with


def _cost(jobs: Sequence[Job], plan: Plan, estimates: Mapping[str, Estimate]) -> tuple[str, str, str]:
    """Runs, time and what stays on the disk of a model's jobs."""
    trained = sum(job.recipe.name != "probe" for job in jobs)
    probes = ["probe"] * (trained < len(jobs))
    runs = " + ".join([*([str(trained)] * (trained > 0)), *probes])
    kept = [estimates[job.run_name] for job in jobs]
    return runs, _time(sum(one.seconds for one in kept)), _megabytes(sum(one.model_mb for one in kept))


def _total_seconds(plan: Plan, estimates: Mapping[str, Estimate]) -> float:
    """Of wall clock, for the jobs whose time is known; NaN where none is."""
    known = [seconds for seconds in stages(plan, estimates).values() if not math.isnan(seconds)]
    return wall_clock([], known, plan.at_once) if known else UNKNOWN


def _disk(plan: Plan, estimates: Mapping[str, Estimate]) -> str:
    """While the largest runs train: checkpoints beside the models of all."""
    largest = sorted((e.disk_mb for e in estimates.values()), reverse=True)[: plan.at_once]
    return _megabytes(sum(e.model_mb for e in estimates.values()) + sum(largest))


def _megabytes(mb: float) -> str:
    return f"{mb / 1000:.1f} GB" if mb >= 1000 else f"{mb:.0f} MB"


def _time(seconds: float) -> str:
    return "unknown" if math.isnan(seconds) else duration(seconds)


# --- below it --------------------------------------------------------------------------------------


def _below(plan: Plan, estimates: Mapping[str, Estimate]) -> list[str]:
    """What each run does and where, and what fails already."""
    lines = []
    if plan.jobs:
        lines = [*_works(plan), _machine(plan, estimates), *_store(plan), *_size(plan)]
    return [*lines, *(f"{run.name}: failed: {reason}" for run, reason in plan.unfit.items())]


def _works(plan: Plan) -> list[str]:
    """What a run of each model does; said once where it is the same for all."""
    split = plan.split
    one = split.folds[0] if split.folds else split
    alike: dict[str, list[str]] = {}
    for job in plan.jobs:
        if job.recipe.name != "probe":
            alike.setdefault(_work(job, one, len(split.folds)), []).append(job.planned.beside)
    if len(alike) < 2:
        return [f"each run: {work}" for work in alike]
    return [f"{_some(models)}: {work}" for work, models in alike.items()]


def _work(job: Job, one: Split, folds: int) -> str:
    """What a job does, e.g. "5 folds × 3 settings × 30 epochs × 1000 views = 14400 steps of 32"."""
    recipe = job.recipe
    views = epoch_size(one.train, recipe.per_class)
    steps = recipe.epochs * -(-views // recipe.batch_size)
    parts = [f"{recipe.epochs} epochs × {views} views"]
    before = f"{job.pretrain.epochs} epochs of masked pre-training, then " if job.pretrain else ""
    taught = f", taught by {recipe.distillation.teacher}" if recipe.distillation else ""
    for many, noun in ((len(job.trials), "settings"), (folds, "folds")):
        if many:
            parts.insert(0, f"{many} {noun}")
            steps *= many
    again = (
        ", then one model on all pictures for at most as many epochs"
        if folds and job.final == "retrain"
        else ""
    )
    return f"{before}{' × '.join(parts)} = {steps} steps of {recipe.batch_size}{again}{taught}"


def _some(models: Iterable[str]) -> str:
    """ "vit, swin, deit and 4 more"."""
    names = list(dict.fromkeys(models))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _machine(plan: Plan, estimates: Mapping[str, Estimate]) -> str:
    machine = plan.jobs[0].machine
    unknown = [job.planned.beside for job in plan.jobs if math.isnan(estimates[job.run_name].seconds)]
    failed = f"; of {_some(unknown)} these failed" if unknown else ""
    return f"on {machine.device_name}; times from a few steps{failed}; disk with checkpoints"


def _store(plan: Plan) -> list[str]:
    """Where decoded pictures are kept, where they will take more than a little; [] without a store."""
    folder = plan.jobs[0].machine.store
    if not folder:
        return []
    store = open_store(folder)
    sizes: dict[tuple[str, str], int] = {}
    for job in plan.jobs:
        recipe, split = job.recipe, plan.split
        cuts = (*split.val, *split.test)
        if recipe.name == "probe" or recipe.head == "probe":
            cuts = (*split.train, *cuts)
        side = recipe.preprocessing.size
        sizes |= {(cut_way(recipe.preprocessing), p.sha256): 3 * side**2 for p in cuts}
        if recipe.name != "probe":
            least = stored_side(side, recipe.augment)
            sizes |= {(recipe.pictures, p.sha256): 3 * math.prod(stored_size(p, least)) for p in split.train}
    lacking = sum(size for (way, content), size in sizes.items() if store.lacking(way, content)) / 1e6
    if lacking < LARGE_STORE_MB:
        return []
    return [f"decoded pictures: {_megabytes(lacking)} more in {folder} (--no-store does without)"]


def _size(plan: Plan) -> list[str]:
    """What another size would cost, in a line; [] where all models run unpadded at their own size."""
    models, classes = {job.plan.alias: job.plan for job in plan.jobs}, len(plan.split.classes)
    try:
        said = _padded(models.values(), classes) or _smaller(models.values(), classes)
    except Exception:  # noqa: BLE001  # what cannot be counted is no reason not to train
        return []
    return [f"size: {said}"] if said else []


def _padded(models: Iterable[ModelPlan], classes: int) -> str:
    """What the size of models that pad their maps costs, and the nearest ones that need no padding."""
    padded = [one for one in models if one.padding.maps or one.padding.merged]
    if not padded:
        return ""
    one, names = padded[0], _some(one.alias for one in padded)
    clean = (plan_model(one.alias, size) for size in clean_sizes(one))
    costs = [f"{amount(gmacs(other, classes))} at {other.image_size} px" for other in clean]
    instead = f"; unpadded {' or '.join(costs)}" if costs else ""
    return f"{names} padded at {one.image_size} px, {amount(gmacs(one, classes))} GMACs a picture{instead}"


def _smaller(models: Iterable[ModelPlan], classes: int) -> str:
    """What the largest of the models that see less than their own size would cost there."""
    smaller = [one for one in models if one.image_size < one.native_size]
    if not smaller:
        return ""
    one = max(smaller, key=lambda one: gmacs(one, classes))
    own = gmacs(plan_model(one.alias, "native"), classes)
    return (
        f"{one.alias} at its own {one.native_size} px needs {own / gmacs(one, classes):.1f} times the "
        f"multiply-adds ({amount(own)} GMACs a picture); its accuracy there is not known"
    )


def _notes(plan: Plan) -> list[str]:
    """Every note once, those that could make scores too good first; one for all models that share it."""
    by_note: dict[str, list[str]] = {}
    for job in plan.jobs:
        for note in job.plan.notes:
            by_note.setdefault(note, []).append(job.plan.alias)
    own = [f"{_some(models)}: {note}" for note, models in by_note.items()]
    return list(dict.fromkeys([*plan.warnings, *plan.images.warnings, *plan.notes, *own]))


def shortcut_line(plan: Plan, estimates: Mapping[str, Estimate]) -> str:
    """What would take minutes where the plan takes hours on a CPU; "" elsewhere."""
    seconds = _total_seconds(plan, estimates)
    trained = [job for job in plan.jobs if job.recipe.name != "probe"]
    if math.isnan(seconds) or seconds < LONG_SECONDS or plan.jobs[0].machine.device != "cpu" or not trained:
        return ""
    now, first = trained[0].recipe.preprocessing.size, trained[0].plan.alias
    ways = (
        []
        if trained[0].recipe.masking
        else [f"`{probing(plan.settings, plan.split.root)}` ranks the models in minutes"]
    )
    if not plan.settings.quick:
        ways.append("--quick shows the whole way in minutes")
    if now > SMALL_SIZE:
        ways.append(
            f"--image-size {SMALL_SIZE} would take about {duration(seconds * (SMALL_SIZE / now) ** 2)}"
        )
    if len({job.plan.alias for job in trained}) > 1:
        alone = sum(estimates[job.run_name].seconds for job in trained if job.plan.alias == first)
        ways.append(f"--models {first} alone about {_time(alone)}")
    return f"that is long for a CPU; {', '.join([*ways, 'a GPU is what this job wants'])}"


# --- for programs ----------------------------------------------------------------------------------
def plan_json(plan: Plan, estimates: Mapping[str, Estimate]) -> str:
    """One JSON object: data, pictures, classes, train, val, test, folds, split, runs [{…}], at_once (runs at
    a time), finished, failed {run: why it cannot be}, notes.

    Of a run: run, timm_name, image_size, native_size, init, params_m, seconds (null where unknown), disk_mb
    while it trains and model_mb afterwards. With folds train, val and test count the first one.
    """
    one = plan.split.folds[0] if plan.split.folds else plan.split
    content: dict[str, Any] = {
        "data": str(plan.split.root),
        "pictures": len(plan.images.pictures),
        "classes": list(plan.split.classes),
        "train": len(one.train),
        "val": len(one.val),
        "test": len(one.test),
        "folds": len(plan.split.folds),
        "split": plan.split.rule,
        "runs": [
            {
                "run": job.run_name,
                "timm_name": job.plan.timm_name,
                "image_size": job.plan.image_size,
                "native_size": job.plan.native_size,
                "init": job.begins_with,
                "params_m": estimates[job.run_name].params_m,
                "seconds": _known(estimates[job.run_name].seconds),
                "disk_mb": estimates[job.run_name].disk_mb,
                "model_mb": estimates[job.run_name].model_mb,
            }
            for job in plan.jobs
        ],
        "at_once": plan.at_once,
        "finished": list(plan.finished),
        "failed": {run.name: reason for run, reason in plan.unfit.items()},
        "notes": _notes(plan),
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _known(seconds: float) -> float | None:
    return None if math.isnan(seconds) else seconds
