"""Several data sets side by side: the tables of `compare --across`."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from vitbench import files
from vitbench.comparison.across import Across
from vitbench.narrative.across import narrate_across
from vitbench.records import percent
from vitbench.records.frames import frame_csv
from vitbench.reports.columns import TOP1, screen_text
from vitbench.reports.formats import markdown_table, tex_table

if TYPE_CHECKING:
    from rich.console import RenderableType


def screen_across(across: Across) -> "RenderableType":
    """A row per data set, a column per model, then what the sets say together."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    head, *rows = grid(across)
    for i, name in enumerate(head):
        table.add_column(Text(files.printable(name)), justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(files.printable(cell)) for cell in row))
    return Group(table, *(Text(files.printable(line)) for line in sentences(across)))


def grid(across: Across) -> list[list[str]]:
    """The table as text: a heading, a row per data set with top-1 % [95 % CI], the means."""
    rows = [["data set", "test pictures", *across.models]]
    for one in across.sets:
        found = {row.model: row for row in one.rows}
        cells = [screen_text(TOP1, found[model]) if model in found else "" for model in across.models]
        rows.append([one.name, str(one.n_test), *cells])
    rows.append(["mean of the sets", "", *("" if mean is None else percent(mean) for mean in across.means)])
    return rows


def sentences(across: Across) -> list[str]:
    """What stands under the table, one paragraph each."""
    told = narrate_across(across)
    lines = ["", told.answer, *(f"- {verdict}." for verdict in told.verdicts)]
    return [*lines, "", "To know:", *(f"- {note}." for note in told.notes)]


def markdown_across(across: Across) -> str:
    """GitHub Markdown: the table, then the sentences."""
    return "\n".join([*markdown_table(grid(across)), *sentences(across)]) + "\n"


def latex_across(across: Across) -> str:
    """A LaTeX table (booktabs) with the answer as its caption."""
    return tex_table(grid(across), narrate_across(across).answer)


def csv_across(across: Across) -> str:
    """A row per data set and model, fractions."""
    return frame_csv(across.frame)


def json_across(across: Across) -> str:
    """Everything, each set's whole comparison included."""
    told = dataclasses.asdict(narrate_across(across))
    return files.json_text({**dataclasses.asdict(across), "narrative": told}) + "\n"


FORMATS: dict[str, Callable[[Across], str]] = {
    "md": markdown_across,
    "csv": csv_across,
    "latex": latex_across,
    "json": json_across,
}
"""What `compare --across --format` prints."""
