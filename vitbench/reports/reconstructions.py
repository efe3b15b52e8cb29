"""Sheets of pictures that masked pre-training rebuilt, for pages."""

import base64
import io
from pathlib import Path

from PIL import Image

from vitbench.records import Benchmark, Run

LARGE, SMALL = 960, 220
"""Widths, px, of the last sheet of a run and of those before it."""


def reconstructions_of(run: Run) -> tuple[Path, ...]:
    """The sheets of pictures rebuilt while the run was pre-trained, PNG files, the earliest epoch first.

    Its own, those of the pre-training that came before it, or those of its first fold's; () without any.
    """
    for place in (run.folder, run.folder / "pretrain", run.folder / "fold-1" / "pretrain"):
        found = tuple(sorted((place / "reconstructions").glob("epoch-*.png")))
        if found:
            return found
    return ()


def reconstructions_by(benchmark: Benchmark) -> dict[str, str]:
    """By run the last sheet of each model that was pre-trained here, its first seed's, as a data URI."""
    found: dict[str, str] = {}
    shown: set[str] = set()
    for run in benchmark.runs:
        sheets = reconstructions_of(run)
        if sheets and run.model not in shown:
            shown.add(run.model)
            found[run.name] = data_uri(sheets[-1], LARGE)
    return found


def data_uri(path: Path, width: int) -> str:
    """A sheet as JPEG, shrunk to a width where it is wider."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    image.thumbnail((width, 10 * width))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
