"""Folders to measure on: 12-megapixel JPEGs with real detail, and many small painted ones."""

import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from vitbench.data.decode import decode

TILE = 250
"""px; tiles are cut out of photos at their own size, so that the detail is a camera's."""
WIDTH, HEIGHT = 4000, 3000
CLASSES, PER_CLASS = 5, 60
QUALITY = 92


def mosaics(
    folder: Path, photos: Path, per_class: int = PER_CLASS, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> int:
    """Write `CLASSES` × `per_class` mosaics of tiles of the photos under `photos`; how many.

    Equal photos, equal files (one build of Pillow). What is there already is left as it is.
    """
    found = sorted(path for path in photos.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    found = [path for path in found if min(_size(path)) >= TILE]
    if len(found) < CLASSES:
        raise SystemExit(
            f"{photos}: has not {CLASSES} JPEGs of {TILE} px or more; name another folder by --photos"
        )
    for place in range(CLASSES):
        target = folder / f"class-{place + 1}"
        target.mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            path = target / f"{number:03d}.jpg"
            if not path.exists():
                picture = _mosaic(found[place::CLASSES], random.Random(f"{place} {number}"), size)
                picture.save(path, quality=QUALITY)
    return CLASSES * per_class


def _mosaic(photos: Sequence[Path], draw: random.Random, size: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGB", size)
    for top in range(0, size[1], TILE):
        for left in range(0, size[0], TILE):
            photo = _photo(draw.choice(photos))
            x, y = draw.randint(0, photo.width - TILE), draw.randint(0, photo.height - TILE)
            canvas.paste(photo.crop((x, y, x + TILE, y + TILE)), (left, top))
    return canvas


@lru_cache(maxsize=400)
def _photo(path: Path) -> Image.Image:
    return decode(path)


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def small_files(folder: Path, count: int, classes: int = 10, side: int = 64) -> None:
    """Write so many different JPEGs of `side` px: coloured shades with some noise.

    12 × 12 shades have the detail that the search for near-copies looks at; 6 × 6 would be left out of it.
    """
    for number in range(count):
        target = folder / f"class-{number % classes:04d}"
        target.mkdir(parents=True, exist_ok=True)
        draw = np.random.default_rng(number)
        shades = Image.fromarray(draw.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        pixels = np.asarray(shades.resize((side, side), Image.Resampling.BICUBIC), dtype=np.int16)
        noisy = np.clip(pixels + draw.integers(-8, 9, pixels.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(target / f"{number:06d}.jpg", quality=85)
