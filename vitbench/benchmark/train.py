"""`train`: the plan carried out run by run; one model's failure leaves the others alone."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitbench import files
from vitbench.benchmark import folder
from vitbench.benchmark.arms import place_of_teacher
from vitbench.benchmark.estimate import Estimate, estimate_jobs, plan_lines, shortcut_line, stages
from vitbench.benchmark.plan import Plan, make_plan
from vitbench.benchmark.shard import Shard
from vitbench.comparison.table import compare_many
from vitbench.data.batches import LostPictureError
from vitbench.errors import RefusedError, UsageError, VitbenchError
from vitbench.models.listing import selected
from vitbench.models.weights import absolute
from vitbench.records import DEFAULT_MODELS, Benchmark, Run, Settings, Split
from vitbench.reports.pretrained import write_pretrained
from vitbench.reports.write import write_reports
from vitbench.training import processes, signals
from vitbench.training import track as trackers
from vitbench.training.folds import train_folds
from vitbench.training.follow import follow
from vitbench.training.jobs import Job, discard_checkpoints
from vitbench.training.launch import started
from vitbench.training.probe import probe_run
from vitbench.training.runs import pretrain_run, train_run
from vitbench.training.watch import Watch

DEFAULT_DATA = Path("data")
DEFAULT_RESULTS = Path("results")


@dataclass(frozen=True)
class Request:
    """One call of `train`: what was named explicitly, and where things lie."""

    explicit: Mapping[str, Any]
    """Fields of `Settings` that the call names; everything else has its default, or the benchmark's."""
    data: Path | None = None
    """None: the benchmark's own folder, or `data/` for a new one."""
    name: str | None = None
    results: Path = DEFAULT_RESULTS
    resume: bool = False
    shard: Shard | None = None
    """Which of the benchmark's runs this call carries out; None: all."""
    resume_anyway: bool = False
    """With `resume`: also a run that was begun with other versions or threads."""
    leave: tuple[str, ...] = ()
    """Runs that are not to be tried (again)."""

    def after(self, benchmark: Path, leave: tuple[str, ...]) -> "Request":
        """The same call once more, for what is left of the benchmark that it had begun or added to."""
        return dataclasses.replace(
            self, name=benchmark.name, results=benchmark.parent, resume=True, leave=leave
        )


def prepare(request: Request, watch: Watch, *, dry_run: bool = False) -> tuple[Plan, Benchmark | None]:
    """The plan for a request, and the benchmark that it goes on with, if there is one.

    Raises before anything is written: bad data, weights not to be had, a change to a finished run.
    """
    if request.name is not None:
        folder.check_name(request.name)
    elif request.shard is not None and not request.resume:
        raise UsageError(f"--shard {request.shard}: needs --name, the same one for all shards")
    benchmark = _existing(request)
    explicit = dict(request.explicit)
    _place(explicit, request.results)
    if isinstance(arms := explicit.get("arms"), Mapping):
        explicit["arms"] = {name: _placed(fields, request.results) for name, fields in arms.items()}
    if (table := Path(str(explicit.get("group") or ""))).is_file():
        explicit["group"] = str(table.resolve())
    _refuse_idle_options(explicit, benchmark)
    if benchmark is None:
        if explicit.get("recipe") == "simmim" or explicit.get("pretrain"):
            explicit.setdefault("weights", ("random",))
        settings = Settings.of(explicit)
        return make_plan(settings, request.data or DEFAULT_DATA, watch, dry_run=dry_run), None
    settings = folder.merge(benchmark, explicit)
    if request.resume and (new := [arm for arm in settings.ways if arm not in benchmark.settings.ways]):
        raise UsageError(f"--arms {new[0]}: not in {benchmark.name}; leave --resume away to add it")
    if request.resume and (new := [m for m in settings.models if m not in benchmark.settings.models]):
        raise UsageError(f"--models {new[0]}: not in {benchmark.name}; leave --resume away to add it")
    data = request.data or Path(benchmark.manifest["data"])
    plan = make_plan(settings, data, watch, benchmark=benchmark, only_known=request.resume, dry_run=dry_run)
    if not dry_run:
        # The jobs of an array are started again as they were, and find each other's runs half-way.
        resume = request.resume or request.shard is not None
        folder.refuse_changes(benchmark, plan, resume=resume, anyway=request.resume_anyway)
    jobs = tuple(
        dataclasses.replace(job, resume_anyway=request.resume_anyway)
        for job in plan.jobs
        if job.run_name not in request.leave
    )
    return dataclasses.replace(plan, jobs=jobs), benchmark


