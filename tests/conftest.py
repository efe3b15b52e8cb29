"""Small folders of pictures, and benchmarks on them by timm's own test networks, without a network."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitbench.benchmark.train import train
from vitbench.records import Benchmark
from vitbench.training.watch import Watch

COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 200)}
TINY: dict[str, Any] = {
    "models": ("test_vit",),
    "weights": ("random",),
    "image_size": 32,
    "epochs": 2,
    "per_class": 12,
    "batch_size": 16,
    "lr": 2e-3,
    "workers": 0,
}
"""Settings with which a run takes about a second."""


def paint(path: Path, colour: tuple[int, int, int], key: int, size: tuple[int, int] = (40, 32)) -> None:
    """A noisy picture of one colour; equal arguments, equal bytes."""
    noise = np.random.default_rng(key).normal(0, 30, (size[1], size[0], 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def paint_folder(root: Path, per_class: int = 12, names: Mapping[str, str] | None = None) -> Path:
    """Three classes that colour tells apart; `names` gives folders other names than their colours."""
    for place, (colour, rgb) in enumerate(COLOURS.items()):
        for number in range(per_class):
            folder = (names or {}).get(colour, colour)
            paint(root / folder / f"{number:02d}.png", rgb, 1000 * place + number)
    return root


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """A folder of 3 × 12 pictures."""
    return paint_folder(tmp_path / "coloured")


@pytest.fixture
def trained(tmp_path: Path, coloured: Path) -> Callable[..., Benchmark]:
    """`trained(name="a", epochs=3)` trains on `coloured` and returns the benchmark."""

    def go(
        watch: Watch | None = None, *, name: str | None = "tiny", resume: bool = False, **settings: Any
    ) -> Benchmark:
        asked = settings if resume else {**TINY, **settings}
        data = None if resume else coloured
        return train(data, name=name, results=tmp_path / "results", resume=resume, watch=watch, **asked)

    return go


@pytest.fixture(scope="session")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """A finished benchmark of two tiny models with Korean and emoji class names; do not change it."""
    root = tmp_path_factory.mktemp("session")
    data = paint_folder(root / "사진", names={"red": "빨강 🔴", "green": "=green", "blue": "blue"})
    asked = {**TINY, "models": ("test_vit", "test_efficientnet"), "epochs": 3}
    return train(data, name="two", results=root / "results", **asked)
