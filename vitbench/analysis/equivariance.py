"""Does a shifted picture give a shifted map? Part by part, with real content, by whole steps and windows.

The error is ‖f(Tx) − T f(x)‖ / ‖f(x)‖ over the places that both crops see. Patch embedding without overlap
and attention in unshifted windows are exact for shifts by whole patches and windows; shifted windows are so
off the borders; absolute positions, padding and what looks at all places are not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from vitbench.inference.forward import answering
from vitbench.models.windows import window_of
from vitbench.records.frames import Dtype

PICTURES = 4
"""That the error is measured on."""
EXACT = 1e-4
"""Of the map's root mean square: a place that differs by no more is equal but for rounding."""
EQUIVARIANCE: dict[str, Dtype] = {
    "model": "string", "part": "string", "stride": "Int64", "shift": "Int64", "windows": "Int64",
    "error": "float64", "exact": "float64", "pictures": "Int64",
}  # fmt: skip
"""stride and shift (down and right), px; windows: so many whole ones it is, none: it is one step of the map;
error: relative, root mean square; exact: share of the places that are equal but for rounding."""


@dataclass(frozen=True)
class Part:
    """A module whose output is a map."""

    name: str
    module: nn.Module
    window: int
    """Of its attention, tokens; 0: none."""


def parts_of(model: Any) -> list[Part]:
    """The patch embedding, the first two blocks, the ends of stages; of many the first, middle and last."""
    modules = dict(model.named_modules())
    features = [str(one["module"]) for one in getattr(model, "feature_info", ()) if one["module"] in modules]
    if len(features) > 5:
        features = [features[0], features[len(features) // 2], features[-1]]
    blocks = [name for name, module in modules.items() if window_of(module) and hasattr(module, "attn")]
    first = [name for name in ("patch_embed", "conv_stem", "stem") if name in modules]
    names = dict.fromkeys([*first[:1], *blocks[:2], *features])
    return [Part(name, modules[name], _window(modules[name])) for name in names]


def _window(module: nn.Module) -> int:
    return max((window_of(one) for one in module.modules() if hasattr(one, "attn")), default=0)


def on_map(values: Tensor, side: int) -> Tensor | None:
    """A part's output as (B, rows, columns, channels); None where it is no square map of the picture.

    (B, tokens, channels) without what stands before the patches, (B, H, W, C) or (B, C, H, W).
    """
    if values.ndim == 3:
        rows = int(values.shape[1] ** 0.5)
        patches = values[:, values.shape[1] - rows * rows :]
        found = patches.reshape(len(values), rows, rows, values.shape[2])
    elif values.ndim == 4:
        found = (
            values if values.shape[1] == values.shape[2] != values.shape[3] else values.permute(0, 2, 3, 1)
        )
    else:
        return None
    return found if found.shape[1] == found.shape[2] and side % found.shape[1] == 0 else None


Load = Callable[[int, Sequence[int]], Tensor]
"""(S + d, the crops' offsets from the corner, down and right) → (crops · B, 3, S, S), normalised."""


def equivariance(model: nn.Module, size: int, load: Load) -> list[tuple[Any, ...]]:
    """Rows of `EQUIVARIANCE` behind the model, each part by one step and, with windows, by whole ones.

    A shift of more than half the picture is left out.
    """
    parts = parts_of(model)
    maps = _maps(model, parts, load(0, [0]), size)
    wanted = []
    for part in parts:
        if part.name in maps:
            stride = size // maps[part.name].shape[1]
            shifts = {stride: None, **({part.window * stride: 1} if part.window else {})}
            wanted += [(part, stride, shift, whole) for shift, whole in shifts.items() if shift <= size // 2]
    rows = []
    for shift in sorted({one[2] for one in wanted}):
        both = _maps(model, parts, load(shift, [0, shift]), size)
        for part, stride, by, whole in wanted:
            if by == shift:
                error, exact, count = _compared(both[part.name], shift // stride)
                rows.append((part.name, stride, shift, whole, error, exact, count))
    order = {part.name: place for place, part in enumerate(parts)}
    return sorted(rows, key=lambda row: (order[row[0]], row[2]))


def _maps(model: nn.Module, parts: Sequence[Part], pictures: Tensor, size: int) -> dict[str, Tensor]:
    heard: dict[str, Tensor] = {}

    def hear(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and (found := on_map(output, size)) is not None:
                heard[name] = found

        return keep

    hooks = [part.module.register_forward_hook(hear(part.name)) for part in parts]
    try:
        with answering(model):
            model(pictures)
    finally:
        for hook in hooks:
            hook.remove()
    return heard


def _compared(both: Tensor, steps: int) -> tuple[float, float, int]:
    """Error, share of exact places and pictures, of maps of crops at 0 (first half) and `steps` further."""
    first, second = both.float().chunk(2)
    moved, there = first[:, steps:, steps:], second[:, : second.shape[1] - steps, : second.shape[2] - steps]
    scale = float(moved.square().mean().sqrt())
    apart = moved - there
    exact = (apart.abs().amax(dim=3) <= EXACT * scale).float().mean()
    error = float(apart.square().mean().sqrt()) / scale if scale else 0.0
    return error, float(exact), len(first)
