"""What answers rest on, under their photos: maps of `predict --explain`, and those that `inspect` kept."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitbench import files
from vitbench.comparison.results import Results, ranked_models
from vitbench.errors import VitbenchError
from vitbench.records import Answer, Preprocessing
from vitbench.reports.maps import jpeg_of, laid_over, uri

if TYPE_CHECKING:
    from PIL import Image

KINDS = ("gradcam", "rollout", "attention")
"""The first that a model has stands under a photo: only Grad-CAM is another map for another class."""
KEPT = "pictures"
"""Folder of `inspect` with a map per picture and network, NUMBER-NETWORK.jpg."""
LEVELS = ((150, 70), (112, 66), (80, 60))
"""Side, px, and JPEG quality, tried in turn until all together are within the budget."""
BUDGET = 900_000
"""Bytes of the maps of a page: some of them stand in it twice."""


@functools.lru_cache(maxsize=8)
def cut(path: Path, way: Preprocessing) -> "Image.Image | None":
    """What a network with this preprocessing sees of a picture; None where that cannot be read."""
    from vitbench.data.batches import Evaluation
    from vitbench.data.decode import decode

    try:
        return Evaluation(way).cut(decode(path, meant=way.pixel_range))
    except (OSError, VitbenchError):
        return None


def overlays(answer: Answer, ways: Mapping[str, Preprocessing]) -> dict[str, "Image.Image"]:
    """By run one map over what it saw of the picture; {} where nobody asked for maps."""
    found = {}
    for run, maps in answer.maps.items():
        kind = next((kind for kind in KINDS if kind in maps), None)
        photo = cut(Path(answer.path), ways[run]) if kind and run in ways else None
        if kind and photo:
            found[run] = laid_over(photo, maps[kind])
    return found


Mapped = Mapping[int, Mapping[str, str]]
"""Number of a picture → run as its answers name it → a picture inside the page."""


def explained(answers: Sequence[Answer], ways: Mapping[str, Preprocessing], numbers: Sequence[int]) -> Mapped:
    """The maps of the pictures with these numbers, places in `answers` from 1."""
    drawn = {number: overlays(answers[number - 1], ways) for number in numbers}
    made: dict[tuple[int, str], bytes] = {}
    for side, quality in LEVELS:
        made = {
            (n, run): jpeg_of(image, side, quality) for n, of in drawn.items() for run, image in of.items()
        }
        if sum(map(len, made.values())) <= BUDGET:
            break
    return _by_number({key: uri(content) for key, content in made.items()})


def inspected(results: Results) -> Mapped:
    """The maps that `inspect` kept of a benchmark's test pictures; {} where it was not run."""
    folder = results.first.benchmark.folder / "inspect"
    if not (folder / "pictures.csv").exists():
        return {}
    numbers = {path: number for number, path in enumerate(results.test.paths, start=1)}
    shown = {row["path"]: row["picture"] for row in files.read_csv(folder / "pictures.csv")}
    found = {}
    for run, name in named_runs(results):
        for path in shown.keys() & numbers.keys():
            kept = folder / KEPT / f"{shown[path]}-{run}.jpg"
            if kept.exists():
                found[numbers[path], name] = uri(kept.read_bytes())
    return _by_number(found)


def named_runs(results: Results) -> list[tuple[str, str]]:
    """(folder of a run, what its answers are called in the report), of those that answered."""
    return [
        (run.run.name, one.model if len(one.runs) == 1 else f"{one.model} s{run.run.seed}")
        for one in ranked_models(results.models)
        for run in one.answered
    ]


def _by_number(found: Mapping[tuple[int, str], str]) -> Mapped:
    numbers: dict[int, dict[str, str]] = {}
    for (number, run), image in found.items():
        numbers.setdefault(number, {})[run] = image
    return numbers
