"""`--jobs 2`, real processes: one run's is killed, Ctrl-C, the first one is killed; resumed, equal bytes."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.processes import finish, kill_all, options, outcome, said, start, vitbench
from painted import paint_folder

from vitbench.records import Run

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.name != "posix", reason="needs POSIX process groups"),
]
RUNS = ("test_vit-s0", "test_efficientnet-s0")
BEGIN = ["train", "coloured", *options(epochs="40", per_class="48"), "--no-probe"]
"""Long enough for both to be under way when the second process has been started."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures in it, for processes with one thread each."""
    folder = tmp_path_factory.mktemp("together")
    paint_folder(folder / "coloured")
    os.environ["OMP_NUM_THREADS"] = "1"
    return folder


@pytest.fixture(scope="module")
def whole(root: Path, record: Callable[..., None]) -> dict[str, Any]:
    """What the runs come to one after the other, undisturbed."""
    began = time.monotonic()
    assert vitbench(root, *BEGIN, "--name", "whole")[0] == 0, said(root)
    alone = time.monotonic() - began
    began = time.monotonic()
    assert vitbench(root, *BEGIN, "--name", "both", "--jobs", "2")[0] == 0, said(root)
    together = time.monotonic() - began
    expected = runs_of(root / "results" / "whole")
    assert runs_of(root / "results" / "both") == expected
    record(
        fault="two runs at a time (`--jobs 2`), one thread each",
        cause=f"{alone:.0f} s one after the other, {together:.0f} s together",
        cases=1,
        promised="the bytes of weights and answers are those of one after the other",
        happened="equal",
    )
    return expected


def runs_of(folder: Path) -> dict[str, Any]:
    """What `outcome` says of the runs themselves: the comparison of two benchmarks names their devices."""
    return {name: value for name, value in outcome(folder, RUNS).items() if name in RUNS}


def both_under_way(root: Path, name: str) -> dict[str, int]:
    """Begin it with two at a time; the process of each run, as its lock says, once both are in epoch 2."""
    folder = root / "results" / name
    holders: dict[str, int] = {}
    deadline = time.monotonic() + 200
    while len(holders) < len(RUNS):
        assert time.monotonic() < deadline
        for run in RUNS:
            log = folder / run / "log.txt"
            if log.exists() and re.search(r"epoch 2 step", log.read_text()):
                holders[run] = json.loads((folder / run / ".lock.json").read_text())["pid"]
        time.sleep(0.005)
    return holders


def test_one_runs_killed_process_leaves_the_other(root: Path, whole: dict[str, Any]) -> None:
    """Status 3, the reason in its folder and on stderr; the other finishes; resumed, both as undisturbed."""
    process = start(root, *BEGIN, "--name", "cut", "--jobs", "2")
    holders = both_under_way(root, "cut")
    assert len(set(holders.values())) == 2
    assert process.pid not in holders.values()
    os.kill(holders[RUNS[0]], signal.SIGKILL)
    status, table = finish(process)
    assert status == 3, said(root)
    killed, other = (Run(root / "results" / "cut" / name) for name in RUNS)
    assert "was killed by the system (SIGKILL)" in killed.failure
    assert any(line == f"{RUNS[0]}: failed: {killed.failure}" for line in said(root))
    assert other.status == "finished"
    assert "failed" in table
    assert vitbench(root, "train", "--resume", "--name", "cut")[0] == 0, said(root)
    assert runs_of(root / "results" / "cut") == whole


def test_ctrl_c_saves_both_runs(root: Path, whole: dict[str, Any]) -> None:
    """As a terminal sends it, to all processes: status 130, how far each is saved, what goes on."""
    process = start(root, *BEGIN, "--name", "stopped", "--jobs", "2")
    both_under_way(root, "stopped")
    kill_all(process, signal.SIGINT)
    assert finish(process)[0] == 130
    last = said(root)[-1]
    assert all(f"{run} is saved " in last for run in RUNS)
    assert "`vitbench train --resume --name stopped --jobs 2` goes on" in last
    assert vitbench(root, "train", "--resume", "--name", "stopped")[0] == 0, said(root)
    assert runs_of(root / "results" / "stopped") == whole


def test_no_run_outlives_the_command(root: Path, whole: dict[str, Any]) -> None:
    """kill -9 on the command alone: its runs' processes end, nothing is locked, resumed as undisturbed."""
    process = start(root, *BEGIN, "--name", "orphans", "--jobs", "2")
    holders = both_under_way(root, "orphans")
    process.kill()
    finish(process)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in holders.values()):
        assert time.monotonic() < deadline, "somebody has outlived it"
        time.sleep(0.02)
    assert vitbench(root, "train", "--resume", "--name", "orphans")[0] == 0, said(root)
    assert runs_of(root / "results" / "orphans") == whole


def test_other_jobs_are_refused_where_they_mean_other_threads(root: Path, whole: dict[str, Any]) -> None:
    """Begun two at a time with three threads each: alone, with one thread, it is not gone on with."""
    process = start(root, *BEGIN, "--name", "threads")
    folder = root / "results" / "threads"
    deadline = time.monotonic() + 200
    while not (folder / RUNS[0] / "checkpoint").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    kill_all(process, signal.SIGKILL)
    finish(process)
    environment = json.loads((folder / RUNS[0] / "environment.json").read_text())
    (folder / RUNS[0] / "environment.json").write_text(json.dumps({**environment, "threads": 3, "jobs": 2}))
    assert vitbench(root, "train", "--resume", "--name", "threads")[0] == 2
    assert "give --jobs 2, or go on where they are the same" in said(root)[-1]
