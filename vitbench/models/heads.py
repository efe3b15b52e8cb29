"""Linear heads: found in a network, and set."""

from typing import Any

import torch
from torch import Tensor, nn

from vitbench.errors import UsageError


def linear_heads(model: nn.Module) -> tuple[nn.Linear | nn.Conv2d, ...]:
    """The layers that turn a network's pooled features into logits: one, or a distilled network's two.

    A convolution of 1 × 1 on pooled features is such a layer too. Raises `UsageError` where the
    network ends in anything else.
    """
    found: Any = getattr(model, "get_classifier", lambda: None)()
    heads = tuple(found) if isinstance(found, tuple | list) else (found,)
    dense = getattr(model, "aux_head", None) is not None  # VOLO adds logits of single patches to its own
    for head in heads:
        pointwise = isinstance(head, nn.Conv2d) and head.kernel_size == (1, 1) and head.groups == 1
        if dense or not (pointwise or isinstance(head, nn.Linear)):
            raise UsageError(
                f"{_name_of(model)} has no linear classifier on pooled features, so it cannot be probed; "
                "leave it out"
            )
    return heads


def set_head(model: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """Make `features @ weight.T + bias` the model's logits: weight (C, D) and bias (C,) of a linear map.

    A distilled network gets them in both heads: at evaluation it answers with the heads' mean, which
    is the map of its features, the mean of both tokens. Raises `UsageError` where the network has no
    linear classifier, or not one of this shape.
    """
    with torch.no_grad():
        for head in linear_heads(model):
            if head.bias is None or head.weight.shape[:2] != weight.shape:
                sides = " x ".join(str(side) for side in weight.shape)
                raise UsageError(f"{_name_of(model)}: its classifier, {head}, cannot hold a head of {sides}")
            head.weight.copy_(weight.reshape(head.weight.shape))  # (C, D, 1, 1) in a convolution
            head.bias.copy_(bias)


def _name_of(model: Any) -> str:
    config = getattr(model, "pretrained_cfg", None) or {}
    return str(config.get("architecture") or type(model).__name__)
