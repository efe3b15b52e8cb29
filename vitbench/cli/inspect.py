"""`vitbench inspect`: what networks look at, in a page and in tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench.benchmark.inspect import Asked, carried_out, count_looks, write
from vitbench.cli.options import status_of
from vitbench.cli.progress import watch
from vitbench.cli.show import print_frames, say, show_table
from vitbench.inference.devices import choose_device
from vitbench.records.frames import rows_of_frame
from vitbench.settings import Settings

if TYPE_CHECKING:
    from vitbench.analysis.inspect import Inspection

TITLES = ("model", "map", "first", "lowest", "random", "centre", "first − centre", "more")
YES_NO = {True: "yes", False: "no", None: ""}
MOST_ROWS = 9
"""Of the table of maps: three kinds for three networks."""


def inspect_models(
    words: Sequence[str],
    results: Path,
    asked: Settings,
    check_pictures: int | None,
    *,
    as_json: bool,
) -> int:
    """Look, write, print what was found; the exit status: 3 if a picture could not be read."""
    device = choose_device(asked.device)
    meant = Asked.of(list(words), results, asked.weights, asked.image_size)
    for note in meant.notes:
        say(note)
    with watch(results) as board:
        found = carried_out(meant, device, check_pictures, board)
    ways = {subject.name: subject.preprocessing for subject in meant.lookers.subjects}
    place = write(found, meant.folder, meant.lookers.benchmark, ways, say)
    for note in (*_notes(found), *count_looks(meant, check_pictures)):
        say(note)
    if as_json:
        print_frames(place, found.frames)
    else:
        show(found)
        page = place / "report.html"
        print(f"every number: {place}" if not page.exists() else f"page: {page}, every number beside it")
    return status_of(len(found.pictures), len(found.pictures) + len(meant.unreadable))


def show(found: "Inspection") -> None:
    """Two tables on stdout: are the maps true, and how far do heads look."""
    frames = found.frames
    if "deletion" in frames:
        rows = rows_of_frame(frames["deletion"])
        count = max(row["pictures"] for row in rows)
        print(f"Points of probability lost with a quarter of the picture blurred, mean of {count} [95 %]:")
        cells = [
            (row["model"], row["map"], *_quarters(row), YES_NO[row["beats_centre"]])
            for row in rows[:MOST_ROWS]
        ]
        show_table(TITLES, cells, TITLES[2:])
        if len(rows) > MOST_ROWS:
            print(f"… {len(rows) - MOST_ROWS} more in deletion.csv")
    if "distance" in frames:
        print("Mean attention distance, px, per layer (of uniform attention in that block):")
        for model, one in frames["distance"].groupby("model", sort=False):
            layers = one.groupby("layer")[["distance_px", "uniform_px"]].mean()
            told = [f"{row.distance_px:.0f}({row.uniform_px:.0f})" for row in layers.itertuples()]
            print(f"{model}: {' '.join(_few(told))}")


def _notes(found: "Inspection") -> list[str]:
    """What was refused, a line per reason, with the networks and analyses that it holds for."""
    held: dict[str, dict[str, list[str]]] = {}
    for model, analysis, reason in found.refusals:
        held.setdefault(reason, {}).setdefault(model, []).append(analysis)
    lines = []
    for reason, models in held.items():
        of = "; ".join(f"{model or 'all'}: {', '.join(analyses)}" for model, analyses in models.items())
        lines.append(f"note: {reason} ({of})")
    return lines


def _few(values: Sequence[str]) -> Sequence[str]:
    """At most six, so that they stand on a line: the first ones and the last."""
    return values if len(values) <= 6 else [*values[:3], "…", *values[-3:]]


def _quarters(row: dict[str, Any]) -> list[str]:
    cells = [f"{100 * row[name]:.1f}" for name in ("lost", "lost_lowest", "lost_random", "lost_centre")]
    over, low, high = (row[f"over_centre{end}"] for end in ("", "_low", "_high"))
    interval = "" if low is None else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return [*cells, f"{100 * over:+.1f}{interval}"]
