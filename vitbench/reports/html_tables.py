"""The tables of the report page: what stands in each cell, what it is sorted by, which bar it has."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vitbench.comparison.measured import Pair, Row
from vitbench.comparison.nouns import Comparison, Outlook
from vitbench.inference.metrics import BY_NAME, METRICS, Metric
from vitbench.narrative.outlook import minutes_text, remedy_means, remedy_outcome, remedy_title
from vitbench.narrative.words import least_points, nats, p_cell, p_text, points
from vitbench.records import percent
from vitbench.reports.columns import MODEL, TOP1, Column, Place, columns_of, interval, rank_text, rows_of
from vitbench.reports.html_cells import Axis, Bar, Cell, Head, Line, Table, kept, number, plain
from vitbench.reports.meanings import MEANINGS, meant
from vitbench.reports.report import Badge, Report

MOST_CONFUSED = 12
"""Confusions listed."""
MOST_CLASSES = 60
"""Classes whose recall is listed, the hardest ones."""


# --- models -----------------------------------------------------------------------------------------


def models_table(
    comparison: Comparison, place: Place, name: str, title: str, badges: Sequence[Badge] = ()
) -> Table | None:
    """A line per model with the columns that stand in this place; None without any."""
    columns, rows = columns_of(comparison, place), rows_of(comparison, place)
    scored = [row for row in comparison.rows if row.tested]
    axis = Axis.over([v for row in scored for v in (row.top1_low, row.top1, row.top1_high) if v is not None])
    majority = comparison.majority.top1 if comparison.majority else None

    def cell(column: Column, row: Row) -> Cell:
        if column is MODEL:
            below = row.timm_name if row.timm_name != row.model and place == "results" else ""
            return Cell(row.model, below=below, badges=tuple(b for b in badges if b.model == row.model))
        text = column.text(row) or ("–" if column.numeric else "")
        if column is not TOP1 or row.top1 is None:
            return Cell(text, column.key(row) if column.numeric else None, column.soft(row))
        bar = axis.bar(row.top1_low, row.top1_high, row.top1, majority) if row.top1 >= axis.low else None
        return Cell(text, row.top1, column.soft(row), bar)

    heads = (Head(c.title, c.numeric, axis.ends if c is TOP1 else None, meaning=_meaning(c)) for c in columns)
    lines = (Line(tuple(cell(column, row) for column in columns), _kind(row)) for row in rows)
    return Table(name, title, tuple(heads), tuple(lines)) if rows else None


def _meaning(column: Column) -> str:
    if column.name in BY_NAME:
        return BY_NAME[column.name].meaning  # of its interval the page tells by itself
    return column.meaning if column.numeric else ""


def _kind(row: Row) -> str:
    return "light" if row.status == "majority" else "beside" if row.probe_of else ""


# --- pairs ------------------------------------------------------------------------------------------


def pairs_table(pairs: Sequence[Pair], name: str, title: str) -> Table:
    """Every pair's difference with its interval as a bar around zero, the test, and what it decides."""
    reach = max((abs(value) for pair in pairs for value in (pair.low, pair.high)), default=0.0)
    reach = max(0.05, math.ceil(20 * reach) / 20)  # steps of five points
    axis = Axis(-reach, reach)
    ends = (f"−{100 * reach:.0f}", f"+{100 * reach:.0f} points")
    heads = (
        Head("first", numeric=False),
        Head("second", numeric=False),
        meant("first − second, points", ends),
        meant("only first right"),
        meant("only second right"),
        meant("p, corrected" if any(pair.family > 1 for pair in pairs) else "p"),
        Head("verdict", numeric=False),
        meant("log loss, first − second"),
    )
    lines = [
        Line(
            (
                Cell(pair.model_a),
                Cell(pair.model_b),
                Cell(
                    points(pair.difference, pair.n), pair.difference,
                    f"[{points(pair.low, pair.n)}, {points(pair.high, pair.n)}]",
                    axis.bar(pair.low, pair.high, pair.difference, 0.0),
                ),
                number(pair.a_only, str(pair.a_only)),
                number(pair.b_only, str(pair.b_only)),
                Cell(p_cell(pair.p_adjusted), pair.p_adjusted),
                Cell(_verdict(pair)),
                _loss(pair),
            )
        )
        for pair in pairs
    ]  # fmt: skip
    return kept(name, title, heads, lines)


