"""`kill -9` of a sweep: what is there is kept, and the same call does what is left, to the same cells."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from painted import TINY, paint_folder

from vitbench.benchmark.sweep import sweep

ASKED: dict[str, Any] = {
    **TINY,
    "shots": (1, 2),
    "draws": 3,
    "arms": ("finetune",),
    "trained_shots": (2, 4),
    "trained_draws": 1,
    "folds": "none",
    "progress": False,
}
DIES = """
import os, signal, sys
from vitbench.benchmark.sweep import sweep
from vitbench.records.watch import Watch

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Dies(Watch):
    def work(self, what, done, total):
        if sys.argv[1] == "heads" and what == "test_vit: heads" and done == 2:
            die()

    def epoch_finished(self, run, row, best):
        if sys.argv[1] == "training" and run.endswith("-k4-draw1"):
            die()

sweep("coloured", results="killed", watch=Dies(), **{asked!r})
"""


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of heads, then of a training: no cell is computed twice, all are as without."""
    monkeypatch.chdir(tmp_path)
    paint_folder(tmp_path / "coloured")
    cells = tmp_path / "killed" / "coloured-sweep" / "cells.csv"
    there = b""
    for dies, rows in (("heads", 2), ("training", 6 + 1)):
        words = [sys.executable, "-c", DIES.replace("{asked!r}", repr(ASKED)), dies]
        done = subprocess.run(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        assert done.returncode == -9, done.stderr
        now = cells.read_bytes()
        assert now.startswith(there)
        assert len(now.splitlines()) == 1 + rows
        there = now
    sweep("coloured", results="killed", **ASKED)
    sweep("coloured", results="plain", **ASKED)
    assert cells.read_bytes().startswith(there)
    assert cells.read_bytes() == (tmp_path / "plain" / "coloured-sweep" / "cells.csv").read_bytes()
    assert not (cells.parent / "runs").exists()
