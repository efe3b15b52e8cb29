"""The runs of a benchmark, handed out to an engine: what waits for what, and what one's failure means."""

import contextlib
import dataclasses
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vitbench import files
from vitbench.benchmark.engine import Engine, Outcome
from vitbench.benchmark.plan import Plan
from vitbench.data.made import LostPictureError
from vitbench.data.prefetch import share_cores
from vitbench.errors import (
    CrowdedError,
    DeviceLostError,
    KilledError,
    RefusedError,
    VitbenchError,
    first_line,
)
from vitbench.records import Benchmark, Run, Split
from vitbench.records.watch import Watch
from vitbench.training import track as trackers
from vitbench.training.distributed.processes import by_first, current, first_alone
from vitbench.training.folds import train_fold, train_folds
from vitbench.training.jobs import Job, writing
from vitbench.training.machine import refuse_lost
from vitbench.training.probe import probe_run
from vitbench.training.runs import pretrain_run, train_run, train_trial


@dataclass(frozen=True)
class RunWork:
    """One run to be carried out in its folder, or a part of one that can be trained by itself."""

    job: Job
    benchmark: Benchmark
    split: Split
    track: str | None = None
    """The tracker that is told of it."""
    part: str = ""
    """ "fold-2", "tune-1"; "": all of it, the parts that are done already left as they are."""

    @property
    def name(self) -> str:
        return f"{self.job.run_name}/{self.part}".rstrip("/")

    @property
    def run(self) -> Run:
        return Run(self.benchmark.folder / self.job.run_name, self.job.planned)

    def __call__(self, watch: Watch) -> bool:
        """Carry it out and say how it ended: whether well. What is wrong with it alone stands in its folder.

        Raises what concerns the others too: a picture that is gone, what the system refuses, a lost device,
        memory that ran out beside others.
        """
        run = self.run
        share_cores(self.job.machine.jobs)
        with trackers.tracked(self.track, self.benchmark, watch) as told:
            try:
                with current().together(), files.naming(run.folder):
                    _runner_for(self)(self.job, run, self.split, told)
            except RefusedError as error:
                told.run_failed(run.name, f"not touched: {_reason(error, run)}")
            except (LostPictureError, CrowdedError):
                raise  # no other model could be trained on these data either; a try among fewer may do
            except VitbenchError as error:
                fail(run, _reason(error, run), told)
            except Exception as error:  # each network of timm's can fail in its own way
                if isinstance(error, OSError):
                    raise
                _note_bug(run, error, told)
                with current().together():
                    refuse_lost(self.job.machine.device)
            else:
                if not self.part:
                    told.run_finished(run.name, by_first(lambda: how_it_ended(run)))
                return True
            return False


def _runner_for(work: RunWork) -> Callable[[Job, Run, Split, Watch], None]:
    kind, _, number = work.part.partition("-")
    if kind:
        by_itself = train_fold if kind == "fold" else train_trial
        return lambda job, run, split, watch: by_itself(job, run, split, int(number), watch)
    if work.job.recipe.name == "probe":
        return probe_run
    if work.job.recipe.masking is not None:
        return pretrain_run
    return train_folds if work.split.folds else train_run


def how_it_ended(run: Run) -> str:
    """A finished run's result, in a few words."""
    test = run.metrics()["test"]
    if test is None:
        return f"pre-trained, val loss {run.metrics()['val']['loss']:.3f}"
    return f"{test['correct']} of {test['n']} test pictures right"


def _reason(error: VitbenchError, run: Run) -> str:
    """What went wrong, for where the run is named already."""
    text = str(error)
    for named in (f"{run.folder}: ", f"{run.name}: ", f"{run.name}/"):
        text = text.removeprefix(named)
    return text


@first_alone
def fail(run: Run, reason: str, watch: Watch) -> None:
    """Write down why a run failed, and say it."""
    run.folder.mkdir(exist_ok=True)
    files.write_json(run.folder / "failure.json", {"reason": reason})
    watch.run_failed(run.name, f"failed: {reason}")


@first_alone
def _note_bug(run: Run, error: Exception, watch: Watch) -> None:
    """Fail a run of which nobody foresaw the error; the traceback goes to its `log.txt`."""
    log = run.folder / "log.txt"
    with files.naming(log), log.open("a", encoding="utf-8") as stream:
        stream.writelines(traceback.format_exception(error))
    fail(run, f"{type(error).__name__}: {first_line(error)}; the traceback is in {log}", watch)


# --- all of them ----------------------------------------------------------------------------------


