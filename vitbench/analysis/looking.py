"""Looking into a network without a trace: hooks are taken off and switches put back, come what may."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vitbench.inference.forward import fp32

Handle = Any
"""A hook's, of torch; has `remove()`."""


@contextmanager
def looking(model: nn.Module) -> Iterator[list[Handle]]:
    """Inside, a network is in evaluation mode, computes true fp32 and leaves its attention unfused.

    Hooks whose handles are put into the list are taken off at the end; modes, `fused_attn` and what
    requires gradients are as they were, also after an exception. Gradients are not switched.
    """
    modules: list[Any] = list(model.modules())
    modes = [(one, one.training) for one in modules]
    fused = [(one, one.fused_attn) for one in modules if isinstance(getattr(one, "fused_attn", None), bool)]
    learning = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    handles: list[Handle] = []
    try:
        with fp32():
            model.eval()
            for module, _ in fused:
                module.fused_attn = False
            for parameter, _ in learning:
                parameter.requires_grad_(False)
            yield handles
    finally:
        for handle in handles:
            handle.remove()
        for parameter, before in learning:
            parameter.requires_grad_(before)
        for module, usual in fused:
            module.fused_attn = usual
        for module, mode in modes:
            module.training = mode


@contextmanager
def seeing(model: nn.Module, look: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Inside, `look(block, probabilities)` hears of every block's attention, without gradients.

    probabilities (B · windows, heads, queries, keys), rows sum to 1; blocks by name, in order of depth.
    They are not kept: a forward pass holds those of one block at a time.
    """
    with looking(model) as handles, torch.inference_mode():
        for name, block in blocks_of(model):
            handles.append(block.attn.attn_drop.register_forward_pre_hook(_telling(look, name)))
        yield


def _telling(look: Callable[[str, Tensor], None], name: str) -> Callable[[nn.Module, Any], None]:
    def hook(_: nn.Module, inputs: Any) -> None:
        look(name, inputs[0])

    return hook


def blocks_of(model: nn.Module) -> list[tuple[str, Any]]:
    """The blocks with attention whose probabilities can be read, by name, in order of depth; [] elsewhere."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if hasattr(module, "mlp") and isinstance(getattr(_attention(module), "attn_drop", None), nn.Module)
    ]


def stage_of(block: str) -> int:
    """From 1, of a block's name: "layers.2.blocks.0" is in stage 3; 1 where blocks stand in none."""
    stage, _, rest = block.partition(".blocks.")
    return int(stage.rpartition(".")[2]) + 1 if rest else 1


def _attention(module: nn.Module) -> Any:
    return getattr(module, "attn", None)
