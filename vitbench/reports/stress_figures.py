"""Figures of `stress`: accuracy over severity, what is kept under each corruption, what shifts do."""

from typing import TYPE_CHECKING, Any

from vitbench.analysis.conditions import ALL, CLEAN
from vitbench.analysis.corruptions import CORRUPTIONS
from vitbench.reports.drawing import COLOURS, INK, MARKERS, Drawing, draw, plain

if TYPE_CHECKING:
    from vitbench.analysis.stress import Stress

ACROSS = 4
"""Panels side by side."""
PANEL = (3.2, 2.6)


def _models(found: "Stress") -> list[str]:
    return list(dict.fromkeys(found.frames["accuracy"]["model"]))


def _look(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)], "markersize": 5}


def panels(found: "Stress") -> Drawing:
    """All corruptions, a panel each."""
    names = found.asked.corruptions
    columns = min(ACROSS, len(names))
    rows = -(-len(names) // columns)

    def paint(figure: Any) -> None:
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for place, ax in enumerate(axes.flat):
            if place < len(names):
                _paint(ax, found, names[place])
            else:
                ax.set_visible(False)
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
        )

    text = f"Accuracy over severity under {len(names)} corruptions, 95 % intervals."
    return draw(paint, (2.6 * columns, 2.1 * rows + 0.5), _models(found), text)


def panel(found: "Stress", name: str) -> Drawing:
    """One corruption."""

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        _paint(ax, found, name)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=1, frameon=False)

    text = f"Accuracy over the severity of {CORRUPTIONS[name].title}, 95 % intervals."
    return draw(paint, (PANEL[0], PANEL[1] + 0.2 * len(_models(found))), _models(found), text)


def _paint(ax: Any, found: "Stress", name: str) -> None:
    table = found.frames["accuracy"]
    models = _models(found)
    for place, model in enumerate(models):
        mine = table[table["model"] == model]
        clean = mine[mine["corruption"] == CLEAN].assign(severity=0)
        damaged = mine[(mine["corruption"] == name) & mine["severity"].notna()]
        rows = [*clean.to_dict("records"), *damaged.to_dict("records")]
        x = [row["severity"] + 0.08 * (place - (len(models) - 1) / 2) for row in rows]
        y = [100 * row["accuracy"] for row in rows]
        below = [100 * (row["accuracy"] - row["accuracy_low"]) for row in rows]
        above = [100 * (row["accuracy_high"] - row["accuracy"]) for row in rows]
        ax.errorbar(x, y, [below, above], label=model, elinewidth=1, **_look(place))
    ax.set_title(CORRUPTIONS[name].title, loc="left")
    ax.set_ylim(0, 102)
    ax.set_xticks([0, *found.asked.severities], ["clean", *map(str, found.asked.severities)])
    ax.set_ylabel("right, %")
    plain(ax)


def kept_figure(found: "Stress", scope: str) -> Drawing:
    """Accuracy under each corruption over that on the clean pictures, a dot with its interval."""
    table = found.frames["accuracy"]
    names = [*found.asked.corruptions, *([ALL] if scope == ALL else [])]
    models = _models(found)

    def paint(figure: Any) -> None:
        ax = figure.subplots()
        for place, model in enumerate(models):
            mine = table[(table["model"] == model) & table["severity"].isna()].set_index("corruption")
            y = [row + 0.16 * (place - (len(models) - 1) / 2) for row in range(len(names))]
            value, low, high = (
                [100 * mine.loc[name, column] for name in names]
                for column in ("kept", "kept_low", "kept_high")
            )
            errors = [
                [max(0.0, v - e) for v, e in zip(value, low, strict=True)],
                [max(0.0, e - v) for v, e in zip(value, high, strict=True)],
            ]
            ax.errorbar(value, y, xerr=errors, linestyle="none", label=model, elinewidth=1.4, **_look(place))
        ax.axvline(100, color=INK, alpha=0.4, linewidth=0.8, linestyle="--")
        titles = [CORRUPTIONS[name].title if name in CORRUPTIONS else "all of them" for name in names]
        ax.set_yticks(range(len(names)), titles)
        ax.invert_yaxis()
        ax.set_xlim(left=0)
        ax.set_xlabel("kept, % of the accuracy on clean pictures")
        plain(ax)
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)

    rows = table[(table["corruption"] == scope) & table["severity"].isna()]
    each = [f"{row.model} {100 * row.kept:.0f} %" for row in rows.itertuples()]
    text = f"What each model keeps of its accuracy, 95 % intervals; in all: {', '.join(each)}."
    return draw(paint, (4.6, 0.34 * len(names) + 1.3), models, text)


def shift_figure(found: "Stress") -> Drawing:
    """Same answer as at the centre, and total variation to it, over how far the picture is shifted."""
    table = found.frames["shifts"]
    models = list(dict.fromkeys(table["model"]))

    def paint(figure: Any) -> None:
        axes = figure.subplots(1, 2)
        for place, model in enumerate(models):
            mine = table[(table["model"] == model) & table["same_answer"].notna()]
            far = mine[["down", "right"]].abs().max(axis=1).astype(int)
            for ax, column in zip(axes, ("same_answer", "total_variation"), strict=True):
                values = 100 * mine[column].astype(float)
                jitter = 0.06 * (place - (len(models) - 1) / 2)
                steps = {px: at for at, px in enumerate(sorted(set(far)))}
                x = [steps[px] + jitter for px in far]
                look = _look(place)
                ax.plot(
                    x,
                    values,
                    look["marker"],
                    color=look["color"],
                    alpha=0.35,
                    markersize=4,
                    markeredgewidth=0,
                )
                means = values.groupby(far).mean()
                ax.plot([steps[px] + jitter for px in means.index], means, label=model, **look)
                ax.set_xticks(list(steps.values()), list(map(str, steps)))
        for ax, title in zip(axes, ("same answer as unshifted, %", "total variation, %"), strict=True):
            ax.set_title(title, loc="left")
            ax.set_xlabel("shift, px")
            ax.margins(x=0.25)
            plain(ax)
        axes[0].set_ylim(top=101)
        axes[1].set_ylim(bottom=0)
        figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False
        )

    text = "Same answer, and total variation of probabilities, over the shift; a small dot per direction."
    return draw(paint, (6.0, 2.9), models, text)
