"""Curves, accuracy against cost and confusions as SVG and PNG: the same bytes each time, in any script.

Colour never stands alone: every model has its own marker too, the same one in every figure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitbench.comparison.confusion import confusion_counts, most_confused
from vitbench.comparison.measured import Row
from vitbench.comparison.results import ModelResult, ranked_models
from vitbench.records import Array, Epoch
from vitbench.reports.drawing import COLOURS, INK, MARKERS, Drawing, draw, plain, round_ticks

MANY_CLASSES = 20
"""Above this the confusion figure lists the most confused pairs instead of matrices."""
PANEL = 4.2
"""Width of one panel, inches."""
PAIRS, PAIRS_NAME = 12, 24
"""How many pairs it lists, and how many characters of each name."""
PAIRS_BARS, PAIRS_FONT, CELL = 2.6, 9, 0.085
"""Inches for the bars, the points of their labels, and inches for one Latin character of these."""


@dataclass(frozen=True)
class Curve:
    """The epochs of one run."""

    name: str
    epochs: Sequence[Epoch]
    best_epoch: int | None
    """The epoch whose weights were kept; None while unfinished."""
    model: str
    """What gives a curve its colour: seeds of one model share it."""


CURVES = {"loss": "loss (training: the objective's)", "top1": "accuracy, %"}
"""What curves show, with the titles of the panels."""


def draw_curves(curves: Sequence[Curve], metrics: Sequence[str] = tuple(CURVES)) -> Drawing | None:
    """Loss and accuracy per epoch of every run, training dashed and validation solid; None without an epoch.

    A ring marks the chosen epoch. Seeds of one model share its colour and marker.
    """
    curves = [curve for curve in curves if curve.epochs]
    if not curves:
        return None
    places = _places(curve.model for curve in curves)
    ringed = any(curve.best_epoch for curve in curves)

    def paint(figure: Any) -> None:
        for ax, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
            for curve in curves:
                _paint_curve(ax, curve, places[curve.model], metric)
            ax.set_xlabel("epoch")
            ax.set_title(CURVES[metric], loc="left")
            ax.xaxis.get_major_locator().set_params(integer=True)
            plain(ax)
            if metric == "top1":
                ax.set_ylim(-3, 103)
        handles = [*_named_once(ax), *_kinds_of_line(ringed)]
        columns = min(3 * len(metrics), len(handles))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)

    ends = "; ".join(f"{c.name}: {_end(c)}" for c in curves)
    what = " and ".join({"loss": "Loss", "top1": "Accuracy"}[metric] for metric in metrics).capitalize()
    ring = ", chosen epoch ringed" if ringed else ""
    text = f"{what} per epoch, training dashed, validation solid{ring}. {ends}."
    legend = 0.24 * -(-(len(places) + 3) // (3 * len(metrics)))
    return draw(paint, (PANEL * len(metrics), 3.1 + legend), [curve.name for curve in curves], text)


def _places(models: Iterable[str]) -> dict[str, int]:
    """Which colour and marker each model has."""
    return {model: place for place, model in enumerate(dict.fromkeys(models))}


def _named_once(ax: Any) -> list[Any]:
    """The legend's entries of a panel, one per model."""
    handles, labels = ax.get_legend_handles_labels()
    return list(dict(zip(reversed(labels), reversed(handles), strict=True)).values())[::-1]


