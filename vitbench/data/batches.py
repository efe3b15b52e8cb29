"""Tensors: training batches of drawn views, evaluation batches as timm prepares them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from vitbench.data.ahead import Ahead, even_slices, in_batches, whole
from vitbench.data.crew import Crew
from vitbench.data.epochs import plan_epoch, view_epoch
from vitbench.data.feed import Feed
from vitbench.data.made import MADE, NO_STORE, Views, decoded, range_way
from vitbench.data.store import Store
from vitbench.records import Picture, Preprocessing, Recipe, Split, label_indices

Transform = Callable[[Image.Image], Tensor]
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
    planned = planned_batches(split, recipe, epoch, share)
    crew = workers if isinstance(workers, Crew) else Crew(workers, processes=False)
    feed = Feed(Views.of(split, recipe), view_epoch(epoch, recipe.fixed_views), store, crew)
    try:
        with contextlib.closing(feed.batches([part for part, _ in planned])) as made:
            # Side by side as Pillow gives them, (B, S, S, 3): to turn each takes ten times as long.
            for (_, labels), images in zip(planned, made, strict=True):
                yield images.permute(0, 3, 1, 2), labels
    finally:
        if crew is not workers:
            crew.close()


def planned_batches(
    split: Split, recipe: Recipe, epoch: int, share: Share = whole
) -> list[tuple[list[tuple[int, int]], Tensor]]:
    """Of each batch the views of this share, (index into `train`, k), and all its labels, int64 (B,)."""
    labels = torch.from_numpy(label_indices(split.train, split.classes))
    plan = plan_epoch(split.train, recipe.per_class, recipe.seed, epoch, recipe.fixed_views, recipe.repeats)
    batches = [plan[part] for part in even_slices(len(plan), recipe.batch_size)]
    return [(batch[share(len(batch))], labels[[i for i, _ in batch]]) for batch in batches]


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
    return way + range_way(p.pixel_range)


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
        image = store.picture(way, picture.sha256, lambda: cut(decoded(path, picture.sha256, meant)))
        return to_tensor(image)

    batches = [pictures[part] for part in even_slices(len(pictures), batch_size)]
    batches = batches[share(len(batches))]
    threads = workers if isinstance(workers, Ahead) else Ahead(workers, at_once=True)
    for tensors in in_batches(prepared, batches, threads):
        yield torch.stack(tensors)
