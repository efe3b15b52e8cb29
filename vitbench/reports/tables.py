"""The comparison on a screen: the table, as many columns as fit, and the sentences below it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vitbench import files
from vitbench.comparison.arms import arm_by_arm, arm_means, arm_word
from vitbench.comparison.measured import Row
from vitbench.comparison.nouns import Comparison
from vitbench.inference.metrics import METRICS
from vitbench.narrative.narrate import Narrative, narrate
from vitbench.narrative.words import listed, pictures
from vitbench.records import percent
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

if TYPE_CHECKING:
    from rich.console import RenderableType


def screen_table(comparison: Comparison, width: int = 80) -> "RenderableType":
    """The comparison for a terminal of `width` cells: table, answer, verdicts, smallest gap, notes.

    As many columns as fit, most needed first; all columns from about 170 cells on.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    shown = _fitting(comparison, width)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in shown:
        table.add_column(
            Text(column.heading),
            justify="right" if column.numeric else "left",
            overflow="fold",
            no_wrap=column is not MODEL,
            min_width=_name_width(comparison) if column is MODEL else None,
        )
    for row in rows_of(comparison, "table"):
        style = "dim" if row.status == "majority" or row.probe_of else ""
        table.add_row(*(Text(files.printable(screen_text(column, row))) for column in shown), style=style)
    return Group(table, *(Text(files.printable(line)) for line in sentences(comparison, shown)))


def sentences(comparison: Comparison, shown: Sequence[Column] | None = None) -> list[str]:
    """What stands under the table, one paragraph each; shown: the columns of the table, all by default."""
    told, every = narrate(comparison), columns_of(comparison, "table")
    head = f"{comparison.name}: {pictures(comparison.n_test)}, {len(comparison.classes)} classes"
    lines = ["", f"{head}; {comparison.split_rule}" if comparison.split_rule else head, told.answer]
    lines += [f"Next: {told.advice}"] if told.advice else []
    lines += [f"- {verdict}." for verdict in (*told.verdicts, *told.probe_verdicts)]
    lines += [line for line in (told.loss, told.gap, told.detect) if line]
    lines += [*arm_lines(comparison, told), *_titled("What the teacher taught:", told.distillation)]
    if comparison.tested:
        over = "images" if comparison.groups is None else "groups of images"
        lower = listed([metric.short for metric in METRICS if metric.lower_is_better])
        lines += ["", f"Other scores, lower {lower} are better [95 % CI over {over}]:"]
        lines += [f"- {other_scores(row)}." for row in comparison.rows if row.tested]
    lines += _titled("To know:", told.notes)
    legend = [column.legend for column in shown or every if column.legend]
    legend += _left_out(comparison, every, shown or every)
    return [*lines, "", ". ".join(legend) + "."] if legend else lines


def _titled(title: str, lines: Sequence[str]) -> list[str]:
    return ["", title, *(f"- {line}." for line in lines)] if lines else []


def arm_lines(comparison: Comparison, told: Narrative) -> list[str]:
    """Each model under its arms, then arm against arm; [] without arms."""
    models = arm_by_arm(comparison.rows, comparison.arms)
    if not models:
        return []
    lines = ["", "Arm by arm, top-1 % [95 % CI], * better than every other arm of its model:"]
    for model in models:
        cells = [
            f"{arm_word(arm)} {screen_text(TOP1, row)}{' *' if arm == model.best else ''}"
            for arm, row in model.rows.items()
        ]
        lines.append(f"- {model.model}: {', '.join(cells)}.")
    if means := arm_means(models):
        named = ", ".join(f"{arm_word(arm)} {percent(mean)}" for arm, mean in means.items())
        lines.append(f"- Plain mean over {len(models)} models: {named}.")
    return [*lines, *(f"- {verdict}." for verdict in told.arm_verdicts)]


def other_scores(row: Row) -> str:
    """A tested model's scores beside accuracy, each with its interval, and how far it can be believed."""
    shown = []
    for metric in METRICS:
        if metric.name != "top1" and (one := row.metrics.get(metric.name)):
            limits = metric_interval(metric, row)
            text = f"{metric.short} {metric.shown(one.value)}{f' {limits}' if limits else ''}"
            shown.append(f"{text} %" if metric.percent else text)
    if row.temperature_shown is False:
        shown.append("temperature 1 (val cannot tell a better one)")
    elif row.temperature is not None and row.loss_tempered is not None:
        shown.append(f"loss {row.loss_tempered:.3f} at temperature {row.temperature:.2f}, fitted on val")
    if row.ece is not None and row.ece_null is not None:
        shown.append(f"ECE {percent(row.ece)} % (calibrated models: up to {percent(row.ece_null)})")
    return f"{row.model}: {', '.join(shown)}"


def _left_out(comparison: Comparison, every: Sequence[Column], shown: Sequence[Column]) -> list[str]:
    """How many columns with something in them are not shown, and the file that has them."""
    kept = {column.name for column in shown}
    left = [column for column in every if column.name not in kept]
    where = "in comparison.md" if RANK in left else "in comparison.csv"
    if len(comparison.benchmarks) > 1:
        where = "on a wider screen"  # no files are written
    return [f"{len(left)} more column{'' if len(left) == 1 else 's'} {where}"] if left else []


def _fitting(comparison: Comparison, width: int) -> list[Column]:
    """The first columns whose cells fit side by side; the model's own column gives way first."""
    from rich.cells import cell_len

    rows = rows_of(comparison, "table")

    def width_of(column: Column) -> int:
        heading = (cell_len(line) for line in column.heading.split("\n"))
        return max([*heading, *(cell_len(screen_text(column, row)) for row in rows)]) + 2

    kept, used = [MODEL, TOP1], _name_width(comparison) + width_of(TOP1)
    columns = columns_of(comparison, "table")
    for column in columns:
        if column in (MODEL, TOP1):
            continue
        if used + width_of(column) > width:
            break
        kept.append(column)
        used += width_of(column)
    return [column for column in columns if column in kept]


def _name_width(comparison: Comparison) -> int:
    """Cells for the models' names: 9 to 26; longer ones, and the majority row's, are broken."""
    from rich.cells import cell_len

    longest = max((cell_len(MODEL.text(row)) for row in comparison.rows), default=0)
    return min(max(longest, 9), 26)
