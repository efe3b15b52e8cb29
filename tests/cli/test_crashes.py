"""One model that cannot be planned, or whose first steps kill the process, is one row; the others go on."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vitbench.benchmark.train import train
from vitbench.comparison.compare import compare
from vitbench.errors import UsageError
from vitbench.records import Benchmark
from vitbench.training import loop

Trained = Callable[..., Benchmark]
ROOT = Path(__file__).parents[2]

DIES = """
import ctypes
from vitbench.benchmark import estimate
timed = estimate._step_seconds
def die(trainer):
    if trainer.recipe.model.startswith("test_resnet"):
        ctypes.string_at(0)
    return timed(trainer)
estimate._step_seconds = die
"""
"""Training steps of one network end in a SIGSEGV, in whatever process they are."""


def dying(tmp_path: Path, data: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    """`vitbench train` in a process of its own, with that fault in it."""
    (tmp_path / "faulty").mkdir()
    (tmp_path / "faulty" / "sitecustomize.py").write_text(DIES)
    tiny = [
        "--weights",
        "random",
        "--image-size",
        "32",
        "--epochs",
        "1",
        "--per-class",
        "4",
        "--no-probe",
        "--name",
        "b",
    ]
    command = [sys.executable, "-m", "vitbench", "train", str(data), *tiny, *more]
    path = os.pathsep.join([str(tmp_path / "faulty"), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a fault ends in other words")


@pytest.mark.slow
@linux
def test_a_model_whose_timed_steps_kill_the_process_fails_alone(tmp_path: Path, coloured: Path) -> None:
    """A real SIGSEGV while the plan is timed: the model is named with the cause, the other one is trained."""
    done = dying(tmp_path, coloured, "--models", "test_resnet,test_vit")
    assert done.returncode == 3
    reason = json.loads((tmp_path / "results/b/test_resnet-s0/failure.json").read_text())["reason"]
    assert "the process that timed its first steps was killed by the system (SIGSEGV)" in reason
    assert "a fault in torch's compiled code for this network" in reason
    assert f"test_resnet-s0: failed: {reason}" in " ".join(done.stderr.split())
    assert (tmp_path / "results/b/test_vit-s0/metrics.json").exists()


@pytest.mark.slow
@linux
def test_a_dry_run_names_the_model_that_kills_it(tmp_path: Path, coloured: Path) -> None:
    """The plan of the others stands, nothing is written."""
    done = dying(tmp_path, coloured, "--models", "test_resnet,test_vit", "--dry-run")
    assert done.returncode == 3
    plan = done.stdout + done.stderr
    failed = "test_resnet-s0: failed: the process that timed its first steps was killed"
    assert failed in " ".join(plan.split())
    assert re.search(r"^test_vit +1 .* random$", plan, re.MULTILINE)  # its row
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@linux
def test_where_the_only_model_kills_the_process_the_command_fails(tmp_path: Path, coloured: Path) -> None:
    """Status 1, one line, no benchmark."""
    done = dying(tmp_path, coloured, "--models", "test_resnet")
    assert done.returncode == 1
    assert "SIGSEGV" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "results" / "b").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "unfit"),
    [("finetune", "halonet26t"), ("probe", "eva02_tiny_patch14_224"), ("simmim", "resnet18")],
)
def test_a_model_that_cannot_be_planned_is_a_failed_row(
    trained: Trained, coloured: Path, tmp_path: Path, recipe: str, unfit: str
) -> None:
    """At 80 px the other model is trained, probed or pre-trained; resumed, the benchmark stays as it is."""
    asked: dict[str, Any] = {"recipe": recipe, "models": (unfit, "test_vit"), "image_size": 80}
    if recipe != "probe":
        asked |= {"epochs": 1, "batch_size": 16}
    if recipe == "finetune":
        asked |= {"per_class": 4}
    benchmark = train(coloured, name="tiny", results=tmp_path / "results", weights=("random",), **asked)
    by_status = {run.status: run for run in benchmark.runs}
    assert set(by_status) == {"finished", "failed"}
    assert unfit in by_status["failed"].name
    assert unfit in by_status["failed"].failure
    if recipe == "finetune":
        rows = {row.model: row.status for row in compare(benchmark).rows}
        assert rows == {unfit: "failed", "test_vit": "finished"}
    again = trained(resume=True)
    assert {run.name: run.status for run in again.runs} == {run.name: run.status for run in benchmark.runs}


def test_a_misspelt_name_ends_the_command_before_anything_runs(trained: Trained, tmp_path: Path) -> None:
    """It is no model that cannot be planned: nobody meant it."""
    with pytest.raises(UsageError, match="no model is called 'test_vitt'"):
        trained(models=("test_vit", "test_vitt"))
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_where_no_model_can_be_planned_the_command_is_refused(trained: Trained, tmp_path: Path) -> None:
    """A usage error with a size that runs; nothing is written."""
    with pytest.raises(UsageError, match=r"vit sees patches of 16 px.*try --image-size 48 or 64"):
        trained(models=("vit", "deit"), image_size=50)
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_an_error_that_nobody_foresaw_is_one_models(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that raises while it learns fails with its traceback in log.txt; the next one is trained."""
    build = loop.build_trainer

    def odd(model: Any, recipe: Any, *more: Any, **options: Any) -> loop.Trainer:
        if recipe.model.startswith("test_resnet"):
            raise TypeError("forward() takes a tuple")
        return build(model, recipe, *more, **options)

    monkeypatch.setattr("vitbench.benchmark.estimate.build_trainer", odd)
    monkeypatch.setattr("vitbench.training.fitted.build_trainer", odd)
    benchmark = trained(models=("test_resnet", "test_vit"), epochs=1)
    assert [run.status for run in benchmark.runs] == ["failed", "finished"]
    failed = benchmark.runs[0]
    assert failed.failure.startswith("TypeError: forward() takes a tuple; the traceback is in ")
    assert "Traceback (most recent call last)" in (failed.folder / "log.txt").read_text()
