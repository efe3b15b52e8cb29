"""`--jobs`: several runs at a time, each as it would be alone; one's end leaves the others going."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from forked import Forked
from painted import TINY, ListeningToRuns

from vitbench.benchmark import beside
from vitbench.benchmark.engine import Outcome, Work
from vitbench.benchmark.grid import RunWork, carry_out_runs
from vitbench.benchmark.plan import Plan, make_plan
from vitbench.errors import CrowdedError, DeviceLostError, KilledError, UsageError
from vitbench.files import sha256_of, write_json
from vitbench.progress.clock import wall_clock
from vitbench.progress.lines import LineDisplay
from vitbench.records import Benchmark, Epoch, Run
from vitbench.records.watch import Watch
from vitbench.settings import Settings
from vitbench.training.environment import changed_since, environment, refusal
from vitbench.training.machine import choose_machine, shared_out

Trained = Callable[..., Benchmark]


def outcome(run: Run) -> list[str]:
    return [sha256_of(run.folder / name) for name in ("model/model.safetensors", "predictions.csv")]


def of_worker(words: Sequence[str], *, env: Mapping[str, str] | None, **streams: int) -> Forked:
    """The process that `python -c …` would be."""
    return Forked(exec, words[-1], {}, environment=env, **streams)


@pytest.mark.slow
def test_two_at_a_time_come_to_the_same_bytes(
    trained: Trained, no_reports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seeds, in two processes or one after the other here: weights and answers, with one thread each."""
    monkeypatch.setattr(beside, "subprocess", SimpleNamespace(Popen=of_worker, PIPE=subprocess.PIPE))
    watch = ListeningToRuns()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = trained(name="alone", seeds=(0, 1), epochs=1)
        other = trained(watch, name="beside", seeds=(0, 1), epochs=1, jobs=2)
    finally:
        torch.set_num_threads(before)
    assert [outcome(run) for run in alone.runs] == [outcome(run) for run in other.runs]
    assert other.settings.jobs == 2
    assert {run.environment()["jobs"] for run in other.runs} == {2}
    assert any("1 thread, 2 runs at a time" in line for line in watch.heard)
    assert sum("test pictures right" in line for line in watch.heard) == 2


# --- who begins when, and what an end means ---------------------------------------------------------


class Scripted:
    """An engine that carries nothing out: works end in the order in which they began, as it was told."""

    apart = True

    def __init__(self, most: int, ends: dict[str, list[Exception | None]]) -> None:
        self.most, self.ends = most, ends
        self.under_way: list[Work] = []
        self.seen: list[str] = []
        self.stopped = False

    @property
    def shares(self) -> bool:
        return self.most > 1

    @property
    def busy(self) -> int:
        return len(self.under_way)

    @property
    def room(self) -> int:
        return max(0, self.most - self.busy)

    def begin(self, work: Work, watch: Watch) -> None:
        assert isinstance(work, RunWork)
        self.under_way.append(work)
        beside = " beside others" if work.job.beside else ""
        self.seen.append(f"{work.name} with {self.busy - 1}{beside}")

    def wait(self) -> Outcome:
        work = self.under_way.pop(0)
        ends = self.ends.get(work.name) or [None]
        error = ends.pop(0)
        return Outcome(work, result=error is None, error=error, beside=self.busy)

    def stop(self) -> None:
        self.stopped = True

    def __enter__(self) -> "Scripted":
        return self

    def __exit__(self, *given: Any) -> None: ...


@pytest.fixture
def carried(coloured: Path, tmp_path: Path) -> Callable[..., tuple[Scripted, list[str], Path]]:
    """`carried(2, {"a-s0": [error]}, models=…)`: the engine, what was said, the benchmark's folder."""

    def go(most: int, ends: dict[str, list[Exception | None]], **asked: Any) -> Any:
        plan: Plan = make_plan(Settings.of({**TINY, **asked}), coloured, Watch())
        folder = tmp_path / "b"
        folder.mkdir()
        engine, watch = Scripted(most, ends), ListeningToRuns()
        carry_out_runs(plan, Benchmark(folder), engine, watch)
        return engine, watch.heard, folder

    return go


KILLED = ("was killed by the system (SIGKILL), most likely because memory ran out", "needs less")


