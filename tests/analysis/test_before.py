"""The network that a run began with, made again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from vitbench.analysis.before import before_training
from vitbench.models.create import create, state_sha256
from vitbench.models.folder import save_model
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark


@pytest.mark.slow
def test_random_weights_are_drawn_again_to_the_bit(two_models: Benchmark) -> None:
    """Of a ViT and of a CNN: the state that the run wrote the sha256 of before its first step."""
    for run in two_models.runs:
        found = before_training(run, two_models)()
        assert isinstance(found, nn.Module)
        assert state_sha256(found) == run.recipe().initial_sha256


@pytest.mark.slow
def test_other_random_numbers_are_no_beginning(two_models: Benchmark, tmp_path: Path) -> None:
    """Where torch or timm draw otherwise than then, there is nothing to compare with, and that is said."""
    shutil.copytree(two_models.folder, copied := tmp_path / "copied")
    run = Benchmark(copied).runs[0]
    recipe = run.folder / "recipe.json"
    recipe.write_text(recipe.read_text().replace(run.recipe().initial_sha256, "0" * 64))
    reason = before_training(run, Benchmark(copied))()
    assert reason == "this version of torch or timm draws other random weights than it began with"


@pytest.mark.slow
@pytest.mark.usefixtures("no_reports")
def test_weights_from_a_path_are_read_again_while_they_are_the_same(
    trained: Callable[..., Benchmark], tmp_path: Path
) -> None:
    """A saved model is read where the benchmark says; another file there, or none, is a reason."""
    folder = tmp_path / "mine"
    plan = plan_model("test_vit", 32)
    first = create(plan, 3, RANDOM, 7)
    save_model(first, folder, ("x", "y", "z"), plan.preprocessing)
    benchmark = trained(models=("test_vit",), weights=(f"test_vit={folder}",), epochs=1)
    (run,) = benchmark.runs
    found = before_training(run, benchmark)()
    assert isinstance(found, nn.Module)
    assert torch.equal(found.pos_embed, first.pos_embed)  # type: ignore[arg-type]
    save_model(create(plan, 3, RANDOM, 8), folder, ("x", "y", "z"), plan.preprocessing)
    assert str(before_training(run, benchmark)()).endswith("is another file than it began from")
    shutil.rmtree(folder)
    assert str(before_training(run, benchmark)()).endswith("mine: no such file or folder")


@pytest.mark.slow
@pytest.mark.usefixtures("no_reports")
def test_a_pre_trained_encoder_is_read_from_the_run(trained: Callable[..., Benchmark]) -> None:
    """Masked pre-training leaves its encoder in the run's folder: fine-tuning began from it."""
    benchmark = trained(pretrain=True, pretrain_epochs=1, epochs=1)
    (run,) = benchmark.runs
    found = before_training(run, benchmark)()
    assert isinstance(found, nn.Module)
    assert state_sha256(found) == run.recipe().initial_sha256


def test_pretrained_weights_that_are_not_here_are_named(two_models: Benchmark, tmp_path: Path) -> None:
    """The hub is not asked: what is not in its cache is not to be had."""
    shutil.copytree(two_models.folder, copied := tmp_path / "copied")
    run = Benchmark(copied).runs[0]
    recipe = run.folder / "recipe.json"
    recipe.write_text(recipe.read_text().replace('"kind": "random"', '"kind": "hub"'))
    reason = str(before_training(run, Benchmark(copied))())
    assert reason.startswith("the pretrained file that it began from")
    assert reason.endswith("is not here")
