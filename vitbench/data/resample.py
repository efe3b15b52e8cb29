"""Pillow's resize of a box, as integer arithmetic on a batch of pictures: the same bytes on any device.

Pillow resizes 8-bit pictures with weights that it computes in float64 and rounds to 22 bits, in int32 sums,
a pass along each side, with one rounding to 8 bits between them. Sums of integers do not depend on their
order, and the float64 part is a few operations that IEEE 754 defines to the last bit. So the same
operations, each rounded for itself (no fused multiply-add), give Pillow's bytes wherever they are done.
Source: Pillow's src/libImaging/Resample.c.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import PIL
import torch
from torch import Tensor

from vitbench.records import Array

BITS = 22
"""Of a weight behind the point: Pillow's PRECISION_BITS, 32 − 8 − 2."""
REACH = {"bilinear": 1, "bicubic": 2}
"""The interpolations there are here, and to how many source pixels on either side each looks."""
AT_ONCE = 32
"""Pictures that plain torch works on at a time: its sums take 12 bytes a value."""

# The columns of `Crops.table`. A pass has five: the picture's side along it, the distance of two neighbours
# along it in pixels of the buffer, the ends of the box along it, and the pixels that it becomes.
OFFSET, TURNED, MIRRORED, FIRST, SECOND, WIDTH = 0, 1, 2, 3, 8, 13
SIDE, STEP, LOW, HIGH, MADE = 0, 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Crops:
    """Boxes of pictures that lie one behind the other in a buffer, and the size that each becomes."""

    table: Tensor
    """(N, WIDTH) float64, in which every one of these numbers is exact: one copy takes all to a device."""
    size: int
    """The largest side that a box becomes, px; what is smaller fills a square of that size from a corner."""
    interpolation: str
    """A name in `REACH`."""
    taps: int
    """Source pixels that an output pixel is made of, at most, along any side of any box."""
    rows: int
    """Lines that the first pass leaves to the second, at most."""

    def with_table(self, table: Tensor) -> "Crops":
        """The same with its table in another place."""
        return replace(self, table=table)


def vertical_first(sides: Array, made: Array, pillow: str = PIL.__version__) -> Array:
    """(N,) bool: whether that Pillow resizes along the height first, which changes the rounding between.

    sides, made (N, 2): width and height of the pictures, and of what their boxes become.

    13 does where that side shrinks by more than twice as many pixels, 12.2 and 12.3 for strips, others never.
    """
    version = tuple(int(part) for part in pillow.split(".")[:2])
    (widths, heights), shrunk = sides.T, (sides - made).T
    if version >= (13,):
        first: Array = (shrunk[1] > 0) & (shrunk[1] > 2 * shrunk[0])
    else:
        first = (shrunk[1] > 0) & (heights > 100 * widths) & (version >= (12, 2))
    return first


def plan_crops(
    sides: Array, offsets: Array, boxes: Array, made: Array, mirrored: Array, interpolation: str
) -> Crops:
    """What `resample` needs to know, worked out on the CPU.

    sides (N, 2) int: width and height of the picture of each crop. offsets (N,) int: where its RGB values
    begin in the buffer, row by row. boxes (N, 4) float64: x0, y0, x1, y1, px. made (N, 2) int: width and
    height that they become. mirrored (N,) bool, of square ones only.
    """
    turned = vertical_first(sides, made)
    table = np.zeros((len(sides), WIDTH))
    table[:, OFFSET], table[:, TURNED], table[:, MIRRORED] = offsets, turned, mirrored
    steps = np.stack([np.ones_like(sides[:, 0]), sides[:, 0]], axis=1)
    axes = np.stack([turned, ~turned], axis=1).astype(int)  # 0: along the width, 1: along the height
    single = boxes.astype(np.float32)  # as Pillow takes them
    low, high = single[:, :2], single[:, 2:]
    for column, values in ((SIDE, sides), (STEP, steps), (LOW, low), (HIGH, high), (MADE, made)):
        table[:, [FIRST + column, SECOND + column]] = np.take_along_axis(values, axes, axis=1)
    spans = (high - low).astype(float)
    supports = REACH[interpolation] * np.maximum(spans / made, 1)
    lines = np.take_along_axis(spans + 2 * supports, axes, axis=1)[:, 1]
    return Crops(
        torch.from_numpy(table),
        int(made.max(initial=1)),
        interpolation,
        taps=2 * int(np.ceil(supports.max(initial=1))) + 1,
        rows=int(np.ceil(lines.max(initial=1))) + 2,
    )


