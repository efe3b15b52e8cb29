"""One writer: a second one is told who it is, and a dead one holds nothing."""

import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vitbench.benchmark import folder
from vitbench.errors import RefusedError
from vitbench.files import read_json
from vitbench.locks import locked
from vitbench.records import Benchmark, PlannedRun
from vitbench.records.watch import Watch
from vitbench.training.jobs import writing

HOLD = (
    "import sys; from pathlib import Path; from vitbench.locks import locked\n"
    "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has locked `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_writer_is_told_who_holds_the_lock(other: "subprocess.Popen[str]", tmp_path: Path) -> None:
    """Process number, host and time of the one that has it."""
    words = rf"process {other.pid} on {platform.node()} \(since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"
    with pytest.raises(RefusedError, match=words), locked(tmp_path):
        pass


def test_a_killed_process_holds_nothing(other: "subprocess.Popen[str]", tmp_path: Path) -> None:
    """After kill -9 its note is still there, and the lock can be had."""
    other.kill()
    other.wait()
    assert read_json(tmp_path / ".lock.json")["pid"] == other.pid
    with locked(tmp_path):
        assert read_json(tmp_path / ".lock.json")["pid"] != other.pid
    assert not (tmp_path / ".lock.json").exists()


@pytest.mark.slow
def test_a_run_that_is_being_written_is_not_touched(
    trained: Callable[..., Benchmark], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second `train` on a running run says so for that run and leaves its files alone."""
    monkeypatch.setattr("vitbench.benchmark.train.write_reports", lambda *given: None)
    first = trained(epochs=1)
    run = first.runs[0]
    (run.folder / "metrics.json").unlink()
    before = {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    heard: list[str] = []

    class Listening(Watch):
        def run_finished(self, run: str, text: str) -> None:
            heard.append(text)

    with writing(run):
        trained(Listening(), resume=True)
    assert len(heard) == 1
    assert heard[0].startswith("not touched: process ")  # the run's name stands before it
    assert {path: path.read_bytes() for path in before} == before


def test_runs_added_at_the_same_moment_are_all_there(two_models: Benchmark, tmp_path: Path) -> None:
    """Four writers add a run each to one `benchmark.json`: none is lost."""
    import json

    copy = Benchmark(tmp_path)
    (tmp_path / "benchmark.json").write_text(json.dumps(two_models.manifest))

    class Plan:
        def __init__(self, run: PlannedRun) -> None:
            self.settings, self.jobs, self.warnings = two_models.settings, [], ()
            self.planned = [run]

    added = [PlannedRun.of("test_vit", seed) for seed in range(10, 14)]
    plans: list[Any] = [Plan(run) for run in added]
    threads = [threading.Thread(target=folder.add_runs, args=(copy, plan)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(run.name for run in copy.runs[2:]) == [run.name for run in added]
