"""Multiply-adds of a forward pass, split exactly by what they are spent on; and the papers' formulas.

Hooks say in which module a product is computed, torch's counter which kind it is: inside an attention module
products of tokens with weights are projections, those of tokens with tokens are attention. So the parts add
up to the whole, whatever the network; what no part claims is `other`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from vitbench.analysis.looking import blocks_of
from vitbench.models.count import Counter, counting, without_memory

PARTS = (
    "patch", "projections", "attention", "mlp", "merges", "bias_mlp", "convolutions", "head", "other"
)  # fmt: skip
"""patch: pixels to tokens, or a CNN's first convolution; projections: queries, keys, values and output;
attention: tokens with tokens; merges: what halves the map between stages; bias_mlp: the small networks that
make Swin V2's position bias; convolutions: a CNN's; other: the rest."""
STEMS = ("patch_embed", "stem", "conv_stem", "conv1")
MERGES = re.compile(r"(layers|stages)\.\d+\.downsample")
TOKENS_WITH_TOKENS = ("bmm", "scaled_dot_product")
"""What torch's kernels of attention are called."""


def split_macs(model: nn.Module, size: int) -> dict[str, int]:
    """Multiply-adds of one picture of `size` px by `PARTS`; they add up to the network's own."""
    copied = without_memory(model).eval()
    with counting() as counter:
        ledger = _Ledger(counter)
        for name, module in copied.named_modules():
            if part := _part(name, copied):
                module.register_forward_pre_hook(ledger.entering(part))
                module.register_forward_hook(ledger.leaving)
        copied(torch.empty(1, 3, size, size))
        ledger.book()
    return ledger.spent


@dataclass
class _Ledger:
    """What was computed since the last entry goes to the innermost part that is under way."""

    counter: Counter
    spent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    seen: dict[str, int] = field(default_factory=dict)
    under_way: list[str] = field(default_factory=lambda: ["other"])

    def entering(self, part: str) -> Callable[..., None]:
        def enter(*_: Any) -> None:
            self.book()
            self.under_way.append(part)

        return enter

    def leaving(self, *_: Any) -> None:
        self.book()
        self.under_way.pop()

    def book(self) -> None:
        now = self.counter.by_kernel
        for kernel, macs in now.items():
            self.spent[self._place(kernel)] += macs - self.seen.get(kernel, 0)
        self.seen = now

    def _place(self, kernel: str) -> str:
        part = self.under_way[-1]
        if part == "attention":
            return part if any(word in kernel for word in TOKENS_WITH_TOKENS) else "projections"
        return "convolutions" if part == "other" and "convolution" in kernel else part


def _part(name: str, model: Any) -> str:
    """What a module is, as one of `PARTS`; "attention" where its kernels decide, "" where it is not known."""
    classifier = model.pretrained_cfg.get("classifier") or ()
    last = name.rpartition(".")[2]
    if name in STEMS:
        return "patch"
    if name and name in ((classifier,) if isinstance(classifier, str) else classifier):
        return "head"
    if MERGES.fullmatch(name):
        return "merges"
    return {"attn": "attention", "mlp": "mlp", "cpb_mlp": "bias_mlp", "meta_mlp": "bias_mlp"}.get(last, "")


@dataclass(frozen=True)
class Omega:
    """What formulas (1) and (2) of the Swin paper say of a network's blocks, and why a count differs.

    arXiv 2103.14030, section 3.2; they speak of projections and attention alone.
    """

    projections: int
    """4 h w C² for each block: h × w its map, C its channels."""
    attention: int
    """2 (h w)² C for each, or 2 M² h w C in windows of M × M."""
    tokens: int
    """Of the first block, those before the patches included."""
    deviations: tuple[str, ...]
    """Each a few words: tokens before the patches, padding, windows cut to the map."""


def omega(model: Any) -> Omega | None:
    """The formulas for this network at its size; None where attention is of another kind, or not there."""
    found: list[str] = []
    projections = attention = first = 0
    for name, block in blocks_of(model):
        channels = int(block.attn.proj.in_features)
        grid = getattr(block, "input_resolution", None) or getattr(block, "feat_size", None)
        if grid is not None:
            window = tuple(block.window_size)
            area = window[0] * window[1]
            found += _padding(grid, window)
        elif name.startswith("blocks.") and hasattr(model, "patch_embed"):
            grid = model.patch_embed.grid_size
            area = grid[0] * grid[1]
            found += _prefix(model.num_prefix_tokens, area)
        else:
            return None
        tokens = grid[0] * grid[1]
        first = first or tokens + getattr(model, "num_prefix_tokens", 0)
        projections += 4 * tokens * channels**2
        attention += 2 * area * tokens * channels
    return Omega(projections, attention, first, tuple(dict.fromkeys(found))) if attention else None


def _prefix(tokens: int, patches: int) -> list[str]:
    if not tokens:
        return []
    return [f"{tokens} token{'s' if tokens > 1 else ''} beside the {patches} patches"]


def _padding(grid: Sequence[int], window: Sequence[int]) -> list[str]:
    whole = [-(-side // step) * step for side, step in zip(grid, window, strict=True)]
    if whole == list(grid):
        return []
    return [f"map {grid[0]} × {grid[1]} padded to {whole[0]} × {whole[1]}"]
