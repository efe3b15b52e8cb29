"""Figures of `inspect`: how far heads look, how the stream grows, how sharply heads compare."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vitbench.reports.drawing import COLOURS, INK, MARKERS, Drawing, draw, plain

if TYPE_CHECKING:
    from pandas import DataFrame

PANEL = (4.2, 3.0)


def distance_figure(model: str, table: "DataFrame") -> Drawing:
    """A dot per head at its mean attention distance, beside what uniform attention in that block gives."""
    layers = table.groupby("layer")
    uniform, means = layers["uniform_px"].first(), layers["distance_px"].mean()

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        shifted = table["shift"].fillna(0) > 0
        for rows, marker, label in (
            (table[~shifted], "o", "a head"),
            (table[shifted], "D", "a head, shifted"),
        ):
            if len(rows):
                look = {"markersize": 4, "alpha": 0.55, "markeredgewidth": 0, "color": COLOURS[0]}
                ax.plot(rows["layer"], rows["distance_px"], marker, label=label, **look)
        ax.hlines(uniform, uniform.index - 0.38, uniform.index + 0.38, color=COLOURS[1], linewidth=2.2,
                  label="uniform in that block")  # fmt: skip
        ax.set_ylim(0, 1.12 * max(float(uniform.max()), float(table["distance_px"].max())))
        _finish(ax, model, "mean attention distance, px", figure)

    text = f"{model}: mean attention distance per head and layer, px. " + "; ".join(
        f"layer {layer}: {means[layer]:.0f}, uniform {uniform[layer]:.0f}" for layer in means.index
    )
    return draw(paint, PANEL, [model], text)


def stream_figure(table: "DataFrame") -> Drawing:
    """The variance of the stream behind every block of every network, on one logarithmic axis."""
    models = list(dict.fromkeys(table["model"]))

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        for place, model in enumerate(models):
            rows = table[table["model"] == model]
            colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
            for stage, within in enumerate(_stages(rows)):
                ax.plot(within["layer"], within["stream"], color=colour, marker=marker, markersize=4,
                        linewidth=1.6, label=None if stage else model)  # fmt: skip
        _logarithmic(ax)
        _finish(ax, "stream behind each block", "variance", figure)

    ends = (f"{m}: {_range(table[table['model'] == m], 'stream')}" for m in models)
    return draw(paint, PANEL, models, f"Variance of the stream by depth. {'; '.join(ends)}.")


def branches_figure(model: str, table: "DataFrame") -> Drawing:
    """What attention and MLP add in every block, beside the stream that they are added to."""
    names = {"stream_in": "stream before", "attention": "attention adds", "mlp": "MLP adds"}

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        for place, (column, label) in enumerate(names.items()):
            rows = table[table[column] > 0]
            for stage, within in enumerate(_stages(rows)):
                ax.plot(within["layer"], within[column], color=COLOURS[place], marker=MARKERS[place],
                        markersize=4, linewidth=1.6, label=None if stage else label)  # fmt: skip
        if (table[list(names)] > 0).any(axis=None):
            _logarithmic(ax)
        _finish(ax, model, "variance", figure)

    parts = "; ".join(f"{label}: {_range(table, column)}" for column, label in names.items())
    return draw(paint, PANEL, [model], f"{model}, variance by depth. {parts}.")


def heads_figure(
    model: str, table: "DataFrame", value: str, title: str, lines: Sequence[tuple[str, float]], *, log: bool
) -> Drawing:
    """A dot per head by layer, before training too where that is known, with lines to compare with."""

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        before = f"{value}_before"
        if before in table and table[before].notna().any():
            ax.plot(table["layer"] - 0.16, table[before], "s", markersize=4, alpha=0.5, color=COLOURS[6],
                    markeredgewidth=0, label="before training here")  # fmt: skip
        ax.plot(table["layer"], table[value], "o", markersize=4, alpha=0.6, color=COLOURS[0],
                markeredgewidth=0, label="a head")  # fmt: skip
        for place, (label, at) in enumerate(lines, start=1):
            ax.axhline(at, color=COLOURS[place], linewidth=1.4, linestyle=(0, (4, 3)), label=label)
        if log:
            _logarithmic(ax)
        _finish(ax, model, title, figure)

    return draw(paint, PANEL, [model], f"{model}: {title} per head and layer: {_range(table, value)}.")


def explained_figure(model: str, table: "DataFrame") -> Drawing:
    """The share of the variance of filters that each component explains, beside random filters'."""

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        ax.bar(table["component"], 100 * table["explained"], color=COLOURS[0], width=0.8, label="here")
        if "explained_before" in table and table["explained_before"].notna().any():
            ax.plot(table["component"], 100 * table["explained_before"], "s", markersize=3.5,
                    color=COLOURS[6], label="before training here")  # fmt: skip
        ax.plot(table["component"], 100 * table["explained_random"], color=COLOURS[1], linewidth=1.8,
                label="random filters")  # fmt: skip
        _finish(ax, model, "explained, %", figure, across="component")

    return draw(paint, PANEL, [model], f"{model}: explained shares: {_range(table, 'explained')}.")


def _stages(table: "DataFrame") -> list["DataFrame"]:
    """The rows of each stage: a patch merging between two normalises, so no line joins them."""
    return [rows for _, rows in table.groupby("stage", sort=False)]


def _logarithmic(ax: Any) -> None:
    """Powers of ten as plain numbers: `$` is a character here."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _range(table: "DataFrame", column: str) -> str:
    return f"{table[column].iloc[0]:.3g} to {table[column].iloc[-1]:.3g}" if len(table) else "none"


def _finish(ax: Any, title: str, unit: str, figure: Any, across: str = "layer") -> None:
    ax.set_title(title, loc="left")
    ax.set_xlabel(across)
    ax.set_ylabel(unit)
    ax.xaxis.get_major_locator().set_params(integer=True)
    plain(ax)
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, labelcolor=INK)
