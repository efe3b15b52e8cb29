"""The columns of a comparison, each described once: screen, Markdown, LaTeX and page render them.

What a column holds as data is in `Comparison.frame` under its name; metrics have their columns by `METRICS`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vitbench.comparison.arms import arm_word
from vitbench.comparison.measured import Row
from vitbench.comparison.nouns import Comparison
from vitbench.inference.metrics import BY_NAME, METRICS, Metric
from vitbench.narrative.words import amount, points
from vitbench.records import percent

Place = Literal["table", "results", "costs", "scores"]
"""The table of screen, Markdown and LaTeX; the three of the report page."""
Text = Callable[[Row], str]
NOTHING: Text = lambda row: ""  # noqa: E731


@dataclass(frozen=True)
class Column:
    """One column of tables for people."""

    name: str
    """Of the column of `Comparison.frame` that it shows and is sorted by; "rank" for the range."""
    heading: str
    """On a screen, one or two lines."""
    title: str
    """On the page; "" where it stands on a screen alone."""
    on: frozenset[Place]
    text: Text
    """"" where there is nothing."""
    soft: Text = NOTHING
    """Set lighter behind it on the page: an interval."""
    numeric: bool = True
    legend: str = ""
    """What stands below a table that has it."""

    @property
    def flat(self) -> str:
        """The heading on one line."""
        return self.heading.replace("/\n", "/").replace("\n", " ")

    def key(self, row: Row) -> float | None:
        """What the page sorts a row by."""
        if self.name == "rank":
            return None if row.rank is None else row.rank[0] + row.rank[1] / 1000
        value = row.cells().get(self.name)
        return float(value) if isinstance(value, int | float) else None


def _on(*places: Place) -> frozenset[Place]:
    return frozenset(places)


def _short(value: float) -> str:
    """Three significant digits, no exponent."""
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _number(name: str, shown: Callable[[float], str] = _short) -> Text:
    def text(row: Row) -> str:
        value = getattr(row, name)
        return "" if value is None else shown(value)

    return text


def interval(low: float | None, high: float | None, shown: Callable[[float], str] = percent) -> str:
    """ "[75.8, 93.1]"; "" where a bound is missing."""
    return "" if low is None or high is None else f"[{shown(low)}, {shown(high)}]"


def metric_interval(metric: Metric, row: Row) -> str:
    """The interval of a row's metric."""
    one = row.metrics.get(metric.name)
    return "" if one is None else interval(one.low, one.high, metric.shown)


def metric_column(metric: Metric) -> Column:
    """The column that a row of `METRICS` has."""
    unit = " %" if metric.percent else ""

    def text(row: Row) -> str:
        one = row.metrics.get(metric.name)
        return "" if one is None else metric.shown(one.value)

    return Column(
        name=metric.name,
        heading=f"{metric.heading}{unit if chr(10) in metric.heading else unit.replace(' ', chr(10))}",
        title=f"{metric.title}{',' if unit else ''}{unit}",
        on=_on("table", "scores"),
        text=text,
        soft=lambda row: metric_interval(metric, row),
    )


def untested(row: Row) -> str:
    """What stands in place of a score."""
    return {"new": "not started"}.get(row.status, row.status)


def _accuracy(row: Row) -> str:
    if not row.tested:
        return untested(row)
    return percent(row.top1) + ("" if row.top1_std is None else f" ± {percent(row.top1_std)}")


def _size(row: Row) -> str:
    if row.image_size is None:
        return ""
    off = row.native_size is not None and row.native_size != row.image_size
    return f"{row.image_size}{'*' if off else ''}"


def _temperature(row: Row) -> str:
    if row.temperature is None:
        return ""
    return "1" if row.temperature_shown is False else f"{row.temperature:.2f}"


def rank_text(row: Row) -> str:
    """ "1", "1–3"; "" where not tested."""
    if row.rank is None:
        return ""
    low, high = row.rank
    return str(low) if low == high else f"{low}–{high}"


