"""Lessons: what a distilled student took over from its teacher, and what that was worth and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitbench import files
from vitbench.comparison.basis import Basis
from vitbench.comparison.candidates import UNREADABLE, Candidate
from vitbench.comparison.pairs import Pair
from vitbench.comparison.rows import Row
from vitbench.comparison.statistics import runs_accuracy
from vitbench.records import Array, Recipe, Run
from vitbench.settings import Distil, Through

HEADS = "heads.csv"
"""A distilled run's answers to the test pictures, by each of its heads, beside the teacher's."""


@dataclass(frozen=True)
class Share:
    """A share of the test pictures, or a difference of two, with its 95 % interval; fractions."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """One distilled model on the test pictures; shares are means over its seeds."""

    model: str
    arm: str
    of: str
    """The model that was trained."""
    teacher: str
    """In words."""
    teacher_run: str
    """The teacher's run in this benchmark; "": it is from elsewhere."""
    one_teacher: bool
    """All seeds learned from the same weights; False also for a single seed."""
    kind: Distil
    alpha: float
    """Weight of the teacher's part of the loss."""
    tau: float
    """Temperature of soft distillation."""
    through: Through
    """Where the teacher was heard: at the distillation token, or at the student's own logits."""
    n: int
    """Test pictures."""
    right: Share
    """Agreement with the truth: the accuracy of its answer, the mean of both heads where there are two."""
    agrees: Share
    """Agreement of that answer with the teacher's, right or wrong."""
    cls_right: Share | None
    """Of its class head alone; this and the next three: None without a distillation token."""
    cls_agrees: Share | None
    dist_right: Share | None
    """Of its distillation head alone."""
    dist_agrees: Share | None
    teacher_right: Share
    """The teacher's accuracy on the same pictures."""
    twin: str
    """The same model without a teacher, otherwise trained most alike; "": none was tested."""
    twin_right: Share | None
    twin_agrees: Share | None
    """How far the twin agrees with a teacher that it never heard."""
    gain: Share | None
    """Accuracy of student − twin on the same pictures; None where the two are not compared."""
    seconds_per_epoch: float | None
    twin_seconds_per_epoch: float | None
    price: float | None
    """The first of these over the second."""


@dataclass(frozen=True)
class _Heard:
    """What the heads files of a candidate's runs say: (k, n) class indices per column."""

    teacher: Array
    alone: Mapping[str, Array]
    """"cls" and "dist", or neither."""


