"""What commands print: comparisons, models, files. Results on stdout, the rest on stderr."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from vitbench.files import printable
from vitbench.narrative.advice import leading_probes, steps
from vitbench.records import Benchmark, benchmarks_in
from vitbench.records.commands import (
    comparing,
    going_on,
    predicting,
    surer,
    training_from,
    training_of,
)
from vitbench.reports.fitted import fitted
from vitbench.reports.lines import Line, plain, wrapped
from vitbench.reports.screen import command_lines

if TYPE_CHECKING:
    from pandas import DataFrame

    from vitbench.comparison.nouns import Comparison

PIPE_WIDTH = 120
MODEL_COLUMNS = {
    "params_m": "params M",
    "gmacs": "GMACs",
    "native_size": "native px",
    "published_top1": "IN-1k %",
    "pretrained_on": "pretrained on",
    "licence": "licence",
}
"""Of `vitbench models`, behind the name; what is needed more stands before what is needed less."""
ENCODER_COLUMNS = {
    "run": "run",
    "epochs": "epochs",
    "train_loss": "train loss",
    "val_loss": "val loss",
    "seconds_per_epoch": "s/epoch",
    "encoder": "encoder",
}


def console() -> Console:
    """Stdout; wide where no terminal and no COLUMNS limits it."""
    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=PIPE_WIDTH)


def say(text: str) -> None:
    """One line on stderr; names in it cannot speak to the terminal."""
    print(printable(text), file=sys.stderr, flush=True)


def say_report(path: Path, notes: Sequence[str], notice: str) -> None:
    """Say where a report lies, what could not be drawn in it, and what kind it is."""
    for note in notes:
        say(f"note: {note}")
    say(f"report: {path}, its data: {path.with_suffix('.json')}. {notice}")


def show_lines(lines: Sequence[Line]) -> None:
    """Print lines on stdout: the light ones dim on a terminal, plain text in a pipe."""
    screen = console()
    for line in plain(lines, screen.encoding):
        screen.print(Text(line.text, style="dim" if line.light else ""), soft_wrap=True)


def show_sentences(sentences: Iterable[str]) -> None:
    """Print each on lines of its own, as wide as the terminal, and an empty line after them."""
    width = console().width
    show_lines([one for line in (*sentences, "") for one in wrapped(line, width)])


def show_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str] = (),
    elsewhere: str = "a wider terminal, or --json, has all",
) -> list[str]:
    """Print the columns that have room on stdout (`fitted`), on stderr and as a list those that have none.

    elsewhere: where those are found.
    """
    screen = console()
    table, left_out = fitted(titles, rows, screen.width, right)
    screen.print(table)
    if left_out:
        say(f"no room for: {', '.join(left_out)}; {elsewhere}")
    return left_out


def print_frames(place: Path, frames: Mapping[str, "DataFrame"], **more: Any) -> None:
    """Print what `--json` of a command that leaves frames in a folder says: one object."""
    tables = {name: json.loads(table.to_json(orient="records")) for name, table in frames.items()}
    print(json.dumps({"folder": str(place), **more, **tables}, ensure_ascii=False))


def closing(benchmark: Benchmark, comparison: "Comparison", width: int) -> list[Line]:
    """What to type next, and where the report is."""
    return [*_next(benchmark, comparison, width), *report_lines(benchmark, width)]


def report_lines(benchmark: Benchmark, width: int) -> list[Line]:
    """Where the report is, and what prints every number."""
    page = benchmark.folder / "report.html"
    files = f"report: {page}" if page.exists() else f"files: {benchmark.folder}"
    every = f"; every number: {comparing(benchmark, details=True)}"
    return [Line(f"{files}{every}")] if cell_len(files + every) <= width else [Line(files), Line(every[2:])]


def _next(benchmark: Benchmark, comparison: "Comparison", width: int) -> list[Line]:
    """Go on where something is not done, train where probes lead, else what makes it surer; then predict."""
    states = {run.status for run in benchmark.runs}
    if "finished" not in states:
        return command_lines("no model finished; to try again:", going_on(benchmark), width)
    trained = {run.model for run in benchmark.runs}  # exported models are rows too
    if models := tuple(name for name in leading_probes(comparison) if name in trained):
        return command_lines("next:", training_of(models, benchmark), width)
    dated = benchmarks_in(benchmark.folder.parent)
    asking = predicting(benchmark, next((b for b in dated if not b.pretrains), None))
    step = next((step for step in steps(comparison) if step.options), None)
    if states != {"finished"}:
        command, aim = going_on(benchmark), "goes on with what is not finished"
    elif step is not None and Path(comparison.data).is_dir():
        command, aim = surer(benchmark, step.options), step.aim
    else:
        return command_lines("next:", asking, width)
    lines = command_lines("next:", command, width)
    return [*lines, Line(f"      ({aim})"), *command_lines("ask the models:", asking, width)]


def _files(benchmark: Benchmark) -> str:
    page = " (open report.html)" if (benchmark.folder / "report.html").exists() else ""
    return f"{benchmark.folder}{page}"


def show_encoders(benchmark: Benchmark, *, as_json: bool) -> None:
    """Print what masked pre-training made, and say on stderr what to type next."""
    from vitbench.reports.pretrained import encoders

    found = encoders(benchmark)
    if as_json:
        print(json.dumps({"benchmark": benchmark.name, "runs": found}, ensure_ascii=False))
    else:
        cells = [[_cell(row[column], 3) for column in ENCODER_COLUMNS] for row in found]
        show_table(list(ENCODER_COLUMNS.values()), cells)
    done = any(run.status == "finished" for run in benchmark.runs)
    again = f"no model finished; to try again: {going_on(benchmark)}"
    say(f"files: {_files(benchmark)}; {f'next: {training_from(benchmark)}' if done else again}")


def show_models(
    pattern: str | None,
    max_params: float | None,
    max_gmacs: float | None,
    names: str | None = None,
    *,
    as_json: bool,
) -> None:
    """`vitbench models`."""
    from vitbench.models.listing import models_table

    named = [name.strip() for name in (names or "").split(",") if name.strip()]
    rows = models_table(max_params, max_gmacs, pattern, named)
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    if not rows:
        print("no model fits these limits")
        return
    aliases = pattern is None and not named
    _print_models(rows, "model" if aliases else "timm_name")
    if aliases:
        print()
        for row in rows:
            print(f"{row['model']} is {row['timm_name']}")


def _print_models(rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """A row per model, under the name in that column."""
    columns = {name: "model", **MODEL_COLUMNS}
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    right = [MODEL_COLUMNS[column] for column in ("params_m", "gmacs", "native_size", "published_top1")]
    left_out = show_table(list(columns.values()), cells, right)
    if any(row["published_top1"] for row in rows) and MODEL_COLUMNS["published_top1"] not in left_out:
        say("IN-1k %: accuracy on ImageNet-1k as published; not measured here")


def download_models(folder: Path, names: str | None) -> None:
    """`vitbench models --download DIR`."""
    from vitbench.models.families import expand
    from vitbench.models.weights import download_weights

    wanted = expand([name.strip() for name in names.split(",")] if names else ["all"])
    for path in download_weights(wanted, folder, say):
        print(path)


def _cell(value: Any, digits: int = 2) -> str:
    if value is None:
        return ""
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)
