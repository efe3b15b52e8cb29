"""`--jobs auto`: how many runs at a time have room in memory, and are measured to be faster so."""

import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from vitbench.benchmark.engine import Engine, Work, next_of
from vitbench.benchmark.engines import HERE, Where, engine_for
from vitbench.benchmark.estimate import noise_for, stand_in
from vitbench.benchmark.plan import Plan
from vitbench.data.prefetch import cores
from vitbench.launch import started
from vitbench.progress.clock import wall_clock
from vitbench.records import Benchmark, Run, Split
from vitbench.records.watch import Watch
from vitbench.training.jobs import Job
from vitbench.training.machine import free_memory, synchronise
from vitbench.training.step import train_step
from vitbench.training.trainer import Trainer

SECONDS = 3.0
"""So long steps are carried out side by side."""
WARM_STEPS = 4
"""On a card: it chooses algorithms and records graphs first."""
SPARE = 0.85
"""The part of the free memory that may be filled."""
CONTEXT_BYTES = 0.7e9
"""What a process takes of a card besides its tensors."""
GAIN = 0.95
"""Several at a time are worth it where all runs together take less than this part of the time."""
MOST = 8
"""So many are tried at most."""


@dataclass(frozen=True)
class Tried:
    """What steps of a run came to beside others."""

    rate: float
    """Pictures per second."""
    ready: float
    """Seconds until it could begin."""
    late: bool
    """It was not ready when the others began: its figure says nothing."""
    fits: int
    """How many such runs have room in memory, this one among them."""


@dataclass(frozen=True)
class TryWork:
    """Steps of a run on noise, from a moment on that all agree upon."""

    job: Job
    split: Split
    begins: float
    """By `time.time()`; 0: at once."""

    @property
    def name(self) -> str:
        return self.job.run_name

    def __call__(self, watch: Watch) -> Tried:
        started = time.perf_counter()
        torch.set_num_threads(self.job.machine.threads)
        trainer = stand_in(self.job, self.split)
        try:
            return _tried(trainer, self, started)
        finally:
            del trainer
            free_memory(self.job.machine.device)


@dataclass(frozen=True)
class LoadWork:
    """Nothing but what a new process loads before it can begin."""

    name: str

    def __call__(self, watch: Watch) -> None: ...


def _tried(trainer: Trainer, work: TryWork, started: float) -> Tried:
    images, labels = noise_for(trainer)
    trainer.train_mode()
    cuda = trainer.device.type == "cuda"
    before = _resident()
    for step in range(WARM_STEPS if cuda else 1):
        train_step(trainer, images, labels, step)
    synchronise(trainer.device)
    ready = time.perf_counter() - started
    late = bool(work.begins) and time.time() > work.begins
    time.sleep(max(0.0, work.begins - time.time()))
    began, steps = time.perf_counter(), 0
    while steps < 2 or time.perf_counter() - began < SECONDS:
        train_step(trainer, images, labels, steps)
        synchronise(trainer.device)
        steps += 1
    rate = steps * len(images) / (time.perf_counter() - began)
    if cuda:
        need = torch.cuda.max_memory_reserved(trainer.device) + CONTEXT_BYTES
        free = torch.cuda.mem_get_info(trainer.device)[0] + torch.cuda.memory_reserved(trainer.device)
        return Tried(rate, ready, late, int(SPARE * free / need))
    # What a few pictures take is scaled to the pictures of a forward pass.
    grown = max(0, _peak_resident() - before) * trainer.machine.micro_batch / len(images)
    return Tried(rate, ready, late, int(SPARE * (_available() + _resident()) / (before + grown)))


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _peak_resident() -> int:
    """The most that this process has had; what it has now where the system does not tell."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def _available() -> int:
    """Bytes of memory that are free, on this machine and in this control group."""
    free = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # "max": no limit
        used = int((group / "memory.current").read_text())
        free = min(free, int((group / "memory.max").read_text()) - used)
    return max(0, free)


# --------------------------------------------------------------------------------------------------


def jobs_begun(plan: Plan, benchmark: Benchmark) -> int | None:
    """How many at a time the plan's runs were begun with that are to be gone on with; None: none is."""
    for job in plan.jobs:
        run = Run(benchmark.folder / job.run_name, job.planned)
        if run.status == "interrupted" or (run.folder / "checkpoint").is_dir():
            return int(run.environment().get("jobs", 1))
    return None


@contextlib.contextmanager
def equipped(
    plan: Plan, benchmark: Benchmark | None, watch: Watch, *, apart: bool, where: Where = HERE
) -> Iterator[tuple[Plan, Engine]]:
    """The plan, with as many runs at a time as is asked for or as is best, and what carries them out."""
    auto = (
        plan.settings.jobs == "auto"
        and where.engine == "local"
        and (benchmark is None or jobs_begun(plan, benchmark) is None)
    )
    auto = auto and started()[1] == 1  # torchrun's processes train one model together
    machine = next((job.machine for job in plan.jobs), None)
    with engine_for(plan.at_once, apart=apart or auto, where=where, machine=machine, watch=watch) as engine:
        yield (with_jobs(plan, engine, watch) if auto else plan), engine


def with_jobs(plan: Plan, engine: Engine, watch: Watch) -> Plan:
    """The plan with as many runs at a time as are worth it, which is tried where "auto" asks for it."""
    trained = [job for job in plan.jobs if job.recipe.name != "probe"]
    if len(trained) < 2 or plan.jobs[0].machine.device.startswith("mps"):
        return plan
    alone = _side_by_side(plan.sharing(1), trained[0].run_name, 1, 0.0, engine, watch)
    if alone is None:
        return plan
    found, quickest = 1, GAIN * wall_clock([], [1 / alone.rate] * len(trained), 1)
    many = min(len(trained), alone.fits, cores(), MOST)
    why = "there is no room in memory for two" if alone.fits < 2 else "more are not faster here"
    while many > 1:
        tried = _side_by_side(plan.sharing(many), trained[0].run_name, many, alone.ready, engine, watch)
        # Each of the runs then takes so much longer than alone.
        took = wall_clock([], [1 / tried.rate] * len(trained), many) if tried else float("inf")
        if took < quickest:
            found, quickest = many, took
            why = f"{len(trained)} runs take {took * alone.rate / len(trained):.0%} of the time so"
        many = many // 2 if many > 3 else many - 1
    engine.most = found
    watch.message(f"--jobs auto: {found} at a time ({why}, by a few steps)")
    return plan.sharing(found)


def _side_by_side(
    plan: Plan, name: str, many: int, ready: float, engine: Engine, watch: Watch
) -> Tried | None:
    """What a run comes to on average beside itself, so many at a time; None where it could not be tried."""
    engine.most = many
    job = next(job for job in plan.jobs if job.run_name == name)
    if many > 1:
        watch.message(f"trying {many} runs at a time …")
        _all([LoadWork(f"{name} {place}") for place in range(many)], engine, watch)
    begins = time.time() + 2 * ready + 1 if many > 1 else 0.0
    found = _all([TryWork(job, plan.split, begins)] * many, engine, watch)
    good = [one for one in found if one is not None and not one.late]
    if len(good) < many:
        return None
    return Tried(sum(one.rate for one in good) / many, max(one.ready for one in good), False, good[0].fits)


def _all(works: Sequence[Work], engine: Engine, watch: Watch) -> list[Tried | None]:
    """What each came to, None where one failed: what a try says is whether it is worth it."""
    for work in works:
        engine.begin(work, watch)
    return [next_of(engine).result for _ in works]
