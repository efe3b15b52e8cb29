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
from vitbench.narrative.words import amount, measured, points
from vitbench.records import decimals, percent

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
    """On a screen, one line."""
    title: str
    """On the page; "" where it stands on a screen alone."""
    on: frozenset[Place]
    text: Text
    """"" where there is nothing."""
    soft: Text = NOTHING
    """Set lighter behind it on the page: an interval."""
    numeric: bool = True
    meaning: str = ""
    """What it is, one line that goes on from its name; plain words first."""

    def key(self, row: Row) -> float | None:
        """What the page sorts a row by."""
        if self.name == "rank":
            return None if row.rank is None else row.rank[0] + row.rank[1] / 1000
        value = row.cells().get(self.name)
        return float(value) if isinstance(value, int | float) else None


def _on(*places: Place) -> frozenset[Place]:
    return frozenset(places)


def _number(name: str, shown: Callable[[float], str] = measured) -> Text:
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
    return "" if one is None else interval(one.low, one.high, lambda value: metric.shown(value, row.n_test))


def metric_column(metric: Metric) -> Column:
    """The column that a row of `METRICS` has."""
    unit = " %" if metric.percent else ""

    def text(row: Row) -> str:
        one = row.metrics.get(metric.name)
        return "" if one is None else metric.shown(one.value, row.n_test)

    return Column(
        name=metric.name,
        heading=f"{metric.heading}{unit}",
        title=f"{metric.title}{',' if unit else ''}{unit}",
        on=_on("table", "scores"),
        text=text,
        soft=lambda row: metric_interval(metric, row),
        meaning=metric.meaning,
    )


def untested(row: Row) -> str:
    """What stands in place of a score."""
    return {"new": "not started"}.get(row.status, row.status)


def _accuracy(row: Row) -> str:
    if not row.tested:
        return untested(row)
    digits = decimals(row.n_test)
    spread = "" if row.top1_std is None else f" ± {percent(row.top1_std, digits)}"
    return percent(row.top1, digits) + spread


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
MODEL = Column(
    "model", "model", "model", _on("table", "results", "costs", "scores"),
    lambda row: f"{BELOW if row.probe_of else ''}{row.model}", numeric=False,
    meaning="a probe is the same network frozen, under a linear head; majority: always the commonest class",
)  # fmt: skip
RANK = Column(
    "rank", "rank", "rank", _on("table", "results"), rank_text,
    meaning="its place among the models; a range where these pictures cannot tell models apart",
)  # fmt: skip
TOP1 = Column(
    "top1", "right % [95 %]", "right, %", _on("table", "results"), _accuracy,
    lambda row: metric_interval(BY_NAME["top1"], row),
    meaning=f"{BY_NAME['top1'].meaning}; [95 %]: where the true share lies, wrong 1 time in 20",
)  # fmt: skip
_METRICS = {metric.name: metric_column(metric) for metric in METRICS}
COLUMNS = (
    MODEL,
    RANK,
    TOP1,
    _METRICS["loss"],
    Column(
        "params_m", "params M", "params, M", _on("table", "results", "costs"), _number("params_m", amount),
        meaning="size: millions of weights",
    ),
    Column(
        "latency_ms_p50", "ms/img", "ms per picture", _on("table", "results", "costs"),
        _number("latency_ms_p50"), meaning="time for one picture alone, in the middle; decoding left out",
    ),
    Column(
        "gmacs", "GMACs", "GMACs", _on("table", "results", "costs"), _number("gmacs", amount),
        meaning="work: billions of multiplications with addition for one picture",
    ),
    Column(
        "train_images_per_second", "train img/s", "training, img/s", _on("table", "costs"),
        _number("train_images_per_second"), meaning="pictures a second in training; of a probe, in reading",
    ),
    Column(
        "image_size", "px", "input, px (* not its native size)", _on("table", "costs"), _size,
        meaning="side of the pictures that it sees; *: not the size that it was made for",
    ),
    *(column for name, column in _METRICS.items() if name not in ("top1", "loss")),
    Column(
        "latency_ms_p95", "", "ms, 95th %", _on("costs"), _number("latency_ms_p95"),
        meaning="time for one picture that 95 of 100 stay under",
    ),
    Column(
        "seconds_per_epoch", "s/epoch", "s per epoch", _on("table", "costs"), _number("seconds_per_epoch"),
        meaning="seconds of one pass through the training views",
    ),
    Column(
        "seeds", "seeds", "seeds", _on("table", "results"), lambda row: str(len(row.seeds) or ""),
        meaning="trainings that differ in chance alone; scores are their means, ± their standard deviation",
    ),
    Column(
        "peak_memory_mb", "peak MB", "peak memory, MB", _on("table", "costs"), _number("peak_memory_mb"),
        meaning="most memory; on a CPU of the whole process, what earlier models left in it included",
    ),
    Column("device", "", "device", _on("costs"), lambda row: row.device, numeric=False),
    Column(
        "ece", "", "calibration error (by chance below)", _on("scores"),
        lambda row: "" if row.ece is None or row.ece_null is None else f"{row.ece:.3f}",
        lambda row: "" if row.ece_null is None else f"({row.ece_null:.3f})",  # alone the error misleads
        meaning="how far confidence and accuracy lie apart (ECE); in brackets how far chance alone can",
    ),
    Column(
        "temperature", "", "temperature", _on("scores"), _temperature,
        lambda row: "val cannot tell" if row.temperature_shown is False else "",
        meaning="what the logits are divided by to mend the confidence, fitted on val; over 1: too sure",
    ),
    Column(
        "loss_tempered", "", "log loss with it", _on("scores"),
        lambda row: "" if row.loss_tempered is None else BY_NAME["loss"].shown(row.loss_tempered, row.n_test),
        meaning="log loss at that temperature",
    ),
    Column(
        "pretrained_on", "pretrained on", "pretrained on", _on("table", "results"),
        lambda row: row.pretrained_on or row.init, numeric=False, meaning="where its first weights came from",
    ),
    Column(
        "arm", "arm", "arm", _on("table", "results"),
        lambda row: "" if row.status == "majority" or row.probe_of else arm_word(row.arm), numeric=False,
        meaning="the way in which it was trained",
    ),
    Column(
        "trains", "trains", "", _on("table"), lambda row: row.of, numeric=False,
        meaning="the model that was trained in this way",
    ),
)  # fmt: skip
"""From the most to the least needed: what does not fit on a screen goes from the end."""
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
        gains[other] = f"{points(value, pair.n)} [{points(low, pair.n)}, {points(high, pair.n)}]{mark}"
    return Column(
        "difference", f"points against {baseline}", "", _on("table"), lambda row: gains.get(row.model, ""),
        meaning="how many more pictures of 100 are right, [95 % interval]; *: told apart",
    )  # fmt: skip


def rows_of(comparison: Comparison, place: Place) -> list[Row]:
    """The rows of a table: models, then, where accuracy or another score stands, the majority."""
    majority = [comparison.majority] if comparison.majority and place != "costs" else []
    rows = [*comparison.rows, *majority]
    return rows if place in ("table", "results") else [row for row in rows if row.tested]


def screen_text(column: Column, row: Row) -> str:
    """The cell on a screen: of accuracy with its interval."""
    return f"{column.text(row)} {column.soft(row)}".strip() if column is TOP1 else column.text(row)
