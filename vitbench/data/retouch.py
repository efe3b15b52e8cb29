"""What follows the resize in a view of level `light`, as Pillow does it: rotation, mirroring, three factors.

Pillow rotates in float64, rounding down, and blends in float32; as in `vitbench.data.resample`, the same
operations, each rounded for itself, give the same bytes on any device.
Source: Pillow's src/libImaging/Geometry.c and Blend.c, PIL/ImageEnhance.py.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vitbench.data.views import Frame, View
from vitbench.records import Array

# The columns of the table: six numbers of an affine map, from where in the padded square an output pixel
# comes; how far that square reaches beyond the view; width and height of what was resized, and its place in
# the square; whether it is mirrored; and `View.colour`.
MAP, MARGIN, SIDES, CORNER, FLIP, COLOUR, WIDTH = 0, 6, 7, 9, 11, 12, 15


def plan_retouch(views: Sequence[View], frames: Sequence[Frame], size: int) -> Array:
    """(N, WIDTH) float64: the table of `retouch`, worked out on the CPU."""
    rows = [
        (
            *_rotation(view.rotation, size + 2 * frame.margin),
            frame.margin,
            size + frame.left + frame.right,
            size + frame.top + frame.bottom,
            frame.margin - frame.left,
            frame.margin - frame.top,
            view.flip,
            *view.colour,
        )
        for view, frame in zip(views, frames, strict=True)
    ]
    return np.array(rows, dtype=float).reshape(-1, WIDTH)


def _rotation(degrees: float, side: int) -> tuple[float, ...]:
    """Where the pixels of a square come from, as `Image.rotate` works it out about its centre."""
    angle, centre = -math.radians(degrees % 360.0), side / 2
    a, b, d, e = (
        round(value, 15) for value in (math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle))
    )
    return a, b, a * -centre + b * -centre + 0.0 + centre, d, e, d * -centre + e * -centre + 0.0 + centre


def retouch(resized: Tensor, table: Tensor, size: int) -> Tensor:
    """uint8 (N, 3, size, size) of (N, 3, any, any), of which each fills what its row in the table says."""
    turned = _rotated(resized, table, size)
    brightness, contrast, colour = (table[:, COLOUR + place].float().view(-1, 1, 1, 1) for place in range(3))
    bright = _blended(torch.zeros_like(turned), turned, brightness)
    count = size * size
    mean = ((2 * _grey(bright).flatten(1).sum(dim=1) + count) // (2 * count)).view(-1, 1, 1, 1)
    rich = _blended(mean, bright, contrast)
    return _blended(_grey(rich), rich, colour)


def _rotated(resized: Tensor, table: Tensor, size: int) -> Tensor:
    """uint8 (N, 3, size, size): rotated and mirrored; what lies beyond the edge is the mirrored inside."""
    one = table.view(-1, WIDTH, 1, 1)
    steps = torch.arange(size, dtype=torch.float64, device=table.device)
    columns = torch.where(one[:, FLIP] != 0, size - 1 - steps.view(1, 1, -1), steps.view(1, 1, -1))
    x = columns + one[:, MARGIN] + 0.5  # (N, 1, size)
    y = steps.view(1, -1, 1) + one[:, MARGIN] + 0.5
    a, b, c, d, e, f = (one[:, MAP + place] for place in range(6))
    across, down = a * x + b * y + c - 0.5, d * x + e * y + f - 0.5  # (N, size, size)
    left, top = across.floor(), down.floor()
    right_share, low_share = (across - left)[:, None], (down - top)[:, None]
    whole = table.long().view(-1, WIDTH, 1, 1)
    side = size + 2 * whole[:, MARGIN]
    xs = [_inside(left.long() + one_more, side, whole[:, CORNER], whole[:, SIDES]) for one_more in (0, 1)]
    ys = [
        _inside(top.long() + one_more, side, whole[:, CORNER + 1], whole[:, SIDES + 1]) for one_more in (0, 1)
    ]
    flat, stride = resized.flatten(2), resized.shape[-1]

    def taken(row: Tensor, column: Tensor) -> Tensor:
        places = (row * stride + column).flatten(1)[:, None].expand(-1, 3, -1)
        return flat.gather(2, places).view(-1, 3, size, size).double()

    lines = []
    for row in ys:
        before, after = taken(row, xs[0]), taken(row, xs[1])
        lines.append(before + (after - before) * right_share)
    return (lines[0] + (lines[1] - lines[0]) * low_share).to(torch.uint8)


def _inside(place: Tensor, side: Tensor, corner: Tensor, made: Tensor) -> Tensor:
    """Where a place of the padded square stands in what was resized, mirrored in from beyond its edges."""
    place = torch.minimum(place.clamp(min=0), side - 1) - corner
    place = torch.where(place < 0, -1 - place, place)
    return torch.where(place >= made, 2 * made - 1 - place, place)


def _grey(pixels: Tensor) -> Tensor:
    """(N, 1, S, S) int64: Pillow's luma of RGB."""
    red, green, blue = (pixels[:, channel].long() for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)[:, None]


def _blended(plain: Tensor, pixels: Tensor, factor: Tensor) -> Tensor:
    """uint8: `Image.blend` of what has none of a property with what has it, in float32 and cut off."""
    difference = (pixels.long() - plain.long()).float()
    return (plain.float() + factor * difference).clamp(0, 255).to(torch.uint8)
