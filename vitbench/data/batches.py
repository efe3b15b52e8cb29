"""Tensors: training batches of drawn views, evaluation batches as timm prepares them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitbench.data.crew import Crew
from vitbench.data.epochs import plan_epoch, view_epoch
from vitbench.data.feed import Feed
from vitbench.data.made import MADE, NO_STORE, Views, decoded, range_way
from vitbench.data.prefetch import Prefetcher, even_slices, in_batches, whole
from vitbench.data.store import Store
from vitbench.records import Picture, Preprocessing, Recipe, Split, label_indices

CPU = torch.device("cpu")
Share = Callable[[int], slice]
"""Which part of so many things one of several processes has to do."""


# --- training -------------------------------------------------------------------------------------


def train_batches(
    split: Split,
    recipe: Recipe,
    epoch: int,
    workers: Crew | int | None = 0,
    share: Share = whole,
    store: Store = NO_STORE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch's batches: images uint8 (B, 3, S, S), channels last, not normalised, and labels int64 (B,).

    With `share`, only the images of that part of every batch are prepared; labels are those of all.

    As few as the recipe's batch size allows, as even as possible; no view is dropped. What comes depends
    on (split, recipe, epoch) only, neither on `workers` nor on what the store holds; a pinned crew's batch
    stays as it is until the second after it is asked for. Raises `LostPictureError` naming a file that is
    gone or changed.
    """
    crew = workers if isinstance(workers, Crew) else Crew(workers, processes=False)

    def fed(number: int) -> _Epoch:
        planned = planned_batches(split, recipe, number, share)
        views, turn = Views.of(split, recipe), view_epoch(number, recipe.fixed_views)
        return _Epoch(Feed(views, turn, store, crew, [part for part, _ in planned]), planned)

    def key(number: int) -> object:
        return split, recipe, number, share, store

    def following() -> Feed | None:
        if crew is not workers or epoch >= (recipe.last_epoch or recipe.epochs):
            return None
        coming = fed(epoch + 1)
        crew.expect(key(epoch + 1), coming)
        return coming.feed

    begun = crew.expected(key(epoch))
    this = begun if isinstance(begun, _Epoch) else fed(epoch)
    try:
        with contextlib.closing(this.feed.batches(following)) as made:
            # Side by side as Pillow gives them, (B, S, S, 3): to turn each takes ten times as long.
            for (_, labels), images in zip(this.planned, made, strict=True):
                yield images.permute(0, 3, 1, 2), labels
    finally:
        if crew is not workers:
            crew.close()


@dataclass(frozen=True)
class _Epoch:
    """An epoch's views on their way, and its labels."""

    feed: Feed
    planned: list[tuple[list[tuple[int, int]], Tensor]]
    """As `planned_batches` gives them."""

    def drop(self) -> None:
        self.feed.drop()


def planned_batches(
    split: Split, recipe: Recipe, epoch: int, share: Share = whole
) -> list[tuple[list[tuple[int, int]], Tensor]]:
    """Of each batch the views of this share, (index into `train`, k), and all its labels, int64 (B,)."""
    labels = torch.from_numpy(label_indices(split.train, split.classes))
    plan = plan_epoch(split.train, recipe.per_class, recipe.seed, epoch, recipe.fixed_views, recipe.repeats)
    batches = [plan[part] for part in even_slices(len(plan), recipe.batch_size)]
    return [(batch[share(len(batch))], labels[[i for i, _ in batch]]) for batch in batches]


# --- evaluation -----------------------------------------------------------------------------------


class Evaluation:
    """timm's own evaluation transform in two parts: a picture's cut is 8-bit up to the model's device."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        from timm.data import create_transform  # takes seconds to import

        steps = create_transform(**preprocessing.timm_config(), is_training=False).transforms
        *self._cutting, _, normalise = steps  # the one between makes a tensor of 0 to 1
        self._mean, self._std = (
            torch.as_tensor(one).view(3, 1, 1) for one in (normalise.mean, normalise.std)
        )

    def cut(self, picture: Image.Image) -> Image.Image:
        """An RGB picture resized and cut to (S, S)."""
        for step in self._cutting:
            picture = step(picture)
        return picture

    def inputs(self, cuts: Sequence[Tensor], device: torch.device) -> Tensor:
        """What a model sees of cuts, uint8 (S, S, 3) each: float (B, 3, S, S) on its device, normalised.

        timm's last two steps, operation by operation, so the same bits on every device; a card would take the
        inverse of a number of the host's that it is to divide by. The host waits for nothing.
        """
        cut = _stacked(cuts, pinned=device.type == "cuda").to(device, non_blocking=True)
        pixels = cut.permute(0, 3, 1, 2).contiguous().float().div_(torch.full((), 255.0, device=device))
        mean, std = (one.to(device, non_blocking=True) for one in (self._mean, self._std))
        return pixels.sub_(mean).div_(std)


def _stacked(images: Sequence[Tensor], pinned: bool) -> Tensor:
    """uint8 (B, S, S, 3) of (S, S, 3) each; `pinned`: where a CUDA device fetches them by itself."""
    out = torch.empty((len(images), *images[0].shape), dtype=torch.uint8, pin_memory=pinned)
    return torch.stack(tuple(images), out=out)


def pixels_of(picture: Image.Image) -> Tensor:
    """uint8 (H, W, 3) of an RGB picture."""
    return torch.from_numpy(np.array(picture))


def cut_way(preprocessing: Preprocessing) -> str:
    """The name, in a store, of how evaluation's cuts are made: all that decides their pixels."""
    p = preprocessing
    way = f"eval-{p.size}-{p.interpolation}-{p.crop_pct:g}-{p.crop_mode}-{MADE}"
    return way + range_way(p.pixel_range)


def eval_batches(
    root: Path,
    pictures: Sequence[Picture],
    preprocessing: Preprocessing,
    batch_size: int,
    workers: Prefetcher | int | None = 0,
    share: Share = whole,
    store: Store = NO_STORE,
    device: torch.device = CPU,
) -> Iterator[Tensor]:
    """Float (B, 3, S, S) batches of pictures in their order, prepared for evaluation, never augmented.

    They are normalised on the `device`, and lie there. With `share`, that part of the batches. `workers` as
    None: a thread per core, for most pictures are seen for the first time and have to be decoded.

    Raises `LostPictureError` naming a file that is gone or is no longer the one that was scanned.
    """
    evaluation, way = Evaluation(preprocessing), cut_way(preprocessing)

    def prepared(picture: Picture) -> Tensor:
        path, meant = root / picture.path, preprocessing.pixel_range
        return pixels_of(
            store.picture(way, picture.sha256, lambda: evaluation.cut(decoded(path, picture.sha256, meant)))
        )

    batches = [pictures[part] for part in even_slices(len(pictures), batch_size)]
    batches = batches[share(len(batches))]
    threads = workers if isinstance(workers, Prefetcher) else Prefetcher(workers, at_once=True)
    for cuts in in_batches(prepared, batches, threads):
        yield evaluation.inputs(cuts, device)