def _loss(pair: Pair) -> Cell:
    """The difference in log loss with its corrected p-value."""
    if pair.loss is None:
        return Cell("–")
    value = pair.differences["loss"].value
    lower = f", lower is {pair.model_a if value < 0 else pair.model_b}" if pair.apart_in_loss else ""
    signed = f"{'−' if value < 0 else '+'}{nats(abs(value))}"
    return Cell(signed, value, f"{p_text(pair.loss.p_adjusted)}{lower}")


def _verdict(pair: Pair) -> str:
    if not pair.stands:
        return "no verdict: leaks decide"
    if pair.distinguishable:
        return f"{pair.model_a} is better"
    if pair.kind == "equivalent" and pair.margin is not None:
        return f"equivalent within ±{100 * pair.margin:g} points"
    return "not distinguishable" + (", borderline" if pair.borderline else "")


def differences_table(pairs: Sequence[Pair]) -> Table | None:
    """First − second in every other metric, with its interval; None without pairs."""
    metrics = [metric for metric in METRICS if any(metric.name in pair.differences for pair in pairs)]
    heads = (
        Head("first", False),
        Head("second", False),
        *(Head(_title(metric), meaning=f"{MEANINGS['difference']}: {metric.meaning}") for metric in metrics),
    )
    lines = []
    for pair in pairs:
        cells = []
        for metric in metrics:
            one, scale = pair.differences[metric.name], 100 if metric.percent else 1
            shown = _gain(metric, pair)
            cells.append(Cell(shown(one.value), scale * one.value, interval(one.low, one.high, shown)))
        lines.append(Line((Cell(pair.model_a), Cell(pair.model_b), *cells)))
    return (
        Table("differences", "First − second in the other scores", heads, tuple(lines)) if metrics else None
    )


def _gain(metric: Metric, pair: Pair) -> Callable[[float], str]:
    """How a difference in the metric is shown."""
    if metric.percent:
        return lambda value: points(value, pair.n)
    return lambda value: f"{value:+.3f}".replace("-", "−")


def _title(metric: Metric) -> str:
    return f"{metric.title}{', points' if metric.percent else ''}"


def outlook_table(outlook: Outlook) -> Table:
    """What would let a smaller gap show: now, then a line per way; the lead that was measured is marked."""
    gaps = [gap for gap in (outlook.gap, *(one.gap for one in outlook.remedies)) if gap is not None]
    most = max(0.05, math.ceil(20 * max([*gaps, outlook.difference])) / 20)  # steps of five points
    axis = Axis(0.0, most)

    def gap_cells(gap: float | None) -> tuple[Cell, Cell]:
        if gap is None:
            return Cell("–"), Cell("–")
        change = gap - outlook.gap if outlook.gap else 0.0
        bar = axis.bar(0.0, gap, gap, outlook.difference)
        return Cell(least_points(gap), gap, bar=bar), Cell(
            points(change, outlook.n) if change else "–", change
        )

    lines = [Line((Cell("as it is"), *gap_cells(outlook.gap), Cell("–"), Cell("")))]
    for one in outlook.remedies:
        what = Cell(remedy_title(one), below=remedy_means(one, outlook))
        minutes = Cell(minutes_text(one.minutes) or "–", one.minutes)
        gap = None if one.obstacle else one.gap
        cells = (what, *gap_cells(gap), minutes, Cell(remedy_outcome(one, outlook)))
        lines.append(Line(cells, "light" if one.helps is False else ""))
    heads = (
        Head("what one would do", False),
        meant("a lead that shows, points", ("0", f"{100 * most:.0f}")),
        meant("change"),
        meant("minutes of training"),
        Head("what would come of it", False),
    )
    return Table("outlook", "Ways to let a smaller lead show", heads, tuple(lines))


# --- classes ----------------------------------------------------------------------------------------


def recall_table(comparison: Comparison) -> Table | None:
    """Right answers per class and model, the hardest class first; None without recalls."""
    if not comparison.recalls:
        return None
    models = list(dict.fromkeys(recall.model for recall in comparison.recalls))
    by_class: dict[str, dict[str, Cell]] = {}
    numbers: dict[str, int] = {}
    for recall in comparison.recalls:
        bar = Bar(100 * recall.low, 100 * recall.high, 100 * recall.recall)
        cell = Cell(percent(recall.recall), recall.recall, interval(recall.low, recall.high), bar)
        by_class.setdefault(recall.label, {})[recall.model] = cell
        numbers[recall.label] = recall.n

    def mean(label: str) -> float:
        values = [cell.key or 0.0 for cell in by_class[label].values()]
        return sum(values) / len(values)

    heads = (
        Head("class", numeric=False),
        meant("test pictures"),
        *(Head(m, axis=("0", "100 %"), meaning=MEANINGS["recall"]) for m in models),
    )
    lines = tuple(
        Line(
            (
                Cell(label),
                Cell(str(numbers[label]), numbers[label]),
                *(by_class[label].get(m, Cell("–")) for m in models),
            )
        )
        for label in sorted(by_class, key=mean)[:MOST_CLASSES]
    )
    return Table("recalls", "Right answers per class, %", heads, lines)


