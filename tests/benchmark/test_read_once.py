"""What a training reads of its runs when it concludes, counted."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from painted import TINY

from vitbench import files
from vitbench.benchmark.train import TrainRequest, carry_out
from vitbench.comparison import context
from vitbench.comparison.nouns import Comparison
from vitbench.records import Settings
from vitbench.records.watch import Watch


def counting(counts: Counter[str], function: Callable[..., Any]) -> Callable[..., Any]:
    def counted(path: Path, *more: Any) -> Any:
        counts[f"{path.parent.name}/{path.name}"] += 1
        return function(path, *more)

    return counted


def test_a_training_compares_once_and_reads_its_runs_once(
    tmp_path: Path, coloured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers, the split and recipes once per run, whatever tables and pages are made; one bootstrap each."""
    counts: Counter[str] = Counter()
    for name in ("read_json", "read_rows"):
        monkeypatch.setattr(files, name, counting(counts, getattr(files, name)))
    resampled: list[int] = []
    bootstrap = context.replicates
    monkeypatch.setattr(context, "replicates", lambda *a: resampled.append(len(a[0])) or bootstrap(*a))
    made: list[Comparison] = []
    asked = {**TINY, "models": ("test_vit", "test_efficientnet"), "epochs": 1, "with_probe": False}
    carry_out(TrainRequest(Settings.of(asked), coloured, "b", tmp_path), Watch(), compared=made.append)
    runs = ("test_vit-s0", "test_efficientnet-s0")
    assert len(made) == 1
    assert resampled == [1, 1]
    assert counts["b/split.csv"] == 1
    for run in runs:
        read = {name: counts[f"{run}/{name}"] for name in ("predictions.csv", "recipe.json", "epochs.csv")}
        assert set(read.values()) == {1}, read
