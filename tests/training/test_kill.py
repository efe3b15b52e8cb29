"""A real process, killed by the kernel inside an epoch, resumed by another one: this one."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from called import vitbench

from vitbench.files import read_csv, sha256_of
from vitbench.models.create import create
from vitbench.models.folder import save_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model

CALL = [sys.executable, "-m", "vitbench", "train"]
pytestmark = pytest.mark.usefixtures("nobody_left")
OPTIONS = shlex.split(
    "--models test_vit --weights random --image-size 32 --epochs 4 --per-class 60 "
    "--drop-path 0.2 --ema 0.9 --micro-batch 6 --workers 2"
)


def kill_inside_an_epoch(folder: Path, call: list[str], part: str) -> str:
    """Start training, kill -9 it in the middle of the part's epoch 2; returns the last line of its log."""
    process = subprocess.Popen(
        [*call, "--name", "cut"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    log = folder / "results" / "cut" / part / "log.txt"
    deadline = time.monotonic() + 120
    try:
        while time.monotonic() < deadline:
            text = log.read_text() if log.exists() else ""
            if re.search(r"epoch 2 step [3-9]/", text):
                break
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return log.read_text().splitlines()[-1]


def teacher_in(folder: Path) -> Path:
    """A saved convolutional network that knows the classes."""
    model = create(plan_model("test_efficientnet", 32), 3, RANDOM, seed=1)
    save_model(model, folder, ("blue", "green", "red"), plan_model("test_efficientnet", 32).preprocessing)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX process groups")
@pytest.mark.parametrize(
    ("more", "run", "part"),
    [
        ("--batch-size 16", "test_vit-s0", "test_vit-s0"),
        (
            "--batch-size 16 --teacher teacher --distill soft --no-plain",
            "distill-test_vit-s0", "distill-test_vit-s0",
        ),
        ("--pretrain --pretrain-epochs 3 --batch-size 4", "test_vit-s0", "test_vit-s0/pretrain"),
    ],
    ids=["labels", "teacher", "masks"],
)  # fmt: skip
def test_kill_9_inside_an_epoch_then_resume(
    tmp_path: Path, coloured: Path, more: str, run: str, part: str
) -> None:
    """Drop path, EMA, accumulation and two workers on: same bytes of weights, each epoch once."""
    if "--teacher" in more:
        teacher_in(tmp_path / "teacher")
    words = [str(coloured), *OPTIONS, *shlex.split(more)]
    assert vitbench("train", *words, "--name", "whole", cwd=tmp_path).returncode == 0
    last = kill_inside_an_epoch(tmp_path, [*CALL, *words], part)
    assert re.search(r"epoch 2 step \d+/\d+ loss", last), last
    assert vitbench("train", "--resume", "--name", "cut", cwd=tmp_path).returncode == 0
    runs = [tmp_path / "results" / name / run for name in ("whole", "cut")]
    for place in dict.fromkeys((run, part)):
        models = [tmp_path / "results" / name / place / "model" for name in ("whole", "cut")]
        assert len({sha256_of(model / "model.safetensors") for model in models}) == 1
    assert [row["epoch"] for row in read_csv(runs[1] / "epochs.csv")] == ["1", "2", "3", "4"]
    for name in ("predictions.csv", "val_predictions.csv"):
        one, other = ((place / name).read_bytes() for place in runs)
        assert one == other
