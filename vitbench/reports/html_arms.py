"""The tables of arms and of distillation on the report page."""

from vitbench.comparison.arms import arm_by_arm, arm_means, arm_word, arms_in
from vitbench.comparison.measured import Estimate, Row
from vitbench.comparison.nouns import Comparison, Distilled
from vitbench.records import percent
from vitbench.reports.columns import interval, untested
from vitbench.reports.html_cells import Axis, Cell, Head, Line, Table, kept, number
from vitbench.reports.meanings import MEANINGS, meant

BEST = "★ "
"""Before the accuracy of an arm that is better than every other one of its model."""


def arms_table(comparison: Comparison) -> Table | None:
    """A line per model, a column per arm, the plain mean over models last; None without arms."""
    models = arm_by_arm(comparison.rows, comparison.arms)
    if not models:
        return None
    arms = arms_in(models)
    bounds = [value for m in models for row in m.rows.values() for value in _bounds(row)]
    axis = Axis.over(bounds)
    heads = (
        Head("model", numeric=False),
        *(Head(arm_word(arm), axis=axis.ends, meaning=MEANINGS["arm"]) for arm in arms),
    )
    lines = [
        Line((Cell(m.model), *(_accuracy(m.rows.get(arm), arm == m.best, axis) for arm in arms)))
        for m in models
    ]
    if means := arm_means(models):
        cells = (Cell(percent(means[arm]), means[arm]) for arm in arms)
        lines.append(Line((Cell(f"plain mean over {len(models)} models"), *cells), "light"))
    return Table("arms", "Arm by arm: right, %", heads, tuple(lines))


def _bounds(row: Row) -> list[float]:
    return [value for value in (row.top1_low, row.top1, row.top1_high) if value is not None]


def _accuracy(row: Row | None, best: bool, axis: Axis) -> Cell:
    if row is None:
        return Cell("–")
    if row.top1 is None:
        return Cell(untested(row))
    bar = axis.bar(row.top1_low, row.top1_high, row.top1)
    text = f"{BEST if best else ''}{percent(row.top1)}"
    return Cell(text, row.top1, interval(row.top1_low, row.top1_high), bar)


def distillation_table(comparison: Comparison) -> Table | None:
    """Per distilled model: itself, each head, the model without a teacher, the teacher; None without."""
    if not comparison.distillation:
        return None
    shares = [share for student in comparison.distillation for share in _shares(student)]
    axis = Axis.over(
        [value for one in shares for value in (one.low, one.value, one.high) if value is not None]
    )
    heads = (
        Head("who answers", numeric=False),
        meant("right, %", axis.ends),
        meant("agrees with the teacher, %", axis.ends),
        meant("s per epoch"),
    )
    lines = [line for student in comparison.distillation for line in _lines(student, axis)]
    return kept("distillation", "What the teacher taught", heads, lines)


def _shares(student: Distilled) -> list[Estimate]:
    """Those that the table shows."""
    found = (
        *(
            student.right,
            student.agrees,
            student.teacher_right,
            student.baseline_right,
            student.baseline_agrees,
        ),
        *(student.cls_right, student.cls_agrees, student.dist_right, student.dist_agrees),
    )
    return [share for share in found if share]


def _lines(student: Distilled, axis: Axis) -> list[Line]:
    def line(
        who: str,
        right: Estimate | None,
        agrees: Estimate | None,
        seconds: float | None = None,
        kind: str = "",
    ) -> Line:
        epoch = number(seconds, None if seconds is None else f"{seconds:.3g}")
        return Line((Cell(who), _share(right, axis), _share(agrees, axis), epoch), kind)

    model, baseline = student.model, student.baseline
    found = [line(model, student.right, student.agrees, student.seconds_per_epoch)]
    if student.cls_right:
        found.append(line(f"{model}, class head alone", student.cls_right, student.cls_agrees, kind="beside"))
    if student.dist_right:
        alone = f"{model}, distillation head alone"
        found.append(line(alone, student.dist_right, student.dist_agrees, kind="beside"))
    if baseline:
        without, seconds = f"{baseline}, without a teacher", student.baseline_seconds_per_epoch
        found.append(line(without, student.baseline_right, student.baseline_agrees, seconds))
    teacher = student.teacher_run or student.teacher
    return [*found, line(f"{teacher}, the teacher", student.teacher_right, None)]


def _share(share: Estimate | None, axis: Axis) -> Cell:
    if share is None:
        return Cell("–")
    bar = axis.bar(share.low, share.high, share.value)
    return Cell(percent(share.value), share.value, interval(share.low, share.high), bar)
