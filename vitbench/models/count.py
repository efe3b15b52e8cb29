"""Multiply-adds of networks that lie on torch's `meta` device, where nothing is computed."""

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def forward_gmacs(model: nn.Module, size: int) -> float:
    """Thousand million multiply-adds of one forward pass of one picture of `size` px (FLOPs / 2).

    `model` lies on `meta`. Matrix products, convolutions and attention only, as everywhere in the field.
    """
    with torch.device("meta"), torch.no_grad(), _Counter(display=False) as counter:
        model(torch.empty(1, 3, size, size))
    return float(counter.get_total_flops()) / 2e9


class _Counter(FlopCounterMode):
    """Counts the whole only: to tell modules apart torch fails on those that take tuples (PiT, CaiT)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.mod_tracker = _Whole()  # type: ignore[assignment]


class _Whole:
    parents = ("Global",)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
