"""`vitbench.data.resample` as three kernels for an NVIDIA card. To be imported only where Triton is.

They are compiled without fused multiply-add, which would round two operations at once and so give other
last bits than a CPU: that the pictures are equal to Pillow's hangs on it.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from vitbench.data.resample import (
    BITS,
    FIRST,
    HIGH,
    LOW,
    MADE,
    MIRRORED,
    OFFSET,
    REACH,
    SECOND,
    SIDE,
    STEP,
    TURNED,
    WIDTH,
    Crops,
)

EXACT = {"enable_fp_fusion": False}
LINES = 4
"""That one program works on."""


def resample(pixels: Tensor, crops: Crops) -> Tensor:
    """uint8 (N, 3, size, size), as `vitbench.data.resample.resample`; nothing waits for the card."""
    count, size, device = len(crops.table), crops.size, pixels.device
    cubic, reach, block = (
        crops.interpolation == "bicubic",
        REACH[crops.interpolation],
        triton.next_power_of_2(size),
    )
    first = torch.empty(count, 2, size, dtype=torch.int32, device=device)
    weights = torch.empty(count, 2, size, crops.taps, dtype=torch.int32, device=device)
    between = torch.empty(count, 3, crops.rows, size, dtype=torch.uint8, device=device)
    made = torch.empty(count, 3, size, size, dtype=torch.uint8, device=device)
    with torch.cuda.device_of(pixels):  # type: ignore[no-untyped-call]  # Triton launches on the current one
        given = (crops.table, first, weights, size, crops.taps)
        _weigh[(count, 2)](*given, cubic=cubic, reach=reach, block=block, **EXACT)
        shape = {"lines": LINES, "block": block}
        _along[(count, triton.cdiv(crops.rows, LINES))](pixels, *given, between, crops.rows, **shape, **EXACT)
        _across[(3 * count, triton.cdiv(size, LINES))](*given, between, crops.rows, made, **shape, **EXACT)
    return made


# Names of the columns, as a kernel may use them.
_OFFSET, _TURNED, _MIRRORED, _WIDTH = map(tl.constexpr, (OFFSET, TURNED, MIRRORED, WIDTH))
_FIRST, _SECOND = map(tl.constexpr, (FIRST, SECOND))
_SIDE, _STEP, _LOW, _HIGH, _MADE = map(tl.constexpr, (SIDE, STEP, LOW, HIGH, MADE))
_BITS = tl.constexpr(BITS)
_ONE, _HALF = tl.constexpr(float(1 << BITS)), tl.constexpr(1 << (BITS - 1))


@triton.jit
def _curve(x, cubic: tl.constexpr):
    """Pillow's filter functions: the weight at a distance of x."""
    x = tl.abs(x)
    if cubic:
        near = (1.5 * x - 2.5) * x * x + 1.0
        far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
        return tl.where(x < 1.0, near, tl.where(x < 2.0, far, 0.0))
    return tl.where(x < 1.0, 1.0 - x, 0.0)


@triton.jit(do_not_specialize=["size", "taps"])
def _weigh(table, first, weights, size, taps, cubic: tl.constexpr, reach: tl.constexpr, block: tl.constexpr):
    """Program (crop, pass): first source pixel (size,) and weights (size, taps) of each output pixel."""
    crop, turn = tl.program_id(0), tl.program_id(1)
    x = tl.arange(0, block)
    inside = x < size
    axis = table + crop * _WIDTH + tl.where(turn == 0, _FIRST, _SECOND)
    low, high = tl.load(axis + _LOW), tl.load(axis + _HIGH)
    scale = (high.to(tl.float32) - low.to(tl.float32)).to(tl.float64) / tl.load(axis + _MADE)
    wide = tl.maximum(scale, 1.0)
    support = reach * wide
    inverse = tl.full((), 1.0, tl.float64) / wide
    center = low + (x.to(tl.float64) + 0.5) * scale
    begin = tl.maximum((center - support + 0.5).to(tl.int32), 0)
    count = tl.minimum((center + support + 0.5).to(tl.int32), tl.load(axis + _SIDE).to(tl.int32)) - begin
    total = tl.zeros((block,), tl.float64)
    for tap in range(taps):  # added up in Pillow's order
        value = _curve(((tap + begin).to(tl.float64) - center + 0.5) * inverse, cubic)
        total += tl.where(tap < count, value, 0.0)
    total = tl.where(total == 0.0, 1.0, total)  # beyond the last pixel: nothing is summed, nor divided by 0
    line = (2 * crop + turn) * size + x
    for tap in range(taps):
        value = _curve(((tap + begin).to(tl.float64) - center + 0.5) * inverse, cubic)
        scaled = tl.where(tap < count, value, 0.0) / total * _ONE
        rounded = tl.where(scaled < 0.0, scaled - 0.5, scaled + 0.5).to(tl.int32)
        tl.store(weights + line * taps + tap, rounded, mask=inside)
    tl.store(first + line, begin, mask=inside)


