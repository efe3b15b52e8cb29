"""The tables of the page of `stress`."""

from functools import partial
from typing import TYPE_CHECKING, Any

from vitbench.analysis.conditions import ALL, CLEAN
from vitbench.analysis.corruptions import CORRUPTIONS
from vitbench.narrative.words import p_cell, points
from vitbench.records import decimals, percent
from vitbench.records.frames import rows_of_frame
from vitbench.reports.columns import interval
from vitbench.reports.html_cells import Axis, Cell, Head, Line, Table

if TYPE_CHECKING:
    from vitbench.analysis.stress import Stress

P = "p, corrected"
CHANCE = (
    "how often chance alone makes such a difference somewhere in this table; "
    "told apart where it is 0.05 or less"
)


def _title(name: str) -> str:
    return CORRUPTIONS[name].title if name in CORRUPTIONS else {CLEAN: "clean", ALL: "all of them"}[name]


def _percent(
    value: float | None, low: float | None, high: float | None, n: int, axis: Axis | None = None
) -> Cell:
    if value is None:
        return Cell("–")
    shown = partial(percent, digits=decimals(n))
    bar = axis.bar(low, high, value) if axis else None
    return Cell(shown(value), value, interval(low, high, shown), bar)


def _points(value: float | None, low: float | None, high: float | None, n: int) -> Cell:
    if value is None:
        return Cell("–")
    return Cell(points(value, n), value, interval(low, high, partial(points, n=n)))


def _p(value: float | None) -> Cell:
    return Cell("–") if value is None else Cell(p_cell(value), value)


def accuracy_table(found: "Stress") -> Table | None:
    """A row per corruption and model, the mean over severities."""
    rows = [row for row in rows_of_frame(found.frames["accuracy"]) if row["severity"] is None]
    if len(rows) == len({row["model"] for row in rows}):
        return None
    names = dict.fromkeys(row["corruption"] for row in rows)
    rows.sort(key=lambda row: list(names).index(row["corruption"]))
    axis = Axis.over([row[end] for row in rows for end in ("accuracy_low", "accuracy_high")])
    heads = (
        Head("pictures", False), Head("model", False),
        Head("right, %", axis=axis.ends,
             meaning="how many test pictures in 100 are named right, the mean over severities"),
        Head("kept, %", meaning="accuracy there over accuracy on the clean pictures"),
        Head("to clean, points", meaning="how many more of 100 pictures are named right than without damage"),
        Head(P, meaning=CHANCE),
        Head("trained with", False, meaning="the training views were changed alike"),
    )  # fmt: skip
    lines = tuple(
        Line((
            Cell(_title(row["corruption"])), Cell(row["model"]),
            _percent(row["accuracy"], row["accuracy_low"], row["accuracy_high"], row["n"], axis),
            _percent(row["kept"], row["kept_low"], row["kept_high"], row["n"]),
            _points(row["difference"], row["difference_low"], row["difference_high"], row["n"]),
            _p(row["p_adjusted"]), Cell("yes" if row["trained_with"] else ""),
        ))
        for row in rows
    )  # fmt: skip
    return Table("accuracy", "Each model under each corruption", heads, lines)


def pairs_table(found: "Stress") -> Table | None:
    """Two models under each corruption."""
    rows = rows_of_frame(found.frames["pairs"])
    if not rows or not found.asked.corruptions:
        return None
    n = int(found.frames["accuracy"]["n"].iloc[0])
    heads = (
        Head("pictures", False), Head("first − second", False),
        Head("right, points", meaning="how many more of 100 pictures the first one names right"),
        Head(P, meaning=CHANCE),
        Head("kept, points", meaning="the same of what is kept of the accuracy on clean pictures"),
        Head(f"{P} (kept)", meaning=CHANCE),
    )  # fmt: skip
    lines = tuple(
        Line((
            Cell(_title(row["corruption"])), Cell(f"{row['model_a']} − {row['model_b']}"),
            _points(row["difference"], row["difference_low"], row["difference_high"], n),
            _p(row["p_adjusted"]),
            _points(row["kept_difference"], row["kept_low"], row["kept_high"], n), _p(row["kept_p_adjusted"]),
        ))
        for row in rows
    )  # fmt: skip
    return Table("between", "Every two models on the same pictures", heads, lines)


