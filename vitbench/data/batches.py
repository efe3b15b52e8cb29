"""Tensors: training batches of drawn views, evaluation batches as timm prepares them."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import PIL
import torch
from PIL import Image
from torch import Tensor

from vitbench.data.ahead import Ahead, even_slices, in_batches, whole
from vitbench.data.decode import decode_bytes, picture_bytes
from vitbench.data.epochs import plan_epoch, view_epoch
from vitbench.data.store import Store, open_store
from vitbench.data.views import draw_view, render, smallest_crop
from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.files import shown
from vitbench.records import Augment, Picture, PixelRange, Preprocessing, Recipe, Split, label_indices

Transform = Callable[[Image.Image], Tensor]
Share = Callable[[int], slice]
"""Which part of so many things one of several processes has to do."""


NO_STORE = open_store("")
MADE = f"1-pillow{PIL.__version__.partition('.')[0]}"
"""Counts the ways in which stored pictures were made: another number, and all are made again.

Pillow's major version is part of the way: 13 changed the order in which tall pictures are resized.
"""
SCALED = 2
"""A JPEG's own scaling leaves at least so many times what is kept, so that bicubic has the last word."""


class LostPictureError(VitbenchError):
    """A picture is gone or is no longer the one that was scanned: no model can go on with these data."""


# --- training -------------------------------------------------------------------------------------


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
    return f"train-{side}-{MADE}{_range_way(meant)}"


def _range_way(meant: PixelRange | None) -> str:
    """What a way of making pictures ends in where some have more than 8 bits."""
    return f"-{meant.low!r}-{meant.high!r}" if meant else ""


def stored_size(picture: Picture, side: int) -> tuple[int, int]:
    """Width and height, px, of a training picture whose shorter side is at most `side`."""
    shrink = side / min(picture.width, picture.height)
    if shrink >= 1:
        return picture.width, picture.height
    return max(side, round(picture.width * shrink)), max(side, round(picture.height * shrink))


def _shrunk(path: Path, picture: Picture, side: int, meant: PixelRange | None) -> Image.Image:
    image = _decoded(path, picture.sha256, meant, SCALED * side)
    size = stored_size(picture, side)
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


