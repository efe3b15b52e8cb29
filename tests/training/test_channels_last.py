"""The convolution that torch's CPU code cannot learn in channels last: which it is, and who holds it."""

import subprocess
import sys

import pytest
import timm
import torch
from torch import nn

from vitbench.training.step import crashes_channels_last, memory_format

TRY = """
import sys, torch
channels, kernel, stride, groups, padding = map(int, sys.argv[1:])
layer = torch.nn.Conv2d(channels, 48, kernel, stride, padding, groups=groups, bias=False)
layer = layer.to(memory_format=torch.channels_last)
for _ in range(6):
    pictures = torch.randn(4, channels, 224, 224).contiguous(memory_format=torch.channels_last)
    layer(pictures).square().sum().backward()
    kept = [torch.randn(1000) for _ in range(50)]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [(16, 1, 2, 1, 0), (3, 3, 2, 1, 1), (3, 1, 1, 1, 0), (6, 1, 2, 2, 0)], ids=str
)
def test_layers_that_are_learnt_in_channels_last_survive_it(shape: tuple[int, ...]) -> None:
    """One step beyond each side of the rule (channels, kernel, stride, groups) a real process lives."""
    channels, kernel, stride, groups, padding = shape
    assert not crashes_channels_last(nn.Conv2d(channels, 48, kernel, stride, padding, groups=groups))
    done = subprocess.run([sys.executable, "-c", TRY, *map(str, shape)], timeout=100, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("channels", [3, 8, 15])
def test_the_layer_that_crashes_is_known(channels: int) -> None:
    """1 × 1 with a stride on fewer than 16 channels; where this torch still dies of it, the rule says so."""
    assert crashes_channels_last(nn.Conv2d(channels, 48, 1, 2))


@pytest.mark.parametrize("name", ["repvgg_a0", "mobileone_s0", "fastvit_t8"])
def test_networks_with_such_a_layer_are_not_in_channels_last_on_a_cpu(name: str) -> None:
    """RepVGG, MobileOne and FastViT begin with one; a GPU, and a ResNet anywhere, is as quick as before."""
    with torch.device("meta"):
        model, resnet = timm.create_model(name), timm.create_model("resnet18")
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert memory_format(model, cpu) is torch.contiguous_format
    assert memory_format(model, gpu) is memory_format(resnet, cpu) is torch.channels_last
