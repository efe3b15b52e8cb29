"""Scanned pictures, training pictures and their views, as Pillow and NumPy have them.

Torch is not needed for any of it, and must not be: processes that prepare pictures start without it.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import PIL
from PIL import Image

from vitbench.data.decode import decode_bytes, picture_bytes
from vitbench.data.store import Store, open_store
from vitbench.data.views import View, draw_view, render, smallest_crop
from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.files import printable
from vitbench.records import Array, Augment, Picture, PixelRange, Recipe, Split

NO_STORE = open_store("")
MADE = f"1-pillow{PIL.__version__.partition('.')[0]}"
"""Counts the ways in which stored pictures were made: another number, and all are made again.

Pillow's major version is part of the way: 13 changed the order in which tall pictures are resized.
"""
SCALED = 2
"""A JPEG's own scaling leaves at least so many times what is kept, so that bicubic has the last word."""


class LostPictureError(VitbenchError):
    """A picture is gone or is no longer the one that was scanned: no model can go on with these data."""


def stored_side(image_size: int, augment: Augment) -> int:
    """The shorter side, px, that a training picture is shrunk to before views are drawn.

    Just enough that the level's smallest crop still has `image_size` pixels: 366 for 224 px and crops
    from half the area. It depends on these two alone, so models of one size can share stored pictures.
    """
    return math.ceil(image_size / smallest_crop(augment))


def training_picture(
    root: Path, picture: Picture, side: int, store: Store = NO_STORE, meant: PixelRange | None = None
) -> Image.Image:
    """A training picture as views are rendered from it: decoded, its shorter side at most `side` px.

    `meant`: black and white, where it has more than 8 bits.

    Read from the store where it is there. Raises `LostPictureError` where it is not, and the file is gone
    or is no longer the one that was scanned.
    """
    return store.picture(
        _shrunk_way(side, meant), picture.sha256, lambda: _shrunk(root / picture.path, picture, side, meant)
    )


def training_way(image_size: int, augment: Augment, meant: PixelRange | None = None) -> str:
    """The name, in a store, of how training pictures are made: all that decides their pixels."""
    return _shrunk_way(stored_side(image_size, augment), meant)


def _shrunk_way(side: int, meant: PixelRange | None) -> str:
    return f"train-{side}-{MADE}{range_way(meant)}"


def range_way(meant: PixelRange | None) -> str:
    """What a way of making pictures ends in where some have more than 8 bits."""
    return f"-{meant.low!r}-{meant.high!r}" if meant else ""


def stored_size(picture: Picture, side: int) -> tuple[int, int]:
    """Width and height, px, of a training picture whose shorter side is at most `side`."""
    shrink = side / min(picture.width, picture.height)
    if shrink >= 1:
        return picture.width, picture.height
    return max(side, round(picture.width * shrink)), max(side, round(picture.height * shrink))


def _shrunk(path: Path, picture: Picture, side: int, meant: PixelRange | None) -> Image.Image:
    image = decoded(path, picture.sha256, meant, SCALED * side)
    size = stored_size(picture, side)
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


@dataclass(frozen=True, slots=True)
class Views:
    """All views of a training: what decides their pixels, but for the turn, the picture and k. Picklable."""

    root: Path
    pictures: Sequence[Picture]
    side: int
    """The shorter side, px, to which training pictures are shrunk: `stored_side`."""
    size: int
    interpolation: str
    meant: PixelRange | None
    seed: int
    augment: Augment
    flip: bool

    @classmethod
    def of(cls, split: Split, recipe: Recipe) -> "Views":
        """Those that a recipe asks for."""
        size = recipe.preprocessing.size
        return cls(
            root=split.root,
            pictures=split.train,
            side=stored_side(size, recipe.augment),
            size=size,
            interpolation=recipe.preprocessing.interpolation,
            meant=recipe.preprocessing.pixel_range,
            seed=recipe.seed,
            augment=recipe.augment,
            flip=recipe.flip,
        )

    def view(self, turn: int, index: int, k: int, store: Store = NO_STORE) -> Array:
        """uint8 (S, S, 3): view `k` of a picture in an epoch, as `epochs.view_epoch` counts them.

        It depends on nothing else; raises `LostPictureError` as `training_picture` does.
        """
        picture = self.pictures[index]
        image = training_picture(self.root, picture, self.side, store, self.meant)
        return self.rendered(turn, picture, k, image)

    def rendered(self, turn: int, picture: Picture, k: int, image: Image.Image) -> Array:
        """`view` of a picture, as `training_picture` gives it."""
        return render(self.drawn(turn, picture, k), image, self.size, self.interpolation)

    def drawn(self, turn: int, picture: Picture, k: int) -> View:
        """What view `k` of a picture shows."""
        aspect = picture.width / picture.height
        return draw_view(self.seed, turn, picture.sha256, k, aspect, self.augment, self.flip)


def decoded(path: Path, sha256: str, meant: PixelRange | None, least: int | None = None) -> Image.Image:
    """A scanned picture; raises `VitbenchError` that names the file where it cannot be had."""
    try:
        return decode_bytes(_content(path, sha256), least, meant)
    except UnreadableImageError as error:  # such as for want of memory: it could be read before
        raise VitbenchError(f"{printable(path)}: cannot be read any more ({error})") from error


def _content(path: Path, sha256: str) -> bytes:
    """A scanned file's bytes; raises `LostPictureError` where it is gone or changed."""
    try:
        content = picture_bytes(path)
    except UnreadableImageError as error:
        raise LostPictureError(
            f"{printable(path)}: cannot be read any more ({error}); put it back and --resume"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise LostPictureError(
            f"{printable(path)}: changed since the data were read; put it back and --resume"
        )
    return content