def _place(fields: dict[str, Any], results: Path) -> None:
    """Name weights and teachers that are runs or folders by where they lie, the same from every folder."""
    if "weights" in fields:
        given = Settings.of({"weights": fields["weights"]}).weights
        fields["weights"] = tuple(absolute(spec, results) for spec in given)
    if isinstance(teacher := fields.get("teacher"), str):
        fields["teacher"] = place_of_teacher(teacher, results)


def _placed(fields: Any, results: Path) -> Any:
    """An arm's fields so; what is no table is left to `Settings` to refuse."""
    if isinstance(fields, Mapping):
        fields = dict(fields)
        _place(fields, results)
    return fields


FOR_PROBES = frozenset(
    {
        "models", "recipe", "image_size", "weights", "split_seed", "folds", "group", "burst_seconds",
        "layout", "skip_bad", "near", "strict", "device", "workers", "store", "store_dir",
    }
)  # fmt: skip
"""The settings that mean something where nothing is trained."""
FOR_PRETRAINING = FOR_PROBES - {"folds"} | {
    "epochs", "batch_size", "lr", "augment", "flip", "drop_path", "seeds", "mask_ratio", "mask_size",
    "mask_target", "with_test", "precision", "micro_batch", "quick",
}  # fmt: skip
"""The settings that mean something where no classes are learnt."""


def _refuse_idle_options(explicit: Mapping[str, Any], benchmark: Benchmark | None) -> None:
    """Raise UsageError for options that would be passed over in silence."""
    known = benchmark.settings if benchmark is not None else None
    recipe = explicit.get("recipe", known.recipe if known else "finetune")
    if recipe == "probe" and known is not None and "recipe" not in explicit and "models" in explicit:
        raise UsageError("--name: is a benchmark of probes; use vitbench probe --name, or a new --name")
    if recipe == "simmim" and known is not None and "recipe" not in explicit and "models" in explicit:
        raise UsageError("--name: is a benchmark of encoders; use vitbench pretrain --name, or a new --name")
    meant, why = {
        "probe": (FOR_PROBES, "a probe trains nothing"),
        "simmim": (FOR_PRETRAINING, "masked pre-training reads no labels"),
    }.get(recipe, (explicit.keys(), ""))
    idle = [name for name in explicit if name not in meant]
    if idle:
        option = "--" + idle[0].replace("_", "-")
        raise UsageError(f"{option}: {why}, so this has no meaning; leave it away")
    _refuse_idle_teaching(explicit, known)
    if "final" in explicit and explicit.get("folds", known.folds if known else None) is None:
        raise UsageError(f"--final {explicit['final']}: needs --folds")


def _refuse_idle_teaching(explicit: Mapping[str, Any], known: Settings | None) -> None:
    """The same for what only a teacher or masked pre-training would read."""
    arms = explicit.get("arms") or (known.arms if known else {})
    if arms and (found := [name for name in ("teacher", "pretrain", "plain") if name in explicit]):
        raise UsageError(f"--{found[0]}: where there are arms, each says so itself; leave it away")
    for needed, option, idle in (
        ("teacher", "--teacher", ("distill", "alpha", "tau", "distill_through", "plain")),
        ("pretrain", "--pretrain", ("pretrain_epochs", "mask_ratio", "mask_size", "mask_target")),
    ):
        asked = explicit.get(needed, getattr(known, needed, None)) or explicit.get("recipe") == "simmim"
        asked = asked or any(isinstance(arm, Mapping) and arm.get(needed) for arm in arms.values())
        found = [name for name in idle if name in explicit]
        if found and not asked:
            name = "no-plain" if found[0] == "plain" else found[0].replace("_", "-")
            raise UsageError(f"--{name}: needs {option}")


