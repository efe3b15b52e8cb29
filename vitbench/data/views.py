"""Augmented views: what is drawn (`View`, in coordinates relative to the picture) and how it is rendered.

A view depends on (seed, epoch, content of the picture, k) and nothing else, so every model sees the same
crops, whatever its input size and the number of workers.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from vitbench.records import Array, Augment

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 as fractions of width and height."""
FILL = (124, 116, 104)
"""What fills erased boxes and what an operation moves in: ImageNet's mean colour, as timm does."""


# --- the levels -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Level:
    """How far the views of one `--augment` level may go from the original."""

    area: tuple[float, float] | None
    """Of the crop, as a fraction of the picture; None: the largest square at the centre."""
    flip: bool = False
    rotation: float = 0.0
    """At most so many degrees, either way."""
    colour: float = 0.0
    """Brightness, contrast and saturation each change by at most this fraction."""
    ops: int = 0
    """How many operations of `OPS`."""
    strength: float = 1.0
    """Times the magnitudes of `OPS`."""
    erase: float = 0.0
    """Probability that a box is erased."""


LEVELS: Mapping[Augment, Level] = {
    # What evaluation sees, at crop 1.0: for data where every change of the picture changes its class.
    "none": Level(area=None),
    # Crop .5–1 + flip gave 79 % on real phone photos of apples where colour changes gave 72 %.
    "geometry": Level(area=(0.5, 1.0), flip=True),
    # Masked pre-training (SimMIM, Xie et al. 2022): most of the picture, mirrored or not.
    "masked": Level(area=(0.67, 1.0), flip=True),
    # + small rotations and the colour jitter that Swin and SimMIM leave on when RandAugment is off, halved.
    "light": Level(area=(0.5, 1.0), flip=True, rotation=10, colour=0.2),
    # RandAugment with n = 2 (Cubuk et al. 2020; DeiT and Swin use n = 2, m = 9 of 10), here at m = 6, and
    # random erasing p = .25 (Zhong et al. 2020; timm's and Swin's p).
    "strong": Level(area=(0.25, 1.0), flip=True, ops=2, erase=0.25),
    # DeiT's views (Touvron et al. 2021): crop .08–1, RandAugment with n = 2 at m = 9 of 10, random erasing
    # p = .25. timm's rand-m9-mstd0.5-inc1 applies each operation with p = .5, at about m and either sign;
    # here both are always applied, at magnitudes even within ± m, which is as far on average. It also has
    # invert and solarize-add, keeps 1 bit (4 here) in its hardest posterize, and erases to noise, not to a
    # colour.
    "deit": Level(area=(0.08, 1.0), flip=True, ops=2, strength=1.5, erase=0.25),
}

ASPECT = (3 / 4, 4 / 3)
"""Width to height of a crop, in pixels (Inception crop, Szegedy et al. 2015)."""
ERASE_AREA = (0.02, 1 / 3)
ERASE_ASPECT = (0.3, 1 / 0.3)

OPS: Mapping[str, float] = {
    # Name → largest magnitude, 6/10 of RandAugment's range; each is drawn within ± it times the strength.
    "autocontrast": 0.0,
    "equalize": 0.0,
    "rotate": 18.0,  # degrees
    "shear_x": 0.18,
    "shear_y": 0.18,
    "translate_x": 0.27,  # of the side
    "translate_y": 0.27,
    "posterize": 2.4,  # bits taken away
    "solarize": 0.6,  # of the range, from the top, inverted
    "colour": 0.54,
    "contrast": 0.54,
    "brightness": 0.54,
    "sharpness": 0.54,
}


def smallest_crop(augment: Augment) -> float:
    """The shorter side of a level's smallest crop, as a fraction of the picture's shorter side."""
    area = LEVELS[augment].area
    return 1.0 if area is None else math.sqrt(area[0] * ASPECT[0])


PLAIN = (1.0, 1.0, 1.0)
"""Factors of colour that change nothing."""


# --- drawing --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class View:
    """One augmented view of a picture, without pixels."""

    box: Box
    """The part of the picture that is shown."""
    flip: bool = False
    """Mirrored left to right."""
    rotation: float = 0.0
    """Degrees, counter-clockwise, about the centre of the box."""
    colour: tuple[float, float, float] = PLAIN
    """Factors of brightness, contrast and saturation, applied in this order."""
    ops: tuple[tuple[str, float], ...] = ()
    """Names of `OPS` with their magnitudes, in the order of application."""
    erase: tuple[Box, ...] = ()
    """Boxes filled with `FILL`, relative to the view."""