def carry_out_runs(
    plan: Plan, benchmark: Benchmark, engine: Engine, watch: Watch, track: str | None = None
) -> None:
    """Carry out every job of the plan; one run's failure leaves the others alone.

    Processes that train together all do so; the first one alone writes and says what comes of it.
    Runs begin in the plan's order as there is room for them, but behind those that they need. What runs out
    of memory beside others is tried again with fewer at a time, alone in the end.
    """
    _note_unfit(plan, benchmark)
    todo = [RunWork(job, benchmark, plan.split, track) for job in plan.jobs]
    if engine.most > 1:
        todo = [one for work in todo for one in (*_parts_of(work, plan), work)]
    carry_out_works(todo, engine, watch)


def carry_out_works(
    works: Sequence[RunWork],
    engine: Engine,
    watch: Watch,
    ended: Callable[[RunWork], None] = lambda work: None,
) -> None:
    """Carry out runs, whatever each learns from, as `carry_out_runs` does; their names differ.

    `ended` hears of every one that ended well, at once.
    """
    todo, under_way = list(works), list[RunWork]()
    while todo or under_way:
        for work in [work for work in todo if not _waits(work, [*todo, *under_way])]:
            if not engine.room:
                break
            todo.remove(work)
            under_way.append(work)
            shared = dataclasses.replace(work, job=dataclasses.replace(work.job, beside=engine.shares))
            engine.begin(shared, watch.among(work.name))
        outcome = engine.wait()
        if outcome is None:  # there is room for more
            continue
        (work,) = [one for one in under_way if one.name == outcome.work.name]
        under_way.remove(work)
        watch.ended(work.name)
        if outcome.error is not None and _again_with_fewer(outcome, outcome.error, engine, watch):
            todo.insert(0, work)
        elif not outcome.result:  # a run that has failed in one part needs no others
            todo = [one for one in todo if one.run != work.run]
        else:
            ended(work)


@first_alone
def _note_unfit(plan: Plan, benchmark: Benchmark) -> None:
    for run, reason in plan.unfit.items():
        folder = benchmark.folder / run.name
        folder.mkdir(exist_ok=True)
        files.write_json(folder / "failure.json", {"reason": reason})


def _parts_of(work: RunWork, plan: Plan) -> list[RunWork]:
    """The folds of a run, or the settings that it tries: what can be trained by itself before the rest."""
    job = work.job
    if job.recipe.name == "probe" or job.recipe.masking is not None:
        return []
    # Heads are fitted to features that are computed once: by the probe, or else by one part after another.
    if job.recipe.head == "probe":
        probed = {run.planned.probe_of for run in work.benchmark.runs if run.status == "finished"}
        if job.model not in probed | {one.planned.probe_of for one in plan.jobs}:
            return []
    names = [f"fold-{number}" for number in range(1, len(plan.split.folds) + 1)]
    if not names and job.pretrain is None:
        names = [f"tune-{number}" for number in range(1, len(job.trials) + 1)]
    if names:
        with contextlib.suppress(RefusedError), writing(work.run):  # who has it says so when it is begun
            (work.run.folder / "failure.json").unlink(missing_ok=True)
    return [dataclasses.replace(work, part=name) for name in names]


def _waits(work: RunWork, others: Sequence[RunWork]) -> bool:
    """Whether something of what is not done yet has to end before this one begins."""
    parts = [one for one in others if one.run == work.run and one.part and not work.part]
    return bool(parts or needs(work.job, [one.job for one in others if one.run != work.run]))


def _again_with_fewer(outcome: Outcome, error: Exception, engine: Engine, watch: Watch) -> bool:
    """Whether a run that ended in an error is to be tried again, beside fewer others.

    What is wrong with it alone is noted; what concerns all of them is raised, when the others have saved.
    """
    assert isinstance(outcome.work, RunWork)
    crowded = isinstance(error, CrowdedError) or (isinstance(error, KilledError) and error.memory_ended)
    if crowded and engine.most > 1:
        engine.most = max(1, min(outcome.beside, engine.most - 1))
        at_once = "alone" if engine.most == 1 else f"with {engine.most} at a time"
        watch.message(f"{outcome.work.name}: memory ran out beside other runs; it goes on {at_once}")
        return True
    if isinstance(error, KilledError):
        run = outcome.work.run
        try:
            with writing(run):
                fail(run, f"{outcome.work.part}: {error}".removeprefix(": "), watch)
        except RefusedError:  # somebody else has taken the run up already
            watch.run_failed(run.name, f"left: {error}")
        return False
    if isinstance(error, DeviceLostError) and engine.apart:  # the run says so itself; another process goes on
        return False
    engine.stop()
    raise error


def needs(job: Job, others: Sequence[Job]) -> list[str]:
    """The names of those among `others` that have to end before this job begins.

    That is the run that teaches it; and the probe of the same model, whose features its first head is fitted
    to: computed twice at the same time they could differ in their last bits.
    """
    teacher = "" if job.teacher is None else job.teacher.run
    return [one.run_name for one in others if teacher == one.run_name or job.model == one.planned.probe_of]
