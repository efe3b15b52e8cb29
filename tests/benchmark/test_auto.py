"""`--jobs auto`: as many runs at a time as have room, and only where together they take less time."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from painted import TINY

from vitbench.benchmark import auto
from vitbench.benchmark.auto import Tried, TryWork, jobs_begun, with_jobs
from vitbench.benchmark.engine import Outcome, Work
from vitbench.benchmark.plan import Plan, make_plan
from vitbench.files import write_json
from vitbench.records import Benchmark
from vitbench.records.watch import Watch
from vitbench.settings import Settings


class Measured:
    """An engine in which runs are as fast beside others as it was told, in pictures per second each."""

    apart, busy, room = True, 0, 9

    def __init__(self, rates: Mapping[int, float], fits: int, late: bool = False) -> None:
        self.most, self.rates, self.fits, self.late = 1, rates, fits, late
        self.begun: list[Work] = []
        self.tried: list[int] = []

    def begin(self, work: Work, watch: Watch) -> None:
        self.begun.append(work)
        if isinstance(work, TryWork):
            assert work.job.machine.jobs == self.most
            self.tried.append(self.most)

    def wait(self) -> Outcome:
        work = self.begun.pop()
        if not isinstance(work, TryWork):
            return Outcome(work)
        late = self.late and self.most > 1
        return Outcome(work, Tried(self.rates[self.most], 0.1, late, self.fits))

    def stop(self) -> None: ...

    def __enter__(self) -> "Measured":
        return self

    def __exit__(self, *given: Any) -> None: ...


@pytest.fixture
def plan(coloured: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Four runs, on a machine with four cores."""
    monkeypatch.setattr(auto, "cores", lambda: 4)
    monkeypatch.setattr("vitbench.training.machine.cores", lambda: 4)
    return make_plan(Settings.of({**TINY, "seeds": (0, 1, 2, 3), "jobs": "auto"}), coloured, Watch())


@pytest.mark.parametrize(
    ("rates", "fits", "late", "chosen"),
    [
        ({1: 100, 4: 40, 2: 70}, 8, False, 4),  # 1/40 of a unit for all four; two by two 2/70; alone 4/100
        ({1: 100, 4: 28, 2: 70}, 8, False, 2),  # 1/28; 2/70; alone 4/100
        ({1: 100, 4: 20, 2: 51}, 8, False, 1),  # 1/20; 2/51, which is too little a gain
        ({1: 100, 3: 30, 2: 51}, 3, False, 1),  # three have room: two rounds of 1/30
        ({1: 100}, 1, False, 1),
        ({1: 100, 4: 40, 2: 70}, 8, True, 1),  # not side by side at all
    ],
)
def test_as_many_as_are_faster_together(
    plan: Plan, rates: dict[int, float], fits: int, late: bool, chosen: int
) -> None:
    """From what each does alone and beside others, and from the room in memory."""
    engine = Measured(rates, fits, late)
    found = with_jobs(plan, engine, Watch())
    assert found.at_once == engine.most == chosen
    assert max(engine.tried) <= min(4, fits)


def test_runs_that_were_begun_keep_their_number(plan: Plan, tmp_path: Path) -> None:
    """One that was cut off with two at a time had its share of the threads: there is nothing to choose."""
    benchmark = Benchmark(tmp_path)
    assert jobs_begun(plan, benchmark) is None
    folder = tmp_path / plan.jobs[2].run_name
    folder.mkdir()
    write_json(folder / "recipe.json", {})
    write_json(folder / "environment.json", {"jobs": 2})
    assert jobs_begun(plan, benchmark) == 2


@pytest.mark.slow
def test_a_try_measures_steps_and_memory(plan: Plan) -> None:
    """The real thing, once: some pictures per second, ready in a while, and room for at least one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto, "SECONDS", 0.05)
        tried = TryWork(plan.jobs[0], plan.split, 0.0)(Watch())
        assert tried.rate > 0
        assert tried.fits >= 1
        assert not tried.late
        assert TryWork(plan.jobs[0], plan.split, 1.0)(Watch()).late  # in 1970


def test_dry_plans_say_so(plan: Plan) -> None:
    """Every job of the plan has its share."""
    assert {job.machine.jobs for job in plan.sharing(2).jobs} == {2}
    assert dataclasses.replace(plan, jobs=()).at_once == 1
