"""Which runs of a plan are compiled where the caller has not said: those that it is measured to pay for."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from vitbench.benchmark.engine import Engine, next_of
from vitbench.benchmark.estimate import Estimate, stand_in
from vitbench.benchmark.plan import Plan
from vitbench.errors import VitbenchError, first_line
from vitbench.records import Split, duration
from vitbench.records.watch import Watch
from vitbench.training.compiled import Trial, tried
from vitbench.training.environment import NO_COMPILER, compiler
from vitbench.training.jobs import Job
from vitbench.training.machine import free_memory

TIMES = 10
"""A training has to take so many times as long as compiling its step."""
USUAL_SECONDS = 90.0
"""What compiling takes, before it was measured."""
LEAST_GAIN = 1.05
"""How many times as fast a compiled step has to be."""


@dataclass(frozen=True)
class TryWork:
    """A model whose step is to be compiled and timed."""

    job: Job
    split: Split

    @property
    def name(self) -> str:
        return self.job.planned.beside

    def __call__(self, watch: Watch) -> Trial:
        watch.message(f"compiling the step of {self.name}, to see whether that pays …")
        torch.set_num_threads(self.job.machine.threads)
        try:
            return tried(stand_in(self.job, self.split))
        finally:
            free_memory(self.job.machine.device)


def choose_compiled(
    plan: Plan, estimates: Mapping[str, Estimate], begun: Collection[str], engine: Engine, watch: Watch
) -> Plan:
    """The plan with `Machine.compiled` said for every run but those `begun`, which keep what they have.

    All runs of a model are alike. Only on a CPU: on a card compiling costs more than it saves.
    """
    chosen: dict[str, bool] = {}
    jobs = []
    for job in plan.jobs:
        if job.machine.compiled is None and job.run_name not in begun:
            if job.model not in chosen:
                seconds = estimates[job.run_name].seconds
                chosen[job.model] = _is_long(job, seconds) and _pays(job, plan.split, seconds, engine, watch)
            machine = dataclasses.replace(job.machine, compiled=chosen[job.model])
            job = dataclasses.replace(job, machine=machine)
        jobs.append(job)
    return dataclasses.replace(plan, jobs=tuple(jobs))


def _is_long(job: Job, seconds: float) -> bool:
    """Whether compiling may pay for a training of so many seconds on this machine."""
    return job.machine.device == "cpu" and seconds > TIMES * USUAL_SECONDS and compiler() != NO_COMPILER


def _pays(job: Job, split: Split, seconds: float, engine: Engine, watch: Watch) -> bool:
    """Whether it does, by a trial of which a line is said; no, where its process does not survive it."""
    engine.begin(TryWork(job, split), watch)
    outcome = next_of(engine)
    if outcome.error is not None:
        if not isinstance(outcome.error, VitbenchError | RuntimeError | MemoryError | ValueError):
            raise outcome.error
        trial = Trial(0.0, 0.0, first_line(outcome.error))
    else:
        trial = outcome.result
    pays = trial.gain > LEAST_GAIN and seconds > TIMES * trial.seconds
    found = f"{trial.gain:.2f} times as fast, compiling took {duration(trial.seconds)}"
    watch.message(
        f"{job.model}: {'compiled' if pays else 'not compiled'}: {trial.trouble or found} "
        f"(--{'no-' if pays else ''}compile does otherwise)"
    )
    return pays
