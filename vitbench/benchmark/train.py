"""`train`: the plan carried out run by run; one model's failure leaves the others alone."""

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vitbench import files
from vitbench.benchmark import folder, moved
from vitbench.benchmark.arms import place_of_teacher
from vitbench.benchmark.auto import equipped, jobs_begun
from vitbench.benchmark.compiling import choose_compiled
from vitbench.benchmark.described import described
from vitbench.benchmark.engine import Engine, InTurn
from vitbench.benchmark.engines import HERE, EngineName, Where
from vitbench.benchmark.estimate import Estimate, estimate_jobs, stages
from vitbench.benchmark.grid import carry_out_runs, how_it_ended
from vitbench.benchmark.idle import refuse_idle_options
from vitbench.benchmark.plan import Plan, make_plan
from vitbench.benchmark.shard import Shard
from vitbench.comparison.compare import compare
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.results import read_results
from vitbench.errors import UsageError, VitbenchError
from vitbench.launch import started
from vitbench.models.listing import selected
from vitbench.models.weights import absolute
from vitbench.progress import followed
from vitbench.records import DEFAULT_MODELS, Benchmark, Run, Settings
from vitbench.records.commands import command, going_on, verb_of
from vitbench.records.watch import Watch
from vitbench.reports.pretrained import write_pretrained
from vitbench.reports.write import WRITING, write_reports
from vitbench.training import signals
from vitbench.training import track as trackers
from vitbench.training.distributed.processes import LostError, Processes, as_current, joined
from vitbench.training.jobs import discard_checkpoints

DEFAULT_DATA = Path("data")
DEFAULT_RESULTS = Path("results")


@dataclass(frozen=True)
class TrainRequest:
    """One call of `train`: what was named explicitly, and where things lie."""

    asked: Settings
    """What the call names of it counts; everything else has its default, or the benchmark's."""
    data: Path | None = None
    """None: the benchmark's own folder, or `data/` for a new one."""
    name: str | None = None
    results: Path = DEFAULT_RESULTS
    resume: bool = False
    shard: Shard | None = None
    """Which of the benchmark's runs this call carries out; None: all."""
    allow_changed: bool = False
    """With `resume`: also a run that was begun with other versions or threads."""
    where: Where = HERE
    """What carries the runs out."""

    @property
    def verb(self) -> str:
        """The command that asks so."""
        return verb_of(self.asked.recipe)

    def again(self, benchmark: Benchmark) -> str:
        """The same call, for pictures that lie elsewhere now."""
        options = self.asked.model_dump(include={"models", "seeds"}, exclude_unset=True)
        verb, results = verb_of(benchmark.settings.recipe), benchmark.folder.parent
        resume = self.resume or not options
        return command(verb, "NEWPLACE", resume=resume, name=benchmark.name, **options, results=results)


def prepare(request: TrainRequest, watch: Watch, *, dry_run: bool = False) -> tuple[Plan, Benchmark | None]:
    """The plan for a request, and the benchmark that it goes on with, if there is one.

    Raises before anything is written: bad data, weights not to be had, a change to a finished run.
    """
    if request.name is not None:
        folder.check_name(request.name)
    elif request.shard is not None and not request.resume:
        raise UsageError(f"--shard {request.shard}: needs --name, the same one for all shards")
    benchmark = _existing(request)
    if benchmark is None and request.resume:
        watch.message(f"{request.results / str(request.name)}: nothing to go on with yet, so it is begun")
    asked = _placed(request.asked, request.results)
    refuse_idle_options(asked, benchmark)
    if benchmark is None:
        if (asked.recipe == "simmim" or asked.pretrain) and "weights" not in asked.model_fields_set:
            asked = asked.model_copy(update={"weights": ("random",)})
        return make_plan(asked, request.data or DEFAULT_DATA, watch, dry_run=dry_run), None
    return _further(request, benchmark, asked, watch, dry_run), benchmark


def _further(
    request: TrainRequest, benchmark: Benchmark, asked: Settings, watch: Watch, dry_run: bool
) -> Plan:
    """The plan of what is still to be done in a benchmark that is there."""
    settings = moved.with_group(folder.merge(benchmark, asked), benchmark, request.data)
    data = request.data or moved.place_of(benchmark, request.again(benchmark))
    only_known = request.resume and not NAMES_RUNS & asked.model_fields_set
    with moved.hinted("" if request.data else request.again(benchmark)):
        plan = make_plan(settings, data, watch, benchmark=benchmark, only_known=only_known, dry_run=dry_run)
    if settings.jobs == "auto" and (begun := jobs_begun(plan, benchmark)):
        plan = plan.sharing(begun)
    if not dry_run:
        # The jobs of an array are started again as they were, and find each other's runs half-way.
        resume = request.resume or request.shard is not None
        folder.refuse_changes(benchmark, plan, resume=resume, anyway=request.allow_changed)
    known = {run.name for run in benchmark.runs}
    if request.resume and (new := [job.run_name for job in plan.jobs if job.run_name not in known]):
        watch.message(f"{benchmark.folder}: begins {', '.join(new)}, which it has not yet")
    jobs = tuple(dataclasses.replace(job, allow_changed=request.allow_changed) for job in plan.jobs)
    return dataclasses.replace(plan, jobs=jobs)


