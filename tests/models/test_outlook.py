"""What a dry run says of pretrained weights, and an error of a teacher's, where there is no network."""

from pathlib import Path

import pytest

from vitbench.benchmark.train import TrainRequest, prepare
from vitbench.errors import WeightsError
from vitbench.models import hub
from vitbench.records.watch import Watch
from vitbench.settings import Settings


@pytest.fixture(autouse=True)
def nothing_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub is a port of this machine at which nobody listens; its cache is empty."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    hub._unreachable.cache_clear()


def test_a_dry_run_says_that_pretrained_weights_are_not_to_be_had(coloured: Path) -> None:
    """In the run's line and in a note, one for all models; with `auto` the run is one from random weights."""
    asked = {"models": ("test_vit", "test_vit2"), "image_size": 32, "with_probe": False}
    plan, _ = prepare(TrainRequest(Settings.of(asked), coloured), Watch(), dry_run=True)
    assert plan.jobs[0].begins_with == "pretrained (not to be had here)"
    assert plan.warnings[0].startswith("test_vit, test_vit2: pretrained weights not to be had here")
    assert len(plan.warnings) == 1
    assert "127.0.0.1: " in plan.warnings[0]
    plan, _ = prepare(
        TrainRequest(Settings.of({**asked, "weights": ("auto",)}), coloured), Watch(), dry_run=True
    )
    assert plan.jobs[0].recipe.init.kind == "random"
    assert "RANDOM" in plan.warnings[0]


def test_a_teacher_is_not_advised_to_begin_with_random_weights(
    coloured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have nothing to teach: weights of its own, or another teacher."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    asked = {"models": ("test_vit",), "weights": ("random",), "teacher": "test_resnet", "image_size": 32}
    with pytest.raises(WeightsError, match="test_resnet: no pretrained weights") as failed:
        prepare(TrainRequest(Settings.of(asked), coloured), Watch())
    assert "random" not in str(failed.value)
    assert "--teacher" in str(failed.value)
