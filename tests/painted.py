"""Pictures that colour tells apart, settings for a run of a second, watches that listen or stop it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from vitbench.records.watch import Watch

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


def paint_folder(
    root: Path, per_class: int = 12, names: Mapping[str, str] | None = None, first: int = 0
) -> Path:
    """Three classes that colour tells apart; `names` gives folders other names than their colours.

    Another `first` paints other pictures.
    """
    for place, (colour, rgb) in enumerate(COLOURS.items()):
        for number in range(per_class):
            folder = (names or {}).get(colour, colour)
            paint(root / folder / f"{number:02d}.png", rgb, first + 1000 * place + number)
    return root


class Sees(nn.Module):
    """Remembers what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[torch.Tensor] = []

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        self.shown += list(pictures)
        return torch.zeros(len(pictures), 2)


class Listening(Watch):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def message(self, text: str) -> None:
        self.heard.append(text)


class ListeningToRuns(Listening):
    """Keeps also how each run ended."""

    def run_finished(self, run: str, text: str) -> None:
        self.heard.append(f"{run}: {text}")


class StopAt(Watch):
    """Raises KeyboardInterrupt at a step, as Ctrl-C would."""

    def __init__(self, epoch: int, step: int) -> None:
        self.at = (epoch, step)

    def step(self, epoch: int, step: int, loss: float, images_per_second: float) -> None:
        if (epoch, step) == self.at:
            raise KeyboardInterrupt
