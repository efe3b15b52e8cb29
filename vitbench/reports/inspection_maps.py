"""The pictures that networks were shown, with their answers and their maps laid over what they saw."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vitbench.analysis.inspect import Inspection, ShownPicture
from vitbench.records import Array, Preprocessing
from vitbench.reports.explained import cut
from vitbench.reports.maps import jpeg_of, laid_over, uri
from vitbench.reports.thumbnails import small

if TYPE_CHECKING:
    from PIL import Image

LEVELS = ((176, 74), (144, 70), (112, 66), (88, 60), (64, 52))
"""Side, px, and JPEG quality of maps, tried in turn until all together are within the budget."""
BUDGET = 1_900_000
"""Bytes of all maps in a page, before they are written as text."""
PHOTO = 360
"""Side of the photos, px."""
KEPT = "gradcam-answered"
NO_BETTER = "no better than a disc in the middle"


@dataclass(frozen=True)
class MapCell:
    """A map, or why there is none."""

    image: str = ""
    words: str = ""
    doubt: str = ""
    """What the deletion check says against maps of this kind of this network; "" if nothing."""


@dataclass(frozen=True)
class ModelLook:
    """What a network says of a picture, and what that rests on."""

    model: str
    answer: str
    probability: float
    right: bool | None
    label_probability: float | None
    cells: tuple[MapCell, ...]


@dataclass(frozen=True)
class Look:
    """A picture with every network's look at it."""

    number: int
    name: str
    label: str
    photo: str
    heads: tuple[str, ...]
    models: tuple[ModelLook, ...]


HEADS = {
    "gradcam-answered": "for its answer (Grad-CAM)",
    "gradcam-label": "for the right class (Grad-CAM)",
    "rollout": "rollout",
    "attention": "attention, last layer",
}
"""Arrays of maps, in the order in which they stand beside each other."""


def kept_maps(found: Inspection, ways: Mapping[str, Preprocessing]) -> dict[str, bytes]:
    """By NUMBER-NETWORK the map that speaks for its answer: what the benchmark's report shows."""
    return {
        f"{place}-{model}".replace("/", "_"): jpeg_of(
            _laid(picture, ways[model], maps, place - 1)[KEPT], *LEVELS[0]
        )
        for place, picture in enumerate(found.pictures, start=1)
        for model, maps in found.arrays.items()
        if model in ways and KEPT in maps and cut(picture.path, ways[model])
    }


def looks(found: Inspection, ways: Mapping[str, Preprocessing]) -> list[Look]:
    """Every picture that can be read; its maps within the budget."""
    drawn = {
        (place, model, name): image
        for place, picture in enumerate(found.pictures)
        for model, maps in found.arrays.items()
        if model in ways
        for name, image in _laid(picture, ways[model], maps, place).items()
    }
    made: dict[tuple[int, str, str], bytes] = {}
    for side, quality in LEVELS:
        made = {key: jpeg_of(image, side, quality) for key, image in drawn.items()}
        if sum(map(len, made.values())) <= BUDGET:
            break
    names = [name for name in HEADS if any(key[2] == name for key in made)]
    return [_look(found, made, names, place) for place in range(len(found.pictures))]


def _laid(
    picture: ShownPicture, way: Preprocessing, maps: Mapping[str, Array], place: int
) -> dict[str, "Image.Image"]:
    """A network's maps over its cut of a picture."""
    photo = cut(picture.path, way)
    return {name: laid_over(photo, maps[name][place]) for name in HEADS if name in maps and photo}


def _look(
    found: Inspection,
    made: Mapping[tuple[int, str, str], bytes],
    names: list[str],
    place: int,
) -> Look:
    picture = found.pictures[place]
    models = []
    for model, finding in found.findings["answers"].items():
        said = finding.frames["answers"].iloc[place]
        cells = tuple(_cell(found, made, (place, model, name), said) for name in names)
        known = picture.label != "" and isinstance(said["label"], str)
        right = bool(said["answered"] == said["label"]) if known else None
        of_label = float(said["label_probability"]) if known else None
        models.append(ModelLook(model, said["answered"], float(said["probability"]), right, of_label, cells))
    return Look(
        place + 1, picture.name, picture.label, _photo(picture),
        tuple(HEADS[name] for name in names), tuple(models),
    )  # fmt: skip


def _photo(picture: ShownPicture) -> str:
    """The whole picture, small; "" where it cannot be read any more."""
    image = small(picture.path, PHOTO)
    return uri(jpeg_of(image, PHOTO, 80)) if image else ""


def _cell(
    found: Inspection, made: Mapping[tuple[int, str, str], bytes], key: tuple[int, str, str], said: Any
) -> MapCell:
    _, model, name = key
    if name == "gradcam-label":
        if not isinstance(said["label"], str):
            return MapCell(words="class not known")
        if said["label"] == said["answered"]:
            return MapCell(words="the same: its answer is right")
    if key not in made:
        return MapCell(words="none")
    kind = name.partition("-")[0]
    return MapCell(uri(made[key]), doubt=doubts(found).get((model, kind), ""))


def doubts(found: Inspection) -> dict[tuple[str, str], str]:
    """(network, kind of map) → what the deletion check says against it."""
    return {
        (model, row["map"]): NO_BETTER
        for model, finding in found.findings.get("deletion", {}).items()
        for row in finding.frames["deletion"].to_dict("records")
        if row["beats_centre"] is False or row["beats_centre"] == False  # noqa: E712
    }
