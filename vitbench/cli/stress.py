"""`vitbench stress`: what trained models bear, as a table, tables in files and a page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitbench.analysis.conditions import ALL, CLEAN
from vitbench.benchmark.stress import Call, carried_out, write
from vitbench.cli.progress import watch
from vitbench.cli.show import console, say, show_lines
from vitbench.inference.devices import choose_device
from vitbench.narrative.words import p_digits, points
from vitbench.records import decimals, percent
from vitbench.records.commands import command
from vitbench.reports.fitted import fitted
from vitbench.reports.lines import wrapped
from vitbench.reports.stress import answer, rows_of

if TYPE_CHECKING:
    from rich.table import Table

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
        tables = {name: json.loads(table.to_json(orient="records")) for name, table in found.frames.items()}
        print(json.dumps({"folder": str(place), "answer": answer(found), **tables}, ensure_ascii=False))
        return 0
    screen = console()
    show_lines([one for line in (*answer(found), "") for one in wrapped(line, screen.width)])
    if found.asked.corruptions:
        table, left_out = _table(found, screen.width)
        screen.print(table)
        if left_out:
            say(f"no room for: {', '.join(left_out)}; a wider terminal, or --json, has all")
    print(f"page: {place / 'report.html'}, every number beside it")
    return 0


def _table(found: "Stress", width: int) -> tuple["Table", list[str]]:
    """A row per model and corruption, the mean over severities."""
    rows = []
    for row in rows_of(found.frames["accuracy"]):
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
            "" if p is None else "<0.001" if p < 0.001 else p_digits(p),
            "yes" if row["trained_with"] else "",
        ])  # fmt: skip
    titles = ["model", "pictures", "right %", "kept %", "95 %", "to clean", "p adj.", "trained with"]
    return fitted(titles, rows, width, titles[2:])


def _ends(low: float, high: float, digits: int) -> str:
    return f"[{percent(low, digits)}, {percent(high, digits)}]"
