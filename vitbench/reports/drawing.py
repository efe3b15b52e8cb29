"""One figure as SVG and PNG: the same bytes each time, in any script."""

import contextlib
import functools
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vitbench.reports.fonts import FontChoice, choose_fonts

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#8C564B")
"""Okabe & Ito 2008 without its black and yellow, which vanish on dark and on light pages."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK = "#1b1e23"
"""The colour of all text and axes: one that a page can replace by its own."""
FONT_STACK = (
    "-apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', system-ui, 'Noto Sans CJK KR', "
    "'Apple SD Gothic Neo', 'Malgun Gothic', sans-serif"
)
PNG_DPI = 150


@dataclass(frozen=True)
class Drawing:
    """One figure, drawn when a format of it is asked for."""

    paint: Callable[[Any], None]
    """Puts it on a matplotlib figure."""
    size: tuple[float, float]
    """Inches."""
    fonts: FontChoice
    text: str
    """What it shows, in words."""

    @functools.cached_property
    def svg(self) -> str:
        """Transparent, text as text, everything black in `INK`."""
        return _save(self, "svg").decode("utf-8")

    @functools.cached_property
    def png(self) -> bytes:
        """White ground, 150 dpi."""
        return _save(self, "png")

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be drawn, one line each."""
        return (self.fonts.note,) if self.fonts.note else ()


def plain(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["bottom", "left"]].set_alpha(0.35)
    ax.tick_params(length=3, width=0.6)
    ax.grid(color=INK, alpha=0.1, linewidth=0.6)
    ax.set_axisbelow(True)


def round_ticks(ax: Any, axis: str, values: Sequence[float]) -> None:
    """Ticks at 1, 2, 5 of each decade as plain numbers, where the values are."""
    low, high = min(values) / 1.6, max(values) * 1.6
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in decades for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) > 6:
        ticks = [tick for tick in ticks if f"{tick:e}".startswith("1")]
    ax.set(**{f"{axis}ticks": ticks, f"{axis}ticklabels": [f"{tick:g}" for tick in ticks]})
    ax.minorticks_off()


def draw(paint: Callable[[Any], None], size: tuple[float, float], names: Sequence[str], text: str) -> Drawing:
    return Drawing(paint, size, choose_fonts([*names, text]), text)


def _save(drawing: Drawing, kind: str) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with _quiet_style(drawing.fonts):
        figure = Figure(figsize=drawing.size, layout="constrained")
        FigureCanvasAgg(figure)
        drawing.paint(figure)
        if kind == "svg":
            figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
            return _with_font_stack(buffer.getvalue())
        figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _with_font_stack(svg: bytes) -> bytes:
    """The SVG with one generic font stack in place of the fonts of this machine."""
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
        "font.size": 9.5,
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