def distilled(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that were tested and had a teacher."""
    own = [candidate for candidate in candidates if candidate.answered and not candidate.probe_of]
    return [candidate for candidate in own if candidate.answered[0].recipe().distillation is not None]


def lessons_of(
    candidates: Sequence[Candidate], rows: Sequence[Row], pairs: Sequence[Pair], basis: Basis
) -> tuple[Lesson, ...]:
    """The lesson of every distilled model whose runs all have a readable `heads.csv`.

    pairs: where a gain over the twin is looked up, the first that compares the two.
    """
    found = (_lesson(student, candidates, rows, pairs, basis) for student in distilled(candidates))
    return tuple(lesson for lesson in found if lesson is not None)


def _lesson(
    student: Candidate,
    candidates: Sequence[Candidate],
    rows: Sequence[Row],
    pairs: Sequence[Pair],
    basis: Basis,
) -> Lesson | None:
    try:
        heard = _heard(student)
    except UNREADABLE:
        return None
    given = [recipe.distillation for recipe in _recipes(student) if recipe.distillation is not None]
    teachers = [str(run.about().get("teacher_run") or "") for run in student.answered]
    known = {(one.teacher, one.teacher_sha256, run) for one, run in zip(given, teachers, strict=True)}
    one_teacher = len(given) > 1 and len(known) == 1
    labels = student.predictions[0].labels
    answers = np.stack([p.answers for p in student.predictions])

    def share(same: Array) -> Share:
        return Share(float(same.mean()), *runs_accuracy(same, basis.groups, basis.inflation))

    def right(one: Candidate) -> Share:
        return Share(float(one.correct.mean()), *basis.accuracy_interval(one))

    heads = {f"{name}_right": share(said == labels) for name, said in heard.alone.items()}
    heads |= {f"{name}_agrees": share(said == heard.teacher) for name, said in heard.alone.items()}
    nothing = dict.fromkeys(("cls_right", "cls_agrees", "dist_right", "dist_agrees"))
    twin = twin_of(student, candidates)
    seconds = {row.model: row.seconds_per_epoch for row in rows}
    own, plain = seconds.get(student.model), seconds.get(twin.model) if twin else None
    return Lesson(
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
        n=basis.n,
        right=right(student),
        agrees=share(answers == heard.teacher),
        **{**nothing, **heads},
        teacher_right=share((heard.teacher[:1] if one_teacher else heard.teacher) == labels),
        twin=twin.model if twin else "",
        twin_right=right(twin) if twin else None,
        twin_agrees=share(_twin_agrees(student, twin, heard)) if twin else None,
        gain=_gain(student, twin, pairs) if twin else None,
        seconds_per_epoch=own,
        twin_seconds_per_epoch=plain,
        price=own / plain if own and plain else None,
    )


def _recipes(candidate: Candidate) -> list[Recipe]:
    return [run.recipe() for run in candidate.answered]


def _heard(student: Candidate) -> _Heard:
    """Raises one of `UNREADABLE` where a file is missing, damaged or about other pictures or classes."""
    tables = [
        _columns(run, p.paths, p.classes)
        for run, p in zip(student.answered, student.predictions, strict=True)
    ]
    alone = [name for name in ("cls", "dist") if all(name in table for table in tables)]
    teacher = np.stack([table["teacher"] for table in tables])
    return _Heard(teacher, {name: np.stack([table[name] for table in tables]) for name in alone})


def _columns(run: Run, paths: Sequence[str], classes: Sequence[str]) -> dict[str, Array]:
    """(n,) class indices per column of a run's heads file, in the order of `paths`."""
    index = {name: i for i, name in enumerate(classes)}
    rows = {row["path"]: row for row in files.read_csv(run.folder / HEADS)}
    names = [name for name in ("cls", "dist", "teacher") if name in rows[paths[0]]]
    return {name: np.array([index[rows[path][name]] for path in paths], dtype=np.int64) for name in names}


def twin_of(student: Candidate, candidates: Sequence[Candidate]) -> Candidate | None:
    """The tested candidate of the same model without a teacher whose recipe is most like the student's.

    One of the student's own benchmark before others; of equals a plain one, then the first. None: none is.
    """
    same = [c for c in candidates if c.answered and not c.probe_of and c.of == student.of]
    taught = {candidate.model for candidate in distilled(same)}
    without = [candidate for candidate in same if candidate.model not in taught]
    own = student.answered[0].recipe()

    def unlike(other: Candidate) -> tuple[bool, int, bool]:
        fields = own.differences(other.answered[0].recipe())
        return other.benchmark != student.benchmark, len(fields), bool(other.arm)

    return min(without, key=unlike, default=None)


def _twin_agrees(student: Candidate, twin: Candidate, heard: _Heard) -> Array:
    """(k, n) bool: each of the twin's runs against the teacher of the student with its seed, or the first."""
    seeds = [run.seed for run in student.answered]
    places = [seeds.index(run.seed) if run.seed in seeds else 0 for run in twin.answered]
    return np.asarray(np.stack([p.answers for p in twin.predictions]) == heard.teacher[places])


def _gain(student: Candidate, twin: Candidate, pairs: Sequence[Pair]) -> Share | None:
    both = {student.model, twin.model}
    pair = next((pair for pair in pairs if {pair.model_a, pair.model_b} == both), None)
    return Share(*pair.gain_of(student.model)) if pair else None