def test_a_student_waits_for_its_teacher(carried: Any) -> None:
    """The teacher's run begins first, beside what it does not teach; its student when it has ended."""
    engine, _, _ = carried(3, {}, teacher="test_efficientnet", weights=("random", "test_efficientnet=random"))
    assert [one.partition(" ")[0] for one in engine.seen] == [
        "test_efficientnet-s0", "test_vit-s0", "distill-test_vit-s0",
    ]  # fmt: skip
    assert engine.seen[2] == "distill-test_vit-s0 with 1 beside others"


def test_a_killed_run_fails_and_the_others_go_on(carried: Any) -> None:
    """Its folder says why; it is not tried again, for nothing shows that memory ran out."""
    ends: dict[str, list[Exception | None]] = {"test_vit-s0": [KilledError(*KILLED)]}
    engine, said, folder = carried(2, ends, seeds=(0, 1, 2))
    assert [one.partition(" ")[0] for one in engine.seen] == ["test_vit-s0", "test_vit-s1", "test_vit-s2"]
    failed = Run(folder / "test_vit-s0")
    assert (
        failed.failure == "its process was killed by the system (SIGKILL), most likely because memory "
        "ran out; needs less"
    )
    assert f"test_vit-s0: failed: {failed.failure}" in said


@pytest.mark.parametrize("error", [CrowdedError("full"), KilledError(*KILLED, memory_ended=True)])
def test_memory_that_ends_beside_others_means_fewer_at_a_time(carried: Any, error: Exception) -> None:
    """With three at a time, then two, then alone, where it may take smaller steps: only then it can fail."""
    ends: dict[str, list[Exception | None]] = {
        "test_vit-s0": [error, error, KilledError(*KILLED, memory_ended=True)]
    }
    engine, said, folder = carried(3, ends, seeds=(0, 1, 2, 3))
    tries = [one for one in engine.seen if one.startswith("test_vit-s0")]
    assert tries[0].endswith("beside others")
    assert tries[-1] == "test_vit-s0 with 0"
    assert sum("memory ran out beside other runs; it goes on" in line for line in said) == 2
    assert Run(folder / "test_vit-s0").status == "failed"
    assert {one.partition(" ")[0] for one in engine.seen} == {f"test_vit-s{seed}" for seed in range(4)}


def test_a_lost_device_is_one_runs_and_a_full_disk_all_runs(carried: Any, tmp_path: Path) -> None:
    """After the first the next one goes on in another process; the second ends all, when they have saved."""
    lost: dict[str, list[Exception | None]] = {"test_vit-s0": [DeviceLostError("gone")]}
    engine, _, _ = carried(1, lost, seeds=(0, 1))
    assert len(engine.seen) == 2
    plan = make_plan(Settings.of({**TINY, "seeds": (0, 1)}), tmp_path / "coloured", Watch())
    full = Scripted(2, {"test_vit-s0": [OSError(28, "no space")]})
    with pytest.raises(OSError, match="no space"):
        carry_out_runs(plan, Benchmark(tmp_path / "b"), full, Watch())
    assert full.stopped


