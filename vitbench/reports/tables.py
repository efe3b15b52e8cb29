"""The comparison as a table: its columns, the table on a screen, the sentences below it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vitbench import files
from vitbench.comparison.arms import arm_by_arm, arm_means, arm_word
from vitbench.comparison.rows import Row
from vitbench.comparison.table import Comparison
from vitbench.comparison.words import amount, lesson_text, pictures, points
from vitbench.records import percent

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Column:
    """One column of the table for people."""

    heading: str
    """One or two lines."""
    cell: Callable[[Row], str]
    numeric: bool = True

    @property
    def title(self) -> str:
        """The heading on one line."""
        return self.heading.replace("/\n", "/").replace("\n", " ")


def _number(name: str, digits: int) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = getattr(row, name)
        return "" if value is None else f"{value:.{digits}f}"

    return cell


def _amount(name: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        value = getattr(row, name)
        return "" if value is None else amount(value)

    return cell


def _speed(name: str) -> Callable[[Row], str]:
    """Three significant digits, no exponent."""

    def cell(row: Row) -> str:
        value = getattr(row, name)
        return "" if value is None else f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}"

    return cell


def top1_cell(row: Row) -> str:
    """Accuracy in percent with its 95 % interval: "86.7 [75.8, 93.1]"; "failed" where it has none."""
    if row.top1 is None:
        return {"new": "not started"}.get(row.status, row.status)
    std = "" if row.top1_std is None else f" ± {percent(row.top1_std)}"
    return f"{percent(row.top1)}{std} [{percent(row.top1_low)}, {percent(row.top1_high)}]"


def _size(row: Row) -> str:
    if row.image_size is None:
        return ""
    off = row.native_size is not None and row.native_size != row.image_size
    return f"{row.image_size}{'*' if off else ''}"


AGAINST = "points against"
BELOW = "↳ "
"""Before a probe that stands below its model."""
MODEL = Column("model", lambda row: f"{BELOW if row.probe_of else ''}{row.model}", numeric=False)
RANK = Column("rank", lambda row: row.rank_text)
TOP1 = Column("top-1 %\n[95 % CI]", top1_cell)
COLUMNS = (
    MODEL,
    RANK,
    TOP1,
    Column("loss", _number("loss", 3)),
    Column("macro\nF1 %", lambda row: "" if row.macro_f1 is None else percent(row.macro_f1)),
    Column("params\nM", _amount("params_m")),
    Column("GMACs", _amount("gmacs")),
    Column("train\nimg/s", _speed("train_images_per_second")),
    Column("ms/\nimg", _speed("latency_ms_p50")),
    Column(
        "balanced\n%", lambda row: "" if row.balanced_accuracy is None else percent(row.balanced_accuracy)
    ),
    Column("Brier", _number("brier", 3)),
    Column("s/\nepoch", _speed("seconds_per_epoch")),
    Column("px", _size),
    Column("seeds", lambda row: str(len(row.seeds)) if row.seeds else ""),
    Column("peak\nMB", _number("peak_memory_mb", 0)),
    Column("pretrained on", lambda row: row.pretrained_on or row.init, numeric=False),
)
"""From the most to the least needed: a narrow screen shows the first ones."""
ARMS = (
    Column("arm", lambda row: "" if row.status == "floor" or row.probe_of else arm_word(row.arm), False),
    Column("trains", lambda row: row.of, False),
)
"""Columns for a comparison that has arms."""

LEGEND = (
    "points against: with 95 % CI; * distinguishable. "
    "rank: a range where the pictures cannot tell models apart. ms/img: latency of one picture, median, "
    "decoding left out. px*: not the model's native size. "
    "peak MB on a CPU: the whole process, what earlier models left in it included."
)


def columns_of(comparison: Comparison) -> tuple[Column, ...]:
    """The columns for this comparison: all of them, and the difference from a baseline if there is one."""
    columns = (*COLUMNS, *ARMS) if any(row.arm for row in comparison.rows) else COLUMNS
    if not comparison.baseline:
        return columns
    gains = {}
    for pair in comparison.pairs:
        other = pair.model_a if pair.model_b == comparison.baseline else pair.model_b
        value, low, high = pair.gain_of(other)
        mark = " *" if pair.distinguishable else ""
        gains[other] = f"{points(value)} [{points(low)}, {points(high)}]{mark}"
    against = Column(f"{AGAINST}\n{comparison.baseline}", lambda row: gains.get(row.model, ""))
    return (MODEL, TOP1, against, *(column for column in columns if column not in (MODEL, RANK, TOP1)))


def table_rows(comparison: Comparison) -> list[Row]:
    """The rows as shown: models, then the floor."""
    return [*comparison.rows, *([comparison.floor] if comparison.floor else [])]


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
    for row in table_rows(comparison):
        style = "dim" if row.status == "floor" or row.probe_of else ""
        table.add_row(*(Text(files.shown(column.cell(row))) for column in shown), style=style)
    return Group(table, *(Text(files.shown(line)) for line in sentences(comparison, shown)))


def sentences(comparison: Comparison, shown: Sequence[Column] = COLUMNS) -> list[str]:
    """What stands under the table, one paragraph each."""
    head = f"{comparison.name}: {pictures(comparison.n_test)}, {len(comparison.classes)} classes"
    lines = ["", f"{head}; {comparison.split_rule}" if comparison.split_rule else head, comparison.answer]
    lines += [f"Next: {comparison.advice}"] if comparison.advice else []
    lines += [f"- {pair.verdict}." for pair in (*comparison.pairs, *comparison.probes)]
    lines += [comparison.loss_text] if comparison.loss_text else []
    lines += [comparison.smallest_gap_text]
    lines += [comparison.detect_text] if comparison.detect_text else []
    lines += [*arm_lines(comparison), *lesson_lines(comparison)]
    if comparison.tested:
        lines += ["", f"Other scores, lower loss and Brier are better [95 % CI, {_resampled(comparison)}]:"]
        lines += [f"- {other_scores(row)}." for row in comparison.rows if row.top1 is not None]
    if comparison.notes:
        lines += ["", "To know:", *(f"- {note}." for note in comparison.notes)]
    legend = [part for part in LEGEND.split(". ") if _explains(part, shown)]
    legend += _left_out(comparison, shown)
    return [*lines, "", ". ".join(part.rstrip(".") for part in legend) + "."] if legend else lines


def arm_lines(comparison: Comparison) -> list[str]:
    """Each model under its arms, then arm against arm; [] without arms."""
    models = arm_by_arm(comparison.rows, comparison.arms)
    if not models:
        return []
    lines = ["", "Arm by arm, top-1 % [95 % CI], * better than every other arm of its model:"]
    for model in models:
        cells = [
            f"{arm_word(arm)} {top1_cell(row)}{' *' if arm == model.best else ''}"
            for arm, row in model.rows.items()
        ]
        lines.append(f"- {model.model}: {', '.join(cells)}.")
    if means := arm_means(models):
        named = ", ".join(f"{arm_word(arm)} {percent(mean)}" for arm, mean in means.items())
        lines.append(f"- Plain mean over {len(models)} models: {named}.")
    return [*lines, *(f"- {pair.verdict}." for pair in comparison.arms)]


def lesson_lines(comparison: Comparison) -> list[str]:
    """What each distilled model took over from its teacher; [] where none had one."""
    if not comparison.lessons:
        return []
    return ["", "What the teacher taught:", *(f"- {lesson_text(one)}." for one in comparison.lessons)]


def _resampled(comparison: Comparison) -> str:
    return "bootstrap over images" if comparison.groups is None else "bootstrap over groups of images"


def other_scores(row: Row) -> str:
    """A tested model's scores beside accuracy, each with its interval, and how far it can be believed."""
    shown = [
        f"loss {_with_interval(row, 'loss', 1, 3)}",
        f"Brier {_with_interval(row, 'brier', 1, 3)}",
        f"macro F1 {_with_interval(row, 'macro_f1', 100, 1)} %",
        f"balanced {_with_interval(row, 'balanced_accuracy', 100, 1)} %",
    ]
    if row.temperature_shown is False:
        shown.append("temperature 1 (val cannot tell a better one)")
    elif row.temperature is not None and row.loss_tempered is not None:
        shown.append(f"loss {row.loss_tempered:.3f} at temperature {row.temperature:.2f}, fitted on val")
    if row.ece is not None and row.ece_null is not None:
        shown.append(f"ECE {percent(row.ece)} % (calibrated models: up to {percent(row.ece_null)})")
    return f"{row.model}: {', '.join(shown)}"


