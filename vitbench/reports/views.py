"""The tables of the report page: what stands in each cell, what it is sorted by, which bar it has."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vitbench.comparison.arms import arm_word
from vitbench.comparison.pairs import Pair
from vitbench.comparison.rows import Row, rank_text
from vitbench.comparison.table import Comparison
from vitbench.comparison.words import amount, nats, p_digits, p_text, points
from vitbench.records import percent
from vitbench.reports.cells import Axis, Bar, Cell, Head, Line, Table, interval, kept, number
from vitbench.reports.report import Badge, Report

MOST_CONFUSED = 12
"""Confusions listed."""
MOST_CLASSES = 60
"""Classes whose recall is listed, the hardest ones."""


# --- models -----------------------------------------------------------------------------------------


def results_table(report: Report) -> Table:
    """The models by accuracy, intervals as bars on one axis, the floor last."""
    comparison = report.comparison
    assert comparison is not None
    rows = [*comparison.rows, *([comparison.floor] if comparison.floor else [])]
    scored = [row for row in comparison.rows if row.top1 is not None]
    bounds = [
        value for row in scored for value in (row.top1_low, row.top1, row.top1_high) if value is not None
    ]
    axis = Axis.over(bounds)
    floor = comparison.floor.top1 if comparison.floor else None
    heads = (
        Head("model", numeric=False),
        Head("rank"),
        Head("right, %", axis=axis.ends),
        Head("params, M"),
        Head("GMACs"),
        Head("ms per picture"),
        Head("seeds"),
        Head("pretrained on", numeric=False),
        Head("arm", numeric=False),
    )
    arms = any(row.arm for row in rows)
    several = any(len(row.seeds) > 1 for row in rows)
    lines = [
        Line(
            (
                _model(row, report.badges),
                Cell(row.rank_text, None if row.rank is None else row.rank[0] + row.rank[1] / 1000),
                _accuracy(row, axis, floor),
                number(row.params_m, _amount(row.params_m)),
                number(row.gmacs, _amount(row.gmacs)),
                number(row.latency_ms_p50, _short(row.latency_ms_p50)),
                Cell(str(len(row.seeds)), len(row.seeds)) if several and row.seeds else Cell(""),
                Cell(row.pretrained_on or row.init),
                Cell(arm_word(row.arm) if arms and not _kind(row) else ""),
            ),
            _kind(row),
        )
        for row in rows
    ]
    return kept("results", "Accuracy on the test pictures", heads, lines)


def _kind(row: Row) -> str:
    return "floor" if row.status == "floor" else "beside" if row.probe_of else ""


def _model(row: Row, badges: Sequence[Badge] = ()) -> Cell:
    below = row.timm_name if row.timm_name != row.model else ""
    return Cell(row.model, below=below, badges=tuple(b for b in badges if b.model == row.model))


def _accuracy(row: Row, axis: Axis, floor: float | None) -> Cell:
    if row.top1 is None:
        return Cell("not started" if row.status == "new" else row.status)
    std = "" if row.top1_std is None else f" ± {percent(row.top1_std)}"
    bar = axis.bar(row.top1_low, row.top1_high, row.top1, floor) if row.top1 >= axis.low else None
    return Cell(f"{percent(row.top1)}{std}", row.top1, interval(row.top1_low, row.top1_high), bar)


def _short(value: float | None) -> str:
    """Three significant digits, no exponent."""
    if value is None:
        return "–"
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _amount(value: float | None) -> str:
    return "–" if value is None else amount(value)


def cost_table(comparison: Comparison) -> Table:
    """What each model costs: size, work, time, memory."""
    heads = (
        Head("model", numeric=False),
        Head("input, px"),
        Head("params, M"),
        Head("GMACs"),
        Head("ms, median"),
        Head("ms, 95th %"),
        Head("training, img/s"),
        Head("s per epoch"),
        Head("peak memory, MB"),
        Head("device", numeric=False),
    )
    lines = [
        Line(
            (
                Cell(row.model),
                number(row.image_size, str(row.image_size)),
                number(row.params_m, _amount(row.params_m)),
                number(row.gmacs, _amount(row.gmacs)),
                number(row.latency_ms_p50, _short(row.latency_ms_p50)),
                number(row.latency_ms_p95, _short(row.latency_ms_p95)),
                number(row.train_images_per_second, _short(row.train_images_per_second)),
                number(row.seconds_per_epoch, _short(row.seconds_per_epoch)),
                number(row.peak_memory_mb, _short(row.peak_memory_mb)),
                Cell(row.device),
            ),
            _kind(row),
        )
        for row in comparison.rows
        if row.top1 is not None
    ]
    return kept("costs", "What each model costs", heads, lines)


def scores_table(comparison: Comparison) -> Table:
    """Log loss and Brier first, then what leans on single answers, then calibration."""
    heads = (
        Head("model", numeric=False),
        Head("log loss"),
        Head("Brier score"),
        Head("macro F1, %"),
        Head("balanced accuracy, %"),
        Head("calibration error (by chance below)"),
        Head("temperature"),
        Head("log loss with it"),
    )
    rows = [row for row in (*comparison.rows, comparison.floor) if row is not None and row.top1 is not None]
    lines = [
        Line(
            (
                Cell(row.model),
                number(row.loss, soft=interval(row.loss_low, row.loss_high, 1, 3)),
                number(row.brier, soft=interval(row.brier_low, row.brier_high, 1, 3)),
                _share(row.macro_f1, row.macro_f1_low, row.macro_f1_high),
                _share(row.balanced_accuracy, row.balanced_accuracy_low, row.balanced_accuracy_high),
                _calibration(row),
                _temperature(row),
                number(row.loss_tempered),
            ),
            _kind(row),
        )
        for row in rows
    ]
    return kept("scores", "Other scores, and how far the probabilities can be believed", heads, lines)


def _share(value: float | None, low: float | None, high: float | None) -> Cell:
    return number(value, percent(value), interval(low, high))


def _temperature(row: Row) -> Cell:
    if row.temperature_shown is False:
        return number(row.temperature, "1", "val cannot tell")
    return number(row.temperature, None if row.temperature is None else f"{row.temperature:.2f}")


def _calibration(row: Row) -> Cell:
    """The calibration error only beside what chance gives: alone it misleads."""
    if row.ece is None or row.ece_null is None:
        return Cell("–")
    return Cell(f"{row.ece:.3f}", row.ece, f"({row.ece_null:.3f})")


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
        Head("first − second, points", axis=ends),
        Head("only first right"),
        Head("only second right"),
        Head("p, corrected" if any(pair.family > 1 for pair in pairs) else "p"),
        Head("verdict", numeric=False),
        Head("log loss, first − second"),
    )
    lines = [
        Line(
            (
                Cell(pair.model_a),
                Cell(pair.model_b),
                Cell(
                    points(pair.difference), pair.difference, f"[{points(pair.low)}, {points(pair.high)}]",
                    axis.bar(pair.low, pair.high, pair.difference, 0.0),
                ),
                number(pair.a_only, str(pair.a_only)),
                number(pair.b_only, str(pair.b_only)),
                Cell("< 0.001" if pair.p_adjusted < 0.001 else p_digits(pair.p_adjusted), pair.p_adjusted),
                Cell(_verdict(pair)),
                _loss(pair),
            )
        )
        for pair in pairs
    ]  # fmt: skip
    return kept(name, title, heads, lines)


def _loss(pair: Pair) -> Cell:
    """The difference in log loss with its corrected p-value."""
    loss = pair.score("loss")
    if loss.p_adjusted is None:
        return Cell("–")
    signed = f"{'−' if loss.difference < 0 else '+'}{nats(abs(loss.difference))}"
    lower = (
        f", lower is {pair.model_a if loss.difference < 0 else pair.model_b}" if pair.apart_in_loss else ""
    )
    return Cell(signed, loss.difference, f"{p_text(loss.p_adjusted)}{lower}")


def _verdict(pair: Pair) -> str:
    if not pair.stands:
        return "no verdict: leaks decide"
    if pair.distinguishable:
        return f"{pair.model_a} is better"
    if pair.kind == "equivalent" and pair.margin is not None:
        return f"equivalent within ±{100 * pair.margin:g} points"
    return "not distinguishable" + (", borderline" if pair.borderline else "")


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
        Head("test pictures"),
        *(Head(m, axis=("0", "100 %")) for m in models),
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
    heads = [Head("pictures of", numeric=False), Head("taken for", numeric=False), *(Head(m) for m in models)]
    if len(models) > 1:
        heads.append(Head("all"))
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


# --- answers to new photos, and looks ---------------------------------------------------------------


def new_scores_table(report: Report) -> Table | None:
    """How often each run was right on new photos; None where no class is known."""
    if not report.scores:
        return None
    axis = Axis.over([value for score in report.scores for value in (score.low, score.high)])
    heads = (Head("model", numeric=False), Head("right, %", axis=axis.ends), Head("right"), Head("of"))
    lines = tuple(
        Line(
            (
                Cell(score.run),
                Cell(
                    percent(score.top1), score.top1, interval(score.low, score.high),
                    axis.bar(score.low, score.high, score.top1),
                ),
                Cell(str(score.correct), score.correct),
                Cell(str(score.n), score.n),
            )
        )
        for score in report.scores
    )  # fmt: skip
    return Table("results", "Accuracy where the class is known", heads, lines)


def agreement_table(report: Report) -> Table | None:
    """How often every two runs agreed; None for one run."""
    lines = tuple(
        Line(
            (
                Cell(one.run_a),
                Cell(one.run_b),
                Cell(percent(one.same / one.n) if one.n else "–", one.same / one.n if one.n else None),
                Cell(str(one.same), one.same),
                Cell(str(one.n), one.n),
            )
        )
        for one in report.agreements
    )
    heads = (
        Head("model", numeric=False), Head("and", numeric=False), Head("same answer, %"), Head("photos"),
        Head("of"),
    )  # fmt: skip
    return Table("agreements", "How often they agree", heads, lines) if lines else None


def clean_table(comparison: Comparison) -> Table | None:
    """The accuracies without the test pictures that training knows; None where it knows none."""
    lines = tuple(
        Line(
            (
                Cell(one.model),
                Cell(rank_text(one.rank)),
                Cell(percent(one.top1), one.top1, interval(one.low, one.high)),
                Cell(str(one.n), one.n),
            )
        )
        for one in comparison.clean
    )
    heads = (Head("model", numeric=False), Head("rank"), Head("right, %"), Head("of test pictures"))
    return Table("clean", "Accuracy without the copies", heads, lines) if lines else None


def looks_table(comparison: Comparison) -> Table | None:
    """How often test pictures were looked at; None where nothing was counted."""
    lines = tuple(
        Line(
            (
                Cell(one.model),
                Cell(one.by),
                Cell(str(one.times), one.times),
                Cell(str(one.pictures), one.pictures),
            )
        )
        for one in comparison.looks
    )
    heads = (Head("model", numeric=False), Head("by", numeric=False), Head("times"), Head("pictures, in all"))
    return Table("looks", "Looks at the test pictures", heads, lines) if lines else None
