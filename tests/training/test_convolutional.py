"""Convolutional networks as rows: their own preprocessing, and batch statistics that are right."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn

from vitbench.data.scan import scan_folder
from vitbench.data.split import split_images
from vitbench.models.create import create
from vitbench.models.initial import RANDOM
from vitbench.models.plan import plan_model
from vitbench.records import Benchmark, Machine, Origin, Settings
from vitbench.training import loop
from vitbench.training.recipes import build_recipe
from vitbench.training.step import scaled_bn_momentum

FAMILIES = ("resnet18", "convnext_atto", "efficientnet_lite0", "regnety_002")
"""A small member of each."""
HALF = (0.5, 0.5, 0.5)
FROZEN = "hub"
"""As a recipe's first weights: its batch normalisation is frozen."""


def built(folder: Path, name: str, init: Any = "random", size: int = 32, **settings: Any) -> loop.Trainer:
    """A trainer for a network with random weights on a folder."""
    split = split_images(scan_folder(folder), 0)
    plan = plan_model(name, size)
    asked = Settings.model_validate({"per_class": 12, "batch_size": 16, "epochs": 2, **settings})
    recipe = build_recipe(asked, plan, split, 0, Origin(kind=init), "fp32")
    machine = Machine("cpu", "CPU", asked.micro_batch or 16, 16, torch.get_num_threads(), 0)
    model = create(plan, 3, RANDOM, 0, recipe.drop_path)
    return loop.build_trainer(model, recipe, split, machine)


def steps(trainer: loop.Trainer, count: int) -> list[dict[str, torch.Tensor]]:
    """Train so many steps of the first epoch; the model's state after each."""
    trainer.train_mode()
    states = []
    for update, (images, labels) in zip(range(count), trainer.batches(1), strict=False):
        loop.train_step(trainer, images, labels, update)
        states.append({name: tensor.clone() for name, tensor in trainer.model.state_dict().items()})
    return states


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAMILIES, "tf_efficientnet_lite0"])
def test_preprocessing_is_timms_own(name: str) -> None:
    """At every size a plan prepares pictures as timm resolves it for the network itself."""
    with torch.device("meta"):
        model = timm.create_model(name)
    for size in (64, 96, 224):
        expected = resolve_model_data_config(model, args={"input_size": (3, size, size)})
        assert plan_model(name, size).preprocessing.timm_config() == expected


def test_two_ports_of_one_network_are_prepared_differently() -> None:
    """TensorFlow's EfficientNet-Lite expects mean and std of .5, PyTorch's those of ImageNet."""
    tf, torch_own = (
        plan_model(name, 64).preprocessing for name in ("tf_efficientnet_lite0", "efficientnet_lite0")
    )
    assert (tf.mean, tf.std) == (HALF, HALF)
    assert tf.mean != torch_own.mean
    assert tf.std != torch_own.std


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_from_random_weights(name: str, coloured: Path) -> None:
    """A step with micro-batches and a moving average moves every weight of the network, to finite ones."""
    trainer = built(coloured, name, batch_size=8, micro_batch=4, ema=0.9)
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    steps(trainer, 2)  # a residual branch that begins at zero learns from the second
    for parameter, tensor in trainer.model.named_parameters():
        assert torch.isfinite(tensor).all(), parameter
        assert not torch.equal(tensor, before[parameter]), parameter


def test_micro_batches_move_batch_statistics_as_far_as_one_batch() -> None:
    """Four equal micro-batches leave the mean and variance of one, and the momentum as it was."""
    pixels = torch.randn(4, 3, 5, 5) + 2
    once, often = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    with scaled_bn_momentum(once, 1):
        once(pixels)
    with scaled_bn_momentum(often, 4):
        for _ in range(4):
            often(pixels)
    torch.testing.assert_close(once.running_mean, often.running_mean)
    torch.testing.assert_close(once.running_var, often.running_var)
    assert once.momentum == often.momentum == 0.1


@pytest.mark.slow
def test_accumulation_moves_the_networks_statistics_as_far(coloured: Path) -> None:
    """A step in four micro-batches moves the first layer's running mean as far as one batch does."""
    whole, parts = (
        steps(built(coloured, "resnet10t", micro_batch=micro), 1)[0]["bn1.running_mean"] for micro in (16, 4)
    )
    assert float(whole.norm()) > 0.01
    assert float(parts.norm()) == pytest.approx(float(whole.norm()), rel=0.1)


@pytest.mark.slow
def test_frozen_statistics_stay_under_accumulation(coloured: Path) -> None:
    """Fine-tuning keeps the statistics of pretraining, to the bit, and counts no batch."""
    trainer = built(coloured, "resnet10t", init=FROZEN, micro_batch=4)
    before = {n: b.clone() for n, b in trainer.model.named_buffers()}
    steps(trainer, 1)
    assert all(torch.equal(b, before[n]) for n, b in trainer.model.named_buffers())


def test_moving_average_averages_batch_statistics(coloured: Path) -> None:
    """The judged statistics are averages of the steps' own, by the same decay; batches are counted."""
    trainer = built(coloured, "test_efficientnet", ema=0.6)
    assert trainer.ema is not None
    states = steps(trainer, 3)
    name = next(n for n in states[0] if n.endswith("running_var"))
    expected = states[0][name]
    for update, state in enumerate(states[1:], start=1):
        decay = trainer.ema.get_decay(update)
        expected = decay * expected + (1 - decay) * state[name]
    judged = trainer.evaluated.state_dict()
    torch.testing.assert_close(judged[name], expected)
    assert not torch.equal(judged[name], states[-1][name])
    assert judged[name.replace("running_var", "num_batches_tracked")] == 3


def test_val_is_answered_with_the_averaged_statistics(coloured: Path) -> None:
    """The moving average's statistics decide the answers; those of the model that learns don't."""
    trainer = built(coloured, "test_efficientnet", ema=0.6)
    assert trainer.ema is not None
    steps(trainer, 2)
    first = loop.evaluate(trainer, "val").probabilities
    shift(trainer.model)
    assert (loop.evaluate(trainer, "val").probabilities == first).all()
    shift(trainer.ema.module)
    assert (loop.evaluate(trainer, "val").probabilities != first).any()


def shift(model: nn.Module) -> None:
    """Move every running mean."""
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer += 1.0


@pytest.mark.slow
def test_a_convolutional_row_stands_beside_a_transformer(trained: Callable[..., Benchmark]) -> None:
    """A RegNet by its timm name and a ViT are two finished rows of one benchmark, on the same pictures."""
    runs = trained(models=("regnetx_002", "test_vit"), epochs=1, micro_batch=8, ema=0.9).runs
    assert [run.status for run in runs] == ["finished", "finished"]
    assert [run.recipe().preprocessing.size for run in runs] == [32, 32]
    assert len({run.metrics()["test"]["n"] for run in runs}) == 1
