"""All files of a benchmark's comparison in one call: tables, figures, report."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench import files
from vitbench.comparison.nouns import Comparison
from vitbench.comparison.results import Results, Sources, read_results
from vitbench.errors import first_line
from vitbench.records.commands import ARMS_FILE, arms_toml, unusual_arms
from vitbench.records.frames import Dtype, frame, frame_csv
from vitbench.reports.comparison_report import comparison_report, curves_of
from vitbench.reports.costed import costed
from vitbench.reports.drawing import Drawing
from vitbench.reports.explained import inspected
from vitbench.reports.figures import draw_confusion, draw_cost, draw_curves
from vitbench.reports.formats import comparison_csv, comparison_json, markdown
from vitbench.reports.html import shown_numbers, write_report
from vitbench.reports.photos import Photos
from vitbench.reports.reconstructions import reconstructions_by

if TYPE_CHECKING:
    from pandas import DataFrame


WRITING = "comparing, writing the report"
"""What progress calls it."""


def to_stderr(line: str) -> None:
    """Warn where nobody else listens."""
    print(line, file=sys.stderr)


def write_reports(
    source: Sources,
    comparison: Comparison,
    warn: Callable[[str], None] = to_stderr,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Write all tables, figures and the report into the benchmark's folder, each file whole or not at all.

    source: the benchmark, or, read already, what its comparison was made of. Raises OSError where the folder
    cannot be written; `warn` gets a line for what could not be drawn, and for photographs that are not to be
    had any more; `on_progress(done, total)` counts tables, figures and the page.
    """
    results = read_results(source)
    benchmark = results.first.benchmark
    written: list[Path] = []

    def put(name: str, content: str | bytes) -> None:
        path = benchmark.folder / name
        if isinstance(content, bytes):
            files.write_bytes(path, content)
        else:
            files.write_text(path, content)
        written.append(path)

    if unusual_arms(arms := benchmark.settings.arms):
        put(ARMS_FILE, arms_toml(arms))
    put("comparison.csv", comparison_csv(comparison))
    put("comparison.md", markdown(comparison))
    put("comparison.json", comparison_json(comparison))
    put("predictions.csv", frame_csv(answers_frame(results)))
    notes: list[str] = []
    curves = curves_of(results)
    drawings: dict[str, Callable[[], Drawing | None]] = {
        "curves": lambda: draw_curves(curves),
        "cost": lambda: draw_cost(comparison.tested, order=[curve.model for curve in curves]),
        "confusion": lambda: draw_confusion(results.models),
    }
    for done, (name, draw) in enumerate(drawings.items(), start=1):
        on_progress(done, len(drawings) + 2)
        try:
            drawing = draw()
        except Exception as error:  # noqa: BLE001  # the tables and the report are worth more than a picture
            notes.append(f"{name}.svg and {name}.png could not be drawn ({first_line(error)})")
            continue
        if drawing is not None:
            put(f"{name}.svg", drawing.svg)
            put(f"{name}.png", drawing.png)
            notes += drawing.notes
    on_progress(len(drawings) + 1, len(drawings) + 2)
    report = benchmark.folder / "report.html"
    content = comparison_report(results, comparison)
    photos, numbers = Photos.of(results.first, content.twins), shown_numbers(content)
    small = photos.small(numbers)
    photos.keep(small)
    beside = reconstructions_by(benchmark), inspected(results), costed(results, comparison)
    notes += write_report(content, report, small, *beside)
    notes += [photos.lacking(numbers, small)]
    for note in filter(None, dict.fromkeys(notes)):
        warn(note)
    on_progress(len(drawings) + 2, len(drawings) + 2)
    return [*written, report, report.with_suffix(".json")]


def answers_frame(results: Results) -> "DataFrame":
    """The benchmark's `predictions.csv`: path, label, then <run> and <run>_probability per answered run."""
    columns: dict[str, Dtype] = {"path": "string", "label": "string"}
    cells: list[Any] = [results.test.paths, results.test.labels]
    for run in (run for one in results.models for run in one.answered):
        columns |= {run.run.name: "string", f"{run.run.name}_probability": "float64"}
        told = run.predictions
        cells += [[told.classes[answer] for answer in told.answers], told.probabilities.max(axis=1)]
    return frame(columns, cells)
