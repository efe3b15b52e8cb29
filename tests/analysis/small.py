"""Small networks of the seven families, woken: branches that begin at zero count, heads differ."""

import numpy as np
import timm
import torch
from torch import nn

from vitbench.analysis.nouns import Pictures, Subject
from vitbench.records import Preprocessing

SWIN = {"embed_dim": 24, "depths": (2, 2), "num_heads": (2, 4)}
FAMILIES: dict[str, tuple[str, dict[str, object]]] = {
    "vit": ("vit_tiny_patch16_224", {"depth": 3, "embed_dim": 48}),
    "deit": ("deit_tiny_patch16_224", {"depth": 3, "embed_dim": 48}),
    "deit-distilled": ("deit_tiny_distilled_patch16_224", {"depth": 3, "embed_dim": 48}),
    "swin": ("swin_tiny_patch4_window7_224", SWIN),
    "swinv2": ("swinv2_tiny_window8_256", SWIN),
    "swinv2-w16": ("swinv2_tiny_window16_256", {**SWIN, "depths": (2, 2, 2), "num_heads": (2, 2, 4)}),
    "swinv2-cr": ("swinv2_cr_tiny_ns_224", SWIN),
}
WINDOWS = {"swin": 7, "swinv2": 8, "swinv2-w16": 16, "swinv2-cr": 7}
CLEAN = {"swinv2": 64, "swinv2-w16": 64}
"""px at which windows divide every map; 112 for the others."""
PADDED = 80
"""20 × 20 patches of 4 px, which no window of 7, 8 or 16 divides."""


def small(family: str, size: int = 0, classes: int = 5) -> nn.Module:
    """The family, two stages or three blocks deep, at `size` px (0: at which nothing is padded)."""
    name, shape = FAMILIES[family]
    side = size or CLEAN.get(family, 112)
    window = {"window_size": WINDOWS[family]} if family in WINDOWS else {}
    torch.manual_seed(1)
    model: nn.Module = timm.create_model(name, num_classes=classes, img_size=side, **shape, **window)
    return wake(model)


def wake(model: nn.Module) -> nn.Module:
    """V2's branches begin at zero, and attention of random weights is all but uniform: neither shows much."""
    for name, parameter in model.named_parameters():
        if name.endswith(("norm1.weight", "norm2.weight", "norm3.weight")):
            parameter.data.fill_(1.0)
        if "relative_position_bias_table" in name or "cpb_mlp" in name or "meta_mlp" in name:
            parameter.data.normal_(0, 0.5)
        if name.endswith("logit_scale"):
            parameter.data.uniform_(1, 6)
        if name.endswith("qkv.weight"):
            parameter.data.mul_(4)
    return model.eval()


def subject(model: nn.Module, size: int) -> Subject:
    """A network with five classes, as analyses take it."""
    half = (0.5, 0.5, 0.5)
    return Subject("small", model, tuple("abcde"), Preprocessing(size, half, half, "bicubic", 0.9), "trained")


def noise(size: int, count: int = 2) -> Pictures:
    """Pictures of noise with the classes 0, 1, ….."""
    pixels = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(5))
    names = tuple(f"{place}.png" for place in range(count))
    return Pictures(names, np.arange(count) % 5, lambda places: pixels[list(places)])
