"""Multiply-adds of networks that lie on torch's `meta` device, where nothing is computed."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vitbench.models.meta import on_meta


def forward_gmacs(model: nn.Module, size: int) -> float:
    """Thousand million multiply-adds of one forward pass of one picture of `size` px (FLOPs / 2).

    `model` lies on `meta`. Matrix products, convolutions and attention only, as everywhere in the field.
    """
    with counting() as counter:
        model(torch.empty(1, 3, size, size))
        return counter.macs / 1e9


@contextmanager
def counting() -> "Iterator[Counter]":
    """Inside, torch makes tensors on `meta`, and what is yielded says how many multiply-adds there were."""
    with on_meta(), torch.no_grad(), Counter(display=False) as counter:
        yield counter


def without_memory(model: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers lie on `meta`: the same modules, and no memory for their values."""
    return copied_with(model, lambda tensor: torch.empty_like(tensor, device="meta"), learns=False)


def copied_with(model: nn.Module, replace: Callable[[Tensor], Tensor], *, learns: bool) -> nn.Module:
    """A copy with what `replace` makes of each parameter and buffer; `learns`: parameters take gradients."""
    known: dict[int, Tensor] = {}
    for tensor in chain(model.parameters(), model.buffers()):
        made = replace(tensor.detach())
        known[id(tensor)] = nn.Parameter(made, learns) if isinstance(tensor, nn.Parameter) else made
    return copy.deepcopy(model, known)


class Counter(FlopCounterMode):
    """Counts the whole only: to tell modules apart torch fails on those that take tuples (PiT, CaiT)."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.mod_tracker = _Whole()  # type: ignore[assignment]

    @property
    def macs(self) -> int:
        """Multiply-adds so far."""
        return int(self.get_total_flops()) // 2

    @property
    def by_kernel(self) -> dict[str, int]:
        """The same by the name of torch's kernel."""
        return {str(kernel): int(n) // 2 for kernel, n in self.get_flop_counts().get("Global", {}).items()}


class _Whole:
    parents = ("Global",)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass
