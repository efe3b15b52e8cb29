"""Trained networks at another size and with other windows: what becomes of what they know of positions.

Everything that shapes such a network is given when it is made, so that a saved one is the same when it is
loaded: set afterwards, timm's `pretrained_window_size` stands in no saved model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import nn

from vitbench.errors import UnfitModelError
from vitbench.models.create import create
from vitbench.models.families import Kind
from vitbench.models.initial import InitialWeights
from vitbench.models.plan import ModelPlan, plan_as
from vitbench.models.windows import clean_window, stage_maps, windows_of

WayName = Literal[
    "bicubic",
    "geometric",
    "extrapolated",
    "renormalised",
    "linear",
    "raw",
    "interpolated",
    "resized",
    "as it is",
]
TABLE = "relative_position_bias_table"


@dataclass(frozen=True)
class Way:
    """One way to bring what a network knows of positions to another size."""

    name: WayName
    """In files."""
    title: str
    """In tables."""
    told: str
    """What it does, a sentence."""
    published: str = ""
    """The row of the Swin V2 paper's table that it is; "" for none."""


BICUBIC = Way(
    "bicubic",
    "bias table, bicubic",
    "Swin V1's table of biases, (2M − 1)² for windows of M, interpolated bicubically: the paper's way.",
    "parameterised",
)
GEOMETRIC = Way(
    "geometric",
    "bias table, timm's",
    "The same table by timm's own interpolation, which is not the paper's: knots in a geometric sequence and "
    "lines between them, so that the nearest offsets keep their values and far ones are stretched.",
)
EXTRAPOLATED = Way(
    "extrapolated",
    "log CPB, extrapolated",
    "Swin V2's network of biases asked at log-spaced offsets divided by the window it was trained with, so "
    "that inner offsets keep their biases: the paper's way.",
    "log-spaced CPB",
)
RENORMALISED = Way(
    "renormalised",
    "log CPB, renormalised",
    "The same network asked at offsets divided by the new window, as timm does unless told otherwise: the "
    "biases are stretched over it.",
)
LINEAR = Way(
    "linear",
    "linear CPB",
    "Swin V2's network of biases trained on linear-spaced offsets and asked at those of the new window, "
    "divided by the window it was trained with: what the paper measures log-spaced ones against.",
    "linear-spaced CPB",
)
RAW = Way(
    "raw",
    "log CPB, raw",
    "Swin V2-CR's network of biases takes the logarithm of the offset in patches, divided by nothing: it "
    "always extrapolates.",
)
INTERPOLATED = Way(
    "interpolated",
    "positions, bicubic",
    "One vector per patch, interpolated bicubically with antialiasing over the picture, as timm does.",
)
RESIZED = Way("resized", "as timm resizes it", "Whatever depends on the size, as timm's loader resizes it.")
NOTHING = Way("as it is", "no positions", "Convolutions know of no position: nothing is resized.")

WAYS: dict[Kind, tuple[Way, ...]] = {
    "swin": (BICUBIC, GEOMETRIC),
    "swinv2": (EXTRAPOLATED, RENORMALISED),
    "swinv2-cr": (RAW,),
    "vit": (INTERPOLATED,),
    "deit": (INTERPOLATED,),
    "cnn": (NOTHING,),
    "other": (RESIZED,),
}
"""By family, the paper's way first."""


@dataclass(frozen=True)
class Trained:
    """A network as it was trained: what it is brought away from."""

    plan: ModelPlan
    windows: tuple[int, ...]
    """Of each stage, as it attends; () without."""
    normalisers: tuple[int, ...]
    """Windows by which Swin V2 divides offsets in each stage; 0: its own window. () without."""
    linear: bool = False
    """It learned biases of linear-spaced offsets."""

    @classmethod
    def of(cls, module: nn.Module, timm_name: str, size: int, arguments: dict[str, Any]) -> "Trained":
        """`arguments`: those that it was made with, for `timm.create_model`."""
        plan = plan_as(timm_name, size, arguments)
        return cls(plan, windows_of(module), _normalisers(module), getattr(module, "linear_bias", False))

    @property
    def ways(self) -> tuple[Way, ...]:
        """Those that its family has; one whose offsets are divided by an earlier window keeps that."""
        ways = (LINEAR,) if self.linear else WAYS[self.plan.kind]
        return tuple(way for way in ways if way is not RENORMALISED or not any(self.normalisers))

    def window_at(self, size: int) -> int:
        """The first stage's window at a size: as much larger as the picture; 0 without windows.

        Where that is no whole number, the nearest to it that divides every map.
        """
        if not self.windows:
            return 0
        window = self.windows[0] * size / self.plan.image_size
        if window == int(window):
            return int(window)
        maps = stage_maps(size, self.plan.patch, len(self.windows))
        return clean_window(maps, max(1, round(window))) if all(maps) else max(1, round(window))

    def plan_at(self, size: int, window: int, way: Way) -> ModelPlan:
        """The plan with which `brought` makes it at a size, with a window of the first stage.

        UnfitModelError, in one line, where it does not run so, would never see the last pixels, or would pad.
        """
        arguments = dict(self.plan.model_args)
        if "img_size" in arguments:
            arguments["img_size"] = size
        if self.windows:
            arguments["window_size"] = self._window_argument(window)
        if way in (EXTRAPOLATED, LINEAR):
            known = zip(self.normalisers, self.windows, strict=True)
            arguments["pretrained_window_sizes"] = [given or window for given, window in known]
        plan = plan_as(self.plan.timm_name, size, arguments)
        self._refuse_padding(plan, size)
        return plan

    def _window_argument(self, window: int) -> int | list[int]:
        given = self.plan.model_args.get("window_size", self.windows[0])
        if not isinstance(given, Sequence):
            return window
        return [max(1, round(one * window / given[0])) for one in given]

    def _refuse_padding(self, plan: ModelPlan, size: int) -> None:
        name, padding = self.plan.timm_name, plan.padding
        if padding.maps:
            side, window = padding.maps[0]
            maps = stage_maps(size, self.plan.patch, len(self.windows))
            fitting = clean_window(maps, window)
            hint = f"; a window of {fitting} divides them all" if fitting != window else ""
            raise UnfitModelError(
                f"{name} at {size} px: windows of {window} do not divide its map of {side} × {side}, which "
                f"timm pads and whose borders it mixes{hint}"
            )
        if padding.merged:
            side = padding.merged[0]
            raise UnfitModelError(
                f"{name} at {size} px: its map of {side} × {side} is odd and would be padded before it is "
                "halved; multiples of 32 px are not"
            )


def _normalisers(module: Any) -> tuple[int, ...]:
    found = []
    for stage in getattr(module, "layers", ()):
        attention = getattr(next(iter(getattr(stage, "blocks", ())), None), "attn", None)
        window = getattr(attention, "pretrained_window_size", None)
        if window is not None:
            found.append(int(window[0]))
    return tuple(found)


def brought(plan: ModelPlan, weights: InitialWeights, way: Way) -> nn.Module:
    """The network of a plan with the weights of a saved model, head included, on the CPU.

    weights: of a saved model (`saved_weights`), whose classes it has. Tables and position vectors are resized
    from there, never from one that was resized before: chains lose more.
    """
    model = create(plan, len(weights.classes), weights, 0, classes=weights.classes)
    if way is BICUBIC and weights.path is not None:
        _interpolate_tables(model, load_file(weights.path))
    return model.eval()


def _interpolate_tables(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Tables ((2M − 1)², heads) of every block by plain bicubic interpolation, align_corners off."""
    from timm.layers import resize_rel_pos_bias_table_simple

    with torch.no_grad():
        for name, module in model.named_modules():
            table = getattr(module, TABLE, None)
            if table is not None:
                before = state[f"{name}.{TABLE}"]
                window: Any = module.window_size
                table.copy_(resize_rel_pos_bias_table_simple(before, tuple(window), tuple(table.shape)))
