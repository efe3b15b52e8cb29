"""`vitbench cost`: what models cost over image sizes, as a table, tables in files and a page."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vitbench.analysis.cost import Limits, Windows, cost
from vitbench.benchmark.folder import fresh_name
from vitbench.cli.options import status_of
from vitbench.cli.progress import watch
from vitbench.cli.show import print_frames, say, show_sentences, show_table
from vitbench.inference.devices import choose_device
from vitbench.narrative.words import measured
from vitbench.records.commands import command
from vitbench.reports.cost import answer, rows_of, write_cost

if TYPE_CHECKING:
    from vitbench.analysis.cost import Cost

WORK = "measuring models at their sizes"
TIMED = {"forward_ms": "ms", "training_ms": "train ms", "forward_mb": "MB", "training_mb": "train MB"}
"""Columns of what was measured, with their heads."""


@dataclass(frozen=True)
class Asked:
    """What the command was asked for; a field is an option."""

    models: tuple[str, ...]
    sizes: tuple[int, ...]
    batch: int
    windows: Windows
    latency: float | None
    """ms"""
    memory: float | None
    """MB"""
    no_times: bool


def show_cost(asked: Asked, device: str, results: Path, *, as_json: bool) -> int:
    """Count, measure, write and print; the exit status: 3 if a model does not run at one of the sizes."""
    with watch(results) as board:
        found = cost(
            asked.models,
            asked.sizes,
            batch=asked.batch,
            windows=asked.windows,
            times=not asked.no_times,
            limits=Limits(asked.latency, asked.memory),
            device=choose_device(device),
            report=lambda done, total: board.work(WORK, done, total),
        )
    place = results / fresh_name(Path("cost"), results)
    options = {name: value for name, value in dataclasses.asdict(asked).items() if name != "models"}
    for note in write_cost(found, place, command("cost", *asked.models, **options)):
        say(f"note: {note}")
    for _, _, reason in found.refused:
        say(f"note: {reason}")
    if as_json:
        print_frames(place, found.frames)
    else:
        show_sentences(answer(found))
        show_table(*_table(found))
        print(f"page: {place / 'report.html'}, every number beside it")
    return status_of(len(found.counted), len(found.counted) + len(found.refused))


def _table(found: "Cost") -> tuple[list[str], list[list[str]], list[str]]:
    """Titles, a row per model and size, and the titles of numbers."""
    rows = []
    for row in rows_of(found):
        share = f"{100 * row['attention'] / row['macs']:.0f}" if row["attention"] else ""
        cells = [row["model"], str(row["image_size"]), row["windows"], f"{row['macs'] / 1e9:.3g}", share]
        rows.append([*cells, *("" if row[name] is None else measured(row[name]) for name in TIMED)])
    titles = ["model", "px", "windows", "GMACs", "attn %", *TIMED.values()]
    return titles, rows, [title for title in titles if title not in ("model", "windows")]
