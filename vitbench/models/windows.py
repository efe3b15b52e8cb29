"""Attention windows of Swin-like networks: the one for a size, and what a built network does with it.

timm's Swin, Swin V2 and Swin V2-CR roll the map before they pad it (pytorch-image-models #2438). Where a
window does not divide a stage's map, shifted windows therefore mix opposite borders of the picture, and
padding is attended to. A window that divides every map has neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


def stage_maps(size: int, patch: int, stages: int) -> tuple[int, ...]:
    """Side of each stage's map at an input of `size` px: patches, then halves rounded up."""
    maps = [size // patch]
    for _ in range(stages - 1):
        maps.append((maps[-1] + 1) // 2)
    return tuple(maps)


def clean_window(maps: Sequence[int], own: int) -> int:
    """The window nearest to `own` that divides every map (one that is larger than a map is that map).

    Ties: the smaller. At least half of `own`, for windows of one pixel divide everything; at most twice of
    it, or half of the first map, so that there are windows at all. `own` where there is none.
    """
    widest = max(2 * own, maps[0] // 2)
    fitting = [
        window
        for window in range(-(-own // 2), widest + 1)
        if all(side % min(window, side) == 0 for side in maps)
    ]
    return min(fitting, key=lambda window: (abs(window - own), window), default=own)


@dataclass(frozen=True)
class Padding:
    """What a network pads with zeros inside, seen on a forward pass."""

    maps: tuple[tuple[int, int], ...] = ()
    """(side of the map, window that does not divide it), each once."""
    shifted: bool = False
    """Some of these windows are shifted in a network that rolls before it pads: borders are mixed."""
    merged: tuple[int, ...] = ()
    """Odd sides of maps that were to be halved."""


class WatchingWindows:
    """`with WatchingWindows(model) as seen: model(picture)`; then `seen.padding` says what was padded."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._maps: dict[tuple[int, int], bool] = {}
        self._merged: dict[int, None] = {}

    def __enter__(self) -> "WatchingWindows":
        from timm.models import swin_transformer, swin_transformer_v2, swin_transformer_v2_cr

        merging = tuple(
            source.PatchMerging for source in (swin_transformer, swin_transformer_v2, swin_transformer_v2_cr)
        )
        self._hooks = []
        for module in self.model.modules():
            if isinstance(module, merging):
                self._hooks.append(module.register_forward_pre_hook(self._merge))
            elif window_of(module):
                self._hooks.append(module.register_forward_pre_hook(self._block))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _block(self, block: nn.Module, inputs: tuple[Any, ...]) -> None:
        window = window_of(block)
        if inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim == 4 and window:
            side = _side(inputs[0])
            if side % window:
                shift = getattr(block, "shift_size", 0)
                shifted = any(shift) if isinstance(shift, Sequence) else bool(shift)
                self._maps[side, window] = self._maps.get((side, window), False) or shifted

    def _merge(self, _: nn.Module, inputs: tuple[Any, ...]) -> None:
        if _side(inputs[0]) % 2:
            self._merged[_side(inputs[0])] = None

    @property
    def padding(self) -> Padding:
        return Padding(tuple(self._maps), any(self._maps.values()), tuple(self._merged))


def window_of(module: nn.Module) -> int:
    """The side of the windows in which a block attends; 0 where it has none."""
    window = getattr(module, "window_size", None)
    if isinstance(window, Sequence):
        window = window[0] if len(window) else None
    return int(window) if isinstance(window, int) else 0


def windows_of(model: Any) -> tuple[int, ...]:
    """The attention window of each stage of a Swin-like timm model; () for models without windows."""
    firsts = (_children(stage, "blocks")[:1] for stage in _children(model, "layers", "stages"))
    found = (window_of(block) for blocks in firsts for block in blocks)
    return tuple(window for window in found if window)


def _children(module: Any, *names: str) -> list[nn.Module]:
    """The modules of the first attribute that is a list of modules: HRNet's `stages` is a method."""
    lists = (getattr(module, name, None) for name in names)
    return next((list(found) for found in lists if isinstance(found, nn.Sequential | nn.ModuleList)), [])


def in_words(windows: Sequence[int]) -> str:
    """(7, 7, 4, 2) → "7,7,4,2"; (7, 7, 7, 7) → "7"."""
    shown = windows[:1] if len(set(windows)) == 1 else windows
    return ",".join(str(window) for window in shown)


def _side(tokens: Tensor) -> int:
    """Side of a square map (B, H, W, C) or (B, C, H, W)."""
    return int(tokens.shape[1] if tokens.shape[1] == tokens.shape[2] else tokens.shape[2])