class KeyedRandom:
    """Random numbers from a key: the raw 64-bit stream of NumPy's Philox, which never changes."""

    def __init__(self, *key: object) -> None:
        digest = hashlib.sha256("\0".join(map(str, key)).encode()).digest()
        self._bits = np.random.Philox(key=int.from_bytes(digest[:16], "big"))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high), 53 bits."""
        return low + (high - low) * (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def log_uniform(self, low: float, high: float) -> float:
        return math.exp(self.uniform(math.log(low), math.log(high)))

    @property
    def generator(self) -> np.random.Generator:
        """numpy's distributions on the same stream: kept from release to release, not promised for ever."""
        return np.random.Generator(self._bits)

    def order(self, count: int) -> Array:
        """(count,) a permutation of 0 … count − 1."""
        return np.argsort(np.asarray(self._bits.random_raw(count)), kind="stable")


def draw_view(
    seed: int, epoch: int, sha256: str, k: int, aspect: float, augment: Augment, flip: bool = True
) -> View:
    """View `k` of the picture with content `sha256` in an epoch; `aspect` is its width over its height.

    Nothing else plays a part. The crop is drawn first: levels with the same range of areas crop alike.
    `flip=False` leaves out the mirror image and no other draw. A fixed set of views: pass epoch 0.
    """
    level = LEVELS[augment]
    if level.area is None:
        return View(centre_square(aspect))
    dice = KeyedRandom("vitbench view", seed, epoch, sha256, k)
    box = _draw_crop(dice, level.area, aspect)
    mirrored = dice.uniform() < 0.5
    rotation = dice.uniform(-level.rotation, level.rotation)
    factors = [dice.uniform(1 - level.colour, 1 + level.colour) for _ in range(3)]
    ops = tuple(_draw_op(dice, level.strength) for _ in range(level.ops))
    erase = (_draw_erase(dice),) if dice.uniform() < level.erase else ()
    return View(
        box=box,
        flip=mirrored and flip and level.flip,
        rotation=round(rotation, 4),
        colour=(round(factors[0], 4), round(factors[1], 4), round(factors[2], 4)),
        ops=ops,
        erase=erase,
    )


def centre_square(aspect: float) -> Box:
    """The largest square at the centre of a picture of that width over height."""
    return _centre_box(min(1.0, 1 / aspect), min(1.0, aspect))


def _draw_crop(dice: KeyedRandom, area: tuple[float, float], aspect: float) -> Box:
    """A crop of random area, shape and place; after ten that don't fit, the largest at the centre."""
    for _ in range(10):
        share, shape = dice.uniform(*area), dice.log_uniform(*ASPECT)
        width, height = math.sqrt(share * shape / aspect), math.sqrt(share * aspect / shape)
        if width <= 1 and height <= 1:
            x, y = dice.uniform(0, 1 - width), dice.uniform(0, 1 - height)
            return _rounded(x, y, x + width, y + height)
    shape = min(max(aspect, ASPECT[0]), ASPECT[1])
    return _centre_box(min(1.0, shape / aspect), min(1.0, aspect / shape))


def _draw_op(dice: KeyedRandom, strength: float) -> tuple[str, float]:
    names = list(OPS)
    name = names[int(dice.uniform(0, len(names)))]
    most = OPS[name] * strength
    return name, round(dice.uniform(-most, most), 4)


def _draw_erase(dice: KeyedRandom) -> Box:
    area, shape = dice.uniform(*ERASE_AREA), dice.log_uniform(*ERASE_ASPECT)
    width, height = min(1.0, math.sqrt(area * shape)), min(1.0, math.sqrt(area / shape))
    x, y = dice.uniform(0, 1 - width), dice.uniform(0, 1 - height)
    return _rounded(x, y, x + width, y + height)


def _centre_box(width: float, height: float) -> Box:
    return _rounded((1 - width) / 2, (1 - height) / 2, (1 + width) / 2, (1 + height) / 2)


def _rounded(x0: float, y0: float, x1: float, y1: float) -> Box:
    """Six decimals are a tenth of a pixel in 100,000: libraries' last digits don't matter."""
    return (max(0.0, round(x0, 6)), max(0.0, round(y0, 6)), min(1.0, round(x1, 6)), min(1.0, round(y1, 6)))


# --- rendering ------------------------------------------------------------------------------------


