"""Tensors: training batches of drawn views, evaluation batches as timm prepares them."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from vitbench.data.decode import decode, decode_bytes
from vitbench.data.epochs import plan_epoch, view_epoch
from vitbench.data.views import draw_view, render, smallest_crop
from vitbench.data.walk import shown
from vitbench.errors import UnreadableImageError, VitbenchError
from vitbench.records import Augment, Machine, Picture, Preprocessing, Recipe, Split

Transform = Callable[[Image.Image], Tensor]
ViewKey = tuple[int, int, int]
"""(index into the training pictures, k, epoch that the view is drawn for)"""


# --- training -------------------------------------------------------------------------------------


def stored_side(image_size: int, augment: Augment) -> int:
    """The shorter side, px, that a training picture is shrunk to before views are drawn.

    Just enough that the level's smallest crop still has `image_size` pixels: 366 for 224 px and crops
    from half the area. It depends on these two alone, so models of one size can share stored pictures.
    """
    return math.ceil(image_size / smallest_crop(augment))


def training_picture(root: Path, picture: Picture, side: int) -> Image.Image:
    """A training picture as views are rendered from it: decoded, its shorter side at most `side` px.

    Raises `VitbenchError` where the file is gone or is no longer the one that was scanned.
    """
    path = root / picture.path
    image = decode_bytes(_content(path, picture.sha256))
    shrink = side / min(image.size)
    if shrink >= 1:
        return image
    size = (max(side, round(image.width * shrink)), max(side, round(image.height * shrink)))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)


class TrainFeed:
    """The training batches of a run; keeps its loader processes from epoch to epoch.

    What comes out depends on (split, recipe, epoch) only, not on the number of workers.
    """

    def __init__(self, split: Split, recipe: Recipe, machine: Machine) -> None:
        self._split = split
        self._recipe = recipe
        self._order = _Order()
        self._loader: DataLoader[Any] = DataLoader(
            _Views(split, recipe),
            batch_size=recipe.batch_size,
            sampler=self._order,
            collate_fn=_collate,
            generator=torch.Generator(),  # its own: a loader's draws must not move the global state
            **_worker_options(machine.workers),
        )

    def batches(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The epoch's batches from step `start` on: images uint8 (B, 3, S, S), labels int64 (B,).

        Images are not normalised. The last batch may be smaller; none is dropped. Steps before
        `start` are not decoded. Raises `VitbenchError` naming a file that is gone or changed.
        """
        recipe = self._recipe
        plan = plan_epoch(self._split.train, recipe.per_class, recipe.seed, epoch, recipe.fixed_views)
        turn = view_epoch(epoch, recipe.fixed_views)
        self._order.keys = [(i, k, turn) for i, k in plan[start * recipe.batch_size :]]
        for batch in self._loader if self._order.keys else ():
            if isinstance(batch, VitbenchError):
                raise batch
            yield batch