def _paint_curve(ax: Any, curve: Curve, i: int, metric: str) -> None:
    colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
    x = [row.epoch for row in curve.epochs]
    train, val = (_percent_or_loss(curve.epochs, part, metric) for part in ("train", "val"))
    every = max(1, len(x) // 8)
    style = {"color": colour, "marker": marker, "markersize": 4, "markevery": (i % every, every)}
    if not np.isnan(train).all():
        ax.plot(x, train, linestyle=(0, (4, 3)), linewidth=1, alpha=0.75, **style)
    ax.plot(x, val, linewidth=1.8, **style, label=curve.model)
    if curve.best_epoch in x:
        at = x.index(curve.best_epoch)
        ax.plot([x[at]], [val[at]], "o", markersize=11, markerfacecolor="none", markeredgecolor=colour)


def _percent_or_loss(epochs: Sequence[Epoch], part: str, metric: str) -> Array:
    """(epochs,) float64, NaN where the epoch has no such score."""
    values = [getattr(row, f"{part}_{metric}") for row in epochs]
    scale = 100 if metric == "top1" else 1
    return np.array([np.nan if value is None else scale * value for value in values])


def _kinds_of_line(ringed: bool) -> list[Any]:
    """Legend entries for what every model's lines have in common."""
    from matplotlib.lines import Line2D

    found = [
        Line2D([], [], color=INK, linewidth=1.8, label="validation"),
        Line2D([], [], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="training"),
        Line2D(
            [], [], linestyle="", marker="o", markersize=10, markerfacecolor="none", color=INK, label="chosen"
        ),
    ]
    return found if ringed else found[:2]


def _end(curve: Curve) -> str:
    chosen = next((row for row in curve.epochs if row.epoch == curve.best_epoch), curve.epochs[-1])
    word = "chosen" if curve.best_epoch else "last"
    if chosen.val_loss is None:
        return f"{word} epoch {chosen.epoch}"
    accuracy = "" if chosen.val_top1 is None else f", val accuracy {chosen.val_top1:.1%}"
    return f"{word} epoch {chosen.epoch}, val loss {chosen.val_loss:.3f}{accuracy}"


# --- accuracy against cost ------------------------------------------------------------------------

COSTS = {
    "params_m": "parameters, millions",
    "gmacs": "GMACs per picture",
    "latency_ms_p50": "ms per picture (median latency)",
}
"""What accuracy is drawn against, with the titles of the axes."""


def pareto(rows: Sequence[Row], cost: str) -> list[Row]:
    """The models that no other one beats at the same or a lower cost, cheapest first.

    On the point scores: whether the data can tell two of them apart is said by the pairs.
    """
    front: list[Row] = []
    for row in sorted(_priced(rows, cost), key=lambda row: (getattr(row, cost), -(row.top1 or 0.0))):
        if not front or (row.top1 or 0.0) > (front[-1].top1 or 0.0):
            front.append(row)
    return front


def _priced(rows: Sequence[Row], cost: str) -> list[Row]:
    return [row for row in rows if row.top1 is not None and getattr(row, cost) is not None]


def draw_cost(
    rows: Sequence[Row], costs: Sequence[str] = tuple(COSTS), order: Sequence[str] = ()
) -> Drawing | None:
    """Accuracy with its 95 % interval against each cost; None with fewer than two models that have both.

    A stepped line is the Pareto front; models on it are filled. `order`: models in the order that gives
    them their colours, as in the curves.
    """
    shown = [cost for cost in costs if len(_priced(rows, cost)) > 1]
    if not shown:
        return None
    rows = [row for row in rows if any(row in _priced(rows, cost) for cost in shown)]
    places = _places([*order, *(row.model for row in rows)])
    rows.sort(key=lambda row: places[row.model])

    def paint(figure: Any) -> None:
        axes = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
        for ax, cost in zip(axes, shown, strict=True):
            _paint_cost(ax, rows, cost, places)
        axes[0].set_title("accuracy, %", loc="left")
        handles = _cost_legend(rows, places)
        columns = min(2 * len(shown), len(handles))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)

    fronts = "; ".join(
        f"{COSTS[cost]}: {', '.join(row.model for row in pareto(rows, cost))}" for cost in shown
    )
    text = f"Accuracy with its 95 % interval against cost. On the Pareto front by {fronts}."
    legend = 0.24 * -(-(len(rows) + 1) // (2 * len(shown)))
    return draw(paint, (3.6 * len(shown), 3.1 + legend), [row.model for row in rows], text)


def _paint_cost(ax: Any, rows: Sequence[Row], cost: str, places: Mapping[str, int]) -> None:
    front = pareto(rows, cost)
    x = [getattr(row, cost) for row in front]
    ax.step(x, [100 * (row.top1 or 0.0) for row in front], where="post", color=INK, linewidth=1, alpha=0.45)
    for row in _priced(rows, cost):
        place, at = places[row.model], 100 * (row.top1 or 0.0)
        low = at if row.top1_low is None else min(at, 100 * row.top1_low)
        high = at if row.top1_high is None else max(at, 100 * row.top1_high)
        colour = COLOURS[place % len(COLOURS)]
        ax.errorbar(
            [getattr(row, cost)], [at], yerr=[[at - low], [high - at]], color=colour, capsize=3,
            linewidth=1.2, marker=MARKERS[place % len(MARKERS)], markersize=8,
            markerfacecolor=colour if row in front else "none",
        )  # fmt: skip
    _paint_sizes(ax, _priced(rows, cost), cost)
    if min(getattr(row, cost) for row in _priced(rows, cost)) > 0:
        ax.set_xscale("log")
        round_ticks(ax, "x", [getattr(row, cost) for row in _priced(rows, cost)])
    ax.margins(x=0.12)
    ax.set_xlabel(COSTS[cost])
    plain(ax)


def _paint_sizes(ax: Any, rows: Sequence[Row], cost: str) -> None:
    """Where there are several sizes: each point's, px, and a dotted line through those of one model."""
    if len({row.image_size for row in rows}) < 2:
        return
    models: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for row in rows:
        at = (getattr(row, cost), 100 * (row.top1 or 0.0))
        models.setdefault((row.of or row.model, row.arm, row.recipe), []).append(at)
        ax.annotate(f"{row.image_size} px", at, textcoords="offset points", xytext=(6, 5), fontsize=8)
    for points in models.values():
        ax.plot(*zip(*sorted(points), strict=True), color=INK, linestyle=":", linewidth=1, zorder=0)


def _cost_legend(rows: Sequence[Row], places: Mapping[str, int]) -> list[Any]:
    from matplotlib.lines import Line2D

    models = [
        Line2D(
            [], [], linestyle="", marker=MARKERS[places[row.model] % len(MARKERS)], markersize=7,
            color=COLOURS[places[row.model] % len(COLOURS)], label=row.model,
        )
        for row in rows
    ]  # fmt: skip
    return [*models, Line2D([], [], color=INK, linewidth=1, alpha=0.45, label="Pareto front")]


# --- confusions -----------------------------------------------------------------------------------


def draw_confusion(models: Sequence[ModelResult]) -> Drawing | None:
    """Confusion matrices of all tested models; for more than 20 classes their most confused pairs."""
    tested = ranked_models(models)
    if not tested:
        return None
    classes = tested[0].predictions[0].classes
    counts = [confusion_counts(model.predictions) for model in tested]
    many = len(classes) > MANY_CLASSES
    columns = min(len(tested), 3)
    rows = -(-len(tested) // columns)
    side = 4.2 if many else min(7.0, 2.2 + 0.42 * len(classes))
    labels = max(_pairs_width(one, classes) for one in counts) if many else 0
    wide = max(side, PAIRS_BARS + CELL * labels) if many else side

    def paint(figure: Any) -> None:
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes[len(tested) :]:
            ax.remove()
        for ax, model, one in zip(axes, tested, counts, strict=False):
            (_paint_pairs if many else _paint_matrix)(ax, one, classes)
            ax.set_title(model.model)

    says = [
        f"{c.model}: "
        + (", ".join(f"{a} taken for {b} {k}×" for a, b, k in most_confused(one, classes, 3)) or "none")
        for c, one in zip(tested, counts, strict=True)
    ]
    text = f"Which class was taken for which. Most frequent confusions: {'; '.join(says)}."
    return draw(paint, (wide * columns + 0.4, side * rows), [*classes, *(c.model for c in tested)], text)


def _paint_matrix(ax: Any, counts: Array, classes: Sequence[str]) -> None:
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    short = [_short(name, 16) for name in classes]
    ax.set_xticks(range(len(classes)), short, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(classes)), short)
    ax.set_xlabel("answered")
    ax.set_ylabel("true")
    for i, j in zip(*np.nonzero(counts), strict=True):
        colour = "white" if share[i, j] > 0.55 else "black"
        ax.text(j, i, str(counts[i, j]), ha="center", va="center", color=colour, fontsize=8)


def _paint_pairs(ax: Any, counts: Array, classes: Sequence[str]) -> None:
    pairs = most_confused(counts, classes, PAIRS)
    if not pairs:
        ax.text(0.5, 0.5, "no confusion", ha="center", va="center", transform=ax.transAxes)
    bars = ax.barh(range(len(pairs)), [k for _, _, k in pairs], color=COLOURS[0])
    ax.bar_label(bars, padding=2)
    ax.set_yticks(range(len(pairs)), _pair_labels(counts, classes), fontsize=PAIRS_FONT)
    ax.invert_yaxis()
    ax.set_xlabel("test pictures: true → answered", loc="right")  # grows to the left, where the labels are
    plain(ax)


def _pair_labels(counts: Array, classes: Sequence[str]) -> list[str]:
    pairs = most_confused(counts, classes, PAIRS)
    return [f"{_short(a, PAIRS_NAME)} → {_short(b, PAIRS_NAME)}" for a, b, _ in pairs]


def _pairs_width(counts: Array, classes: Sequence[str]) -> int:
    """Character cells of the longest label; Hangul takes two each."""
    from rich.cells import cell_len

    return max((cell_len(label) for label in _pair_labels(counts, classes)), default=0)


def _short(name: str, limit: int) -> str:
    """The name, its middle replaced by … where it is longer: names often differ at their ends."""
    if len(name) <= limit:
        return name
    head = limit // 2
    return f"{name[:head]}…{name[len(name) - (limit - 1 - head) :]}"