def resample(pixels: Tensor, crops: Crops) -> Tensor:
    """uint8 (N, 3, size, size): the crops of the pictures that lie in `pixels`, (any,) uint8, in plain torch.

    On the device that both are on, whichever it is, but for one without float64.
    """
    starts = range(0, max(1, len(crops.table)), AT_ONCE)
    return torch.cat([_resample(pixels, crops.table[start : start + AT_ONCE], crops) for start in starts])


def _resample(pixels: Tensor, table: Tensor, crops: Crops) -> Tensor:
    size, rows, device = crops.size, crops.rows, pixels.device
    x0, across = _weights(table[:, FIRST:SECOND], crops)
    y0, down = _weights(table[:, SECOND:], crops)
    whole = table.long()
    side, step, last = (
        whole[:, FIRST + SIDE, None],
        whole[:, FIRST + STEP, None],
        whole[:, SECOND + SIDE, None],
    )
    top = y0[:, :1]
    lines = torch.minimum(top + torch.arange(rows, device=device), last - 1)
    begin = whole[:, OFFSET, None] + 3 * lines * whole[:, SECOND + STEP, None]  # (N, rows), of each line
    colours = torch.arange(3, device=device).view(1, 3, 1, 1)
    places = begin[:, None, :, None] + colours  # (N, 3, rows, 1)
    total = _half(len(table), 3, rows, size, device=device)
    for tap in range(crops.taps):
        x = 3 * step * torch.minimum(x0 + tap, side - 1)
        total += pixels[places + x[:, None, None, :]].int() * across[:, None, None, :, tap]
    between = (total >> BITS).clamp_(0, 255)
    total = _half(len(table), 3, size, size, device=device)
    for tap in range(crops.taps):
        line = (y0 - top + tap).clamp(max=rows - 1)[:, None, :, None].expand(-1, 3, -1, size)
        total += between.gather(2, line) * down[:, None, :, tap, None]
    made = (total >> BITS).clamp_(0, 255).to(torch.uint8)
    made = torch.where(whole[:, TURNED].bool().view(-1, 1, 1, 1), made.transpose(2, 3), made)
    return torch.where(whole[:, MIRRORED].bool().view(-1, 1, 1, 1), made.flip(3), made)


def _half(*shape: int, device: torch.device) -> Tensor:
    """What sums begin with, so that cutting the bits behind the point off rounds."""
    return torch.full(shape, 1 << (BITS - 1), dtype=torch.int32, device=device)


def _weights(axis: Tensor, crops: Crops) -> tuple[Tensor, Tensor]:
    """Of each output pixel along a side: its first source pixel (N, size), its weights (N, size, taps) int32.

    Operation by operation what Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` do.
    """
    low, high, side = axis[:, LOW, None], axis[:, HIGH, None], axis[:, SIDE, None].long()
    size, reach = crops.size, REACH[crops.interpolation]
    scale = (high.float() - low.float()).double() / axis[:, MADE, None]
    wide = scale.clamp(min=1)
    support, inverse = reach * wide, 1 / wide
    center = low + (torch.arange(size, dtype=torch.float64, device=axis.device) + 0.5) * scale
    first = (center - support + 0.5).long().clamp(min=0)  # cut off, as C does
    count = torch.minimum((center + support + 0.5).long(), side) - first
    values, total = [], torch.zeros_like(center)
    for tap in range(crops.taps):  # added up in Pillow's order
        value = _curve((tap + first - center + 0.5) * inverse, crops.interpolation)
        values.append(torch.where(tap < count, value, 0.0))
        total = total + values[-1]
    scaled = torch.stack(values, dim=-1) / total[..., None] * (1 << BITS)
    return first, torch.where(scaled < 0, scaled - 0.5, scaled + 0.5).int()


def _curve(x: Tensor, interpolation: str) -> Tensor:
    """Pillow's filter functions: the weight at a distance of x."""
    x = x.abs()
    nothing: Any = torch.zeros_like(x)
    if interpolation == "bilinear":
        return torch.where(x < 1, 1 - x, nothing)
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return torch.where(x < 1, near, torch.where(x < 2, far, nothing))
