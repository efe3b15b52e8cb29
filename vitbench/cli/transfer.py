"""`vitbench transfer`: a benchmark's models at other sizes and windows, as the paper's table."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitbench.benchmark import folder
from vitbench.benchmark.moves import Asked
from vitbench.benchmark.transfer import EPOCHS, carried_out
from vitbench.cli.options import status_of
from vitbench.cli.progress import watch
from vitbench.cli.show import console, say, show_lines
from vitbench.errors import Interrupted
from vitbench.inference.devices import choose_device
from vitbench.records.commands import command
from vitbench.reports.fitted import fitted
from vitbench.reports.lines import wrapped
from vitbench.reports.transfer import Grid, answer, grid_of, write_transfer

if TYPE_CHECKING:
    from rich.table import Table


def show_transfer(
    name: str | None,
    sizes: Sequence[int],
    windows: Sequence[int],
    epochs: int,
    device: str,
    results: Path,
    *,
    as_json: bool,
) -> int:
    """Carry it out, write, print; the exit status: 3 if a model is not at one of the sizes."""
    benchmark = folder.newest(results) if name is None else folder.find(name, results)
    if name is None:
        say(f"taking {benchmark.name}, the newest finished benchmark in {results}")
    asked = Asked.of(benchmark, sizes, windows, epochs)
    again = command(
        "transfer", benchmark.name, sizes=tuple(sizes), windows=tuple(windows),
        epochs=None if epochs == EPOCHS else epochs, results=benchmark.folder.parent,
    )  # fmt: skip
    with watch(results) as board:
        try:
            found = carried_out(asked, choose_device(device), board)
        except KeyboardInterrupt as error:
            number = error.signal if isinstance(error, Interrupted) else 2
            raise Interrupted(number, f"what is finished is saved, and `{again}` goes on") from error
    place = benchmark.folder / "transfer"
    with folder.writing(benchmark):
        problems = write_transfer(found, place, again)
    for note in (*problems, *found.notes, *(reason for *_, reason in found.refused)):
        say(f"note: {note}")
    if as_json:
        tables = {name: json.loads(table.to_json(orient="records")) for name, table in found.frames.items()}
        print(json.dumps({"folder": str(place), **tables}, ensure_ascii=False))
    else:
        screen = console()
        show_lines([one for line in (*answer(found), "") for one in wrapped(line, screen.width)])
        table, left_out = _table(grid_of(found), screen.width)
        screen.print(table)
        trained = f" / after {epochs} more epochs" if epochs else ""
        show_lines(wrapped(f"top-1, %: as it is{trained}; below it 95 % intervals", screen.width))
        if left_out:
            say(f"no room for: {', '.join(left_out)}; a wider terminal, or --json, has all")
        print(f"page: {place / 'report.html'}, every number beside it")
    return status_of(1, 1 + len(found.refused))


def _table(grid: Grid, width: int) -> tuple["Table", list[str]]:
    """Two lines per model and way, scores above and intervals below; then the paper's rows."""
    rows = []
    for row in grid.rows:
        rows.append([row.model, *("" if cell is None else cell.scores for cell in row.cells)])
        rows.append([f"  {row.title}", *("" if cell is None else cell.intervals for cell in row.cells)])
    rows += [[f"paper: {bias}", *cells] for bias, cells in grid.published()]
    return fitted(["", *grid.titles], rows, width, grid.titles)
