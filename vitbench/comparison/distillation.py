"""What a distilled student took over from its teacher, and what that was worth and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitbench.comparison.context import TestContext
from vitbench.comparison.measured import Estimate, Pair, Row
from vitbench.comparison.nouns import Distilled
from vitbench.comparison.results import UNREADABLE, ModelResult
from vitbench.comparison.statistics import runs_accuracy
from vitbench.records import Array, Run


@dataclass(frozen=True)
class _Heard:
    """What the heads files of a model's runs say: (k, n) class indices per column."""

    teacher: Array
    alone: Mapping[str, Array]
    """"cls" and "dist", or neither."""


def distilled(models: Sequence[ModelResult]) -> list[ModelResult]:
    """Those that were tested and had a teacher."""
    own = [one for one in models if one.answered and not one.probe_of]
    return [one for one in own if one.answered[0].recipe.distillation is not None]


def distillation_of(
    models: Sequence[ModelResult], rows: Sequence[Row], pairs: Sequence[Pair], context: TestContext
) -> tuple[Distilled, ...]:
    """What every distilled model learned whose runs all have a readable `heads.csv`.

    pairs: where a gain over the baseline is looked up, the first that compares the two.
    """
    found = (_distilled(student, models, rows, pairs, context) for student in distilled(models))
    return tuple(one for one in found if one is not None)


def _distilled(
    student: ModelResult,
    models: Sequence[ModelResult],
    rows: Sequence[Row],
    pairs: Sequence[Pair],
    context: TestContext,
) -> Distilled | None:
    try:
        heard = _heard(student)
    except UNREADABLE:
        return None
    given = [run.recipe.distillation for run in student.answered if run.recipe.distillation is not None]
    teachers = [str(run.about.get("teacher_run") or "") for run in student.answered]
    known = {(one.teacher, one.teacher_sha256, run) for one, run in zip(given, teachers, strict=True)}
    one_teacher = len(given) > 1 and len(known) == 1
    labels = student.predictions[0].labels
    answers = np.stack([p.answers for p in student.predictions])

    def share(same: Array) -> Estimate:
        return Estimate(float(same.mean()), *runs_accuracy(same, context.groups, context.inflation))

    heads = {f"{name}_right": share(said == labels) for name, said in heard.alone.items()}
    heads |= {f"{name}_agrees": share(said == heard.teacher) for name, said in heard.alone.items()}
    baseline = baseline_of(student, models)
    seconds = {row.model: row.seconds_per_epoch for row in rows}
    own, plain = seconds.get(student.model), seconds.get(baseline.model) if baseline else None
    return Distilled(
        model=student.model,
        arm=student.arm,
        of=student.of,
        teacher=given[0].teacher,
        teacher_run=teachers[0],
        one_teacher=one_teacher,
        kind=given[0].kind,
        alpha=given[0].alpha,
        tau=given[0].tau,
        through=given[0].through,
        n=context.n,
        right=context.accuracy(student),
        agrees=share(answers == heard.teacher),
        **heads,
        teacher_right=share((heard.teacher[:1] if one_teacher else heard.teacher) == labels),
        baseline=baseline.model if baseline else "",
        baseline_right=context.accuracy(baseline) if baseline else None,
        baseline_agrees=share(_baseline_agrees(student, baseline, heard)) if baseline else None,
        gain=_gain(student, baseline, pairs) if baseline else None,
        seconds_per_epoch=own,
        baseline_seconds_per_epoch=plain,
        price=own / plain if own and plain else None,
    )


def _heard(student: ModelResult) -> _Heard:
    """Raises one of `UNREADABLE` where a file is missing, damaged or about other pictures or classes."""
    tables = [_columns(run.run, run.predictions.paths, run.predictions.classes) for run in student.answered]
    alone = [name for name in ("cls", "dist") if all(name in table for table in tables)]
    teacher = np.stack([table["teacher"] for table in tables])
    return _Heard(teacher, {name: np.stack([table[name] for table in tables]) for name in alone})


def _columns(run: Run, paths: Sequence[str], classes: Sequence[str]) -> dict[str, Array]:
    """(n,) class indices per column of a run's heads file, in the order of `paths`."""
    index = {name: i for i, name in enumerate(classes)}
    rows = {row["path"]: row for row in run.heads()}
    names = [name for name in ("cls", "dist", "teacher") if name in rows[paths[0]]]
    return {name: np.array([index[rows[path][name]] for path in paths], dtype=np.int64) for name in names}


def baseline_of(student: ModelResult, models: Sequence[ModelResult]) -> ModelResult | None:
    """The tested one of the same model without a teacher whose recipe is most like the student's.

    One of the student's own benchmark before others; of equals a plain one, then the first. None: none is.
    """
    same = [c for c in models if c.answered and not c.probe_of and c.of == student.of]
    taught = {one.model for one in distilled(same)}
    without = [one for one in same if one.model not in taught]
    own = student.answered[0].recipe

    def unlike(other: ModelResult) -> tuple[bool, int, bool]:
        fields = own.differences(other.answered[0].recipe)
        return other.benchmark != student.benchmark, len(fields), bool(other.arm)

    return min(without, key=unlike, default=None)


def _baseline_agrees(student: ModelResult, baseline: ModelResult, heard: _Heard) -> Array:
    """(k, n) bool: the baseline's runs against the teacher of the student with their seed, else the first."""
    seeds = [one.run.seed for one in student.answered]
    places = [seeds.index(s) if (s := one.run.seed) in seeds else 0 for one in baseline.answered]
    return np.asarray(np.stack([p.answers for p in baseline.predictions]) == heard.teacher[places])


def _gain(student: ModelResult, baseline: ModelResult, pairs: Sequence[Pair]) -> Estimate | None:
    pair = next((pair for pair in pairs if pair.names == {student.model, baseline.model}), None)
    return Estimate(*pair.gain_of(student.model)) if pair else None
