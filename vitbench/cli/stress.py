"""`vitbench stress`: what trained models bear, as a table, tables in files and a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitbench.analysis.conditions import ALL, CLEAN
from vitbench.benchmark.stress import Call, carried_out, write
from vitbench.cli.progress import watch
from vitbench.cli.show import print_frames, say, show_sentences, show_table
from vitbench.inference.devices import choose_device
from vitbench.narrative.words import p_cell, points
from vitbench.records import decimals, percent
from vitbench.records.commands import command
from vitbench.records.frames import rows_of_frame
from vitbench.reports.stress import answer

if TYPE_CHECKING:
    from vitbench.analysis.stress import Stress


def stress_models(
    name: str | None,
    results: Path,
    corruptions: Sequence[str],
    severities: Sequence[int],
    shifts: Sequence[int],
    seed: int,
    device: str,
    *,
    as_json: bool,
) -> int:
    """Answer, write, print; the exit status."""
    call = Call.of(name, results, corruptions, severities, shifts, seed)
    for note in call.notes:
        say(note)
    with watch(results) as board:
        carried = carried_out(call, choose_device(device), board)
    typed = command(
        "stress",
        call.benchmark.name,
        corruptions=tuple(corruptions) or "none",
        severities=tuple(severities),
        shifts=tuple(shifts) or "none",
        seed=seed or None,
        results=results,
    )
    place = write(call, carried, say, typed)
    found = carried.found
    for note in (*(note for note in found.notes if note not in call.notes), *carried.uncounted):
        say(f"note: {note}")
    if as_json:
        print_frames(place, found.frames, answer=answer(found))
        return 0
    show_sentences(answer(found))
    if found.asked.corruptions:
        show_table(*_table(found))
    print(f"page: {place / 'report.html'}, every number beside it")
    return 0


def _table(found: "Stress") -> tuple[list[str], list[list[str]], list[str]]:
    """Titles, a row per model and corruption, the mean over severities, and the titles of numbers."""
    rows = []
    for row in rows_of_frame(found.frames["accuracy"]):
        if row["severity"] is not None:
            continue
        digits, n = decimals(row["n"]), row["n"]
        kept = "" if row["kept"] is None else f"{percent(row['kept'], digits)}"
        ends = "" if row["kept_low"] is None else _ends(row["kept_low"], row["kept_high"], digits)
        p = row["p_adjusted"]
        rows.append([
            row["model"], {CLEAN: "clean", ALL: "all of them"}.get(row["corruption"], row["corruption"]),
            percent(row["accuracy"], digits), kept, ends,
            "" if row["kept"] is None else points(row["difference"], n),
            "" if p is None else p_cell(p),
            "yes" if row["trained_with"] else "",
        ])  # fmt: skip
    titles = ["model", "pictures", "right %", "kept %", "95 %", "to clean", "p adj.", "trained with"]
    return titles, rows, titles[2:]


def _ends(low: float, high: float, digits: int) -> str:
    return f"[{percent(low, digits)}, {percent(high, digits)}]"
