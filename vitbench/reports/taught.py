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
    told = [line for lesson in comparison.lessons for line in _lines(lesson)]
    if not told:
        return None
    shares = [share for _, right, agrees, _ in told for share in (right, agrees) if share]
    axis = Axis.over([value for one in shares for value in (one.low, one.value, one.high)])
    heads = (
        Head("who answers", numeric=False),
        Head("right, %", axis=axis.ends),
        Head("agrees with the teacher, %", axis=axis.ends),
        Head("s per epoch"),
    )
    lines = [
        Line(
            (
                who,
                _share(right, axis),
                _share(agrees, axis),
                number(seconds, None if seconds is None else f"{seconds:.3g}"),
            ),
        )
        for who, right, agrees, seconds in told
    ]
    return kept("lessons", "What the teacher taught", heads, lines)


Told = tuple[Cell, Share | None, Share | None, float | None]
"""Who answers, how often right, how often as the teacher does, seconds per epoch of training."""


def _lines(lesson: Lesson) -> list[Told]:
    found: list[Told] = [(Cell(lesson.model), lesson.right, lesson.agrees, lesson.seconds_per_epoch)]
    for name, right, agrees in (
        ("class head", lesson.cls_right, lesson.cls_agrees),
        ("distillation head", lesson.dist_right, lesson.dist_agrees),
    ):
        if right:
            found.append((Cell(f"{lesson.model}, {name} alone"), right, agrees, None))
    if lesson.twin:
        without = Cell(f"{lesson.twin}, without a teacher")
        found.append((without, lesson.twin_right, lesson.twin_agrees, lesson.twin_seconds_per_epoch))
    teacher = lesson.teacher_run or lesson.teacher
    found.append((Cell(f"{teacher}, the teacher"), lesson.teacher_right, None, None))
    return found


def _share(share: Share | None, axis: Axis) -> Cell:
    if share is None:
        return Cell("–")
    bar = axis.bar(share.low, share.high, share.value)
    return Cell(percent(share.value), share.value, interval(share.low, share.high), bar)