def train_batches(
    split: Split,
    recipe: Recipe,
    epoch: int,
    workers: Ahead | int | None = 0,
    share: Share = whole,
    store: Store = NO_STORE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch's batches: images uint8 (B, 3, S, S), channels last, not normalised, and labels int64 (B,).

    With `share`, only the images of that part of every batch are prepared; labels are those of all.

    As few as the recipe's batch size allows, as even as possible; no view is dropped. What comes depends
    on (split, recipe, epoch) only, neither on `workers` nor on what the store holds. Raises
    `LostPictureError` naming a file that is gone or changed.
    """
    turn = view_epoch(epoch, recipe.fixed_views)
    size, meant = recipe.preprocessing.size, recipe.preprocessing.pixel_range
    side = stored_side(size, recipe.augment)
    labels = label_indices(split.train, split.classes)

    def prepared(planned: tuple[int, int]) -> Tensor:
        index, k = planned
        picture = split.train[index]
        return view_of(recipe, turn, picture, k, training_picture(split.root, picture, side, store, meant))

    plan = plan_epoch(split.train, recipe.per_class, recipe.seed, epoch, recipe.fixed_views, recipe.repeats)
    batches = [plan[part] for part in even_slices(len(plan), recipe.batch_size)]
    shares = [batch[share(len(batch))] for batch in batches]
    threads = workers if isinstance(workers, Ahead) else Ahead(workers)
    for batch, images in zip(batches, in_batches(prepared, shares, threads), strict=True):
        # Side by side as Pillow gives them, (B, S, S, 3): to turn each one would take ten times as long.
        stacked = torch.empty((len(images), size, size, 3), dtype=torch.uint8, pin_memory=threads.pinned)
        if images:
            torch.stack(images, out=stacked)
        yield stacked.permute(0, 3, 1, 2), torch.from_numpy(labels[[i for i, _ in batch]])


def view_of(recipe: Recipe, turn: int, picture: Picture, k: int, image: Image.Image) -> Tensor:
    """uint8 (S, S, 3): view `k` of a training picture, as `training_picture` gives it, in an epoch."""
    aspect = picture.width / picture.height
    view = draw_view(recipe.seed, turn, picture.sha256, k, aspect, recipe.augment, recipe.flip)
    size, interpolation = recipe.preprocessing.size, recipe.preprocessing.interpolation
    return torch.from_numpy(render(view, image, size, interpolation))


# --- evaluation -----------------------------------------------------------------------------------


def evaluation_transform(preprocessing: Preprocessing) -> Transform:
    """timm's own evaluation transform: RGB picture → float (3, S, S), normalised."""
    cut, to_tensor = _in_two(preprocessing)
    return lambda picture: to_tensor(cut(picture))


def _in_two(preprocessing: Preprocessing) -> tuple[Callable[[Image.Image], Image.Image], Transform]:
    """timm's evaluation transform: the part that resizes and cuts, and the part that makes a tensor."""
    from timm.data import create_transform  # takes seconds to import

    steps = create_transform(**preprocessing.timm_config(), is_training=False).transforms
    *cutting, to_tensor, normalise = steps

    def cut(picture: Image.Image) -> Image.Image:
        for step in cutting:
            picture = step(picture)
        return picture

    return cut, lambda picture: normalise(to_tensor(picture))


def cut_way(preprocessing: Preprocessing) -> str:
    """The name, in a store, of how evaluation's cuts are made: all that decides their pixels."""
    p = preprocessing
    way = f"eval-{p.size}-{p.interpolation}-{p.crop_pct:g}-{p.crop_mode}-{MADE}"
    return way + _range_way(p.pixel_range)


def eval_batches(
    root: Path,
    pictures: Sequence[Picture],
    preprocessing: Preprocessing,
    batch_size: int,
    workers: Ahead | int | None = 0,
    share: Share = whole,
    store: Store = NO_STORE,
) -> Iterator[Tensor]:
    """Float (B, 3, S, S) batches of pictures in their order, prepared for evaluation, never augmented.

    With `share`, that part of the batches. `workers` as None: a thread per core, for most pictures are
    seen for the first time and have to be decoded.

    Raises `LostPictureError` naming a file that is gone or is no longer the one that was scanned.
    """
    cut, to_tensor = _in_two(preprocessing)
    way = cut_way(preprocessing)

    def prepared(picture: Picture) -> Tensor:
        path, meant = root / picture.path, preprocessing.pixel_range
        image = store.picture(way, picture.sha256, lambda: cut(_decoded(path, picture.sha256, meant)))
        return to_tensor(image)

    batches = [pictures[part] for part in even_slices(len(pictures), batch_size)]
    batches = batches[share(len(batches))]
    threads = workers if isinstance(workers, Ahead) else Ahead(workers, at_once=True)
    for tensors in in_batches(prepared, batches, threads):
        yield torch.stack(tensors)


# --- both -----------------------------------------------------------------------------------------


def _decoded(path: Path, sha256: str, meant: PixelRange | None, least: int | None = None) -> Image.Image:
    """A scanned picture; raises `VitbenchError` that names the file where it cannot be had."""
    try:
        return decode_bytes(_content(path, sha256), least, meant)
    except UnreadableImageError as error:  # such as for want of memory: it could be read before
        raise VitbenchError(f"{shown(path)}: cannot be read any more ({error})") from error


def _content(path: Path, sha256: str) -> bytes:
    """A scanned file's bytes; raises `LostPictureError` where it is gone or changed."""
    try:
        content = picture_bytes(path)
    except UnreadableImageError as error:
        raise LostPictureError(
            f"{shown(path)}: cannot be read any more ({error}); put it back and --resume"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise LostPictureError(f"{shown(path)}: changed since the data were read; put it back and --resume")
    return content
