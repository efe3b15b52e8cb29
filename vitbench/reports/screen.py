"""The first screen: the answer, the table, what could change the answer, what to do next."""

import os
import re
from collections.abc import Sequence

from rich.cells import cell_len

from vitbench.comparison.nouns import Comparison
from vitbench.narrative.narrate import narrate
from vitbench.narrative.notes import MOST
from vitbench.records import counted
from vitbench.reports.lines import Line, wrapped
from vitbench.reports.tables import table_lines

LINES, MODELS = 24, 3
"""As many lines at most at 80 cells, for so many models; a line more for each further one."""
NOTE_LINES = 2
"""A note that needs more is cut; `--details` has all of it."""


def first_screen(
    comparison: Comparison, width: int, closing: Sequence[Line], first: Sequence[str] = ()
) -> list[Line]:
    """What `train`, `compare`, `probe` and `demo` print; everything else stands in `tables.details`.

    closing: the next command, and where the report is. first: notes that stand before the comparison's own.
    Where lines are few, the probes beside their models go first, then the last notes.
    """
    told = narrate(comparison)
    answer, end = wrapped(told.answer, width), [Line(""), *closing] if closing else []
    models = sum(not row.probe_of for row in comparison.rows)
    room = LINES + max(0, models - MODELS) - len(answer) - 1 - len(end)
    notes = [_note(text, width) for text in (*first, *told.cautions)[:MOST]]
    table, _ = table_lines(comparison, width, brief=True)
    if len(table) + 1 + len(notes) > room:
        probes = sum(bool(row.probe_of) for row in comparison.rows)
        table, _ = table_lines(comparison, width, brief=True, probes=False)
        table += [Line(f"(and {counted(probes, 'probe')}: --details)", light=True)] if probes else []
    shown: list[Line] = []
    for note in notes:
        if len(table) + 1 + len(shown) + len(note) <= room:
            shown += note
    return [*answer, Line(""), *table, *([Line(""), *shown] if shown else []), *end]


def _note(text: str, width: int) -> list[Line]:
    lines = wrapped(f"{text}.", width - len(" …"), first="- ", then="  ")
    if len(lines) <= NOTE_LINES:
        return wrapped(f"{text}.", width, first="- ", then="  ")
    return [*lines[: NOTE_LINES - 1], Line(f"{lines[NOTE_LINES - 1].text} …")]


def command_lines(label: str, command: str, width: int) -> list[Line]:
    """A command to be copied, behind its label; a long one on several lines, which a shell joins."""
    words = re.findall(r"(?:'[^']*'|\"[^\"]*\"|\\.|[^\s'\"])+", command)
    parts = [label]
    for word in words:  # an option and its value stay on one line
        if word.startswith("-") or parts == [label]:
            parts.append(word)
        else:
            parts[-1] += f" {word}"
    lines, line = [], f"{parts[0]} {parts[1]}"
    for part in parts[2:]:
        if os.name == "posix" and cell_len(f"{line} {part} \\") > width:
            lines.append(f"{line} \\")
            line = f"    {part}"
        else:
            line += f" {part}"
    return [Line(one) for one in (*lines, line)]