BELOW = "↳ "
"""Before a probe that stands below its model."""
AGAINST = "points against"
MODEL = Column(
    "model", "model", "model", _on("table", "results", "costs", "scores"),
    lambda row: f"{BELOW if row.probe_of else ''}{row.model}", numeric=False,
)  # fmt: skip
RANK = Column(
    "rank", "rank", "rank", _on("table", "results"), rank_text,
    legend="rank: a range where the pictures cannot tell models apart",
)  # fmt: skip
TOP1 = Column(
    "top1", "top-1 %\n[95 % CI]", "right, %", _on("table", "results"), _accuracy,
    lambda row: metric_interval(BY_NAME["top1"], row),
)  # fmt: skip
_OTHERS = [metric for metric in METRICS if metric.name != "top1"]
COLUMNS = (
    MODEL,
    RANK,
    TOP1,
    *(metric_column(metric) for metric in _OTHERS if metric.prominent),
    Column(
        "params_m", "params\nM", "params, M", _on("table", "results", "costs"), _number("params_m", amount)
    ),
    Column("gmacs", "GMACs", "GMACs", _on("table", "results", "costs"), _number("gmacs", amount)),
    Column(
        "train_images_per_second", "train\nimg/s", "training, img/s", _on("table", "costs"),
        _number("train_images_per_second"),
    ),
    Column(
        "latency_ms_p50", "ms/\nimg", "ms per picture", _on("table", "results", "costs"),
        _number("latency_ms_p50"), legend="ms/img: latency of one picture, median, decoding left out",
    ),
    Column("latency_ms_p95", "", "ms, 95th %", _on("costs"), _number("latency_ms_p95")),
    *(metric_column(metric) for metric in _OTHERS if not metric.prominent),
    Column(
        "seconds_per_epoch", "s/\nepoch", "s per epoch", _on("table", "costs"),
        _number("seconds_per_epoch"),
    ),
    Column(
        "image_size", "px", "input, px (* not its native size)", _on("table", "costs"), _size,
        legend="px*: not the model's native size",
    ),
    Column("seeds", "seeds", "seeds", _on("table", "results"), lambda row: str(len(row.seeds) or "")),
    Column(
        "peak_memory_mb", "peak\nMB", "peak memory, MB", _on("table", "costs"), _number("peak_memory_mb"),
        legend="peak MB on a CPU: the whole process, what earlier models left in it included",
    ),
    Column("device", "", "device", _on("costs"), lambda row: row.device, numeric=False),
    Column(
        "ece", "", "calibration error (by chance below)", _on("scores"),
        lambda row: "" if row.ece is None or row.ece_null is None else f"{row.ece:.3f}",
        lambda row: "" if row.ece_null is None else f"({row.ece_null:.3f})",  # alone the error misleads
    ),
    Column(
        "temperature", "", "temperature", _on("scores"), _temperature,
        lambda row: "val cannot tell" if row.temperature_shown is False else "",
    ),
    Column(
        "loss_tempered", "", "log loss with it", _on("scores"),
        _number("loss_tempered", BY_NAME["loss"].shown),
    ),
    Column(
        "pretrained_on", "pretrained on", "pretrained on", _on("table", "results"),
        lambda row: row.pretrained_on or row.init, numeric=False,
    ),
    Column(
        "arm", "arm", "arm", _on("table", "results"),
        lambda row: "" if row.status == "majority" or row.probe_of else arm_word(row.arm), numeric=False,
    ),
    Column("trains", "trains", "", _on("table"), lambda row: row.of, numeric=False),
)  # fmt: skip
"""From the most to the least needed: a narrow screen shows the first ones."""
OF_ARMS = frozenset({"arm", "trains"})
"""Columns of a comparison that has arms."""


def columns_of(comparison: Comparison, place: Place) -> list[Column]:
    """The columns that have something in this table; with a baseline the difference from it stands first."""
    rows = rows_of(comparison, place)
    arms = any(row.arm for row in rows)
    several = place == "table" or any(len(row.seeds) > 1 for row in rows)
    found = [
        column
        for column in COLUMNS
        if place in column.on
        and (arms or column.name not in OF_ARMS)
        and (several or column.name != "seeds")
        and (column in (MODEL, TOP1) or any(column.text(row) for row in rows))
    ]
    if place != "table" or not comparison.options.baseline:
        return found
    return [MODEL, TOP1, _against(comparison), *(c for c in found if c not in (MODEL, RANK, TOP1))]


def _against(comparison: Comparison) -> Column:
    """The difference from the baseline."""
    baseline, gains = comparison.options.baseline, {}
    for pair in comparison.pairs:
        other = pair.model_a if pair.model_b == baseline else pair.model_b
        value, low, high = pair.gain_of(other)
        mark = " *" if pair.distinguishable else ""
        gains[other] = f"{points(value)} [{points(low)}, {points(high)}]{mark}"
    return Column(
        "difference", f"{AGAINST}\n{baseline}", "", _on("table"), lambda row: gains.get(row.model, ""),
        legend=f"{AGAINST}: with 95 % CI; * distinguishable",
    )  # fmt: skip


def rows_of(comparison: Comparison, place: Place) -> list[Row]:
    """The rows of a table: models, then, where accuracy or another score stands, the majority."""
    majority = [comparison.majority] if comparison.majority and place != "costs" else []
    rows = [*comparison.rows, *majority]
    return rows if place in ("table", "results") else [row for row in rows if row.tested]


def screen_text(column: Column, row: Row) -> str:
    """The cell on a screen: of accuracy with its interval."""
    return f"{column.text(row)} {column.soft(row)}".strip() if column is TOP1 else column.text(row)
