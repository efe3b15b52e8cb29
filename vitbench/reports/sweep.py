"""What `sweep` leaves: sentences, a figure of curves with their two sources of chance, tables, a page."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench import files
from vitbench.narrative.words import p_cell
from vitbench.records import percent
from vitbench.records.frames import rows_of_frame, write_frames
from vitbench.reports.drawing import COLOURS, INK, MARKERS, Drawing, draw, plain
from vitbench.reports.html import rendered, themed, write_drawing
from vitbench.reports.sweep_words import answer, count, interval, noun, order, points

if TYPE_CHECKING:
    from vitbench.analysis.sweep import Sweep

LINES = {"draws": "-", "test pictures": "--", "both": ":"}
"""Sources of chance, and how they are drawn."""


def draw_sweep(found: "Sweep") -> Drawing:
    """Accuracy over groups per class with its band; beside it what makes it uncertain, apart and together."""
    models = order(found)
    told, next_rows = rows_of_frame(found.curve), {row["model"]: row for row in rows_of_frame(found.next)}

    def paint(figure: Any) -> None:
        curves, chances = figure.subplots(1, 2, width_ratios=(3, 2))
        for place, model in enumerate(models):
            some = [row for row in told if row["model"] == model]
            look = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
            _paint_curve(curves, some, next_rows.get(model), model, look)
            _paint_chances(chances, some, look)
        curves.set_title("accuracy, %", loc="left")
        chances.set_title("of one draw, points (sd)", loc="left")
        for ax in (curves, chances):
            _label(ax, sorted({row["groups"] for row in told}), f"{noun(found)} per class")
        chances.set_ylim(bottom=0)
        for name, line in LINES.items():
            chances.plot([], [], color=INK, linestyle=line, label=name)
        chances.legend(frameon=False, fontsize="small")
        figure.legend(
            *curves.get_legend_handles_labels(),
            loc="outside lower center", ncols=min(4, len(models)), frameon=False,
        )  # fmt: skip

    text = (
        f"Accuracy over {noun(found)} per class, a curve per model with the 95 % interval of its mean over "
        "draws and test pictures; dotted: extrapolated by one doubling. Beside it the standard deviation of "
        "what one draw gives, by the draw, by the test pictures, by both."
    )
    return draw(paint, (8.4, 3.9), models, text)


def _paint_curve(
    ax: Any, some: list[dict[str, Any]], ahead: dict[str, Any] | None, model: str, look: dict[str, Any]
) -> None:
    sizes, means = [row["groups"] for row in some], [100 * row["top1"] for row in some]
    ax.fill_between(
        sizes, [100 * r["low"] for r in some], [100 * r["high"] for r in some],
        color=look["color"], alpha=0.16, linewidth=0,
    )  # fmt: skip
    ax.plot(sizes, means, label=model, markersize=5, **look)
    if ahead is not None:
        ends = [[100 * (ahead["top1"] - ahead["low"])], [100 * (ahead["high"] - ahead["top1"])]]
        both = [sizes[-1], ahead["groups"]], [means[-1], 100 * ahead["top1"]]
        ax.plot(*both, color=look["color"], linestyle=":")
        ax.errorbar(
            ahead["groups"], 100 * ahead["top1"], yerr=ends, color=look["color"], capsize=3, elinewidth=1,
            marker=look["marker"], markersize=5, markerfacecolor="none",
        )  # fmt: skip


def _paint_chances(ax: Any, some: list[dict[str, Any]], look: dict[str, Any]) -> None:
    known = [row for row in some if row["sd_draws"] is not None]
    sizes = [row["groups"] for row in known]
    drawn = [100 * row["sd_draws"] for row in known]
    tested = [100 * row["se_pictures"] for row in known]
    both = [math.hypot(a, b) for a, b in zip(drawn, tested, strict=True)]
    for values, line in zip((drawn, tested, both), LINES.values(), strict=True):
        ax.plot(sizes, values, color=look["color"], linestyle=line)


def _label(ax: Any, sizes: list[float], text: str) -> None:
    ax.set_xscale("log", base=2)
    ticks = [sizes[0]]
    for size in sizes[1:]:  # two that stand closer than that cover each other
        if size >= 1.4 * ticks[-1]:
            ticks.append(size)
    ax.set_xticks(ticks, [count(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel(text)
    plain(ax)


# --- tables ---------------------------------------------------------------------------------------


def curve_table(found: "Sweep") -> tuple[list[str], list[list[str]]]:
    """A row per size, a column per model: accuracy and the standard deviation of its draws."""
    models, told = order(found), rows_of_frame(found.curve)
    by_size: dict[float, dict[str, dict[str, Any]]] = {}
    for row in told:
        by_size.setdefault(row["groups"], {})[row["model"]] = row
    lines = []
    for size in sorted(by_size):
        at = by_size[size]
        some = next(iter(at.values()))
        cells = [_score(at.get(model)) for model in models]
        lines.append([some["shots"], count(some["pictures"]), *cells])
    return ["per class", "photos", *models], lines


def _score(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    spread = "" if row["sd_draws"] is None else f" ± {100 * row['sd_draws']:.1f}"
    return f"{percent(row['top1'])}{spread}"


def gain_table(found: "Sweep") -> tuple[list[str], list[list[str]]]:
    """A row per model: the last doubling, and what it needs for the accuracy aimed at."""
    gains = {row["model"]: row for row in rows_of_frame(found.gains) if row["last"]}
    needs = {row["model"]: row for row in rows_of_frame(found.reach)}
    lines = []
    for model in order(found):
        row, need = gains.get(model), needs[model]
        said = ["", "", ""]
        if row is not None:
            step = f"{row['shots']} → {row['more_shots']}"
            said = [step, points(row["gain"]), interval(row["low"], row["high"])]
        lines.append([model, *said, _need(need)])
    return ["model", "last doubling", "points", "95 %", f"for {100 * found.target:g} %"], lines


def _need(row: Mapping[str, Any]) -> str:
    if row["groups"] is None:
        return "not within twice"
    text = f"{'≤ ' if row['least'] else ''}{count(row['groups'])}"
    return f"{text} (extrapolated)" if row["extrapolated"] else text


def pair_rows(found: "Sweep") -> list[dict[str, str]]:
    """The paired comparisons as they are shown."""
    return [
        {
            "shots": row["shots"], "a": row["model_a"], "b": row["model_b"],
            "difference": points(row["difference"]), "interval": interval(row["low"], row["high"]),
            "p": p_cell(row["p_adjusted"]),
        }
        for row in rows_of_frame(found.pairs)
    ]  # fmt: skip


# --- writing --------------------------------------------------------------------------------------


def write_sweep(found: "Sweep", place: Path, command: str) -> list[str]:
    """Write every number as csv, all as sweep_numbers.json, the figure and the page; what was not drawn."""
    drawing = draw_sweep(found)
    lines = answer(found)
    write_frames(found.frames, place)
    tables = {name: rows_of_frame(table) for name, table in found.frames.items()}
    files.write_json(place / "numbers.json", {"answer": lines, "notes": list(found.notes), **tables})
    write_drawing(drawing, place, "sweep")
    page = rendered(
        "sweep.html.j2",
        lines=lines,
        found=found,
        noun=noun(found),
        curve=curve_table(found),
        gains=gain_table(found),
        steps=rows_of_frame(found.gains),
        pairs=pair_rows(found),
        points=points,
        interval=interval,
        count=count,
        drawing=themed(drawing),
        command=command,
    )
    files.write_text(place / "report.html", page)
    return list(drawing.notes)