def confused_table(report: Report) -> tuple[Table | None, int]:
    """The most frequent confusions over all models, and how many more there are."""
    models = [confusion.model for confusion in report.confusions]
    found: dict[tuple[str, str], dict[str, int]] = {}
    for confusion in report.confusions:
        for cell in confusion.cells:
            if cell.truth != cell.answer:
                found.setdefault((cell.truth, cell.answer), {})[confusion.model] = cell.count
    if not found:
        return None, 0
    counts_of = (Head(m, meaning=MEANINGS["confused"]) for m in models)
    heads = [Head("pictures of", numeric=False), Head("taken for", numeric=False), *counts_of]
    if len(models) > 1:
        heads.append(meant("all"))
    lines = []
    for (truth, answer), counts in sorted(found.items(), key=lambda item: -sum(item[1].values()))[
        :MOST_CONFUSED
    ]:
        cells = [Cell(str(counts.get(m, 0) or "·"), counts.get(m, 0)) for m in models]
        total = sum(counts.values())
        both = [*cells, Cell(str(total), total)] if len(models) > 1 else cells
        lines.append(Line((Cell(truth), Cell(answer), *both)))
    table = Table("confused", "Confusions, most frequent first", tuple(heads), tuple(lines))
    return table, max(0, len(found) - MOST_CONFUSED)


@dataclass(frozen=True)
class Matrix:
    """A model's confusions: a row per true class with (count, share of the class) per answer."""

    model: str
    rows: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]


def matrices(report: Report) -> list[Matrix]:
    """The confusion matrix of every model."""
    found = []
    for confusion in report.confusions:
        counts = {(cell.truth, cell.answer): cell.count for cell in confusion.cells}
        rows = []
        for truth in report.classes:
            line = [counts.get((truth, answer), 0) for answer in report.classes]
            total = max(sum(line), 1)
            rows.append((truth, tuple((count, count / total) for count in line)))
        found.append(Matrix(confusion.model, tuple(rows)))
    return found


# --- answers to new photos, leaks, evaluations ------------------------------------------------------


def new_scores_table(report: Report) -> Table | None:
    """How often each run was right on new photos; None where no class is known."""
    axis = Axis.over([value for score in report.scores for value in (score.low, score.high)])
    rows = (
        (score.run, _share(score.top1, score.low, score.high, axis), score.correct, score.n)
        for score in report.scores
    )
    heads = ("model", meant("right, %", axis.ends), meant("right"), meant("of"))
    return plain("results", "Accuracy where the class is known", heads, rows)


def agreement_table(report: Report) -> Table | None:
    """How often every two runs agreed; None for one run."""
    rows = (
        (one.run_a, one.run_b, _share(one.same / one.n) if one.n else Cell("–"), one.same, one.n)
        for one in report.agreements
    )
    heads = ("model", "and", meant("same answer, %"), meant("photos"), meant("of"))
    return plain("agreements", "Every two models on the same photos", heads, rows)


def leak_free_table(comparison: Comparison) -> Table | None:
    """The accuracies without the test pictures that training knows; None where it knows none."""
    rows = (
        (row.model, Cell(rank_text(row)), _share(row.top1, row.top1_low, row.top1_high), row.n_test)
        for row in comparison.leak_free
    )
    heads = ("model", meant("rank"), meant("right, %"), meant("of test pictures"))
    return plain("leak_free", "Accuracy without the copies", heads, rows)


def evaluations_table(comparison: Comparison) -> Table | None:
    """How often test pictures were evaluated on; None where nothing was counted."""
    rows = ((one.model, one.by, one.times, one.pictures) for one in comparison.evaluations)
    heads = ("model", "by", meant("times"), meant("pictures, in all"))
    return plain("evaluations", "Looks at the test pictures", heads, rows)


def _share(
    value: float | None, low: float | None = None, high: float | None = None, axis: Axis | None = None
) -> Cell:
    bar = None if axis is None or value is None else axis.bar(low, high, value)
    return Cell(percent(value), value, interval(low, high), bar)