def render(view: View, image: Image.Image, size: int, interpolation: str = "bicubic") -> Array:
    """(size, size, 3) uint8: a view of an RGB picture; crop and resize are one antialiased step."""
    resample = Image.Resampling[interpolation.upper()]
    out = _crop(view, image, size, resample)
    if view.flip:
        out = ImageOps.mirror(out)
    for enhancer, factor in zip(_ENHANCERS, view.colour, strict=True):
        if factor != 1:
            out = enhancer(out).enhance(factor)
    for name, value in view.ops:
        out = _OPERATIONS[name](out, value)
    pixels = np.array(out)
    for x0, y0, x1, y1 in view.erase:
        pixels[round(y0 * size) : round(y1 * size), round(x0 * size) : round(x1 * size)] = FILL
    return pixels


@dataclass(frozen=True, slots=True)
class Frame:
    """What of a picture is resized for a view: its box, and around it what a rotation moves in."""

    box: Box
    """In px of the picture."""
    margin: int
    """View pixels that a rotation needs on each side."""
    left: int
    """Of them, those that the picture has; what lies beyond it is mirrored in."""
    top: int
    right: int
    bottom: int


def frame_of(view: View, width: int, height: int, size: int) -> Frame:
    """For a picture of that width and height, px, and a view of that size."""
    x0, y0, x1, y1 = view.box
    box = (x0 * width, y0 * height, x1 * width, y1 * height)
    if not view.rotation:
        return Frame(box, 0, 0, 0, 0, 0)
    turn = math.radians(abs(view.rotation))
    margin = math.ceil(size * (math.sin(turn) + math.cos(turn) - 1) / 2)
    across, down = (box[2] - box[0]) / size, (box[3] - box[1]) / size  # source pixels per view pixel
    left, top = min(margin, int(box[0] / across)), min(margin, int(box[1] / down))
    right = min(margin, int((width - box[2]) / across))
    bottom = min(margin, int((height - box[3]) / down))
    wide = (box[0] - left * across, box[1] - top * down, box[2] + right * across, box[3] + bottom * down)
    return Frame(wide, margin, left, top, right, bottom)


def _crop(view: View, image: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    """The box of a view as (size, size), rotated where asked; what lies beyond the picture is mirrored in."""
    frame = frame_of(view, image.width, image.height, size)
    margin, left, top, right, bottom = frame.margin, frame.left, frame.top, frame.right, frame.bottom
    wide = image.resize((size + left + right, size + top + bottom), resample, box=frame.box)
    if not view.rotation:
        return wide
    beyond = ((margin - top, margin - bottom), (margin - left, margin - right), (0, 0))
    padded = Image.fromarray(np.pad(np.asarray(wide), beyond, mode="symmetric"))
    turned = padded.rotate(view.rotation, Image.Resampling.BILINEAR)
    return turned.crop((margin, margin, margin + size, margin + size))


def _affine(image: Image.Image, a: float, b: float, c: float, d: float, e: float, f: float) -> Image.Image:
    """Output (x, y) takes input (ax + by + c, dx + ey + f), about the centre; offsets as fractions."""
    half = image.width / 2
    matrix = (
        a, b, half - a * half - b * half + c * image.width,
        d, e, half - d * half - e * half + f * image.width,
    )  # fmt: skip
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=FILL
    )


_Enhancer = type[ImageEnhance.Brightness] | type[ImageEnhance.Contrast] | type[ImageEnhance.Color]
_ENHANCERS: tuple[_Enhancer, ...] = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)

_OPERATIONS: Mapping[str, Callable[[Image.Image, float], Image.Image]] = {
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "rotate": lambda image, v: image.rotate(v, Image.Resampling.BILINEAR, fillcolor=FILL),
    "shear_x": lambda image, v: _affine(image, 1, v, 0, 0, 1, 0),
    "shear_y": lambda image, v: _affine(image, 1, 0, 0, v, 1, 0),
    "translate_x": lambda image, v: _affine(image, 1, 0, v, 0, 1, 0),
    "translate_y": lambda image, v: _affine(image, 1, 0, 0, 0, 1, v),
    "posterize": lambda image, v: ImageOps.posterize(image, 8 - round(abs(v))),
    "solarize": lambda image, v: ImageOps.solarize(image, round(256 * (1 - abs(v)))),
    "colour": lambda image, v: ImageEnhance.Color(image).enhance(1 + v),
    "contrast": lambda image, v: ImageEnhance.Contrast(image).enhance(1 + v),
    "brightness": lambda image, v: ImageEnhance.Brightness(image).enhance(1 + v),
    "sharpness": lambda image, v: ImageEnhance.Sharpness(image).enhance(1 + v),
}
