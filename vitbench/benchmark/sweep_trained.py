"""The cells of a sweep that are trained: a run per draw, size, fold and seed, handed to an engine."""

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vitbench.analysis.sweep import Cell
from vitbench.benchmark.auto import equipped
from vitbench.benchmark.engine import Engine
from vitbench.benchmark.engines import Where
from vitbench.benchmark.estimate import estimate_jobs
from vitbench.benchmark.grid import RunWork, carry_out_works
from vitbench.benchmark.plan import Plan
from vitbench.benchmark.sweep_folder import Computed, Place, SweepFolder, draw_key, places, right_of, shots_of
from vitbench.data.shots import Pool
from vitbench.errors import VitbenchError
from vitbench.files import readable
from vitbench.records import Benchmark, Split
from vitbench.records.watch import Watch
from vitbench.training.jobs import Job

RUNS = "runs"
"""The folder of these runs; their models go as soon as nobody learns from them any more."""


@dataclass
class TrainedCells:
    """What is to be trained."""

    plan: Plan
    split: Split
    pools: Sequence[Pool]
    sizes: Mapping[str, float]
    draws: int
    place: SweepFolder
    found: dict[Place, Cell] = field(default_factory=dict)

    def carried_out(self, watch: Watch, where: Where, *, apart: bool) -> Computed:
        """Those that are there, and all others."""
        wanted = {one: job for job in self.plan.jobs for one in self._places(job)}
        keys = {job.model: _key(job) for job in self.plan.jobs}
        self.found = self.place.cells(keys)
        todo = [one for one in wanted if one not in self.found]
        works = {one: self._works(one, wanted[one]) for one in todo}
        if todo:
            (self.place.folder / RUNS).mkdir(exist_ok=True)
            for one in todo:
                self._record(one, works[one])  # trained earlier, and cut off before it was noted
            left = [work for one in todo if one not in self.found for work in works[one]]
            if left:
                with equipped(self.plan, None, watch, apart=apart, where=where) as (plan, engine):
                    self._train(left, works, plan, engine, watch)
        failed = [line for one in todo if one not in self.found for line in _failures(one, works[one])]
        if not failed:
            shutil.rmtree(self.place.folder / RUNS, ignore_errors=True)
        cells = tuple(self.found[one] for one in wanted if one in self.found)
        return Computed(cells, frozenset(one.model for one in todo if one in self.found), tuple(failed))

    def _train(
        self,
        todo: Sequence[RunWork],
        works: Mapping[Place, Sequence[RunWork]],
        plan: Plan,
        engine: Engine,
        watch: Watch,
    ) -> None:
        of = {work.name: one for one, some in works.items() for work in some}
        teaching = {work.job.teacher.run for work in todo if work.job.teacher}
        plan, estimates = estimate_jobs(plan, engine, watch)
        machines = {job.run_name: job.machine for job in plan.jobs}
        ready = [_on(work, machines) for work in todo if _planned_name(work) in machines]
        seconds = {work.name: estimates[_planned_name(work)].seconds for work in ready}
        watch.benchmark_started(self.place.folder.name, seconds, engine.most)

        def ended(work: RunWork) -> None:
            self._record(of[work.name], works[of[work.name]])
            if work.job.run_name not in teaching:
                shutil.rmtree(work.run.model_folder, ignore_errors=True)

        carry_out_works(ready, engine, watch, ended)

    def _places(self, job: Job) -> list[Place]:
        return places(job.model, job.planned.seed, self.sizes, self.draws)

    def _works(self, one: Place, job: Job) -> list[RunWork]:
        """A work per fold, in a folder of its own; a teacher is the one of the same cell."""
        found = []
        for number, pool in enumerate(self.pools, start=1):
            part = pool.drawn(shots_of(one.shots), draw_key(self.split, one.draw, number), choosing=True)
            tail = f"-k{one.shots}-draw{one.draw}" + (f"-part{number}" if len(self.pools) > 1 else "")
            planned = dataclasses.replace(job.planned, name=job.run_name + tail)
            teacher = job.teacher
            if teacher is not None and teacher.run:
                teacher = dataclasses.replace(teacher, run=teacher.run + tail)
            own = dataclasses.replace(job, planned=planned, teacher=teacher)
            own = own.with_recipe(split_digest=part.digest)
            found.append(RunWork(own, Benchmark(self.place.folder / RUNS), part))
        return found

    def _record(self, one: Place, works: Sequence[RunWork]) -> None:
        """Note a cell all of whose runs are done."""
        if one in self.found or any(work.run.status != "finished" for work in works):
            return
        right: list[bool] = []
        groups, pictures, val = 0.0, 0, 0
        for pool, work in zip(self.pools, works, strict=True):
            answers = work.run.predictions()
            if [readable(p.path) for p in work.split.test] != [readable(path) for path in answers.paths]:
                raise VitbenchError(f"{work.run.folder}: answers other pictures; remove it")
            right += answers.correct.tolist()
            groups += pool.mean if one.shots == "all" else float(one.shots)
            pictures += len(work.split.train) + len(work.split.val)
            val += len(work.split.val)
        count = len(works)
        each = count * len(self.split.classes)
        cell = Cell(
            one.model, one.shots, one.draw, one.seed, groups / count, pictures / each, right_of(right)
        )
        self.place.add(cell, val / each, _key(works[0].job))
        self.found[one] = cell


def _key(job: Job) -> str:
    """Of all that decides what a model answers but the pictures it learns from."""
    recipe = job.recipe.model_copy(update={"split_digest": ""})
    return f"{recipe.digest[:16]} {job.machine.device}"


def _planned_name(work: RunWork) -> str:
    """The name of the plan's run that a cell's is one of."""
    return work.job.run_name.rpartition("-k")[0]


def _on(work: RunWork, machines: Mapping[str, object]) -> RunWork:
    return dataclasses.replace(
        work,
        job=dataclasses.replace(work.job, machine=machines[_planned_name(work)]),  # type: ignore[arg-type]
    )


def _failures(one: Place, works: Sequence[RunWork]) -> list[str]:
    reasons = [work.run.failure for work in works if work.run.status == "failed"]
    return [f"{one.model} at {one.shots} per class, draw {one.draw}: {reasons[0] if reasons else 'not done'}"]
