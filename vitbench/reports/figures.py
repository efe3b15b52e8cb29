"""Curves and confusion matrices as SVG and PNG: the same bytes each time, any script, colour never alone."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitbench.comparison.candidates import Candidate, competitors
from vitbench.comparison.confusion import confusion_counts, most_confused
from vitbench.records import Array, Epoch
from vitbench.reports.fonts import FontChoice, choose_fonts

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#8C564B")
"""Okabe & Ito 2008 without its black and yellow, which vanish on dark and on light pages."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK = "#1b1e23"
"""The colour of all text and axes: one that a page can replace by its own."""
FONT_STACK = "system-ui, 'Noto Sans', 'Noto Sans CJK KR', 'Apple SD Gothic Neo', 'Malgun Gothic', sans-serif"
MANY_CLASSES = 20
"""Above this the confusion figure lists the most confused pairs instead of matrices."""
PNG_DPI = 150
PAIRS, PAIRS_NAME = 12, 24
"""How many pairs it lists, and how many characters of each name."""
PAIRS_BARS, PAIRS_FONT, CELL = 2.6, 9, 0.085
"""Inches for the bars, the points of their labels, and inches for one Latin character of these."""


@dataclass(frozen=True)
class Drawing:
    """One figure in both formats."""

    svg: str
    """Transparent, text as text, everything black in `INK`."""
    png: bytes
    """White ground, 150 dpi."""
    text: str
    """What it shows, in words."""
    notes: tuple[str, ...] = ()
    """What could not be drawn, one line each."""


@dataclass(frozen=True)
class Curve:
    """The epochs of one run."""

    name: str
    epochs: Sequence[Epoch]
    best_epoch: int | None
    """The epoch whose weights were kept; None while unfinished."""


def draw_curves(curves: Sequence[Curve]) -> Drawing | None:
    """Loss and accuracy per epoch of every run, train dashed and val solid; None without an epoch.

    A ring marks the chosen epoch.
    """
    curves = [curve for curve in curves if curve.epochs]
    if not curves:
        return None

    def paint(figure: Any) -> None:
        for place, (ax, metric) in enumerate(zip(figure.subplots(1, 2), ("loss", "top1"), strict=True)):
            for i, curve in enumerate(curves):
                _paint_curve(ax, curve, i, metric)
            ax.set_xlabel("epoch")
            ax.set_title("loss (cross-entropy; train: the objective's)" if place == 0 else "accuracy, %")
            ax.xaxis.get_major_locator().set_params(integer=True)
            _plain(ax)
        ax.set_ylim(-3, 103)
        handles = [*ax.get_legend_handles_labels()[0], *_kinds_of_line()]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), frameon=False)

    ends = "; ".join(f"{c.name}: {_end(c)}" for c in curves)
    text = f"Loss and accuracy per epoch, training dashed, validation solid, chosen epoch ringed. {ends}."
    return _draw(paint, (10, 4.4), [curve.name for curve in curves], text)


def _paint_curve(ax: Any, curve: Curve, i: int, metric: str) -> None:
    colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
    scale = 100 if metric == "top1" else 1
    x = [row.epoch for row in curve.epochs]
    train = [getattr(row, f"train_{metric}") for row in curve.epochs]
    val = [scale * getattr(row, f"val_{metric}") for row in curve.epochs]
    every = max(1, len(x) // 8)
    style = {"color": colour, "marker": marker, "markersize": 4, "markevery": (i % every, every)}
    if any(value is not None for value in train):
        shown = [np.nan if value is None else scale * value for value in train]
        ax.plot(x, shown, linestyle=(0, (4, 3)), linewidth=1, alpha=0.75, **style)
    ax.plot(x, val, linewidth=1.8, **style, label=curve.name)
    if curve.best_epoch in x:
        at = x.index(curve.best_epoch)
        ax.plot([x[at]], [val[at]], "o", markersize=11, markerfacecolor="none", markeredgecolor=colour)


def _kinds_of_line() -> list[Any]:
    """Legend entries for what every model's lines have in common."""
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=INK, linewidth=1.8, label="validation"),
        Line2D([], [], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="training"),
        Line2D(
            [], [], linestyle="", marker="o", markersize=10, markerfacecolor="none", color=INK, label="chosen"
        ),
    ]


def _end(curve: Curve) -> str:
    chosen = next((row for row in curve.epochs if row.epoch == curve.best_epoch), curve.epochs[-1])
    word = "chosen" if curve.best_epoch else "last"
    return f"{word} epoch {chosen.epoch}, val loss {chosen.val_loss:.3f}, val accuracy {chosen.val_top1:.1%}"


def draw_confusion(candidates: Sequence[Candidate]) -> Drawing | None:
    """Confusion matrices of all tested models; for more than 20 classes their most confused pairs."""
    tested = competitors(candidates)
    if not tested:
        return None
    classes = tested[0].predictions[0].classes
    counts = [confusion_counts(candidate) for candidate in tested]
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
        for ax, candidate, one in zip(axes, tested, counts, strict=False):
            (_paint_pairs if many else _paint_matrix)(ax, one, classes)
            ax.set_title(candidate.model)

    says = [
        f"{c.model}: "
        + (", ".join(f"{a} taken for {b} {k}×" for a, b, k in most_confused(one, classes, 3)) or "none")
        for c, one in zip(tested, counts, strict=True)
    ]
    text = f"Which class was taken for which. Most frequent confusions: {'; '.join(says)}."
    return _draw(paint, (wide * columns + 0.4, side * rows), [*classes, *(c.model for c in tested)], text)


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
    _plain(ax)


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


def _plain(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25)
    ax.set_axisbelow(True)


def _draw(
    paint: Callable[[Any], None], size: tuple[float, float], names: Sequence[str], text: str
) -> Drawing:
    """Both formats of what `paint` puts on a figure of `size` inches."""
    fonts = choose_fonts([*names, text])
    return Drawing(
        svg=_save(paint, size, fonts, "svg").decode("utf-8"),
        png=_save(paint, size, fonts, "png"),
        text=text,
        notes=(fonts.note,) if fonts.note else (),
    )


def _save(paint: Callable[[Any], None], size: tuple[float, float], fonts: FontChoice, kind: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with _quiet_style(fonts):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        if kind == "svg":
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
            return _with_font_stack(buffer.getvalue())
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _with_font_stack(svg: bytes) -> bytes:
    """The SVG with one generic font stack in place of the fonts of this machine."""
    import re

    stack = FONT_STACK.encode()
    svg = re.sub(rb"(font: [^;\"]*?px) [^;\"]*", rb"\1 " + stack, svg)
    return re.sub(rb"font-family: ?[^;\"]*", b"font-family: " + stack, svg)


@contextlib.contextmanager
def _quiet_style(fonts: FontChoice) -> Iterator[None]:
    """matplotlib's own defaults with our fonts; `$` is a character; missing glyphs raise no warnings."""
    import matplotlib
    from matplotlib import font_manager

    for path in fonts.paths:
        if path not in {font.fname for font in font_manager.fontManager.ttflist}:
            font_manager.fontManager.addfont(path)
    style = {
        **matplotlib.rcParamsDefault,
        "font.family": list(fonts.families),
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "vitbench",
        "axes.titlesize": "medium",
        **dict.fromkeys(
            (
                "text.color",
                "axes.edgecolor",
                "axes.labelcolor",
                "axes.titlecolor",
                "xtick.color",
                "ytick.color",
            ),
            INK,
        ),
    }
    style.pop("backend", None)
    with warnings.catch_warnings(), matplotlib.rc_context(style):
        warnings.simplefilter("ignore")
        yield