def _with_interval(row: Row, name: str, scale: float, digits: int) -> str:
    """ "0.412 [0.350, 0.481]"; without the interval where there is none."""
    value, low, high = (getattr(row, key) for key in (name, f"{name}_low", f"{name}_high"))
    if low is None or high is None:
        return f"{scale * value:.{digits}f}"
    return f"{scale * value:.{digits}f} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"


def _left_out(comparison: Comparison, shown: Sequence[Column]) -> list[str]:
    """How many columns with something in them are not shown, and the file that has them."""
    rows = table_rows(comparison)
    kept = {c.heading for c in shown}
    left = [c for c in columns_of(comparison) if c.heading not in kept and any(c.cell(row) for row in rows)]
    where = "in comparison.md" if RANK in left else "in comparison.csv"  # which has no ranks
    if len(comparison.benchmarks) > 1:
        where = "on a wider screen"  # no files are written
    return [f"{len(left)} more column{'' if len(left) == 1 else 's'} {where}"] if left else []


def _explains(part: str, shown: Sequence[Column]) -> bool:
    return part.split(":")[0].rstrip("*") in {column.heading.split("\n")[0] for column in shown} | {
        column.title for column in shown
    }


def _fitting(comparison: Comparison, width: int) -> list[Column]:
    """The first columns whose cells fit side by side; the model's own column gives way first."""
    from rich.cells import cell_len

    rows = table_rows(comparison)

    def width_of(column: Column) -> int:
        heading = (cell_len(line) for line in column.heading.split("\n"))
        return max([*heading, *(cell_len(column.cell(row)) for row in rows)]) + 2

    kept, used = [MODEL, TOP1], _name_width(comparison) + width_of(TOP1)
    columns = columns_of(comparison)
    for column in columns:
        if column in (MODEL, TOP1) or not any(column.cell(row) for row in rows):
            continue
        if used + width_of(column) > width:
            break
        kept.append(column)
        used += width_of(column)
    return [column for column in columns if column in kept]


def _name_width(comparison: Comparison) -> int:
    """Cells for the models' names: 9 to 26; longer ones, and the floor's, are broken."""
    from rich.cells import cell_len

    longest = max((cell_len(MODEL.cell(row)) for row in comparison.rows), default=0)
    return min(max(longest, 9), 26)
