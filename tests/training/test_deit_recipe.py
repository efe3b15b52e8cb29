"""`--recipe deit`: DeiT's regularisation on the family's own row; what is asked for beats it."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from painted import StopAt

from vitbench.data.batches import train_batches
from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.errors import UsageError
from vitbench.files import sha256_of
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark, Origin, Recipe, Settings
from vitbench.training.recipes import build_recipe

Trained = Callable[..., Benchmark]


@pytest.fixture
def recipe_of(coloured: Path) -> Callable[..., Recipe]:
    """`recipe_of("test_vit", init="random", lr=1e-3)` is the deit recipe of a model."""
    split = split_images(scan_folder(coloured), 0)

    def go(model: str = "test_vit", init: str = "random", name: str = "deit", **asked: Any) -> Recipe:
        settings = Settings.model_validate({"recipe": name, **asked})
        return build_recipe(settings, plan_model(model, 32), split, 0, Origin(kind=init), "fp32")

    return go


@pytest.mark.parametrize("init", ["random", "hub"])
def test_regularisation_is_deits(recipe_of: Callable[..., Recipe], init: str) -> None:
    """The paper's table 9, for random and pretrained weights; step sizes and head are the family's own."""
    recipe, own = recipe_of(init=init), recipe_of(init=init, name="finetune")
    assert (recipe.name, recipe.augment, recipe.repeats) == ("deit", "deit", 3)
    assert (recipe.mixup, recipe.cutmix, recipe.label_smoothing) == (0.8, 1.0, 0.1)
    assert (recipe.drop_path, recipe.clip_grad, recipe.weight_decay) == (0.1, None, 0.05)
    assert recipe.warmup_epochs == pytest.approx(recipe.epochs * 5 / 300)
    for name in ("lr", "min_lr", "layer_decay", "head", "optimizer", "schedule", "batch_size", "per_class"):
        assert getattr(recipe, name) == getattr(own, name), name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mixup", 0.0),
        ("cutmix", 0.5),
        ("augment", "light"),
        ("drop_path", 0.0),
        ("lr", 1e-3),
        ("min_lr", 0.0),
    ],
)
def test_explicit_options_beat_the_recipe(recipe_of: Callable[..., Recipe], field: str, value: Any) -> None:
    """What is asked for stands in the recipe, zero too, and nothing else changes but what follows from it."""
    plain, asked = recipe_of(), recipe_of(**{field: value})
    assert getattr(asked, field) == value
    follows = {"lr": {"min_lr"}, "augment": {"pictures"}}.get(field, set())
    changed = {line.split()[0] for line in plain.differences(asked)}
    assert changed == {field, *follows}


def test_a_least_learning_rate_is_one_of_a_cosine(recipe_of: Callable[..., Recipe]) -> None:
    """The recipe's is a hundredth; one that would make the cosine climb, or has none, is refused."""
    assert recipe_of().min_lr == recipe_of().lr * 0.01
    with pytest.raises(UsageError, match="--min-lr 1: is more than the learning rate"):
        recipe_of(min_lr=1.0)
    with pytest.raises(UsageError, match="--min-lr 0: recipe slides has no cosine"):
        recipe_of(name="slides", min_lr=0.0)


def test_convolutional_networks_keep_their_drop_path(recipe_of: Callable[..., Recipe]) -> None:
    """VGG cannot have stochastic depth: the recipe asks none of it, and it has the rest."""
    recipe = recipe_of("vgg11_bn")
    assert recipe.drop_path == recipe_of("vgg11_bn", name="finetune").drop_path == 0
    assert (recipe.mixup, recipe.repeats) == (0.8, 3)


def test_views_of_a_picture_share_a_batch(coloured: Path, recipe_of: Callable[..., Recipe]) -> None:
    """Neighbours in a batch are different views of one picture: labels come in runs, pixels differ."""
    split = split_images(scan_folder(coloured), 0)
    images, labels = next(train_batches(split, recipe_of(per_class=24, batch_size=24), 1))
    assert all(len(list(run)) % 3 == 0 for _, run in groupby(labels.tolist()))
    assert len(torch.unique(images.flatten(1), dim=0)) == 24


@pytest.mark.slow
def test_interrupted_deit_run_ends_with_the_same_bytes(trained: Trained) -> None:
    """Repeats, mixing and drop path are drawn again alike: stopped and resumed, the weights are equal."""
    asked: dict[str, Any] = {"recipe": "deit", "epochs": 2}
    whole = trained(name="whole", **asked)
    with pytest.raises(KeyboardInterrupt):
        trained(StopAt(2, 1), name="cut", **asked)
    cut = trained(name="cut", resume=True)
    assert [run.status for run in whole.runs] == ["finished"]
    one, two = (sha256_of(b.runs[0].model_folder / "model.safetensors") for b in (whole, cut))
    assert one == two
