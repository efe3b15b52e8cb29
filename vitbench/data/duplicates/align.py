"""One small gray picture laid on another by an affine map, and how well they then agree."""

import numpy as np

from vitbench.records import Array

STEPS = ((2, 8), (1, 5))
"""(shrunk by, steps of Gauss-Newton): first on half the side, which sees further, then on all of it."""
PROMISING = 0.85
"""Correlation of the gray levels on half the side below which a pair is given up."""
FURTHEST = 0.2
"""Share of the side by which a centre may move."""
ZOOM = (0.7, 1 / 0.7)
LEAST_SHARED = 0.5
"""Share of the picture that must lie on the other one."""
MOST_STRETCH = 1.15
"""How much more one axis may be zoomed than the other, and the sine of an angle sheared."""


def warp(pictures: Array, maps: Array) -> tuple[Array, Array]:
    """(M, S, S) pictures read through (M, 2, 3) maps, bilinearly, and (M, S, S) where they have a value.

    A map takes the place (x, y, 1) of the result, in px from its centre, to that in the picture.
    """
    count, side = len(pictures), pictures.shape[-1]
    x, y = _grid(side)
    place = maps @ np.stack([x, y, np.ones_like(x)]).reshape(3, -1) + (side - 1) / 2
    place = np.round(place, 6)  # so that what moves nothing stays inside
    inside = ((place >= 0) & (place <= side - 1)).all(axis=1).reshape(count, side, side)
    place = np.clip(place, 0, side - 1)
    whole = np.minimum(place.astype(np.int64), side - 2)
    (right, low), (left, top) = (place - whole).swapaxes(0, 1), whole.swapaxes(0, 1)
    flat = pictures.reshape(count, side * side)
    corner = top * side + left
    read = [np.take_along_axis(flat, corner + step, axis=1) for step in (0, 1, side, side + 1)]
    upper = read[0] + right * (read[1] - read[0])
    lower = read[2] + right * (read[3] - read[2])
    return (upper + low * (lower - upper)).reshape(count, side, side), inside


def align(one: Array, other: Array, maps: Array) -> tuple[Array, Array]:
    """The maps that lay `other` on `one`, from a first guess, and (M,) bool: where that is believable.

    one, other: (M, S, S); maps: (M, 2, 3). Brightness and contrast play no part. The rows of pairs that
    agree too little on half the side are given up there.
    """
    maps = maps.astype(np.float64)
    going = np.arange(len(one))
    for shrink, steps in STEPS:
        a, b = _shrunk(one[going], shrink), _shrunk(other[going], shrink)
        scale = np.array([1, 1, 1 / shrink])
        found = _descend(a, b, maps[going] * scale, steps)
        maps[going] = found / scale
        if shrink > 1:
            laid, inside = warp(b, found)
            going = going[_believable(maps[going], one.shape[-1]) & (_agreement(a, laid, inside) > PROMISING)]
            if not len(going):
                break
    near = np.zeros(len(one), dtype=bool)
    near[going] = _believable(maps[going], one.shape[-1])
    near[going] &= warp(other[going], maps[going])[1].mean(axis=(1, 2)) >= LEAST_SHARED
    return maps, near


def correlation(one: Array, other: Array, inside: Array | None) -> Array:
    """(M,) correlation of slopes (M, 2, S-2, S-2) where a pixel and its neighbours are `inside` (M, S, S)."""
    if inside is not None:
        around = inside[:, 1:-1, 1:-1].copy()
        for part in (inside[:, :-2, 1:-1], inside[:, 2:, 1:-1], inside[:, 1:-1, :-2], inside[:, 1:-1, 2:]):
            around &= part
        one, other = one * around[:, None], other * around[:, None]
    count = 2 * one.shape[-1] ** 2
    a, b = one.reshape(-1, count), other.reshape(-1, count)
    both = np.einsum("ij,ij->i", a, b)
    size = np.sqrt(np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b))
    return np.asarray(both / (size + 1e-6))


def _grid(side: int) -> tuple[Array, Array]:
    """x and y of each pixel, in px from the centre."""
    centred = np.arange(side) - (side - 1) / 2
    x, y = np.meshgrid(centred, centred)
    return x, y


def _descend(one: Array, other: Array, maps: Array, steps: int) -> Array:
    """The maps after some steps of Gauss-Newton towards equal gray levels."""
    side = one.shape[-1]
    x, y = _grid(side)
    for _ in range(steps):
        laid, inside = warp(other, maps)
        weight = inside.astype(np.float64)
        weight[:, [0, -1]] = weight[:, :, [0, -1]] = 0
        wanted, have = _evened(one, weight), _evened(laid, weight)
        across, down = np.zeros_like(have), np.zeros_like(have)
        across[:, :, 1:-1] = (have[:, :, 2:] - have[:, :, :-2]) / 2
        down[:, 1:-1] = (have[:, 2:] - have[:, :-2]) / 2
        across, down = across * weight, down * weight
        moves = np.stack([across * x, across * y, across, down * x, down * y, down], axis=1)
        moves = moves.reshape(len(one), 6, -1)
        missing = ((wanted - have) * weight).reshape(len(one), -1, 1)
        curve = moves @ moves.swapaxes(1, 2) + 1e-3 * np.eye(6)
        step = np.linalg.solve(curve, moves @ missing).reshape(-1, 2, 3)
        moved = np.eye(3) + np.concatenate([step, np.zeros((len(one), 1, 3))], axis=1)
        maps = np.clip(maps @ moved, -side, side)
    return maps


def _evened(levels: Array, weight: Array) -> Array:
    """Levels with mean 0 and variance 1 where they weigh."""
    total = weight.sum(axis=(1, 2), keepdims=True) + 1e-6
    centred = levels - (levels * weight).sum(axis=(1, 2), keepdims=True) / total
    spread = np.sqrt((np.square(centred) * weight).sum(axis=(1, 2), keepdims=True) / total)
    return np.asarray(centred / (spread + 1e-3))


def _agreement(one: Array, laid: Array, inside: Array) -> Array:
    """(M,) correlation of gray levels."""
    weight = inside.astype(np.float64)
    total = weight.sum(axis=(1, 2)) + 1e-6
    return np.asarray((_evened(one, weight) * _evened(laid, weight) * weight).sum(axis=(1, 2)) / total)


def _shrunk(pictures: Array, times: int) -> Array:
    """(M, S, S) pictures as (M, S / times, S / times), by means."""
    count, side = len(pictures), pictures.shape[-1] // times
    cells = pictures.reshape(count, side, times, side, times)
    return np.asarray(cells.mean(axis=(2, 4), dtype=np.float64))


def _believable(maps: Array, side: int) -> Array:
    """(M,) where a map moves, zooms and shears no more than a crop or a second shot does."""
    linear = maps[:, :, :2]
    zoom = np.sqrt(np.abs(np.linalg.det(linear)))
    stretch = np.linalg.svd(linear, compute_uv=False)
    moved = np.abs(maps[:, :, 2]).max(axis=1) / side
    kept = (np.linalg.det(linear) > 0) & (zoom >= ZOOM[0]) & (zoom <= ZOOM[1])
    return np.asarray(kept & (moved <= FURTHEST) & (stretch[:, 0] <= MOST_STRETCH * stretch[:, 1]))
