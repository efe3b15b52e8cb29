"""What `cost` leaves: sentences, a figure in which square and line can be seen, tables, a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitbench import files
from vitbench.narrative.sizes import affordable
from vitbench.records.frames import rows_of_frame, write_frames
from vitbench.reports.drawing import COLOURS, MARKERS, Drawing, draw, plain, round_ticks
from vitbench.reports.html import rendered, themed, write_drawing

if TYPE_CHECKING:
    from pandas import DataFrame

    from vitbench.analysis.cost import Cost

CLOCKS = {
    "cpu": "milliseconds of one core, the fastest pass; memory: tensors alive at once, weights left out",
    "cuda": "milliseconds on the card, median; memory: the most that torch handed out, weights left out",
}


SEEN = 1.5
"""So many times the memory makes the square of tokens worth a sentence."""


def answer(found: "Cost") -> list[str]:
    """What grows how, where models cross and what can be afforded: a few sentences."""
    lines = (_growth_line(found), _crossing_line(found), _memory_line(found), *affordable_lines(found))
    return [line for line in lines if line]


def affordable_lines(found: "Cost") -> list[str]:
    """ "What can I afford?": a sentence per model and limit; [] where none was given."""
    return [
        affordable(row["model"], row["limit"], row["image_size"], row["value"])
        for row in rows_of_frame(found.afforded)
    ]


def _growth_line(found: "Cost") -> str:
    rows = found.growth[found.growth["quantity"] == "attention"]
    each = [f"{row.model} {row.exponent:.2f}" for row in rows.itertuples()]
    if not each:
        return ""
    return (
        f"Attention grows with the number of tokens to the power of: {', '.join(each)} "
        "(the papers: 2 over all tokens, 1 in windows)."
    )


def _crossing_line(found: "Cost") -> str:
    each = [
        f"{row.model_a} needs more multiply-adds than {row.model_b} from about {row.image_size:.0f} px on "
        f"({row.gmacs:.3g} GMACs)"
        for row in found.crossings.itertuples()
    ]
    return f"{'; '.join(each)}." if each else ""


def _memory_line(found: "Cost") -> str:
    """What fused attention saves at the largest size, of the model where that is most."""
    rows = found.measured
    if rows.empty:
        return ""
    last = rows[rows["image_size"] == rows["image_size"].max()]
    both = last.pivot(index="model", columns="fused", values="forward_mb").dropna()
    if both.shape[1] < 2 or both.empty:
        return ""
    model = (both[False] / both[True]).idxmax()
    if both[False][model] < SEEN * both[True][model]:
        return ""
    return (
        f"The square of tokens is in memory only where attention is not fused: {model} at "
        f"{int(last['image_size'].iloc[0])} px holds {both[False][model]:.0f} MB unfused, "
        f"{both[True][model]:.0f} MB as timm runs it."
    )


TIMED = {
    "forward_ms": "forward ms",
    "training_ms": "training ms",
    "forward_mb": "forward MB",
    "training_mb": "training MB",
    "images_per_second": "pictures/s",
}
"""Column of `measured.csv` → what the page calls it."""


def rows_of(found: "Cost") -> list[dict[str, Any]]:
    """A row per model and size: what tables show, with what was measured as timm runs it."""
    timed = found.measured.sort_values("fused").drop_duplicates(["model", "image_size"], keep="last")
    joined = found.counted.merge(timed, on=["model", "image_size"], how="left")
    return rows_of_frame(joined)


def draw_cost_over_sizes(counted: "DataFrame", timed: "DataFrame") -> Drawing:
    """Multiply-adds over the size, attention's share of them, and memory with and without the square."""
    models = list(dict.fromkeys(counted["model"]))
    several = timed["image_size"].nunique() > 1

    def paint(figure: Any) -> None:
        axes = figure.subplots(1, 2 + several, squeeze=False)[0]
        for place, model in enumerate(models):
            rows = counted[counted["model"] == model]
            look = {
                "color": COLOURS[place % len(COLOURS)],
                "marker": MARKERS[place % len(MARKERS)],
                "markersize": 5,
            }
            sizes = rows["image_size"].astype(float)
            axes[0].plot(sizes, rows["macs"].astype(float) / 1e9, label=model, **look)
            axes[1].plot(sizes, 100 * rows["attention"].astype(float) / rows["macs"].astype(float), **look)
            if several:
                _paint_memory(axes[2], timed[timed["model"] == model], look)
        _label(axes, counted["image_size"])
        figure.legend(loc="outside lower center", ncols=min(4, len(models)), frameon=False)

    text = "Multiply-adds over the image size, on two logarithmic axes; the share of attention in them" + (
        "; memory of a forward pass, dashed where attention is not fused." if several else "."
    )
    return draw(paint, (3.6 * (2 + several), 3.3), models, text)


def _paint_memory(ax: Any, timed: "DataFrame", look: dict[str, Any]) -> None:
    """As timm runs it; dashed where fused attention is switched off."""
    for fused, each in timed.groupby("fused"):
        line = "-" if fused or timed["fused"].nunique() == 1 else "--"
        ax.plot(each["image_size"].astype(float), each["forward_mb"], linestyle=line, **look)


def _label(axes: Sequence[Any], sizes: "DataFrame") -> None:
    ticks = sorted({int(size) for size in sizes})
    for ax, title in zip(axes, ("GMACs", "attention, % of them", "memory, MB, one picture"), strict=False):
        ax.set_title(title, loc="left")
        ax.set_xscale("log")
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.set_xlabel("image size, px")
        plain(ax)
    for ax in (axes[0], *axes[2:]):
        ax.set_yscale("log")
        round_ticks(ax, "y", [value for line in ax.lines for value in line.get_ydata()])
    axes[1].set_ylim(bottom=0)


def write_cost(found: "Cost", place: Path, command: str) -> list[str]:
    """Write every number as csv, `cost.svg|png` and `report.html` into a folder; what could not be drawn."""
    drawing = draw_cost_over_sizes(found.counted, found.measured)
    with files.whole_folder(place) as new:
        write_frames(found.frames, new)
        write_drawing(drawing, new, "cost")
        page = rendered(
            "cost.html.j2",
            lines=answer(found),
            rows=rows_of(found),
            deviations=[row for row in rows_of(found) if row["deviations"]],
            refused=found.refused,
            afforded=affordable_lines(found),
            timed=TIMED if len(found.measured) else {},
            clock=CLOCKS.get(next(iter(found.measured["device"]), ""), ""),
            drawing=themed(drawing),
            command=command,
        )
        files.write_text(new / "report.html", page)
    return list(drawing.notes)
