"""The comparison for elsewhere: Markdown, LaTeX, CSV, JSON."""

from collections.abc import Callable, Sequence

from vitbench import files
from vitbench.comparison.rows import Row
from vitbench.comparison.table import Comparison
from vitbench.reports.tables import BELOW, MODEL, TOP1, Column, columns_of, sentences, table_rows


def markdown(comparison: Comparison) -> str:
    """The comparison as GitHub Markdown: the table with all columns, then the sentences."""
    shown = _filled(comparison)
    lines = [
        f"# {_cell(comparison.name)}",
        "",
        *markdown_table(_grid(comparison), [c.numeric for c in shown]),
    ]
    spaced: list[str] = []
    for line in sentences(comparison, shown):
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
    below = f"{comparison.name}: {comparison.answer} {comparison.smallest_gap_text}"
    return tex_table(_grid(comparison), below, [column.numeric for column in _filled(comparison)])


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


def _grid(comparison: Comparison) -> list[list[str]]:
    """The table as text: a heading row, then the rows as shown."""
    shown = _filled(comparison)
    cells = [[column.cell(row) for column in shown] for row in table_rows(comparison)]
    return [[column.title for column in shown], *cells]


def _filled(comparison: Comparison) -> list[Column]:
    """The columns in which some row has something."""
    rows = table_rows(comparison)
    return [c for c in columns_of(comparison) if c in (MODEL, TOP1) or any(c.cell(row) for row in rows)]


def _tex(text: str) -> str:
    """Text that LaTeX sets as it is, on one line."""
    flat = " ".join(files.shown(text).replace(BELOW, "\0").split())
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
    flat = files.shown(" ".join(text.split()))
    return "".join(MARKDOWN_ESCAPES.get(character, character) for character in flat)


MARKDOWN_ESCAPES = {**{c: f"\\{c}" for c in "\\`*_|$#~"}, "<": "&lt;", ">": "&gt;", "&": "&amp;"}


def comparison_csv(comparison: Comparison) -> str:
    """`comparison.csv`: a row per model, fractions; the floor is not a model and stays out."""
    return files.csv_text(Row.COLUMNS, (row.cells() for row in comparison.rows))


def comparison_json(comparison: Comparison) -> str:
    """`comparison.json`: the whole comparison, rows, floor, pairs, notes, sentences."""
    return files.json_text(comparison.as_dict()) + "\n"


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "md": markdown,
    "csv": comparison_csv,
    "latex": latex,
    "json": comparison_json,
}
"""What `compare --format` prints."""