MEASURES = {
    "centre": "right, unshifted", "worst": "right at every shift", "lost": "lost by the worst shift",
    "consistency": "two shifts, one answer", "total_variation": "total variation",
}  # fmt: skip


def shift_table(found: "Stress") -> Table | None:
    """A row per model."""
    rows = rows_of_frame(found.frames["shift_models"])
    if not rows:
        return None
    n = int(found.frames["shifts"]["n"].iloc[0])
    by_model: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_model.setdefault(row["model"], {})[row["measure"]] = row
    heads = (
        Head("model", False),
        Head("right, unshifted, %", meaning="on the larger cut, at its centre"),
        Head("right at every shift, %", meaning="pictures that are named right wherever the crop lies"),
        Head("lost, points", meaning="the second minus the first"),
        Head(P, meaning=CHANCE),
        Head("two shifts, one answer, %",
             meaning="consistency: pairs of shifts of a picture that get the same answer"),
        Head("total variation, %", meaning="½ Σ |p − p₀| of the probabilities, shifted and not, mean"),
    )  # fmt: skip
    lines = []
    for model, of in by_model.items():
        shares = {
            name: _percent(row["value"], row["low"], row["high"], n)
            for name, row in of.items()
            if name in ("centre", "worst", "consistency")
        }
        variation, lost = of["total_variation"], of["lost"]
        lines.append(Line((
            Cell(model), shares["centre"], shares["worst"],
            _points(lost["value"], lost["low"], lost["high"], n), _p(lost["p_adjusted"]),
            shares["consistency"], _percent(variation["value"], variation["low"], variation["high"], 1000),
        )))  # fmt: skip
    return Table("shifts", "Shifted pictures", heads, tuple(lines))


def shift_pairs_table(found: "Stress") -> Table | None:
    """Two models on the same shifted pictures."""
    rows = rows_of_frame(found.frames["shift_pairs"])
    if not rows:
        return None
    heads = (
        Head("what", False), Head("first − second", False),
        Head("points", meaning="the first one's share minus the second one's"), Head(P, meaning=CHANCE),
    )  # fmt: skip
    lines = tuple(
        Line((
            Cell(MEASURES[row["measure"]]), Cell(f"{row['model_a']} − {row['model_b']}"),
            _points(row["difference"], row["low"], row["high"], 1000), _p(row["p_adjusted"]),
        ))
        for row in rows
    )  # fmt: skip
    return Table("shift_pairs", "Every two models, shifted", heads, lines)


def equivariance_table(found: "Stress") -> Table | None:
    """A row per part and shift."""
    rows = rows_of_frame(found.frames["equivariance"])
    if not rows:
        return None
    heads = (
        Head("part", False), Head("model", False), Head("shift, px", meaning="down and to the right"),
        Head("which is", False), Head("error, %", meaning="‖f(shifted) − shifted f‖ over ‖f‖"),
        Head("places exact, %", meaning="places of the map that are equal but for rounding"),
    )  # fmt: skip
    lines = tuple(
        Line((
            Cell(row["part"]), Cell(row["model"]), Cell(str(row["shift"]), row["shift"]),
            Cell("a whole window" if row["windows"] else "one step of the map"),
            Cell(f"{100 * row['error']:.1f}", row["error"]), Cell(percent(row["exact"], 0), row["exact"]),
        ))
        for row in rows
    )  # fmt: skip
    return Table("equivariance", "Part by part: does the map move with the picture?", heads, lines)


def change_rows(found: "Stress") -> list[dict[str, Any]]:
    """What was done to the pictures."""
    return [
        {**row, "title": CORRUPTIONS[row["corruption"]].title}
        for row in rows_of_frame(found.frames["changes"])
    ]
