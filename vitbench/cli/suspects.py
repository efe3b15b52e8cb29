"""`vitbench data suspects`: labels that look wrong, as sentences, a table to edit and a page."""

from pathlib import Path
from typing import TYPE_CHECKING

from vitbench.benchmark.compare import find_all
from vitbench.benchmark.folder import as_newest
from vitbench.benchmark.suspects import found_in, write
from vitbench.cli.progress import watch
from vitbench.cli.show import console, print_frames, say, show_lines, show_sentences, show_table
from vitbench.files import printable
from vitbench.reports.lines import wrapped
from vitbench.reports.suspects import FLATTERS, LIST, answer, score_rows

if TYPE_CHECKING:
    from vitbench.comparison.suspects import Suspects

MOST_ROWS = 20
"""Pictures in the terminal; the table in the file has all."""


def show_suspects(name: str | None, results: Path, device: str, *, as_json: bool) -> int:
    """Find, write and print; the exit status."""
    home = find_all([] if name is None else [name], results)[0]
    if name is None:
        say(f"looking into {as_newest(home, results)}")
    read, found = found_in(home)
    with watch(results) as board:
        place, nearest = write(home, read, found, device, board)
    if found.ranked and not nearest.suspected:
        say(f"note: no nearest pictures: {printable(nearest.by)}")
    if as_json:
        tables = {"suspects": found.frame, "scores": found.scores_frame}
        print_frames(place, tables, n=found.n, if_clean=found.if_clean.value)
        return 0
    _show(found)
    print(f"page: {place / 'report.html'}")
    print(f"to edit: {place / LIST}")
    return 0


def _show(found: "Suspects") -> None:
    show_sentences(answer(found))
    if found.ranked:
        show_table(*_pictures(found))
        more = len(found.ranked) - MOST_ROWS
        if more > 0:
            print(f"… {more} more in {LIST}")
        print()
    head, rows = score_rows(found)
    show_table(head, rows, head[1:], "scores.csv and the page have all")
    show_lines(wrapped(FLATTERS, console().width))


def _pictures(found: "Suspects") -> tuple[list[str], list[list[str]], list[str]]:
    """Titles, a row per named picture, and the titles of numbers."""
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
    return ["", "label", "or?", "doubt", "picture", "noted"], rows, ["", "doubt"]
