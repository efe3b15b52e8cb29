"""`inspect/report.html`: one offline page of what was found in networks, its figures as files beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vitbench import files
from vitbench.analysis.inspect import ANALYSES, Inspection
from vitbench.analysis.nouns import Analysis, Finding
from vitbench.analysis.saliency import KINDS
from vitbench.errors import first_line
from vitbench.narrative.words import listed
from vitbench.records import Array, Preprocessing, counted
from vitbench.reports import inspection_figures as figures
from vitbench.reports.drawing import Drawing
from vitbench.reports.explained import KEPT
from vitbench.reports.html import rendered, themed, write_drawing
from vitbench.reports.html_cells import Table
from vitbench.reports.inspection_maps import Look, kept_maps, looks
from vitbench.reports.inspection_tables import deletion_table, frame_table, pooling_tables, stage_table
from vitbench.reports.maps import PLAIN, SIGNED, filter_tiles, png_of, tiles, uri, webp_of

TILE = 46
"""Width of a small map, px."""
ACROSS = 8
"""Queries in a row whose similarities are shown, and filters."""
WIDEST = 1000
"""Width of a sheet of tiles in the page, px; the file beside it has all of them."""


@dataclass(frozen=True)
class Sheet:
    """Many small maps as one picture."""

    name: str
    """Of its file, without a suffix."""
    caption: str
    png: bytes
    small: str
    """As it stands in the page."""


@dataclass(frozen=True)
class Content:
    """What a section shows."""

    tables: tuple[Table, ...] = ()
    drawings: Mapping[str, Drawing] = field(default_factory=dict)
    """By the name of their files."""
    sheets: tuple[Sheet, ...] = ()


@dataclass(frozen=True)
class Section:
    """An analysis of the page."""

    about: Analysis
    content: Content
    notes: tuple[tuple[str, tuple[str, ...]], ...]
    """(what to know of what was found, or why nothing was; the networks that it holds for)."""


def write_inspection(
    found: Inspection, ways: Mapping[str, Preprocessing], folder: Path, name: str
) -> tuple[str, ...]:
    """Write the page and its figures, as .svg and .png, into a folder that is there.

    ways: how each network takes pictures, for its maps are laid over what it saw. Returns a line for each
    thing that could not be drawn.
    """
    sections = [one for one in (_section(found, row) for row in ANALYSES) if one is not None]
    (folder / KEPT).mkdir(exist_ok=True)
    told: list[str] = []
    for section in sections:
        for file, drawing in section.content.drawings.items():
            write_drawing(drawing, folder, file)
            told += drawing.notes
        for sheet in section.content.sheets:
            files.write_bytes(folder / f"{sheet.name}.png", sheet.png)
    for file, content in kept_maps(found, ways).items():
        files.write_bytes(folder / KEPT / f"{file}.jpg", content)
    files.write_text(folder / "report.html", render(found, sections, looks(found, ways), name))
    return tuple(dict.fromkeys(told))


def render(found: Inspection, sections: Sequence[Section], shown: Sequence[Look], name: str) -> str:
    """The page as text."""
    kinds = [kind for kind in KINDS if found.findings.get(kind.name)]
    return rendered(
        "inspect.html.j2",
        name=name,
        headline=_headline(found),
        models=list(dict.fromkeys(model for each in found.findings.values() for model in each)),
        looks=shown,
        kinds=kinds,
        kind_notes=[
            (model, kind.title, why)
            for kind in KINDS
            for model, one, why in found.refusals
            if one == kind.name
        ],
        sections=sections,
        general=[(model, why) for model, one, why in found.refusals if one not in _names()],
        themed=themed,
    )


def _headline(found: Inspection) -> tuple[str, str]:
    """Which maps may be believed, and what they were checked on."""
    rows = [
        (model, row)
        for model, one in found.findings.get("deletion", {}).items()
        for row in one.frames["deletion"].to_dict("records")
    ]
    if not rows:
        return "What these networks look at", "Whether the maps are true was not checked."
    on = counted(int(rows[0][1]["pictures"]), "picture")
    checked = (
        f"Checked on {on}: does the answer lose more where a map is bright than in the middle of the picture?"
    )
    true = [f"{row['map']} of {model}" for model, row in rows if row["over_centre_low"] > 0]
    if not true:
        return "No map here is shown to say more than a disc in the middle would", checked
    say = "says" if len(true) == 1 else "say"
    return (
        f"{len(true)} of {counted(len(rows), 'map')} {say} more than a disc in the middle would",
        f"{listed(true)}. {checked}",
    )


def _names() -> set[str]:
    return {row.name for row in ANALYSES}


def _section(found: Inspection, row: Analysis) -> Section | None:
    """None where nothing was found and nothing refused, and for what stands with the pictures."""
    if row.name in {"answers", *(kind.name for kind in KINDS)}:
        return None
    each = found.findings.get(row.name, {})
    if not each:
        return None
    held: dict[str, list[str]] = {}
    for model, one in each.items():
        for note in one.notes:
            held.setdefault(note, []).append(model)
    for model, name, why in found.refusals:
        if name == row.name:
            held.setdefault(why, []).append(model)
    try:
        content = DRAWN.get(row.name, _plainly)(row, each)
    except Exception as error:  # noqa: BLE001  # the other sections are worth more than this one
        content = Content()
        held[f"could not be drawn ({first_line(error)}); its numbers are in the .csv files"] = list(each)
    return Section(row, content, tuple((note, tuple(models)) for note, models in held.items()))


# --- sections -------------------------------------------------------------------------------------

Each = Mapping[str, Finding]
"""Network → what was found in it."""


def _plainly(row: Analysis, each: Each) -> Content:
    """An analysis that nobody drew anything for: its tables, and its maps as tiles."""
    frames = dict.fromkeys(name for one in each.values() for name in one.frames)
    tables = [frame_table(name, f"{name}.csv", each) for name in frames]
    sheets = [
        _sheet(
            f"{name}-{model}", f"{model}: {name}", [list(values.reshape(-1, *values.shape[-2:])[:24])], PLAIN
        )
        for model, one in each.items()
        for name, values in one.arrays.items()
    ]
    return Content(tuple(tables), sheets=tuple(sheets))


def _deletion(_: Analysis, each: Each) -> Content:
    return Content((deletion_table(each),))


def _heads(_: Analysis, each: Each) -> Content:
    """Of the first picture: a row of tiles per layer, a tile per head."""
    sheets = []
    for model, one in each.items():
        rows = [list(values[0]) for name, values in one.arrays.items() if name.startswith("heads-")]
        if rows:
            caption = f"{model}: a row per layer, a tile per head, first picture"
            sheets.append(_sheet(f"heads-{model}", caption, rows, "magma"))
    return Content(sheets=tuple(sheets))


def _distance(_: Analysis, each: Each) -> Content:
    drawn = figures.distance_figure
    drawings = {f"distance-{model}": drawn(model, one.frames["distance"]) for model, one in each.items()}
    return Content(drawings=drawings)


def _stages(_: Analysis, each: Each) -> Content:
    return Content(tuple(stage_table(model, one.frames["stages"]) for model, one in each.items()))


def _activations(_: Analysis, each: Each) -> Content:
    import pandas

    tables = {model: one.frames["activations"] for model, one in each.items()}
    whole = pandas.concat([table.assign(model=model) for model, table in tables.items()], ignore_index=True)
    drawings = {"activations": figures.stream_figure(whole)}
    drawings |= {
        f"activations-{model}": figures.branches_figure(model, table) for model, table in tables.items()
    }
    return Content((frame_table("growth", "Growth of the stream within each stage", each),), drawings)


def _positions(_: Analysis, each: Each) -> Content:
    sheets = []
    for model, one in each.items():
        for name, values in _versions("position_similarity", one.arrays):
            step = max(1, values.shape[0] // ACROSS)
            rows = [list(row[::step]) for row in values[::step]]
            caption = f"{model}{name}: each tile, how alike all places are to the one that it stands for"
            kind = SIGNED if name == ", change" else PLAIN
            sheets.append(_sheet(f"positions-{model}{name.replace(', ', '-')}", caption, rows, kind))
    return Content(sheets=tuple(sheets))


def _biases(_: Analysis, each: Each) -> Content:
    sheets = []
    for model, one in each.items():
        blocks = [name for name in one.arrays if not name.endswith(("_before", "_change"))]
        versions = [_versions(block, one.arrays) for block in blocks]
        for place, (version, _values) in enumerate(versions[0]):
            rows = [list(of_block[place][1]) for of_block in versions]
            caption = f"{model}{version}: a row per block, a tile per head; red: more, blue: less"
            sheets.append(_sheet(f"position_bias-{model}{version.replace(', ', '-')}", caption, rows, SIGNED))
    return Content(sheets=tuple(sheets))


def _temperatures(_: Analysis, each: Each) -> Content:
    lines = [("the least that it can be", 0.01), ("where it begins", 0.1)]
    return Content(drawings={
        f"temperature-{model}": figures.heads_figure(
            model, one.frames["temperature"], "tau", "τ", lines, log=True
        )
        for model, one in each.items()
    })  # fmt: skip


def _token_mass(_: Analysis, each: Each) -> Content:
    drawings = {}
    for model, one in each.items():
        for token, table in one.frames["token_mass"].groupby("token", sort=False):
            line = [("uniform attention", float(table["mass_uniform"].iloc[0]))]
            title = f"share that goes to {token}"
            drawings[f"token_mass-{token}-{model}".replace(" ", "_")] = figures.heads_figure(
                model, table, "mass", title, line, log=False
            )
    return Content(drawings=drawings)


def _filters(_: Analysis, each: Each) -> Content:
    sheets, drawings = [], {}
    for model, one in each.items():
        for name, values in _versions("components", one.arrays):
            image = filter_tiles(values, TILE, 14)
            caption = f"{model}{name}: components of its first filters, the strongest first"
            sheets.append(
                Sheet(
                    f"filters-{model}{name}".replace(", ", "-").replace("/", "_").replace(" ", "_"),
                    caption,
                    png_of(image),
                    uri(webp_of(image, WIDEST)),
                )
            )
        drawings[f"filters-{model}"] = figures.explained_figure(model, one.frames["filters"])
    return Content((), drawings, tuple(sheets))


def _pooling(_: Analysis, each: Each) -> Content:
    return Content(pooling_tables(each))


def _versions(name: str, arrays: Mapping[str, Array]) -> list[tuple[str, Array]]:
    """An array as it is, before training and the change, where these are known, each with its words."""
    suffixes = {"": "", "_before": ", before training here", "_change": ", change"}
    return [(words, arrays[name + suffix]) for suffix, words in suffixes.items() if name + suffix in arrays]


def _sheet(name: str, caption: str, rows: Sequence[Sequence[Array]], colours: str) -> Sheet:
    image = tiles(rows, TILE, colours)
    return Sheet(
        name.replace("/", "_").replace(" ", "_"), caption, png_of(image), uri(webp_of(image, WIDEST))
    )


DRAWN: Mapping[str, Callable[[Analysis, Each], Content]] = {
    "deletion": _deletion,
    "heads": _heads,
    "distance": _distance,
    "stages": _stages,
    "activations": _activations,
    "positions": _positions,
    "position_bias": _biases,
    "temperature": _temperatures,
    "filters": _filters,
    "token_mass": _token_mass,
    "pooling": _pooling,
}
"""How each analysis is drawn; others are tables and tiles."""
