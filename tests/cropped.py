"""Crops of noisy pictures, and what Pillow makes of them: for tests, and for the check of a GPU."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np
import torch
from PIL import Image, ImageOps

from vitbench.data.device_views import plan_views
from vitbench.data.resample import REACH, TURNED, Crops, plan_crops
from vitbench.data.views import draw_view, render
from vitbench.records import Array, Augment

Crop = tuple[int, int, tuple[float, float, float, float], bool]
"""Width and height, px; the box as fractions of them; mirrored or not."""


def cases(crops: Sequence[Crop], size: int, interpolation: str) -> tuple[torch.Tensor, Crops, Array]:
    """Noisy pictures in one buffer, their crops, and what Pillow makes of them, (N, 3, size, size)."""
    noise, pictures, boxes, wanted = np.random.default_rng(0), [], [], []
    for width, height, (x0, y0, x1, y1), mirrored in crops:
        pictures.append(noise.integers(0, 256, (height, width, 3), dtype=np.uint8))
        boxes.append((x0 * width, y0 * height, x1 * width, y1 * height))
        made = Image.fromarray(pictures[-1]).resize(
            (size, size), Image.Resampling[interpolation.upper()], box=boxes[-1]
        )
        wanted.append(np.asarray(ImageOps.mirror(made) if mirrored else made).transpose(2, 0, 1))
    planned = plan_crops(
        np.array([crop[:2] for crop in crops]),
        np.cumsum([0, *(one.size for one in pictures)])[:-1],
        np.array(boxes),
        np.full((len(crops), 2), size),
        np.array([crop[3] for crop in crops]),
        interpolation,
    )
    flat = torch.from_numpy(np.concatenate([one.reshape(-1) for one in pictures]))
    return flat, planned, np.stack(wanted)


def drawn(rng: np.random.Generator, count: int, largest: int) -> list[Crop]:
    """Crops of pictures from 20 px, as many small as large ones, of any part at least a twentieth wide."""
    found: list[Crop] = []
    for _ in range(count):
        width, height = (round(np.exp(rng.uniform(np.log(20), np.log(largest)))) for _ in range(2))
        (x0, y0), (wide, high) = rng.uniform(0, 0.95, 2), rng.uniform(0.05, 1, 2)
        box = (float(x0), float(y0), float(min(1, x0 + wide)), float(min(1, y0 + high)))
        found.append((width, height, box, bool(rng.integers(2))))
    return found


@dataclass
class Compared:
    """What was compared with Pillow."""

    values: int = 0
    differ: int = 0
    ways: set[tuple[str, bool]] = field(default_factory=set)
    """Interpolations, each with whether the height came first."""


Way = Callable[[torch.Tensor, Crops], torch.Tensor]


def compare(
    resampled: Way,
    values: int,
    largest: int = 4000,
    device: str = "cpu",
) -> Compared:
    """At least so many values of pictures of 20 px to `largest` px, at 64 to 384 px."""
    rng, found, filters = np.random.default_rng(2), Compared(), cycle(sorted(REACH))
    while found.values < values:
        interpolation, size = next(filters), int(rng.integers(64, 385))
        flat, crops, wanted = cases(drawn(rng, 4, largest), size, interpolation)
        made = resampled(flat.to(device), crops.with_table(crops.table.to(device)))
        found.differ += int((made.cpu().numpy() != wanted).sum())
        found.values += wanted.size
        found.ways |= {(interpolation, bool(turned)) for turned in crops.table[:, TURNED]}
    return found


def compare_views(
    resampled: Way,
    level: Augment,
    values: int,
    largest: int = 4000,
    device: str = "cpu",
    sizes: tuple[int, int] = (64, 385),
) -> Compared:
    """The same of views of a level, as they are drawn and rendered; `sizes` ends before its second."""
    rng, found, filters = np.random.default_rng(3), Compared(), cycle(sorted(REACH))
    while found.values < values:
        interpolation, size = next(filters), int(rng.integers(*sizes))
        sides = [crop[:2] for crop in drawn(rng, 4, largest)]
        pictures = [rng.integers(0, 256, (high, wide, 3), dtype=np.uint8) for wide, high in sides]
        # Of noise the mean is always grey.
        pictures = [(one * rng.uniform(0.2, 1)).astype(np.uint8) for one in pictures]
        views = [draw_view(0, 1, str(rng.integers(2**60)), 0, wide / high, level) for wide, high in sides]
        ends = np.cumsum([0, *(one.size for one in pictures)])
        plan = plan_views(views, sides, list(ends[:-1]), size, interpolation)
        flat = torch.from_numpy(np.concatenate([one.reshape(-1) for one in pictures])).to(device)
        made = plan.through(lambda table: table.to(device)).make(flat, resampled).cpu().numpy()
        wanted = [
            render(view, Image.fromarray(one), size, interpolation)
            for view, one in zip(views, pictures, strict=True)
        ]
        found.differ += int((made != np.stack(wanted).transpose(0, 3, 1, 2)).sum())
        found.values += made.size
        found.ways |= {(interpolation, bool(turned)) for turned in plan.crops.table[:, TURNED]}
    return found
