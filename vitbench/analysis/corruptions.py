"""Corruptions of a picture as a model is given it: a row of `CORRUPTIONS` each, in five severities.

What they do, and how strongly, is ImageNet-C (Hendrycks & Dietterich 2019, arXiv 1903.12261; constants of
their `make_imagenet_c.py`, Apache-2.0), whose constants are meant for 224 px: lengths in pixels go with the
size of the picture. Its snow, frost, fog and spatter need textures and are left out. What is drawn depends on
(seed, content, corruption, severity) alone, so that every model is given the same bytes.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vitbench.data.views import LEVELS, OPS, KeyedRandom
from vitbench.errors import UsageError, did_you_mean
from vitbench.records import Array, Augment

SIZE = 224
"""Px for which the constants are meant."""
SEVERITIES = (1, 2, 3, 4, 5)
Draws = np.random.Generator


@dataclass(frozen=True)
class Corruption:
    """One kind of damage."""

    name: str
    title: str
    published: str
    """What ImageNet-C calls it."""
    constants: tuple[Any, ...]
    """Of severity 1 to 5, as published."""
    unit: str
    """How a constant is written, a format of it: "σ {}"."""
    change: Callable[[Array, Any, Draws], Array]
    """(S, S, 3) float32 in [0, 1], a constant and what draws → the same, not yet cut to [0, 1]."""
    akin: str = ""
    """The operation of training views that changes pictures alike, as `data.views.OPS` calls it."""

    def constant(self, severity: int) -> str:
        """The published constant in words."""
        value = self.constants[severity - 1]
        return self.unit.format(*value) if isinstance(value, tuple) else self.unit.format(value)

    def apply(self, pixels: Array, severity: int, seed: int, sha256: str) -> Array:
        """A picture, uint8 (S, S, 3), corrupted; the same one for the same arguments.

        sha256: of the file's content.
        """
        draws = KeyedRandom("vitbench corruption", seed, sha256, self.name, severity).generator
        damaged = self.change(pixels.astype(np.float32) / 255, self.constants[severity - 1], draws)
        return np.asarray(np.rint(np.clip(damaged, 0, 1) * 255), dtype=np.uint8)

    def trained_with(self, augment: Augment) -> bool:
        """Whether the training views of that level are changed alike, so that this one is no surprise."""
        level = LEVELS[augment]
        factors = ("brightness", "contrast", "colour") if level.colour else ()
        return self.akin in (*factors, *(OPS if level.ops else ()))


def length(pixels: float, picture: Array) -> float:
    """So many pixels at 224 px in a picture of its size."""
    return pixels * len(picture) / SIZE


# --- noise ----------------------------------------------------------------------------------------


def gaussian_noise(picture: Array, sigma: float, draws: Draws) -> Array:
    return np.asarray(picture + sigma * draws.standard_normal(picture.shape, dtype=np.float32))


def shot_noise(picture: Array, photons: float, draws: Draws) -> Array:
    """Poisson noise of so many photons where a pixel is white."""
    return np.asarray(draws.poisson(picture * photons) / photons, dtype=np.float32)


def impulse_noise(picture: Array, share: float, draws: Draws) -> Array:
    """That share of all values becomes 0 or 1, evenly."""
    drawn = draws.random(picture.shape, dtype=np.float32)
    return np.where(drawn < share, (drawn < share / 2).astype(np.float32), picture)


# --- blur -----------------------------------------------------------------------------------------


def defocus_blur(picture: Array, disk: tuple[float, float], draws: Draws) -> Array:
    """Out of focus: the mean over a disk of that radius, px, whose edge is softened by a σ, px."""
    from scipy.ndimage import correlate1d
    from scipy.signal import oaconvolve

    radius, soft = length(disk[0], picture), disk[1]
    reach = math.ceil(radius) + 2
    across = np.arange(-reach, reach + 1)
    inside = (across**2 + across[:, None] ** 2 <= radius**2).astype(np.float32)
    edge = np.exp(-(np.arange(-2, 3) ** 2) / (2 * soft**2))
    edge[np.abs(np.arange(-2, 3)) > (1 if disk[0] <= 8 else 2)] = 0  # the published kernel's 3 or 5 px
    kernel = correlate1d(correlate1d(inside, edge, axis=0, mode="constant"), edge, axis=1, mode="constant")
    kernel = (kernel / kernel.sum())[..., None].astype(np.float32)
    wide = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    return np.asarray(oaconvolve(wide, kernel, mode="valid", axes=(0, 1)))


def motion_blur(picture: Array, lens: tuple[float, float], draws: Draws) -> Array:
    """Drawn along a line at a random angle of ±45° by (radius, σ), px, as ImageMagick does.

    A half Gaussian of 2 · radius + 1 steps; what moves in repeats the border.
    """
    radius, sigma = (length(pixels, picture) for pixels in lens)
    steps = np.arange(2 * max(1, round(radius)) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    angle = math.radians(draws.uniform(-45, 45))
    down, across = (np.ceil(steps * part - 0.5).astype(int) for part in (math.sin(angle), math.cos(angle)))
    side, reach = len(picture), int(steps[-1])
    wide = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    out = np.zeros_like(picture)
    for weight, row, column in zip(weights / weights.sum(), reach + down, reach + across, strict=True):
        out += np.float32(weight) * wide[row : row + side, column : column + side]
    return out


def zoom_blur(picture: Array, zooms: tuple[float, float], draws: Draws) -> Array:
    """The mean of the picture and of itself enlarged by 1 up to (below, in steps of)."""
    channels, side = [Image.fromarray(channel, "F") for channel in np.moveaxis(picture, 2, 0)], len(picture)
    factors = np.arange(1, *zooms)
    total = picture.copy()
    for factor in factors:
        kept = math.ceil(side / factor)
        wide = max(side, round(kept * factor))
        step = (kept - 1) / (wide - 1)  # as scipy's zoom: the first pixel on the first, the last on the last
        begin = (side - kept) // 2 + 0.5 + ((wide - side) // 2 - 0.5) * step
        matrix = (step, 0.0, begin, 0.0, step, begin)
        enlarged = [
            channel.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
            for channel in channels
        ]
        total += np.stack([np.asarray(one) for one in enlarged], axis=2)
    return np.asarray(total / (len(factors) + 1))


# --- light and colour -----------------------------------------------------------------------------


def brightness(picture: Array, more: float, draws: Draws) -> Array:
    """So much more of V in HSV: hue and saturation stay."""
    value = picture.max(axis=2, keepdims=True)
    target = np.minimum(value + more, 1)
    return np.asarray(np.where(value > 0, picture * (target / np.maximum(value, 1e-6)), target))


def contrast(picture: Array, factor: float, draws: Draws) -> Array:
    """That share of each value's distance from its channel's mean."""
    mean = picture.mean(axis=(0, 1), keepdims=True)
    return np.asarray((picture - mean) * factor + mean)


def saturation(picture: Array, line: tuple[float, float], draws: Draws) -> Array:
    """S in HSV times the first plus the second, at most 1; hue and V stay. Hue 0 for grey."""
    value, least = picture.max(axis=2, keepdims=True), picture.min(axis=2, keepdims=True)
    spread = value - least
    own = spread / np.maximum(value, 1e-6)
    new = np.clip(own * line[0] + line[1], 0, 1)
    away = np.where(
        spread > 0, (value - picture) / np.maximum(spread, 1e-6), np.array([0, 1, 1], dtype=np.float32)
    )
    return np.asarray(value * (1 - new * away))


# --- digital --------------------------------------------------------------------------------------


def jpeg(picture: Array, quality: int, draws: Draws) -> Array:
    """Saved as JPEG of that quality and read again."""
    buffer = io.BytesIO()
    _image(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), dtype=np.float32) / 255


def pixelation(picture: Array, share: float, draws: Draws) -> Array:
    """Shrunk to that share of its side, by means over boxes, and enlarged again."""
    side = len(picture)
    few = max(1, int(side * share))
    small = _image(picture).resize((few, few), Image.Resampling.BOX)
    return np.asarray(small.resize((side, side), Image.Resampling.BOX), dtype=np.float32) / 255


def elastic(picture: Array, parts: tuple[float, float, float], draws: Draws) -> Array:
    """Bent: a random affine map, then uniform noise, smoothed by σ, times α (Simard et al. 2003).

    parts: α, σ and how far the affine map's three points move at most, as shares of 244 px (as published).
    The two maps are joined, so that the picture is interpolated once; published: one after the other.
    """
    from scipy.ndimage import map_coordinates

    side = len(picture)
    alpha, sigma, moved = (length(244 * part, picture) for part in parts)
    centre, reach = side // 2, side // 3
    alpha *= side / SIZE  # noise that is smoothed over fewer pixels falls less
    corners = np.array([[1, 1], [1, -1], [-1, -1]]) * reach + centre  # x, y
    targets = corners + draws.uniform(-moved, moved, (3, 2))
    back = np.linalg.solve(np.c_[targets, np.ones(3)], corners)  # (3, 2): target x, y, 1 → source x, y
    across, down = (_smooth(draws.uniform(-1, 1, (side, side)), sigma) * alpha for _ in range(2))
    rows, columns = np.mgrid[:side, :side]
    x, y = columns + across, rows + down
    source = [x * back[0, place] + y * back[1, place] + back[2, place] for place in (1, 0)]
    bent = [
        map_coordinates(channel, source, order=1, mode="mirror") for channel in np.moveaxis(picture, 2, 0)
    ]
    return np.stack(bent, axis=2)


def _smooth(field: Array, sigma: float) -> Array:
    """A Gaussian of that σ, px, the field mirrored at its borders, by cosines."""
    from scipy.fft import dctn, idctn

    frequency = np.pi * np.arange(len(field)) / len(field)
    fall = np.exp(-(sigma**2) * frequency**2 / 2)
    return np.asarray(idctn(dctn(field) * fall * fall[:, None]))


def _image(picture: Array) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))


# --- the table ------------------------------------------------------------------------------------

CORRUPTIONS: Mapping[str, Corruption] = {
    row.name: row
    for row in (
        Corruption("gaussian", "Gaussian noise", "gaussian_noise",
                   (0.08, 0.12, 0.18, 0.26, 0.38), "σ {}", gaussian_noise),
        Corruption("shot", "shot noise", "shot_noise", (60, 25, 12, 5, 3), "{} photons", shot_noise),
        Corruption("impulse", "impulse noise", "impulse_noise",
                   (0.03, 0.06, 0.09, 0.17, 0.27), "{} of values", impulse_noise),
        Corruption("defocus", "defocus blur", "defocus_blur",
                   ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
                   "radius {} px, edge {} px", defocus_blur),
        Corruption("motion", "motion blur", "motion_blur",
                   ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)), "radius {} px, σ {} px", motion_blur),
        Corruption("zoom", "zoom blur", "zoom_blur",
                   ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
                   "up to {} times by {}", zoom_blur),
        Corruption("brightness", "brightness", "brightness",
                   (0.1, 0.2, 0.3, 0.4, 0.5), "V + {}", brightness, "brightness"),
        Corruption("contrast", "contrast", "contrast",
                   (0.4, 0.3, 0.2, 0.1, 0.05), "× {}", contrast, "contrast"),
        Corruption("saturation", "saturation", "saturate",
                   ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)), "S × {} + {}", saturation, "colour"),
        Corruption("jpeg", "JPEG", "jpeg_compression", (25, 18, 15, 10, 7), "quality {}", jpeg),
        Corruption("pixelation", "pixelation", "pixelate",
                   (0.6, 0.5, 0.4, 0.3, 0.25), "{} of the side", pixelation),
        Corruption("elastic", "elastic bending", "elastic_transform",
                   ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02),
                    (0.12, 0.01, 0.02)),
                   "244 px × ({}, {}, {})", elastic),
    )
}  # fmt: skip
"""In the order in which they are shown."""
DEFAULT = ("gaussian", "shot", "defocus", "motion", "brightness", "contrast", "jpeg", "pixelation")
"""One of each kind, and those that cameras and networks bring."""
DEFAULT_SEVERITIES = (1, 3, 5)


def named(names: Sequence[str]) -> tuple[Corruption, ...]:
    """The corruptions of these names, each once, in the order of the table; "all": every one.

    UsageError for a name that there is not.
    """
    if "all" in names:
        return tuple(CORRUPTIONS.values())
    for name in names:
        if name not in CORRUPTIONS:
            near = did_you_mean(name, CORRUPTIONS) or f"; there are {', '.join(CORRUPTIONS)}, or all"
            raise UsageError(f"--corruptions {name}: no such corruption{near}")
    return tuple(one for one in CORRUPTIONS.values() if one.name in names)
