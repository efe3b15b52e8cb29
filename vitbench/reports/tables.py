"""The comparison as lines of text: the table, as many columns as fit, and all sentences below it."""

from collections.abc import Sequence

from rich.cells import cell_len

from vitbench.comparison.arms import arm_by_arm, arm_means, arm_word
from vitbench.comparison.measured import Row
from vitbench.comparison.nouns import Comparison
from vitbench.files import printable
from vitbench.inference.metrics import METRICS
from vitbench.narrative.narrate import Narrative, narrate
from vitbench.narrative.verdicts import tied_verdict
from vitbench.narrative.words import listed, pictures
from vitbench.records import decimals, percent
from vitbench.reports.columns import (
    MODEL,
    RANK,
    TOP1,
    Column,
    columns_of,
    metric_interval,
    rows_of,
    screen_text,
)
from vitbench.reports.html_cells import Axis
from vitbench.reports.lines import (
    BETWEEN,
    GOOD_BAR,
    LEAST_BAR,
    MOST_BAR,
    Line,
    axis_head,
    drawn,
    shortened,
    tabulated,
    wrapped,
)
from vitbench.reports.meanings import MEANINGS

TERMS = {
    " points": "differences of shares: 3 points are 3 pictures more of 100",
    "interval": MEANINGS["interval"],
    "p = ": MEANINGS["p"],
    "corrected": "p is made larger for the number of pairs, so that it holds for all of them at once",
    "McNemar": MEANINGS["McNemar"],
    "exact test over groups": "the same, with pictures that stand together counted as one",
    "t over": "a test on the means over pictures and trainings",
    "ECE": "how far confidence and accuracy lie apart; calibrated models stay under the number in brackets",
    "temperature": "what mends the confidence, fitted on val; over 1: the model is too sure",
}
"""What words of the sentences mean, one line each."""


def details(comparison: Comparison, width: int = 80) -> list[Line]:
    """The answer, the table, then everything that there is to say, for a terminal of `width` cells."""
    table, shown = table_lines(comparison, width)
    lines = [*wrapped(narrate(comparison).answer, width), Line(""), *table]
    for sentence in sentences(comparison, shown):
        lines += wrapped(sentence, width, then="  " if sentence.startswith("- ") else "")
    return lines


# --- the table ------------------------------------------------------------------------------------


def table_lines(
    comparison: Comparison, width: int, *, probes: bool = True, brief: bool = False
) -> tuple[list[Line], list[Column]]:
    """Head, rule, and a line per model, at most `width` cells, and the columns that it shows.

    The interval of accuracy is drawn behind its figures where there is room for it. Probes beside their
    models may be left out; `brief`: names are shortened before columns go.
    """
    rows = [row for row in rows_of(comparison, "table") if probes or not row.probe_of]
    names = _names(comparison, width, brief)
    shown = fitting(comparison, width, max(map(cell_len, names.values())))
    cells = [[screen_text(c, row) for c in shown] for row in rows]
    for row, line in zip(rows, cells, strict=True):
        line[0] = names[row.model]
    grid = [[column.heading for column in shown], *([printable(cell) for cell in line] for line in cells)]
    right = [column.numeric for column in shown]
    room = width - sum(max(map(cell_len, column)) + len(BETWEEN) for column in zip(*grid, strict=True))
    if room >= LEAST_BAR and any(row.tested for row in rows):
        place = shown.index(TOP1) + 1
        right.insert(place, False)
        for line, bar in zip(grid, _bars(rows, min(room, MOST_BAR)), strict=True):
            line.insert(place, bar)
    light = [row.status == "majority" or bool(row.probe_of) for row in rows]
    return tabulated(grid[0], grid[1:], right, light), shown


def _bars(rows: Sequence[Row], cells: int) -> list[str]:
    """The intervals of accuracy on one axis, its head first; the majority is drawn where the axis has it."""
    ends = [
        end
        for row in rows
        if row.tested and row.status != "majority"
        for end in (row.top1_low, row.top1, row.top1_high)
        if end is not None
    ]
    axis = Axis.over(ends)
    bars = (drawn(axis, row.top1_low, row.top1, row.top1_high, cells) for row in rows)
    return [axis_head(axis, cells), *bars]


def fitting(comparison: Comparison, width: int, name: int) -> list[Column]:
    """The columns whose cells fit beside names of so many cells, from the most to the least needed.

    A drawn interval comes before all but name, rank and accuracy, a good one before what is not `NEEDED`.
    """
    rows, columns = rows_of(comparison, "table"), columns_of(comparison, "table")

    def width_of(column: Column) -> int:
        return max(map(cell_len, [column.heading, *(screen_text(column, row) for row in rows)])) + len(
            BETWEEN
        )

    kept, used = [], name + width_of(TOP1)
    for column in columns:
        bar = GOOD_BAR if column.name not in NEEDED else 0 if column.name == RANK.name else LEAST_BAR
        room = width - (bar + len(BETWEEN) if bar and comparison.tested else 0)
        if column in (MODEL, TOP1):
            kept.append(column)
        elif used + width_of(column) <= room:
            kept.append(column)
            used += width_of(column)
        else:
            break
    return [column for column in columns if column in kept or column in (MODEL, TOP1)]


NEEDED = frozenset({"rank", "difference", "loss", "params_m", "latency_ms_p50"})
"""Columns that a screen of 80 cells shows."""
BRIEF = 0.35
"""Of the width, for a name."""