@triton.jit(do_not_specialize=["size", "taps", "rows"])
def _along(
    pixels, table, first, weights, size, taps, between, rows, lines: tl.constexpr, block: tl.constexpr
):
    """Program (crop, so many lines): the first pass, `between` uint8 (N, 3, rows, size)."""
    crop = tl.program_id(0)
    y = tl.program_id(1) * lines + tl.arange(0, lines)
    x = tl.arange(0, block)
    numbers = table + crop * _WIDTH
    line = tl.load(first + (2 * crop + 1) * size) + y
    line = tl.minimum(line, tl.load(numbers + _SECOND + _SIDE).to(tl.int32) - 1).to(tl.int64)
    begin = tl.load(numbers + _OFFSET).to(tl.int64)
    begin += 3 * line * tl.load(numbers + _SECOND + _STEP).to(tl.int64)
    step, last = (
        tl.load(numbers + _FIRST + _STEP).to(tl.int64),
        tl.load(numbers + _FIRST + _SIDE).to(tl.int32) - 1,
    )
    from_x = tl.load(first + 2 * crop * size + x, mask=x < size, other=0)
    inside = (y < rows)[:, None] & (x < size)[None, :]
    red = tl.full((lines, block), _HALF, tl.int32)
    green = tl.full((lines, block), _HALF, tl.int32)
    blue = tl.full((lines, block), _HALF, tl.int32)
    for tap in range(taps):
        weight = tl.load(weights + (2 * crop * size + x) * taps + tap, mask=x < size, other=0)[None, :]
        along = 3 * tl.minimum(from_x + tap, last) * step
        pixel = pixels + begin[:, None] + along[None, :]
        red += tl.load(pixel, mask=inside, other=0).to(tl.int32) * weight
        green += tl.load(pixel + 1, mask=inside, other=0).to(tl.int32) * weight
        blue += tl.load(pixel + 2, mask=inside, other=0).to(tl.int32) * weight
    out = between + 3 * crop.to(tl.int64) * rows * size + y[:, None] * size + x[None, :]
    tl.store(out, _rounded(red), mask=inside)
    tl.store(out + rows * size, _rounded(green), mask=inside)
    tl.store(out + 2 * rows * size, _rounded(blue), mask=inside)


@triton.jit(do_not_specialize=["size", "taps", "rows"])
def _across(table, first, weights, size, taps, between, rows, made, lines: tl.constexpr, block: tl.constexpr):
    """Program (crop and colour, so many lines): the second pass, `made` uint8 (N, 3, size, size), upright."""
    plane = tl.program_id(0)
    crop = plane // 3
    y = tl.program_id(1) * lines + tl.arange(0, lines)
    x = tl.arange(0, block)
    second = (2 * crop + 1) * size
    begin = tl.load(first + second + y, mask=y < size, other=0) - tl.load(first + second)
    inside = (y < size)[:, None] & (x < size)[None, :]
    total = tl.full((lines, block), _HALF, tl.int32)
    source = between + plane.to(tl.int64) * rows * size + x[None, :]
    for tap in range(taps):
        weight = tl.load(weights + (second + y) * taps + tap, mask=y < size, other=0)[:, None]
        line = tl.minimum(tl.maximum(begin + tap, 0), rows - 1)[:, None]
        total += tl.load(source + line * size, mask=inside, other=0).to(tl.int32) * weight
    numbers = table + crop * _WIDTH
    turned, mirrored = tl.load(numbers + _TURNED) != 0.0, tl.load(numbers + _MIRRORED) != 0.0
    column = tl.where(turned, y[:, None], x[None, :])
    row = tl.where(turned, x[None, :], y[:, None])
    column = tl.where(mirrored, size - 1 - column, column)
    out = made + plane.to(tl.int64) * size * size
    tl.store(out + row * size + column, _rounded(total), mask=inside)


@triton.jit
def _rounded(total):
    return tl.minimum(tl.maximum(total >> _BITS, 0), 255).to(tl.uint8)