def _place(fields: dict[str, Any], results: Path) -> None:
    """Name weights and teachers that are runs or folders by where they lie, the same from every folder."""
    if "weights" in fields:
        given = Settings.of({"weights": fields["weights"]}).weights
        fields["weights"] = tuple(absolute(spec, results) for spec in given)
    if isinstance(teacher := fields.get("teacher"), str):
        fields["teacher"] = place_of_teacher(teacher, results)


def _placed(asked: Settings, results: Path) -> Settings:
    """What is asked for, its arms too, so; and a table of groups by its whole path."""
    fields = asked.model_dump(exclude_unset=True)
    for table in (fields, *fields.get("arms", {}).values()):
        _place(table, results)
    if Path(asked.group or "").is_file():
        fields["group"] = str(Path(str(asked.group)).resolve())
    return Settings.of(fields)


NAMES_RUNS = Settings.fields_where(lambda option: option.between_calls == "runs")
"""Settings that ask for runs: with one of them `--resume` also begins what is not there."""


def train(
    data: Path | str | None = None,
    *,
    name: str | None = None,
    results: Path | str = DEFAULT_RESULTS,
    resume: bool = False,
    allow_changed: bool = False,
    watch: Watch | None = None,
    progress: bool = True,
    track: str | None = None,
    shard: str | None = None,
    engine: EngineName = "local",
    address: str | None = None,
    **settings: Any,
) -> Benchmark:
    """Fine-tune models on an image folder and compare them; the benchmark, its reports written.

    `settings` are fields of `Settings`: `train("photos", models=("vit", "swin"), epochs=10)`. What is not
    named has its default, or what the benchmark called `name` was made with. A model that fails gets
    `failure.json` and a row that says so; the others go on. Ctrl-C and SIGTERM finish the step, save, and
    raise `Interrupted` (a KeyboardInterrupt); on the main thread, and where the program does not handle
    them itself. Progress is a table in a notebook, lines redrawn in place in a terminal, else a line per
    epoch on stderr; there is none with `progress=False`, or where a `watch` hears of it instead. `track`
    mirrors every epoch to "tensorboard", "wandb" or "trackio". `shard`, such as "2/8", carries out every
    8th run only, in a benchmark that several processes fill. `allow_changed` resumes a run also where torch
    and its kin, or the number of threads, are not those it was begun with. With `engine="ray"` the runs are
    tasks of a Ray cluster, of the one at `address`, of the one that is there, or of one started here. Raises
    VitbenchError for whatever can be refused before the first step.
    """
    folder_of_data = None if data is None else Path(data)
    share = None if shard is None else Shard.of(shard)
    resume = resume or allow_changed
    if started()[0]:
        return take_part()
    asked = Settings.asked(verb_of(settings.get("recipe", "")), settings, inspect.signature(train).parameters)
    where = Where(engine, address)
    where.refuse(asked.jobs)
    request = TrainRequest(asked, folder_of_data, name, Path(results), resume, share, allow_changed, where)
    with followed(request.results, watch, progress) as told:
        return carry_out(request, told, track)


def probe(
    data: Path | str | None = None,
    *,
    models: Sequence[str] | None = None,
    max_params: float | None = None,
    max_gmacs: float | None = None,
    watch: Watch | None = None,
    progress: bool = True,
    **more: Any,
) -> Benchmark:
    """Rank frozen models by a linear head on their features; `progress`, `watch` and `more` as for `train`.

    `models` may hold "tiny" and patterns of timm names too; the limits are in million parameters and
    thousand million multiply-adds. Five folds, unless `folds` or DATA's own test part say otherwise.
    """
    with followed(Path(more.get("results", DEFAULT_RESULTS)), watch, progress) as told:
        if models is not None or max_params is not None or max_gmacs is not None:
            named = [models] if isinstance(models, str) else models or DEFAULT_MODELS
            more["models"] = selected(named, max_params, max_gmacs, more.get("image_size"), told.message)
        return train(data, recipe="probe", watch=told, **more)


def pretrain(data: Path | str | None = None, **more: Any) -> Benchmark:
    """Pre-train encoders on an image folder, with or without classes, by masked pictures (SimMIM).

    The runs `simmim-<model>-s<seed>` hold encoders for `train(weights=…)`, which takes a run or the whole
    benchmark; `more` as for `train`. Labels are not read and the pictures that `train` would test on are
    left out, but for `with_test`. Without `weights` the networks begin as random ones.
    """
    return train(data, recipe="simmim", **more)


Compared = Callable[[Comparison], None]
"""Is given the comparison that the reports were made of."""


def carry_out(
    request: TrainRequest,
    watch: Watch,
    track: str | None = None,
    compared: Compared = lambda _: None,
    *,
    apart: bool = False,
) -> Benchmark:
    """`train`, as the command line calls it: `apart`, each run in a process beside this one."""
    with signals.handling(), joined() as group:
        return _carry_out(request, watch, track, compared, apart, group)


