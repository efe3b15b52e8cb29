"""Sheets of pictures that masked pre-training rebuilt, for pages."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from vitbench.records import Array, Benchmark, Run

LARGE, SMALL = 960, 220
"""Widths, px, of the last sheet of a run and of those before it."""
TILE = 96
"""Smaller pictures are enlarged to this side, px, or a little more, by a whole factor."""


def reconstructions_of(run: Run) -> tuple[Path, ...]:
    """What was rebuilt while the run was pre-trained, `epoch-*.npz`, the earliest epoch first.

    Its own, those of the pre-training that came before it, or those of its first fold's; () without any.
    """
    for place in (run.folder, run.folder / "pretrain", run.folder / "fold-1" / "pretrain"):
        found = tuple(sorted((place / "reconstructions").glob("epoch-*.npz")))
        if found:
            return found
    return ()


def reconstructions_by(benchmark: Benchmark) -> dict[str, str]:
    """By run the last sheet of each model that was pre-trained here, its first seed's, as a data URI."""
    found: dict[str, str] = {}
    shown: set[str] = set()
    for run in benchmark.runs:
        kept = reconstructions_of(run)
        if kept and run.model not in shown:
            shown.add(run.model)
            found[run.name] = data_uri(kept[-1], LARGE)
    return found


def data_uri(path: Path, width: int) -> str:
    """The sheet of one epoch as JPEG, shrunk to a width where it is wider."""
    with np.load(path) as kept:
        image = sheet(kept["pixels"])
    image.thumbnail((width, 10 * width))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def sheet(pixels: Array) -> Image.Image:
    """A row per picture, side by side what is shown of it; pixels: (rows, columns, S, S, 3) uint8."""
    rows, columns, size, _, _ = pixels.shape
    times, gap = -(-TILE // size), 4
    step = times * size + gap
    paper = Image.new("RGB", (columns * step + gap, rows * step + gap), "white")
    for y, row in enumerate(pixels):
        for x, tile in enumerate(row):
            enlarged = Image.fromarray(tile).resize((times * size, times * size), Image.Resampling.NEAREST)
            paper.paste(enlarged, (gap + x * step, gap + y * step))
    return paper
