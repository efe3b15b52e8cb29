"""Forty benchmarks of two models, each killed by kill -9 at a random moment and resumed: equal bytes."""

import contextlib
import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.processes import OPTIONS, finish, kill_all, outcome, said, start, vitbench
from painted import paint_folder

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.name != "posix", reason="needs POSIX process groups"),
]
RUNS = ("test_vit-s0", "test_efficientnet-s0")
CASES = int(os.environ.get("VITBENCH_KILLS", "40"))
BEGIN = ["train", "coloured", *OPTIONS, "--name"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures in it."""
    folder = tmp_path_factory.mktemp("kills")
    paint_folder(folder / "coloured")
    return folder


@pytest.fixture(scope="module")
def whole(root: Path) -> tuple[dict[str, Any], float]:
    """What the benchmark comes to undisturbed, and the seconds from its folder's making to the end."""
    process = start(root, *BEGIN, "whole")
    wait_for(root / "results" / "whole")
    began = time.monotonic()
    assert finish(process)[0] == 0, said(root)
    return outcome(root / "results" / "whole", RUNS), time.monotonic() - began


@pytest.fixture(scope="module")
def moments(record: Callable[..., None]) -> Iterator[Counter[str]]:
    """In what the kills came, for the page of evidence."""
    found: Counter[str] = Counter()
    yield found
    cases, equal = found.pop("tried"), found.pop("equal")
    record(
        fault="kill -9 of `vitbench train` with two models at a random moment",
        cause="os.killpg(…, SIGKILL) after a random part of the benchmark's time; every second one at the "
        "sight of a temporary file among the checkpoints",
        cases=cases,
        promised="resumed, it ends as the undisturbed one: sha256 of the weights, epochs.csv and "
        "comparison.csv but for times and memory, predictions.csv",
        happened=f"equal in {equal} of {cases}; killed "
        + ", ".join(f"{n} {where}" for where, n in found.items()),
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.002)


def writing(folder: Path) -> bool:
    """A temporary file lies among some run's checkpoints."""
    for run in RUNS:
        with contextlib.suppress(FileNotFoundError):
            if any(name.endswith(".tmp") for name in os.listdir(folder / run / "checkpoint")):  # noqa: PTH208
                return True
    return False


def where(folder: Path) -> str:
    """What the killed process was in, from what it left."""
    if not (folder / "benchmark.json").exists():
        return "before there was a benchmark"
    if writing(folder):
        return "inside the writing of a checkpoint"
    if all((folder / run / "metrics.json").exists() for run in RUNS):
        return "inside the reports"
    log = next((folder / run / "log.txt" for run in RUNS[::-1] if (folder / run / "log.txt").exists()), None)
    last = log.read_text().splitlines()[-1] if log is not None else ""
    return "inside an epoch" if re.search(r"step \d+/", last) else "between two epochs or runs"


def killed(root: Path, after: float, *, inside_a_checkpoint: bool) -> bool:
    """Begin the benchmark "cut" and kill it so many seconds after its folder was made, or a bit later.

    False where it ended before that.
    """
    folder = root / "results" / "cut"
    shutil.rmtree(folder, ignore_errors=True)
    process = start(root, *BEGIN, "cut")
    wait_for(folder)
    moment = time.monotonic() + after
    while process.poll() is None:
        if time.monotonic() >= moment and (not inside_a_checkpoint or writing(folder)):
            kill_all(process, signal.SIGKILL)
            break
        time.sleep(0 if inside_a_checkpoint else 0.005)
    return finish(process)[0] == -signal.SIGKILL


@pytest.mark.parametrize("case", range(CASES))
def test_kill_9_then_resume_is_as_if_nothing_had_been(
    root: Path, whole: tuple[dict[str, Any], float], moments: Counter[str], case: int
) -> None:
    """Weights, epochs, predictions and comparison of both models, times and memory aside."""
    expected, seconds = whole
    folder = root / "results" / "cut"
    dice = random.Random(case)
    while not killed(root, seconds * dice.random(), inside_a_checkpoint=case % 2 == 0):
        pass  # it was faster than the moment that was drawn
    moments.update(["tried", where(folder)])
    again = [*BEGIN, "cut", "--resume"]  # a scheduler's own line, whatever the moment was
    assert vitbench(root, *again)[0] == 0, said(root)
    assert outcome(folder, RUNS) == expected
    moments["equal"] += 1
