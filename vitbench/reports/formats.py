"""The comparison for elsewhere: Markdown, LaTeX, CSV, JSON."""

import dataclasses
from collections.abc import Callable, Sequence

from vitbench import files
from vitbench.comparison.nouns import Comparison
from vitbench.narrative.narrate import narrate
from vitbench.records.frames import frame_csv
from vitbench.reports.columns import BELOW, columns_of, rows_of, screen_text
from vitbench.reports.tables import sentences


def markdown(comparison: Comparison) -> str:
    """The comparison as GitHub Markdown: the answer, the table with all columns, then the sentences."""
    answer = _cell(narrate(comparison).answer)
    lines = [f"# {_cell(comparison.name)}", "", answer, "", *markdown_table(*_grid(comparison))]
    spaced: list[str] = []
    for line in sentences(comparison):
        if spaced and not line.startswith("- ") and spaced[-1] not in ("",):
            spaced.append("")
        spaced.append(_cell(line) if not line.startswith("- ") else f"- {_cell(line[2:])}")
    return "\n".join([*lines, *spaced]) + "\n"


def markdown_table(grid: Sequence[Sequence[str]], numeric: Sequence[bool] | None = None) -> list[str]:
    """The lines of a GitHub Markdown table; the first row of `grid` is its heading.

    `numeric`: the columns set to the right; None: all but the first.
    """
    right = numeric or [i > 0 for i in range(len(grid[0]))]
    head, *rows = ["| " + " | ".join(map(_cell, row)) + " |" for row in grid]
    return [head, "|" + "|".join(" ---: " if yes else " --- " for yes in right) + "|", *rows]


def latex(comparison: Comparison) -> str:
    """The comparison as a LaTeX table (booktabs) with all columns, the answer and the smallest gap below it.

    Class and model names in other scripts need XeLaTeX or LuaLaTeX.
    """
    told, (grid, numeric) = narrate(comparison), _grid(comparison)
    return tex_table(grid, f"{comparison.name}: {told.answer} {told.gap}", numeric)


def tex_table(grid: Sequence[Sequence[str]], caption: str, numeric: Sequence[bool] | None = None) -> str:
    """A LaTeX table (booktabs) of a grid, as `markdown_table` takes it."""
    right = numeric or [i > 0 for i in range(len(grid[0]))]
    head, *rows = [" & ".join(map(_tex, row)) + r" \\" for row in grid]
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\begin{{tabular}}{{{''.join('r' if yes else 'l' for yes in right)}}}",
        "\\toprule",
        head,
        "\\midrule",
        *rows,
        "\\bottomrule",
        "\\end{tabular}",
        f"\\caption{{{_tex(caption)}}}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _grid(comparison: Comparison) -> tuple[list[list[str]], list[bool]]:
    """The table as text, a heading row, then the rows as shown; which columns are numbers."""
    shown = columns_of(comparison, "table")
    cells = [[screen_text(column, row) for column in shown] for row in rows_of(comparison, "table")]
    return [[column.heading for column in shown], *cells], [column.numeric for column in shown]


def _tex(text: str) -> str:
    """Text that LaTeX sets as it is, on one line."""
    flat = " ".join(files.printable(text).replace(BELOW, "\0").split())
    return "".join(TEX_ESCAPES.get(character, character) for character in flat)


TEX_ESCAPES = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # at the start of a row it would be an argument of the line break before it
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "\0": r"\quad ",
}


def _cell(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    flat = files.printable(" ".join(text.split()))
    return "".join(MARKDOWN_ESCAPES.get(character, character) for character in flat)


MARKDOWN_ESCAPES = {**{c: f"\\{c}" for c in "\\`*_|$#~"}, "<": "&lt;", ">": "&gt;", "&": "&amp;"}


def comparison_csv(comparison: Comparison) -> str:
    """`comparison.csv`: `Comparison.frame`, a row per model; the majority row is no model and stays out."""
    return frame_csv(comparison.frame)


def comparison_json(comparison: Comparison) -> str:
    """`comparison.json`: the whole comparison, and what it says."""
    return (
        files.json_text({**comparison.as_dict(), "narrative": dataclasses.asdict(narrate(comparison))}) + "\n"
    )


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "md": markdown,
    "csv": comparison_csv,
    "latex": latex,
    "json": comparison_json,
}
"""What `compare --format` prints."""
