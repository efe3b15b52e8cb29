"""`vitbench export`: a trained model as a file for elsewhere, and what was checked."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench.benchmark.export import Wanted, carried_out
from vitbench.benchmark.exportable import Asked
from vitbench.cli.progress import watch
from vitbench.cli.show import console, say, show_lines, show_sentences
from vitbench.exporting.card import int8_line, score_line
from vitbench.exporting.check import LIMIT
from vitbench.records.commands import command
from vitbench.records.exports import Export
from vitbench.reports.fitted import fitted
from vitbench.reports.lines import Line, wrapped
from vitbench.reports.screen import command_lines

if TYPE_CHECKING:
    from rich.table import Table


def export_model(name: str | None, results: Path, wanted: Wanted, *, as_json: bool) -> int:
    """Export, and print what was checked; the exit status."""
    asked = Asked.of(name, results)
    for note in asked.notes:
        say(note)
    with watch(results) as board:
        made = carried_out(asked, wanted, board)
    if as_json:
        print(json.dumps({"folder": str(made.folder), **made.about}, ensure_ascii=False))
    else:
        show(made)
    return 0


def show(made: Export) -> None:
    """What was checked, where the file is, what to type next."""
    about, width = made.about, console().width
    show_sentences(_sentences(about))
    console().print(_times(about, width))
    show_lines(
        [Line(""), *wrapped(f"model: {_near(made.file)}, {about['mb']:.1f} MB; its card beside it", width)]
    )
    if about["format"] == "onnx":
        show_lines(command_lines("ask it:", command("predict", "IMAGE", run=_near(made.file)), width))
    if (made.folder / "predictions.csv").exists() and "/" not in about["run"]:
        show_lines(command_lines("as a row:", command("compare", _near(made.folder)), width))


def _near(path: Path) -> Path:
    """As seen from here, where it lies below."""
    here = Path.cwd()
    return path.resolve().relative_to(here) if path.resolve().is_relative_to(here) else path


def _sentences(about: dict[str, Any]) -> list[str]:
    test, name = about["test"], about["name"]
    lines = [
        f"{name} answers {test['agreed']} of {test['n']} test pictures as torch does; the largest difference "
        f"of a probability is {test['largest_difference']:.2g}"
        + (f" (limit {LIMIT:g})." if about["precision"] == "fp32" else "."),
        score_line(test),
    ]
    return [*lines, *filter(None, [int8_line(about["against_fp32"], test)])]


def _times(about: dict[str, Any], width: int) -> "Table":
    latency = about["latency"]
    rows = []
    for batch, torch_ms in latency["torch_ms"].items():
        here = latency["exported_ms"][batch]
        rows.append([batch, f"{torch_ms:.1f}", f"{here:.1f}", f"{here / torch_ms:.2f}"])
    titles = ["pictures", "torch ms", f"{about['format']} ms", "ratio"]
    table, _ = fitted(titles, rows, width, titles)
    return table
