"""Real picture files, made by the tests themselves."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PictureMaker = Callable[..., Path]


def noise(key: int, size: tuple[int, int] = (12, 10)) -> Image.Image:
    """An RGB picture (width, height) of random pixels; equal keys, equal pixels."""
    width, height = size
    return Image.fromarray(np.random.default_rng(key).integers(0, 256, (height, width, 3), dtype=np.uint8))


def write_picture(path: Path, key: int, size: tuple[int, int] = (12, 10)) -> Path:
    """A picture file of random pixels, its format by the path's suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise(key, size).save(path)
    return path


def write_classes(root: Path, counts: dict[str, int], first: int = 0) -> Path:
    """`counts` pictures per class folder under `root` ("cat" or "train/cat"), all different."""
    key = first
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            write_picture(root / folder / f"{number:03d}.png", key)
            key += 1
    return root


@pytest.fixture
def make() -> PictureMaker:
    """`make(path, key)` writes one picture."""
    return write_picture


@pytest.fixture
def classes() -> PictureMaker:
    """`classes(root, {"cat": 3})` writes class folders."""
    return write_classes


def textured(key: int, size: tuple[int, int] = (240, 180)) -> Image.Image:
    """An RGB picture (width, height) with as much detail as a photo; equal keys, equal pixels."""
    rng = np.random.default_rng(key)
    width, height = size
    whole = np.zeros((height, width, 3))
    for cells, weight in ((3, 60.0), (6, 45.0), (12, 40.0), (24, 25.0)):
        field = rng.normal(0, 1, (cells, cells, 3)) * [0.4, 0.4, 0.4] + rng.normal(0, 1, (cells, cells, 1))
        planes = [Image.fromarray(field[:, :, i].astype(np.float32)).resize(size, 3) for i in range(3)]
        whole += weight * np.stack([np.asarray(plane) for plane in planes], axis=-1)
    return Image.fromarray(np.clip(128 + 0.6 * whole, 0, 255).astype(np.uint8))
