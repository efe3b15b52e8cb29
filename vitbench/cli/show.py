"""What commands print: comparisons, models, files. Results on stdout, the rest on stderr."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vitbench.records import Benchmark
from vitbench.training.watch import Watch

PIPE_WIDTH = 120
TITLES = {
    "native_size": "native px",
    "params_m": "params M",
    "gmacs": "GMACs",
    "published_top1": "IN-1k % (published)",
    "licence": "weights' licence",
}


class PlanWatch(Watch):
    """Prints messages on stdout: in a dry run the plan is the result."""

    def message(self, text: str) -> None:
        print(text)


def console() -> Console:
    """Stdout; wide where no terminal and no COLUMNS limits it."""
    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=PIPE_WIDTH)


def say(text: str) -> None:
    """One line on stderr."""
    print(text, file=sys.stderr, flush=True)


def show_comparison(benchmark: Benchmark, *, as_json: bool) -> None:
    """Print a benchmark's table, or its JSON."""
    from vitbench.benchmark.compare import compare

    _print_comparison(compare(benchmark), as_json=as_json)


def show_files(benchmark: Benchmark) -> None:
    """Say on stderr where the files are and what to type next."""
    say(f"files: {benchmark.folder} (open report.html); next: vitbench predict IMAGE")


def compare_benchmarks(names: Sequence[str], results: Path, *, as_json: bool) -> None:
    """`vitbench compare`: print the comparison and refresh its files where they can be written."""
    from vitbench.benchmark import folder
    from vitbench.benchmark.compare import compare
    from vitbench.reports.tables import write_reports

    if len(names) > 1:
        _print_comparison(compare(*names, results=results), as_json=as_json)
        return
    benchmark = folder.find(names[0], results) if names else folder.newest(results)
    if not names:
        say(f"comparing {benchmark.name}, the newest finished benchmark in {results}")
    comparison = compare(benchmark)
    try:
        write_reports(benchmark, comparison)
    except OSError as error:
        say(f"{benchmark.folder}: cannot be written ({error.strerror}); printing only")
    _print_comparison(comparison, as_json=as_json)


def show_models(
    pattern: str | None, max_params: float | None, max_gmacs: float | None, *, as_json: bool
) -> None:
    """`vitbench models`."""
    from vitbench.models.listing import models_table

    rows = models_table(max_params, max_gmacs, pattern)
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for column in rows[0] if rows else ():
        table.add_column(
            TITLES.get(column, column.replace("_", " ")),
            overflow="fold",
            no_wrap=column in ("model", "timm_name"),
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console().print(table if rows else "no model fits these limits")


def download_models(folder: Path, names: str | None) -> None:
    """`vitbench models --download DIR`."""
    from vitbench.models.families import expand
    from vitbench.models.weights import download_weights

    wanted = expand([name.strip() for name in names.split(",")] if names else ["all"])
    for path in download_weights(wanted, folder, say):
        print(path)


def _print_comparison(comparison: Any, *, as_json: bool) -> None:
    from vitbench.reports.tables import comparison_json, screen_table

    if as_json:
        print(comparison_json(comparison))
        return
    screen = console()
    screen.print(screen_table(comparison, screen.width))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
