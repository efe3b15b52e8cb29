"""Real `vitbench` processes on a small folder, and what has to be equal whatever happened to them."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitbench.files import read_csv, sha256_of
from vitbench.records import Run

VITBENCH = [sys.executable, "-m", "vitbench"]
OPTIONS = shlex.split(
    "--models test_vit,test_efficientnet --weights random --image-size 32 --epochs 3 --per-class 24 "
    "--batch-size 16 --drop-path 0.2 --ema 0.9 --workers 2"
)


def options(**others: str) -> list[str]:
    """`OPTIONS`, some with another value: `options(models="test_vit")`."""
    found = OPTIONS.copy()
    for name, value in others.items():
        found[found.index(f"--{name.replace('_', '-')}") + 1] = value
    return found


MEASURED = ("seconds", "images_per_second", "memory", "latency")
"""Columns that hold one of these are times and memory, which differ from run to run."""


def start(root: Path, *words: str, log: str = "log") -> "subprocess.Popen[str]":
    """`vitbench …` in `root`, in a process group of its own; stderr goes to `log`.err."""
    with (root / f"{log}.err").open("w") as stream:
        return subprocess.Popen(
            [*VITBENCH, *words],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            start_new_session=True,
            preexec_fn=_heed_ctrl_c,
        )


def _heed_ctrl_c() -> None:
    """Even where the tests themselves run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Exit status and stdout."""
    out, _ = process.communicate(timeout=280)
    return process.returncode, out


def vitbench(root: Path, *words: str, log: str = "log") -> tuple[int, str]:
    """Exit status and stdout of a command that is left to its end."""
    return finish(start(root, *words, log=log))


def said(root: Path, log: str = "log") -> list[str]:
    """The lines that a command wrote to stderr."""
    return (root / f"{log}.err").read_text().splitlines()


def outcome(benchmark: Path, runs: Sequence[str]) -> dict[str, Any]:
    """Weights, epochs, predictions and the comparison, times and memory left out."""
    found: dict[str, Any] = {"predictions": sha256_of(benchmark / "predictions.csv")}
    found["comparison"] = _without_times(benchmark / "comparison.csv")
    for name in runs:
        run = Run(benchmark / name)
        found[name] = {
            "weights": sha256_of(run.model_folder / "model.safetensors"),
            "epochs": _without_times(run.folder / "epochs.csv"),
            "predictions": sha256_of(run.folder / "predictions.csv"),
        }
    return found


def _without_times(path: Path) -> list[dict[str, str]]:
    return [
        {name: cell for name, cell in row.items() if name != "benchmark" and not _measured(name)}
        for row in read_csv(path)
    ]


def _measured(column: str) -> bool:
    return any(word in column for word in MEASURED)


def kill_all(process: "subprocess.Popen[str]", number: int) -> None:
    """Send a signal to the process and what it started."""
    os.killpg(process.pid, number)
