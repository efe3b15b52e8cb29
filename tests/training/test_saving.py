"""How often the loss is read and the state is saved, and that neither changes what comes out."""

import dataclasses
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from called import vitbench
from forked import Forked
from painted import StopAt

from vitbench.cli import main
from vitbench.files import read_csv, read_json, sha256_of
from vitbench.records import Benchmark, Run
from vitbench.records.watch import Watch
from vitbench.training import checkpoint, loop, saving

pytestmark = pytest.mark.usefixtures("no_reports")

Trained = Callable[..., Benchmark]
TIMES = ("seconds", "images_per_second", "peak_memory_mb")
STRESSED: dict[str, Any] = {"drop_path": 0.2, "ema": 0.9, "epochs": 4}


class Steps(Watch):
    """Keeps the steps that are shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        self.seen.append((epoch, step))


@pytest.fixture
def saves(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(epochs done, steps of the next one) of every checkpoint that is written."""
    found: list[tuple[int, int]] = []
    usual = checkpoint.save

    def save(folder: Path, rows: Any, best: Any, tensors: bytes, scaler: Any, inside: Any = None) -> None:
        found.append((len(rows), inside["step"] if inside else 0))
        usual(folder, rows, best, tensors, scaler, inside)

    monkeypatch.setattr(checkpoint, "save", save)
    monkeypatch.setattr("vitbench.benchmark.train.write_reports", lambda *given: None)
    return found


def outcome(run: Run) -> tuple[str, list[dict[str, str]]]:
    """sha256 of the weights, and `epochs.csv` without times."""
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in read_csv(run.folder / "epochs.csv")]
    return sha256_of(run.model_folder / "model.safetensors"), rows


def test_a_short_epoch_is_looked_at_once(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps an epoch, far below a second: only the last of each is read, logged and shown."""
    monkeypatch.setattr(loop, "LOOK_SECONDS", 60.0)
    watch = Steps()
    run = trained(watch, epochs=2).runs[0]
    assert watch.seen == [(1, 3), (2, 3)]
    lines = [line for line in (run.folder / "log.txt").read_text().splitlines() if " step " in line]
    assert len(lines) == 2


@pytest.mark.slow
def test_a_short_training_is_saved_once(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, saves: list[tuple[int, int]]
) -> None:
    """Four epochs below thirty seconds: one checkpoint, at the end, and the same bytes as with four."""
    often = outcome(trained(name="often", **STRESSED).runs[0])
    assert saves == [(1, 0), (2, 0), (3, 0), (4, 0)]
    saves.clear()
    monkeypatch.setattr(saving, "SAVE_SECONDS", 30.0)
    assert outcome(trained(name="seldom", **STRESSED).runs[0]) == often
    assert saves == [(4, 0)]


@pytest.mark.slow
def test_checkpoints_come_at_most_every_so_many_seconds(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, saves: list[tuple[int, int]]
) -> None:
    """By a clock that goes on by 10 s after each epoch: a step after every third, and at the end."""
    clock = [0.0]

    class Later(Watch):
        def epoch_finished(self, *given: Any) -> None:
            clock[0] += 10

    monkeypatch.setattr(saving, "SAVE_SECONDS", 30.0)
    monkeypatch.setattr(saving.time, "monotonic", lambda: clock[0])
    build = loop.build_trainer

    def built(*given: Any, **more: Any) -> loop.Trainer:
        trainer = build(*given, **more)
        trainer.saved_at = 0.0
        return trainer

    monkeypatch.setattr("vitbench.training.fitted.build_trainer", built)
    trained(Later(), epochs=8)
    assert saves == [(3, 1), (6, 1), (8, 0)]


@pytest.mark.slow
def test_a_long_epoch_is_saved_inside(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, saves: list[tuple[int, int]]
) -> None:
    """Where thirty seconds pass within an epoch: gone on with from there, the same bytes."""
    whole = outcome(trained(name="whole", **STRESSED).runs[0])
    saves.clear()
    monkeypatch.setattr(saving, "SAVE_SECONDS", 1e-9)
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(2, 3), name="cut", **STRESSED)
    assert saves == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert outcome(trained(name="cut", resume=True).runs[0]) == whole


def test_a_kill_costs_thirty_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large its state is, a run is saved when 30 s have passed since it was."""
    trainer = type("Some", (), {"saved_at": 1000.0})()
    monkeypatch.setattr(saving, "SAVE_SECONDS", 30.0)
    for seconds, due in ((29, False), (31, True)):
        monkeypatch.setattr(saving.time, "monotonic", lambda now=1000.0 + seconds: now)
        assert saving.due(trainer) == due


@pytest.mark.slow
def test_the_best_weights_outlive_the_epochs_after_them(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, saves: list[tuple[int, int]]
) -> None:
    """An epoch that val chooses is held while later ones are trained, and written with the last one."""
    scores = iter((0.1, 0.9, 0.2, 0.3))
    take = saving.take

    def judged(trainer: loop.Trainer, row: Any) -> bool:
        return take(trainer, dataclasses.replace(row, val_top1=next(scores)))

    monkeypatch.setattr(saving, "take", judged)
    chosen = trained(name="often", **STRESSED).runs[0]
    scores = iter((0.1, 0.9, 0.2, 0.3))
    monkeypatch.setattr(saving, "SAVE_SECONDS", 30.0)
    run = trained(name="seldom", **STRESSED).runs[0]
    assert run.metrics()["best_epoch"] == chosen.metrics()["best_epoch"] == 2
    assert outcome(run)[0] == outcome(chosen)[0]
    assert saves[-2:] == [(4, 0), (4, 0)]


def seldom_saved(*words: str) -> None:
    """`vitbench` as it is for a user, with 30 s between checkpoints."""
    saving.SAVE_SECONDS = 30.0
    sys.argv = ["vitbench", *words]
    main()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX process groups")
def test_kill_9_before_the_first_checkpoint(
    tmp_path: Path, coloured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is for a user, 30 s between checkpoints: killed in epoch 2 it begins again, and ends equal."""
    monkeypatch.setattr(saving, "SAVE_SECONDS", 30.0)
    words = "--models test_vit --weights random --image-size 32 --epochs 3 --per-class 60 --no-probe"
    call = ["train", "coloured", *shlex.split(words)]
    whole, cut = (tmp_path / "results" / name / "test_vit-s0" for name in ("whole", "cut"))
    assert vitbench(*call, "--name", "whole", cwd=tmp_path).returncode == 0
    with Forked(seldom_saved, *call, "--name", "cut", cwd=tmp_path) as process:
        deadline = time.monotonic() + 120
        while "epoch 2 step" not in ((cut / "log.txt").read_text() if (cut / "log.txt").exists() else ""):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert not list((cut / "checkpoint").glob("epoch-*.json"))
    assert vitbench("train", "--resume", "--name", "cut", cwd=tmp_path).returncode == 0
    assert outcome(Run(cut)) == outcome(Run(whole))
    assert read_json(cut / "metrics.json")["epochs"] == 3
