"""Every family, a distilled head, a CNN and models of folds go through the exporter and answer equally."""

from pathlib import Path

import pytest
from painted import TINY, paint_folder

from vitbench.benchmark.export import export
from vitbench.benchmark.train import train
from vitbench.exporting import check
from vitbench.models.families import FAMILIES

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(no_reports: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pages; timed in as few passes as may be, one picture at a time."""
    monkeypatch.setattr(check, "SECONDS", 0.0)
    monkeypatch.setattr(check, "BATCHES", (1,))


@pytest.mark.parametrize("name", [*(one.alias for one in FAMILIES), "resnet18"])
def test_every_family_answers_as_in_torch(tmp_path: Path, name: str) -> None:
    """On every test picture, from random weights, at a size that windows divide."""
    data = paint_folder(tmp_path / "data", 8)
    size = 96 if name == "swin" else 64
    asked = {**TINY, "models": (name,), "epochs": 1, "per_class": 2, "image_size": size}
    benchmark = train(data, name="one", results=tmp_path / "results", **asked)
    about = export(benchmark).about
    assert about["test"]["agreement"] == 1
    assert about["test"]["largest_difference"] < 1e-5


def test_folds_are_exported_together(tmp_path: Path) -> None:
    """One file; its score is the run's own: each picture answered by the model that did not learn from it."""
    data = paint_folder(tmp_path / "data", 9)
    benchmark = train(data, name="one", results=tmp_path / "results", **{**TINY, "folds": 3})
    made = export(benchmark)
    assert made.about["models"] == 3
    assert made.about["test"]["agreement"] == 1
    assert made.about["test"]["top1"] == benchmark.runs[0].metrics()["test"]["top1"]
    assert made.about["test"]["n"] == 27
    assert export(benchmark, to="pt2").about["test"]["largest_difference"] < 1e-6
