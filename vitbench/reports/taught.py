"""The tables of arms and of distillation on the report page."""

from vitbench.comparison.arms import arm_by_arm, arm_means, arm_word, arms_in
from vitbench.comparison.lessons import Lesson, Share
from vitbench.comparison.rows import Row
from vitbench.comparison.table import Comparison
from vitbench.records import percent
from vitbench.reports.cells import Axis, Cell, Head, Line, Table, interval, kept, number

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
    heads = (Head("model", numeric=False), *(Head(arm_word(arm), axis=axis.ends) for arm in arms))
    lines = [
        Line((Cell(m.model), *(_accuracy(m.rows.get(arm), arm == m.best, axis) for arm in arms)))
        for m in models
    ]
    if means := arm_means(models):
        cells = (Cell(percent(means[arm]), means[arm]) for arm in arms)
        lines.append(Line((Cell(f"plain mean over {len(models)} models"), *cells), "floor"))
    return Table("arms", "Arm by arm: right, %", heads, tuple(lines))


def _bounds(row: Row) -> list[float]:
    return [value for value in (row.top1_low, row.top1, row.top1_high) if value is not None]


def _accuracy(row: Row | None, best: bool, axis: Axis) -> Cell:
    if row is None:
        return Cell("–")
    if row.top1 is None:
        return Cell("not started" if row.status == "new" else row.status)
    bar = axis.bar(row.top1_low, row.top1_high, row.top1)
    text = f"{BEST if best else ''}{percent(row.top1)}"
    return Cell(text, row.top1, interval(row.top1_low, row.top1_high), bar)


def lessons_table(comparison: Comparison) -> Table | None:
    """Per distilled model: itself, each head alone, its twin without a teacher, the teacher; None without."""
    if not comparison.lessons:
        return None
    shares = [share for lesson in comparison.lessons for share in _shares(lesson)]
    axis = Axis.over([value for one in shares for value in (one.low, one.value, one.high)])
    heads = (
        Head("who answers", numeric=False),
        Head("right, %", axis=axis.ends),
        Head("agrees with the teacher, %", axis=axis.ends),
        Head("s per epoch"),
    )
    lines = [line for lesson in comparison.lessons for line in _lines(lesson, axis)]
    return kept("lessons", "What the teacher taught", heads, lines)


def _shares(lesson: Lesson) -> list[Share]:
    """Those that the table shows."""
    found = (
        *(lesson.right, lesson.agrees, lesson.teacher_right, lesson.twin_right, lesson.twin_agrees),
        *(lesson.cls_right, lesson.cls_agrees, lesson.dist_right, lesson.dist_agrees),
    )
    return [share for share in found if share]


def _lines(lesson: Lesson, axis: Axis) -> list[Line]:
    def line(
        who: str, right: Share | None, agrees: Share | None, seconds: float | None = None, kind: str = ""
    ) -> Line:
        epoch = number(seconds, None if seconds is None else f"{seconds:.3g}")
        return Line((Cell(who), _share(right, axis), _share(agrees, axis), epoch), kind)

    student, twin = lesson.model, lesson.twin
    found = [line(student, lesson.right, lesson.agrees, lesson.seconds_per_epoch)]
    if lesson.cls_right:
        found.append(line(f"{student}, class head alone", lesson.cls_right, lesson.cls_agrees, kind="beside"))
    if lesson.dist_right:
        alone = f"{student}, distillation head alone"
        found.append(line(alone, lesson.dist_right, lesson.dist_agrees, kind="beside"))
    if twin:
        without, seconds = f"{twin}, without a teacher", lesson.twin_seconds_per_epoch
        found.append(line(without, lesson.twin_right, lesson.twin_agrees, seconds))
    teacher = lesson.teacher_run or lesson.teacher
    return [*found, line(f"{teacher}, the teacher", lesson.teacher_right, None)]


def _share(share: Share | None, axis: Axis) -> Cell:
    if share is None:
        return Cell("–")
    bar = axis.bar(share.low, share.high, share.value)
    return Cell(percent(share.value), share.value, interval(share.low, share.high), bar)
