"""How a device computes: what is fused or rounded, and whether the same steps give the same bytes."""

import os
import re
from typing import Any

import torch
from torch import nn

from vitbench.records import Machine

WORKSPACE = ":4096:8"
"""What cuBLAS needs to be deterministic (its documentation, "Results reproducibility")."""
NO_FORM = re.compile(r"(\S+) does not have a deterministic implementation|(CuBLAS) and you have CUDA")
"""How torch says that an operation was asked for which it cannot do deterministically."""


def prepare_deterministic(device: torch.device) -> None:
    """Set what cuBLAS reads once, when it starts; to be called before anything is computed on the device."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", WORKSPACE)


def compute_as(machine: Machine) -> None:
    """Set how torch computes from now on in this process, for steps and evaluation.

    Deterministic on a card: strict, for with a mere warning attention's gradient stays as it is. On a CPU
    torch is so anyway, and nothing is asked for.
    """
    convolutions: Any = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    convolutions.fp32_precision = "ieee" if "tf32" in machine.without else "tf32"
    strict = machine.deterministic is not False and torch.device(machine.device).type == "cuda"
    torch.use_deterministic_algorithms(strict)
    if strict:
        # Filling new memory, which torch adds to find reads of it, costs time and changes no result here.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def without_form(error: BaseException) -> str:
    """The operation that an error says has no deterministic form; "" for any other error."""
    found = NO_FORM.search(str(error)) if isinstance(error, RuntimeError) else None
    return (found[1] or found[2]) if found else ""


def unfuse_attention(model: nn.Module) -> tuple[str, ...]:
    """Have attention computed product by product; the names of the modules that this changes."""
    names = tuple(name for name, module in model.named_modules() if getattr(module, "fused_attn", False))
    for name in names:
        model.get_submodule(name).fused_attn = False  # type: ignore[assignment]
    return names


def fuse_attention(model: nn.Module, names: tuple[str, ...]) -> None:
    """Take `unfuse_attention` back."""
    for name in names:
        model.get_submodule(name).fused_attn = True  # type: ignore[assignment]
