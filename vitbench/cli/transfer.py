"""`vitbench transfer`: a benchmark's models at other sizes and windows, as the paper's table."""

from collections.abc import Sequence
from pathlib import Path

from vitbench.benchmark import folder
from vitbench.benchmark.moves import Asked
from vitbench.benchmark.transfer import EPOCHS, carried_out
from vitbench.cli.options import status_of
from vitbench.cli.progress import watch
from vitbench.cli.show import console, print_frames, say, show_lines, show_sentences, show_table
from vitbench.errors import Interrupted
from vitbench.inference.devices import choose_device
from vitbench.records import counted
from vitbench.records.commands import command
from vitbench.reports.lines import wrapped
from vitbench.reports.transfer import Grid, answer, grid_of, write_transfer


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
    benchmark = folder.named_or_newest(name, results)
    if name is None:
        say(f"taking {folder.as_newest(benchmark, results)}")
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
        print_frames(place, found.frames)
    else:
        show_sentences(answer(found))
        show_table(*_table(grid_of(found)))
        trained = f" / after {counted(epochs, 'more epoch')}" if epochs else ""
        show_lines(wrapped(f"top-1, %: as it is{trained}; below it 95 % intervals", console().width))
        print(f"page: {place / 'report.html'}, every number beside it")
    return status_of(1, 1 + len(found.refused))


def _table(grid: Grid) -> tuple[list[str], list[list[str]], tuple[str, ...]]:
    """Titles; two lines per model and way, scores above and intervals below, then the paper's; of numbers."""
    rows = []
    for row in grid.rows:
        rows.append([row.model, *("" if cell is None else cell.scores for cell in row.cells)])
        rows.append([f"  {row.title}", *("" if cell is None else cell.intervals for cell in row.cells)])
    rows += [[f"paper: {bias}", *cells] for bias, cells in grid.published()]
    return ["", *grid.titles], rows, tuple(grid.titles)