def train_batches(
    split: Split, recipe: Recipe, machine: Machine, epoch: int, start: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of `TrainFeed`, which to keep is cheaper over several epochs with workers."""
    return TrainFeed(split, recipe, machine).batches(epoch, start)


class _Order(Sampler[ViewKey]):
    """Hands out the current epoch's views; lives in the main process."""

    def __init__(self) -> None:
        self.keys: list[ViewKey] = []

    def __iter__(self) -> Iterator[ViewKey]:
        return iter(self.keys)

    def __len__(self) -> int:
        return len(self.keys)


class _Views(Dataset[Any]):
    """Views by key; an error is returned, for a loader would bury it in a traceback."""

    def __init__(self, split: Split, recipe: Recipe) -> None:
        self.root = split.root
        self.train = split.train
        self.labels = [split.index_of(p) for p in split.train]
        self.seed = recipe.seed
        self.augment: Augment = recipe.augment
        self.flip = recipe.flip
        self.size = recipe.preprocessing.size
        self.interpolation = recipe.preprocessing.interpolation

    def __getitem__(self, key: ViewKey) -> tuple[Tensor, int] | VitbenchError:
        index, k, turn = key
        picture = self.train[index]
        try:
            image = training_picture(self.root, picture, stored_side(self.size, self.augment))
        except VitbenchError as error:
            return error
        aspect = picture.width / picture.height
        view = draw_view(self.seed, turn, picture.sha256, k, aspect, self.augment, self.flip)
        pixels = torch.from_numpy(render(view, image, self.size, self.interpolation))
        return pixels.permute(2, 0, 1), self.labels[index]  # (S, S, 3) -> (3, S, S)


def _collate(items: list[tuple[Tensor, int] | VitbenchError]) -> tuple[Tensor, Tensor] | VitbenchError:
    pairs = []
    for item in items:
        if isinstance(item, VitbenchError):
            return item
        pairs.append(item)
    images = torch.stack([image for image, _ in pairs]).contiguous()
    return images, torch.tensor([label for _, label in pairs], dtype=torch.int64)


# --- evaluation -----------------------------------------------------------------------------------


def evaluation_transform(preprocessing: Preprocessing) -> Transform:
    """timm's own evaluation transform: RGB picture → float (3, S, S), normalised."""
    from timm.data import create_transform  # takes seconds; training workers never need it

    transform: Transform = create_transform(**preprocessing.timm_config(), is_training=False)
    return transform


def eval_batches(
    root: Path,
    pictures: Sequence[Picture | Path],
    preprocessing: Preprocessing,
    batch_size: int,
    workers: int = 0,
) -> Iterator[Tensor]:
    """Float (B, 3, S, S) batches of pictures in their order, prepared for evaluation, never augmented.

    A `Picture` must still have the content that was scanned; a `Path`, relative to `root` or absolute,
    is taken as it is. Raises `VitbenchError` naming a file that is gone, changed or cannot be decoded.
    """
    if not pictures:
        return
    loader: DataLoader[Any] = DataLoader(
        _Prepared(root, tuple(pictures), preprocessing),
        batch_size=batch_size,
        collate_fn=_collate_prepared,
        generator=torch.Generator(),
        **_worker_options(min(workers, math.ceil(len(pictures) / batch_size))),
    )
    for batch in loader:
        if isinstance(batch, VitbenchError):
            raise batch
        yield batch


class _Prepared(Dataset[Any]):
    """Evaluation tensors by index; errors are returned."""

    def __init__(
        self, root: Path, pictures: tuple[Picture | Path, ...], preprocessing: Preprocessing
    ) -> None:
        self.root = root
        self.pictures = pictures
        self.preprocessing = preprocessing
        self.transform: Transform | None = None  # made in the worker: quicker than sending it there

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor | VitbenchError:
        self.transform = self.transform or evaluation_transform(self.preprocessing)
        source = self.pictures[index]
        try:
            if isinstance(source, Picture):
                image = decode_bytes(_content(self.root / source.path, source.sha256))
            else:
                image = decode(self.root / source)
        except UnreadableImageError as error:
            return VitbenchError(f"{shown(self.root / _path(source))}: {error}")
        except VitbenchError as error:
            return error
        return self.transform(image)


def _path(source: Picture | Path) -> str | Path:
    return source.path if isinstance(source, Picture) else source


def _collate_prepared(items: list[Tensor | VitbenchError]) -> Tensor | VitbenchError:
    tensors = []
    for item in items:
        if isinstance(item, VitbenchError):
            return item
        tensors.append(item)
    return torch.stack(tensors)


# --- both -----------------------------------------------------------------------------------------


def _content(path: Path, sha256: str) -> bytes:
    """A scanned file's bytes; raises `VitbenchError` where it is gone or changed."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VitbenchError(
            f"{shown(path)}: cannot be read any more ({error.strerror}); put it back and --resume"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise VitbenchError(f"{shown(path)}: changed since the data were read; put it back and --resume")
    return content


def _worker_options(workers: int) -> dict[str, Any]:
    if workers == 0:
        return {"num_workers": 0}
    return {"num_workers": workers, "multiprocessing_context": "spawn", "persistent_workers": True}