def train(
    data: Path | str | None = None,
    *,
    name: str | None = None,
    results: Path | str = DEFAULT_RESULTS,
    resume: bool = False,
    resume_anyway: bool = False,
    watch: Watch | None = None,
    track: str | None = None,
    shard: str | None = None,
    **settings: Any,
) -> Benchmark:
    """Fine-tune models on an image folder and compare them; the benchmark, its reports written.

    `settings` are fields of `Settings`: `train("photos", models=("vit", "swin"), epochs=10)`. What is not
    named has its default, or what the benchmark called `name` was made with. A model that fails gets
    `failure.json` and a row that says so; the others go on. Ctrl-C and SIGTERM finish the step, save, and
    raise `Interrupted` (a KeyboardInterrupt); on the main thread, and where the program does not handle
    them itself. `track` mirrors every epoch to "tensorboard", "wandb" or "trackio". `shard`, such as "2/8",
    carries out every 8th run only, in a benchmark that several processes fill. `resume_anyway` resumes a
    run also where torch and its kin, or the number of threads, are not those it was begun with. Raises
    VitbenchError for whatever can be refused before the first step.
    """
    folder_of_data = None if data is None else Path(data)
    share = None if shard is None else Shard.of(shard)
    resume = resume or resume_anyway
    if started()[0]:
        return _followed()
    request = Request(settings, folder_of_data, name, Path(results), resume, share, resume_anyway)
    return carry_out(request, watch or Watch(), track)


def probe(
    data: Path | str | None = None,
    *,
    models: Sequence[str] | None = None,
    max_params: float | None = None,
    max_gmacs: float | None = None,
    watch: Watch | None = None,
    **more: Any,
) -> Benchmark:
    """Rank frozen models by a linear head on their features; `more` as for `train`.

    `models` may hold "tiny" and patterns of timm names too; the limits are in million parameters and
    thousand million multiply-adds. Five folds, unless `folds` or DATA's own test part say otherwise.
    """
    if models is not None or max_params is not None or max_gmacs is not None:
        named = [models] if isinstance(models, str) else models or DEFAULT_MODELS
        report = (watch or Watch()).message
        more["models"] = selected(named, max_params, max_gmacs, more.get("image_size"), report)
    return train(data, recipe="probe", watch=watch, **more)


def pretrain(data: Path | str | None = None, **more: Any) -> Benchmark:
    """Pre-train encoders on an image folder, with or without classes, by masked pictures (SimMIM).

    The runs `simmim-<model>-s<seed>` hold encoders for `train(weights=…)`, which takes a run or the whole
    benchmark; `more` as for `train`. Labels are not read and the pictures that `train` would test on are
    left out, but for `with_test`. Without `weights` the networks begin as random ones.
    """
    return train(data, recipe="simmim", **more)


def carry_out(request: Request, watch: Watch, track: str | None = None) -> Benchmark:
    """`train`, as the command line calls it."""
    with signals.heard(), processes.joined() as group:
        benchmark = _carry_out(request, watch, track)
        group.order(processes.Order.END)
        group.send(str(benchmark.folder.resolve()))
        return benchmark


def _followed() -> Benchmark:
    """The benchmark that the first of several processes made, with this one's help."""
    folder_made = follow()
    if folder_made is None:
        raise VitbenchError("the first process has ended before its benchmark was done; it says why")
    return Benchmark(folder_made)


def _carry_out(request: Request, watch: Watch, track: str | None) -> Benchmark:
    if track is not None:
        if request.explicit.get("recipe") == "probe":
            raise UsageError(f"--track {track}: a probe has no epochs to follow; leave it away")
        trackers.check(track)
    plan, benchmark = prepare(request, watch)
    if request.shard is not None:
        plan, benchmark = _shared(plan, benchmark, request, watch)
    for name in plan.finished:
        watch.message(f"{name}: finished already, left as it is")
    estimates = announce(plan, watch)
    if benchmark is None:
        benchmark = _created(plan, request)
    elif request.shard is None:  # a shard has added its benchmark's runs already
        folder.add_runs(benchmark, plan)
    with trackers.tracked(track, benchmark, watch) as told:
        told.benchmark_started(benchmark.name, stages(plan, estimates))
        _run_jobs(plan, benchmark, told)
    _conclude(benchmark, request, watch)
    return benchmark


def _created(plan: Plan, request: Request) -> Benchmark:
    while True:
        name = request.name or folder.fresh_name(plan.images.root, request.results)
        try:
            return folder.create(plan, name, request.results)
        except folder.TakenError:
            if request.name is not None:
                raise