def test_folds_and_settings_are_trained_side_by_side(carried: Any, tmp_path: Path) -> None:
    """Each by itself, then the run that puts them together; a fold that fails ends its run."""
    engine, _, _ = carried(2, {}, folds=3)
    assert engine.seen == [
        *("test_vit-s0/fold-1 with 0 beside others", "test_vit-s0/fold-2 with 1 beside others"),
        *("test_vit-s0/fold-3 with 1 beside others", "test_vit-s0 with 0 beside others"),
    ]
    (tmp_path / "b").rename(tmp_path / "first")
    engine, _, folder = carried(2, {"test_vit-s0/fold-1": [KilledError(*KILLED)]}, folds=3, seeds=(0, 1))
    assert [one.partition(" ")[0] for one in engine.seen] == [
        *("test_vit-s0/fold-1", "test_vit-s0/fold-2"),
        *("test_vit-s1/fold-1", "test_vit-s1/fold-2", "test_vit-s1/fold-3", "test_vit-s1"),
    ]
    assert Run(folder / "test_vit-s0").failure.startswith("fold-1: its process was killed")
    (tmp_path / "b").rename(tmp_path / "second")
    engine, _, _ = carried(2, {}, tune=2)
    names = [one.partition(" ")[0] for one in engine.seen]
    assert names == ["test_vit-s0/tune-1", "test_vit-s0/tune-2", "test_vit-s0"]
    (tmp_path / "b").rename(tmp_path / "third")
    assert carried(1, {}, folds=3)[0].seen == ["test_vit-s0 with 0"]


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"folds": 2, "final": "retrain"}, {"tune": 2}], ids=["folds", "tune"])
def test_parts_side_by_side_come_to_the_same_bytes(
    trained: Trained, no_reports: None, asked: dict[str, Any]
) -> None:
    """Folds with a model retrained on everything, and settings tried on val: model and answers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = trained(name="alone", epochs=2, **asked)
        watch = ListeningToRuns()
        beside = trained(watch, name="beside", epochs=2, jobs=2, **asked)
    finally:
        torch.set_num_threads(before)
    (one,), (other,) = alone.runs, beside.runs
    assert outcome(one) == outcome(other)
    assert [line for line in watch.heard if "failed" in line] == []


# --- threads ---------------------------------------------------------------------------------------


def test_runs_share_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four threads two runs have two each, eight have one; what a device is called says so."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr("vitbench.training.machine.cores", lambda: 8)
    machine = choose_machine(Settings.of({"jobs": 2}), torch.device("cpu"), 32)
    assert (machine.threads, machine.jobs) == (2, 2)
    assert machine.device_name.endswith("CPU, 2 threads, 2 runs at a time")
    assert shared_out(machine, 8).threads == 1
    assert shared_out(machine, 1).device_name.endswith("CPU, 4 threads")
    with pytest.raises(UsageError, match="--jobs 9: more than this machine has cores, which is 8"):
        choose_machine(Settings.of({"jobs": 9}), torch.device("cpu"), 32)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="--jobs 2: torchrun's processes train one model together"):
        choose_machine(Settings.of({"jobs": 2}), torch.device("cpu"), 32)


@pytest.mark.parametrize(
    ("begun", "now", "hint"),
    [((2, 4), (1, 4), "give --jobs 2, or go on"), ((2, 4), (2, 2), "set OMP_NUM_THREADS=4, or go on")],
)
def test_a_run_goes_on_with_the_threads_that_it_had(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    begun: tuple[int, int],
    now: tuple[int, int],
    hint: str,
) -> None:
    """Other --jobs mean other threads, which is refused with the number that gives the same ones."""
    monkeypatch.setattr("vitbench.training.machine.cores", lambda: 8)

    def machine(jobs: int, threads: int) -> Any:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        return choose_machine(Settings.of({"jobs": jobs}), torch.device("cpu"), 32)

    run = Run(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    write_json(tmp_path / "environment.json", environment(machine(*begun)))
    changed = changed_since(run, machine(*now))
    assert len(changed) == 1
    assert hint in refusal(run, changed)
    assert changed_since(run, machine(*begun)) == []


# --- what is shown ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "to_come", "at_once", "seconds"),
    [
        ([], [3, 2, 2], 1, 7),
        ([], [3, 2, 2], 2, 4),
        ([5], [1, 1], 2, 5),
        ([], [], 2, 0),
        ([1, 1, 4], [2], 2, 4),
    ],
)
def test_how_long_it_takes_with_so_many_at_a_time(
    left: Sequence[float], to_come: Sequence[float], at_once: int, seconds: float
) -> None:
    """Places become free one after another."""
    assert wall_clock(left, to_come, at_once) == seconds


def test_each_run_has_its_own_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Two runs at a time of 2 and of 4 epochs: each line has its run's own count, and the whole's end."""
    watch = LineDisplay(Path("results"))
    watch.benchmark_started("b", {"a-s0": 10.0, "b-s0": 10.0, "c-s0": 3600.0}, 2)
    one, two = watch.among("a-s0"), watch.among("b-s0")
    one.run_started("a-s0", 2, 5, 1)
    two.run_started("b-s0", 4, 5, 1)
    row = Epoch(1, 0.5, 0.5, 0.5, 0.5, 1e-3, 1.0, 100.0, 1.0)
    one.epoch_finished("a-s0", row, True)
    two.epoch_finished("b-s0", row, False)
    one.run_finished("a-s0", "3 of 4 test pictures right")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("a-s0: epoch 1/2 ")
    assert lines[1].startswith("b-s0: epoch 1/4 ")
    assert "all 1 h" in lines[0].replace("60 min", "1 h")
    assert lines[2] == "a-s0: 3 of 4 test pictures right"
