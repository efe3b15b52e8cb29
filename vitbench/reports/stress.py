"""What `stress` leaves: the answer in sentences, figures, example pictures, tables and a page."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from vitbench import files
from vitbench.analysis.conditions import ALL, CLEAN
from vitbench.analysis.corruptions import CORRUPTIONS, SIZE
from vitbench.narrative.words import in_points, listed, p_text, points
from vitbench.records import Array, counted, decimals, percent
from vitbench.records.frames import rows_of_frame
from vitbench.reports.html import rendered, themed, write_drawing
from vitbench.reports.maps import uri
from vitbench.reports.stress_figures import kept_figure, panel, panels, shift_figure
from vitbench.reports.stress_tables import (
    accuracy_table,
    change_rows,
    equivariance_table,
    pairs_table,
    shift_pairs_table,
    shift_table,
)

if TYPE_CHECKING:
    from vitbench.analysis.stress import Stress
    from vitbench.reports.drawing import Drawing


@dataclass(frozen=True)
class Example:
    """A test picture under one corruption; "" and 0: as it is."""

    corruption: str
    severity: int
    pixels: Array
    """(S, S, 3) uint8."""


# --- sentences ------------------------------------------------------------------------------------


def answer(found: "Stress") -> list[str]:
    """Who keeps how much of its accuracy, what takes most, and what shifts do: a few sentences."""
    lines = []
    if found.asked.corruptions:
        lines += [_kept_line(found), *_trained_line(found)]
    if found.asked.offsets:
        lines += _shift_lines(found)
    return lines


def overall(found: "Stress") -> str:
    """The name of the rows that hold for all corruptions: there is no mean over a single one."""
    return ALL if len(found.asked.corruptions) > 1 else found.asked.corruptions[0]


def _kept_line(found: "Stress") -> str:
    scope, accuracy = overall(found), rows_of_frame(found.frames["accuracy"])
    rows = [row for row in accuracy if row["corruption"] == scope and row["severity"] is None]
    rows.sort(key=lambda row: -row["kept"])
    n = rows[0]["n"]
    what = counted(len(found.asked.corruptions), "kind") + " of damage" if scope == ALL else _title(scope)
    kept = [f"{row['model']} {_interval(row, 'kept', n)}" for row in rows]
    kept[0] = kept[0].replace(" ", " keeps ", 1)
    line = f"{'; '.join(kept)} of its accuracy under {what}"
    if len(rows) == 1:
        line = f"{kept[0]} of its accuracy under {what}"
    else:
        line += f"; {_pair_words(found, rows[0]['model'], rows[-1]['model'], scope, n)}"
    if scope == ALL:
        line += f"; {_worst_words(accuracy, [row['model'] for row in rows])}"
    return f"{line}."


def _interval(row: dict[str, Any], name: str, n: int) -> str:
    value, low, high = (row[name], row[f"{name}_low"], row[f"{name}_high"])
    digits = decimals(n)
    if low is None:
        return f"{percent(value, digits)} %"
    return f"{percent(value, digits)} % [{percent(low, digits)}, {percent(high, digits)}]"


def _pair_words(found: "Stress", first: str, last: str, scope: str, n: int) -> str:
    """The difference of what is kept, with its interval and p."""
    for row in rows_of_frame(found.frames["pairs"]):
        if row["corruption"] == scope and {row["model_a"], row["model_b"]} == {first, last}:
            sign = 1 if row["model_a"] == first else -1
            value, low, high = (row[name] for name in ("kept_difference", "kept_low", "kept_high"))
            if low is None:
                return "one picture tells no difference"
            low, high = sorted((sign * low, sign * high))
            p = row["kept_p_adjusted"]
            shown = "is" if p <= 0.05 else "could be chance, it is"
            far = in_points(points(sign * value, n).lstrip("+"))
            return f"the difference {shown} {far} [{points(low, n)}, {points(high, n)}], {p_text(p)}"
    raise AssertionError(f"no pair {first}, {last} under {scope}")


def _worst_words(rows: list[dict[str, Any]], models: Sequence[str]) -> str:
    """What takes most from each model."""
    worst = {}
    for model in models:
        mine = [row for row in rows if row["model"] == model and row["corruption"] in CORRUPTIONS]
        worst[model] = min((row for row in mine if row["severity"] is None), key=lambda row: row["kept"])
    kinds = {model: _title(row["corruption"]) for model, row in worst.items()}
    if len(set(kinds.values())) == 1:
        who = {1: "it loses", 2: "both lose"}.get(len(models), "all lose")
        return f"{who} most under {next(iter(kinds.values()))}"
    return "; ".join(f"{model} loses most under {kind}" for model, kind in kinds.items())


def _trained_line(found: "Stress") -> list[str]:
    rows = [row for row in rows_of_frame(found.frames["accuracy"]) if row["trained_with"]]
    trained: dict[str, list[str]] = {}
    for row in rows:
        names = trained.setdefault(row["model"], [])
        if _title(row["corruption"]) not in names:
            names.append(_title(row["corruption"]))
    alike: dict[tuple[str, ...], list[str]] = {}
    for model, kinds in trained.items():
        alike.setdefault(tuple(kinds), []).append(model)
    return [
        f"{listed(models)} was trained on views with changes of {listed(kinds)}: no surprise, "
        "so what is kept there is no sign of robustness."
        if len(models) == 1
        else f"{listed(models)} were trained on views with changes of {listed(kinds)}: no surprise, "
        "so what is kept there is no sign of robustness."
        for kinds, models in alike.items()
    ]


def _shift_lines(found: "Stress") -> list[str]:
    rows = rows_of_frame(found.frames["shift_models"])
    by_model: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_model.setdefault(row["model"], {})[row["measure"]] = row
    n = int(rows_of_frame(found.frames["shifts"])[0]["n"])
    far = max(max(abs(one.down), abs(one.right)) for one in found.asked.offsets)
    each = [
        f"{model} {_share(of['consistency'], n)}, right at every shift {_share(of['worst'], n)}, "
        f"unshifted {percent(of['centre']['value'], decimals(n))} %"
        for model, of in by_model.items()
    ]
    return [f"Two shifts of a picture by up to {far} px get the same answer: {'; '.join(each)}."]


def _share(row: dict[str, Any], n: int) -> str:
    return _interval({"a": row["value"], "a_low": row["low"], "a_high": row["high"]}, "a", n)


def _title(name: str) -> str:
    return CORRUPTIONS[name].title if name in CORRUPTIONS else {CLEAN: "no damage", ALL: "all"}[name]


# --- the page -------------------------------------------------------------------------------------


def write_stress(
    found: "Stress", examples: Sequence[Example], place: Path, name: str, command: str
) -> tuple[str, ...]:
    """Write `report.html`, the figures and the example pictures into a folder that is there.

    Returns a line for each thing that could not be drawn.
    """
    drawings: dict[str, Drawing] = {}
    if found.asked.corruptions:
        drawings |= {"accuracy": panels(found), "kept": kept_figure(found, overall(found))}
    if found.asked.offsets:
        drawings["shifts"] = shift_figure(found)
    for file, drawing in drawings.items():
        write_drawing(drawing, place, file)
    if examples:
        files.write_bytes(place / "examples.png", _sheet(examples))
    small = [panel(found, one) for one in found.asked.corruptions]
    page = rendered(
        "stress.html.j2",
        name=name,
        lines=answer(found),
        panels=[themed(one) for one in small],
        kept=themed(drawings["kept"]) if "kept" in drawings else None,
        shifts=themed(drawings["shifts"]) if "shifts" in drawings else None,
        tables=[one for one in (accuracy_table(found), pairs_table(found)) if one is not None],
        shift_tables=[one for one in (shift_table(found), shift_pairs_table(found)) if one is not None],
        blocks=equivariance_table(found),
        examples=_shown(examples),
        original=_uri(examples[0].pixels) if examples else "",
        severities=found.asked.severities,
        changes=change_rows(found),
        same_pixels=_same_pixels(found),
        scaled=[
            size
            for size in sorted({row["image_size"] for row in rows_of_frame(found.frames["changes"])})
            if size != SIZE
        ],
        notes=found.notes,
        command=command,
    )
    files.write_text(place / "report.html", page)
    return tuple(dict.fromkeys(note for drawing in drawings.values() for note in drawing.notes))


def _same_pixels(found: "Stress") -> bool:
    """Every model was given the same bytes under every corruption."""
    table = found.frames["changes"]
    return bool((table.groupby(["corruption", "severity"]).size() == 1).all()) if len(table) else True


def _shown(examples: Sequence[Example]) -> list[dict[str, Any]]:
    """A row per corruption with its pictures as they stand in the page."""
    rows: dict[str, list[tuple[int, str]]] = {}
    for one in examples[1:]:
        rows.setdefault(one.corruption, []).append((one.severity, _uri(one.pixels)))
    return [
        {"title": CORRUPTIONS[name].title, "published": CORRUPTIONS[name].published, "pictures": pictures,
         "constants": [CORRUPTIONS[name].constant(severity) for severity, _ in pictures]}
        for name, pictures in rows.items()
    ]  # fmt: skip


def _uri(pixels: Array) -> str:
    """As WebP that shows noise for what it is."""
    image = Image.fromarray(pixels)
    image.thumbnail((160, 160))
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=70)
    return uri(buffer.getvalue())


def _sheet(examples: Sequence[Example]) -> bytes:
    """A row per corruption, a column per severity, the picture as it is before them."""
    rows: dict[str, list[Array]] = {}
    for one in examples[1:]:
        rows.setdefault(one.corruption, [examples[0].pixels]).append(one.pixels)
    side, gap = len(examples[0].pixels), 4
    across, down = max(map(len, rows.values())), len(rows)
    sheet = Image.new("RGB", (across * (side + gap) - gap, down * (side + gap) - gap), "white")
    for y, pictures in enumerate(rows.values()):
        for x, pixels in enumerate(pictures):
            sheet.paste(Image.fromarray(pixels), (x * (side + gap), y * (side + gap)))
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    return buffer.getvalue()