def _shared(
    plan: Plan, benchmark: Benchmark | None, request: Request, watch: Watch
) -> tuple[Plan, Benchmark]:
    """The part of the plan that is this shard's, and the benchmark, which the first of all shards makes."""
    if benchmark is None:
        try:
            benchmark = _created(plan, request)
        except folder.TakenError:
            plan, benchmark = prepare(request, watch)
            assert benchmark is not None
    folder.add_runs(benchmark, plan)
    assert request.shard is not None
    mine = {run.name for run in request.shard.share(benchmark.runs)}
    jobs = tuple(job for job in plan.jobs if job.run_name in mine)
    finished = tuple(name for name in plan.finished if name in mine)
    watch.message(f"shard {request.shard}: {len(jobs)} of {len(benchmark.runs)} runs to do here")
    return dataclasses.replace(plan, jobs=jobs, finished=finished), benchmark


def _conclude(benchmark: Benchmark, request: Request, watch: Watch) -> None:
    """Write the reports; among shards only the last one does."""
    for run in benchmark.runs:
        if run.status == "finished":
            discard_checkpoints(run)
    missing = [run.name for run in benchmark.runs if run.status not in ("finished", "failed")]
    if request.shard is not None and missing:
        later = "train --resume --name" if benchmark.pretrains else "compare"
        watch.message(
            f"shard {request.shard} is done; still missing: {', '.join(missing)}; "
            f"`vitbench {later} {benchmark.name}` when they are there"
        )
    elif any(run.status == "finished" for run in benchmark.runs):
        with files.naming(benchmark.folder), folder.writing(benchmark):
            if benchmark.pretrains:
                write_pretrained(benchmark)
            else:
                write_reports(benchmark, compare_many([benchmark]))


def announce(plan: Plan, watch: Watch) -> dict[str, Estimate]:
    """Tell the watcher the plan and every warning; returns the estimates behind it."""
    estimates = estimate_jobs(plan, watch)
    for line in plan_lines(plan, estimates):
        watch.message(line)
    by_model = {job.plan.alias: job.plan.notes for job in plan.jobs}
    for note in (*plan.notes, *(f"{model}: {note}" for model, notes in by_model.items() for note in notes)):
        watch.message(f"note: {note}")
    if plan.jobs and (shortcut := shortcut_line(plan, estimates)):
        watch.message(shortcut)
    return estimates


def _existing(request: Request) -> Benchmark | None:
    if request.resume:
        if request.name is not None:
            return folder.find(request.name, request.results)
        return folder.newest_interrupted(request.results)
    if request.name is not None and (request.results / request.name / "benchmark.json").exists():
        benchmark = Benchmark(request.results / request.name)
        if request.data is not None and request.data.resolve() != Path(benchmark.manifest["data"]):
            raise UsageError(
                f"{benchmark.folder}: is a benchmark on {benchmark.manifest['data']}, "
                f"not on {request.data.resolve()}; use a new --name"
            )
        return benchmark
    return None


def _way_of(job: Job, plan: Plan) -> Callable[[Job, Run, Split, Watch], None]:
    if job.recipe.name == "probe":
        return probe_run
    if job.recipe.masking is not None:
        return pretrain_run
    return train_folds if plan.split.folds else train_run


def _run_jobs(plan: Plan, benchmark: Benchmark, watch: Watch) -> None:
    runs = {run.name: run for run in benchmark.runs}
    for job in plan.jobs:
        run = runs[job.run_name]
        try:
            with files.naming(run.folder):
                _way_of(job, plan)(job, run, plan.split, watch)
        except RefusedError as error:
            watch.run_finished(run.name, f"not touched: {error}")
            continue
        except LostPictureError:  # no other model could be trained on these data either
            raise
        except VitbenchError as error:
            files.write_json(run.folder / "failure.json", {"reason": str(error)})
            watch.run_finished(run.name, f"failed: {error}")
            continue
        test = run.metrics()["test"]
        if test is None:
            watch.run_finished(run.name, f"pre-trained, val loss {run.metrics()['val']['loss']:.3f}")
            continue
        watch.run_finished(run.name, f"{test['correct']} of {test['n']} test pictures right")
