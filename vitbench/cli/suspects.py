"""`vitbench data suspects`: labels that look wrong, as sentences, a table to edit and a page."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from vitbench.benchmark.compare import find_all
from vitbench.benchmark.suspects import found_in, write
from vitbench.cli.progress import watch
from vitbench.cli.show import console, say, show_lines
from vitbench.files import printable
from vitbench.reports.fitted import fitted
from vitbench.reports.lines import wrapped
from vitbench.reports.suspects import FLATTERS, LIST, answer, score_rows

if TYPE_CHECKING:
    from rich.table import Table

    from vitbench.comparison.suspects import Suspects

MOST_ROWS = 20
"""Pictures in the terminal; the table in the file has all."""


def show_suspects(name: str | None, results: Path, device: str, *, as_json: bool) -> int:
    """Find, write and print; the exit status."""
    home = find_all([] if name is None else [name], results)[0]
    if name is None:
        say(f"{home.name}: the newest finished benchmark in {results}")
    read, found = found_in(home)
    with watch(results) as board:
        place, nearest = write(home, read, found, device, board)
    if found.ranked and not nearest.suspected:
        say(f"note: no nearest pictures: {printable(nearest.by)}")
    if as_json:
        tables = {"suspects": found.frame, "scores": found.scores_frame}
        rows = {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}
        told = {"folder": str(place), "n": found.n, "if_clean": found.if_clean.value, **rows}
        print(json.dumps(told, ensure_ascii=False))
        return 0
    _show(found)
    print(f"page: {place / 'report.html'}")
    print(f"to edit: {place / LIST}")
    return 0


def _show(found: "Suspects") -> None:
    screen = console()
    show_lines([one for line in (*answer(found), "") for one in wrapped(line, screen.width)])
    if found.ranked:
        table, left_out = _pictures(found, screen.width)
        screen.print(table)
        more = len(found.ranked) - MOST_ROWS
        if more > 0:
            print(f"… {more} more in {LIST}")
        if left_out:
            say(f"no room for: {', '.join(left_out)}; a wider terminal, or --json, has all")
        print()
    head, rows = score_rows(found)
    table, left_out = fitted(head, rows, screen.width, head[1:])
    screen.print(table)
    if left_out:
        say(f"no room for: {', '.join(left_out)}; scores.csv and the page have all")
    show_lines(wrapped(FLATTERS, screen.width))


def _pictures(found: "Suspects", width: int) -> tuple["Table", list[str]]:
    """A row per named picture, and the titles of the columns that have no room."""
    rows = [
        [
            str(one.number),
            one.label,
            one.suspected,
            f"{one.doubters}/{len(one.said)}",
            one.path,
            one.right_label,
        ]
        for one in found.ranked[:MOST_ROWS]
    ]
    return fitted(["", "label", "or?", "doubt", "picture", "noted"], rows, width, ["", "doubt"])
