"""Several data sets side by side: the tables of `compare --across`."""

import dataclasses
from collections.abc import Callable, Sequence

from rich.cells import cell_len

from vitbench import files
from vitbench.comparison.across import Across
from vitbench.narrative.across import narrate_across
from vitbench.records import counted, percent
from vitbench.records.frames import frame_csv
from vitbench.reports.columns import TOP1, screen_text
from vitbench.reports.formats import markdown_table, tex_table
from vitbench.reports.lines import Line, tabulated, wrapped


def screen_across(across: Across, width: int) -> list[Line]:
    """The answer, a row per data set and a column per model, then what the sets say together.

    A table that is too wide is turned, or loses its intervals, or its last columns, which are counted.
    """
    table, left = _fitted(across, width)
    lines = [*wrapped(narrate_across(across).answer, width), Line(""), *table]
    lines += [Line(f"{counted(left, 'more column')} with --format md")] if left else []
    for sentence in sentences(across):
        lines += wrapped(sentence, width, then="  " if sentence.startswith("- ") else "")
    return lines


def _fitted(across: Across, width: int) -> tuple[list[Line], int]:
    """The fullest shape of the table that fits, and how many columns it lacks."""
    shape: list[list[str]] = []
    for intervals in (True, False):
        found = grid(across, intervals)
        for shape in (found, [list(column) for column in zip(*found, strict=True)]):
            if _width(table := _table(shape)) <= width:
                return table, 0
    kept = len(shape[0])
    while kept > 2 and _width(_table(_first(shape, kept))) > width:
        kept -= 1
    return _table(_first(shape, kept)), len(shape[0]) - kept


def _first(rows: Sequence[Sequence[str]], columns: int) -> list[list[str]]:
    return [list(row[:columns]) for row in rows]


def _table(rows: Sequence[Sequence[str]]) -> list[Line]:
    head, *body = [[files.printable(cell) for cell in row] for row in rows]
    return tabulated(head, body, [i > 0 for i in range(len(head))], [False] * len(body))


def _width(lines: Sequence[Line]) -> int:
    return max(cell_len(line.text) for line in lines)


def grid(across: Across, intervals: bool = True) -> list[list[str]]:
    """The table as text: a heading, a row per data set with right % [95 %], the means."""
    rows = [["right %", "pictures", *across.models]]
    for one in across.sets:
        found = {row.model: row for row in one.rows}
        text = (lambda row: screen_text(TOP1, row)) if intervals else TOP1.text
        cells = [text(found[model]) if model in found else "" for model in across.models]
        rows.append([one.name, str(one.n_test), *cells])
    rows.append(["mean", "", *("" if mean is None else percent(mean) for mean in across.means)])
    return rows


def sentences(across: Across) -> list[str]:
    """What stands under answer and table, one paragraph each."""
    told = narrate_across(across)
    verdicts = ["", *(f"- {verdict}." for verdict in told.verdicts)] if told.verdicts else []
    return [*verdicts, "", "To know:", *(f"- {note}." for note in told.notes)]


def markdown_across(across: Across) -> str:
    """GitHub Markdown: the answer, the table, then the sentences."""
    answer = narrate_across(across).answer
    return "\n".join([answer, "", *markdown_table(grid(across)), *sentences(across)]) + "\n"


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
