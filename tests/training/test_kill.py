"""A real process, killed by the kernel inside an epoch, resumed by another one."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitbench.files import read_csv, sha256_of

CALL = [sys.executable, "-m", "vitbench", "train"]
OPTIONS = shlex.split(
    "--models test_vit --weights random --image-size 32 --epochs 4 --per-class 60 --batch-size 16 "
    "--drop-path 0.2 --ema 0.9 --micro-batch 6 --workers 2"
)


def kill_inside_an_epoch(folder: Path, data: Path) -> str:
    """Start training, kill -9 it in the middle of epoch 2; returns the last line of its log."""
    process = subprocess.Popen(
        [*CALL, str(data), *OPTIONS, "--name", "cut"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    log = folder / "results" / "cut" / "test_vit-s0" / "log.txt"
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


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs POSIX process groups")
def test_kill_9_inside_an_epoch_then_resume(tmp_path: Path, coloured: Path) -> None:
    """Drop path, EMA, accumulation and two workers on: same bytes of weights, each epoch once."""
    whole = [*CALL, str(coloured), *OPTIONS, "--name", "whole", "--json"]
    done = subprocess.run(whole, cwd=tmp_path, check=True, capture_output=True)
    assert json.loads(done.stdout)["rows"]
    last = kill_inside_an_epoch(tmp_path, coloured)
    assert re.search(r"epoch 2 step \d+/12 loss", last), last
    subprocess.run([*CALL, "--resume", "--name", "cut"], cwd=tmp_path, check=True, capture_output=True)
    runs = [tmp_path / "results" / name / "test_vit-s0" for name in ("whole", "cut")]
    assert len({sha256_of(run / "model" / "model.safetensors") for run in runs}) == 1
    assert [row["epoch"] for row in read_csv(runs[1] / "epochs.csv")] == ["1", "2", "3", "4"]
    for name in ("predictions.csv", "val_predictions.csv"):
        one, other = ((run / name).read_bytes() for run in runs)
        assert one == other