def _names(comparison: Comparison, width: int, brief: bool) -> dict[str, str]:
    """What stands for each row's name: whole, but where there is no room for it; the majority's class too."""
    rows = rows_of(comparison, "table")
    accuracies = max(map(cell_len, [TOP1.heading, *(screen_text(TOP1, row) for row in rows)]))
    room = max(9, width - accuracies - len(BETWEEN))
    whole = {row.model: printable(MODEL.text(row)) for row in comparison.rows}
    names = {model: shortened(name, room) for model, name in whole.items()}
    short = {model: shortened(name, min(room, round(BRIEF * width))) for model, name in whole.items()}
    if brief and len(set(short.values())) == len(short):
        names = short
    if majority := comparison.majority:
        longest = max([9, *map(cell_len, names.values())])
        said = printable(majority.model)
        names[majority.model] = said if cell_len(said) <= longest else said.partition(" (")[0]
    return names


# --- the sentences --------------------------------------------------------------------------------


def sentences(comparison: Comparison, shown: Sequence[Column] | None = None) -> list[str]:
    """What stands under answer and table, one paragraph each; shown: the table's columns, all by default."""
    told, every = narrate(comparison), columns_of(comparison, "table")
    head = f"{comparison.name}: {pictures(comparison.n_test)}, {len(comparison.classes)} classes"
    lines = ["", f"{head}; {comparison.split_rule}" if comparison.split_rule else head]
    lines += [f"Next: {told.advice}"] if told.advice else []
    lines += [f"- {verdict}." for verdict in (*_verdicts(comparison, told), *told.probe_verdicts)]
    lines += [line for line in (told.loss, told.gap, told.detect, told.sizes) if line]
    lines += [*arm_lines(comparison, told), *_titled("What the teacher taught:", told.distillation)]
    if comparison.tested:
        over = "pictures" if comparison.groups is None else "groups of pictures"
        lower = listed([metric.heading for metric in METRICS if metric.lower_is_better])
        lines += ["", f"Other scores, lower {lower} are better [95 % interval over {over}]:"]
        lines += [f"- {other_scores(row)}." for row in comparison.rows if row.tested]
    lines += _titled("To know:", told.notes)
    lines += _titled("What each number is:", _legend(shown or every, " ".join(lines)))
    left = _left_out(comparison, every, shown or every)
    return [*lines, "", f"{left}."] if left else lines


def _verdicts(comparison: Comparison, told: Narrative) -> list[str]:
    """On each pair of two models a sentence, on all that cannot be told apart one; without those of arms."""
    said = [
        (pair, verdict)
        for pair, verdict in zip(comparison.pairs, told.verdicts, strict=True)
        if pair not in comparison.arms
    ]
    tied = [pair for pair, _ in said if pair.kind == "not distinguishable" and pair.stands]
    if len(tied) < 2:
        return [verdict for _, verdict in said]
    return [*(verdict for pair, verdict in said if pair not in tied), tied_verdict(tied)]


def _legend(shown: Sequence[Column], text: str) -> list[str]:
    """What every column and every term of the text means, a line each."""
    of_columns = [f"{column.heading}: {column.meaning}" for column in shown]
    of_terms = [f"{term.strip(' =')}: {meaning}" for term, meaning in TERMS.items() if term in text]
    return [*of_columns, *of_terms]


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *(f"- {line}." for line in lines)] if lines else []


def arm_lines(comparison: Comparison, told: Narrative) -> list[str]:
    """Each model under its arms, then arm against arm; [] without arms."""
    models = arm_by_arm(comparison.rows, comparison.arms)
    if not models:
        return []
    lines = ["", "Arm by arm, right % [95 % interval], * better than every other arm of its model:"]
    for model in models:
        cells = [
            f"{arm_word(arm)} {screen_text(TOP1, row)}{' *' if arm == model.best else ''}"
            for arm, row in model.rows.items()
        ]
        lines.append(f"- {model.model}: {', '.join(cells)}.")
    if means := arm_means(models):
        digits = decimals(comparison.n_test)
        each = ", ".join(f"{arm_word(arm)} {percent(mean, digits)}" for arm, mean in means.items())
        lines.append(f"- Plain mean over {len(models)} models: {each}.")
    return [*lines, *(f"- {verdict}." for verdict in told.arm_verdicts)]


def other_scores(row: Row) -> str:
    """A tested model's scores beside accuracy, each with its interval, and how far it can be believed."""
    shown, n = [], row.n_test
    for metric in METRICS:
        if metric.name != "top1" and (one := row.metrics.get(metric.name)):
            limits = metric_interval(metric, row)
            text = f"{metric.heading} {metric.shown(one.value, n)}{f' {limits}' if limits else ''}"
            shown.append(f"{text} %" if metric.percent else text)
    if row.temperature_shown is False:
        shown.append("temperature 1 (val cannot tell a better one)")
    elif row.temperature is not None and row.loss_tempered is not None:
        tempered = f"{row.loss_tempered:.{2 + decimals(n)}f}"
        shown.append(f"loss {tempered} at temperature {row.temperature:.2f}, fitted on val")
    if row.ece is not None and row.ece_null is not None:
        ece, null = percent(row.ece, decimals(n)), percent(row.ece_null, decimals(n))
        shown.append(f"ECE {ece} % (calibrated models: up to {null})")
    return f"{row.model}: {', '.join(shown)}"


def _left_out(comparison: Comparison, every: Sequence[Column], shown: Sequence[Column]) -> str:
    """How many columns with something in them are not shown, and where they are; "" if none."""
    kept = {column.name for column in shown}
    left = [column for column in every if column.name not in kept]
    where = "in comparison.md" if RANK in left else "in comparison.csv"
    if len(comparison.benchmarks) > 1:
        where = "on a wider screen"  # no files are written
    return f"{len(left)} more column{'' if len(left) == 1 else 's'} {where}" if left else ""