def take_part() -> Benchmark:
    """`train` in every process of torchrun's but the first: the same runs, by the plan that the first makes.

    Nothing is written or said. VitbenchError, when the first one has ended, for whatever ended it.
    """
    warnings.simplefilter("ignore")  # the first process says them too
    try:
        with signals.handling(here=False), joined() as group:
            plan, folder_made = group.by_first(_made_elsewhere)
            with as_current(group):
                carry_out_runs(plan, Benchmark(folder_made), InTurn(), Watch())
            group.by_first(_made_elsewhere)
            return Benchmark(folder_made)
    except LostError as error:
        text = "the first process has ended before its benchmark was done; it says why"
        raise VitbenchError(text) from error


def _made_elsewhere() -> Any:
    """What `_carry_out` makes in the first process."""
    raise NotImplementedError


def _carry_out(
    request: TrainRequest, watch: Watch, track: str | None, compared: Compared, apart: bool, group: Processes
) -> Benchmark:
    if track is not None:
        if request.asked.recipe == "probe":
            raise UsageError(f"--track {track}: a probe has no epochs to follow; leave it away")
        trackers.check(track)
    plan, benchmark = prepare(request, watch)
    if benchmark is not None and (line := moved.record(benchmark, plan.images.root, plan.settings.group)):
        watch.message(line)
    if request.shard is not None:
        plan, benchmark = _shared(plan, benchmark, request, watch)
    with equipped(plan, benchmark, watch, apart=apart, where=request.where) as (plan, engine):
        plan, estimates = announce(plan, engine, watch)
        plan = choose_compiled(plan, estimates, _begun(benchmark), engine, watch)
        if benchmark is None:
            benchmark = _created(plan, request)
        elif request.shard is None:  # a shard has added its benchmark's runs already
            folder.add_runs(benchmark, plan)
        trackers.introduce(track, benchmark, watch)
        watch.benchmark_started(benchmark.name, stages(plan, estimates), engine.most)
        for name in plan.finished:
            watch.run_finished(name, f"finished already: {how_it_ended(Run(benchmark.folder / name))}")
        group.by_first(lambda: (plan, benchmark.folder.resolve()))
        with as_current(group):
            carry_out_runs(plan, benchmark, engine, watch, track)
    group.by_first(lambda: _conclude(benchmark, request, watch, compared))
    return benchmark


def _begun(benchmark: Benchmark | None) -> set[str]:
    """The names of runs that keep the machine they were begun with."""
    runs = () if benchmark is None else benchmark.runs
    return {run.name for run in runs if (run.folder / "recipe.json").exists()}


def _created(plan: Plan, request: TrainRequest) -> Benchmark:
    while True:
        name = request.name or folder.fresh_name(plan.images.root, request.results)
        try:
            return folder.create(plan, name, request.results)
        except folder.TakenError:
            if request.name is not None:
                raise


def _shared(
    plan: Plan, benchmark: Benchmark | None, request: TrainRequest, watch: Watch
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
    unfit = {run: reason for run, reason in plan.unfit.items() if run.name in mine}
    return dataclasses.replace(plan, jobs=jobs, finished=finished, unfit=unfit), benchmark


def _conclude(benchmark: Benchmark, request: TrainRequest, watch: Watch, compared: Compared) -> None:
    """Write the reports; among shards only the last one does."""
    for run in benchmark.runs:
        if run.status == "finished":
            discard_checkpoints(run)
    missing = [run.name for run in benchmark.runs if run.status not in ("finished", "failed")]
    if request.shard is not None and missing:
        comparing = command("compare", benchmark.name, results=request.results)
        later = going_on(benchmark) if benchmark.pretrains else comparing
        watch.message(
            f"shard {request.shard} is done; still missing: {', '.join(missing)}; "
            f"`{later}` when they are there"
        )
    elif any(run.status == "finished" for run in benchmark.runs):
        with files.naming(benchmark.folder), folder.writing(benchmark):
            if benchmark.pretrains:
                write_pretrained(benchmark)
            else:
                watch.work(WRITING, 0, 0)
                results = read_results(benchmark)
                comparison = compare(results)
                write_reports(results, comparison, watch.message, partial(watch.work, WRITING))
                compared(comparison)


def announce(plan: Plan, engine: Engine, watch: Watch) -> tuple[Plan, dict[str, Estimate]]:
    """Tell the watcher the plan and every warning; the plan of what can be timed, and the estimates."""
    plan, estimates = estimate_jobs(plan, engine, watch)
    for line in described(plan, estimates, watch.width):
        watch.message(line)
    return plan, estimates


def _existing(request: TrainRequest) -> Benchmark | None:
    if request.name is None:
        return folder.newest_interrupted(request.results, request.verb) if request.resume else None
    if files.is_there(request.results / request.name / "benchmark.json"):
        return Benchmark(request.results / request.name)
    if request.resume and request.data is None and not DEFAULT_DATA.is_dir():
        return folder.find(request.name, request.results)  # says what there is
    return None
